/* SPDX-License-Identifier: Apache-2.0
 * revisions.c - history of an app: list and read its revisions, and roll back to one.
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/cloud/body_update.h"
#include "api/cloud/context.h"
#include "api/cloud/json_or_null.h"
#include "api/cloud/lookup.h"
#include "api/cloud/mutation_call.h"
#include "api/cloud/paging.h"
#include "api/cloud/route_tables.h"
#include "api/cloud/serialize_cvm.h"
#include "api/cloud/serialize_workspace.h"
#include "api/http/call.h"
#include "api/http/reply.h"
#include "base/alloc.h"
#include "base/id.h"
#include "base/json.h"
#include "base/own.h"
#include "db/apps.h"
#include "db/cvms.h"
#include "db/operations.h"
#include "db/workspaces.h"
#include "vmm/account/workspaces.h"
#include "vmm/compose/compose.h"
#include "vmm/cvm/revisions.h"
#include "vmm/cvm/update.h"
#include "vmm/node/find.h"
#include "vmm/op/mutation.h"
#include "vmm/op/op_begin.h"
#include "vmm/vmm.h"

enum { INSTANCES_MAX = 10000 };

/* Revisions of one app, freed with the struct. */
struct revision_list {
	struct revision_info *list;
	size_t n;
};

static void revision_list_free(struct revision_list *h)
{
	revisions_free(h->list, h->n);
}

#define auto_revision_list __attribute__((cleanup(revision_list_free)))

/* ------------------------------------------------------------------ JSON */

static json_t *revision_changes(const struct revision_info *r)
{
	json_t *list = json_stored(r->changed);

	return list ? list : json_array();
}

static const char *revision_kind(const json_t *changed)
{
	const char *first = json_string_value(json_array_get(changed, 0));

	return first && !strcmp(first, "created") ? "create" : "update";
}

static json_t *serialize_revision_cvm(const struct call *c, const struct app_row *app,
				      const char *uuid)
{
	struct cvm_row row;
	json_t *o;
	struct err gone;
	char id[32];

	if (!uuid[0] || vmm_find_uuid(api_of(c)->vmm, app->workspace, uuid, &row, &gone))
		return json_null();
	(void)snprintf(id, sizeof(id), "cvm_%lld", (long long)row.id);
	o = json_pack("{s:s,s:s,s:s,s:s,s:s}", "object_type", "cvm", "id", id, "name", row.name,
		      "app_id", row.app_id, "vm_uuid", row.uuid);
	return o;
}

static json_t *serialize_revision_caller(const char *caller)
{
	if (!caller[0])
		return json_null();
	return json_pack("{s:s,s:n,s:o,s:n}", "object_type", "user", "id", "username",
			 json_text(caller), "avatar_url");
}

static json_t *serialize_revision(const struct call *c, const struct app_row *app,
				  const struct revision_info *r)
{
	json_t *o = json_object(), *changed = revision_changes(r);
	char id[24];

	(void)snprintf(id, sizeof(id), "%lld", (long long)r->number);
	json_object_set_new(o, "revision_id", json_string(id));
	json_object_set_new(o, "number", json_integer(r->number));
	json_object_set_new(o, "app_id", json_string(app->app_id));
	json_object_set_new(o, "vm_uuid", json_string(r->cvm_uuid));
	json_object_set_new(o, "compose_hash", json_string(r->compose_hash));
	json_object_set_new(o, "created_at", json_time_or_null(r->created_ms));
	json_object_set_new(o, "operation_type", json_string(revision_kind(changed)));
	json_object_set_new(o, "changed", changed);
	json_object_set_new(o, "image", json_text_or_null(r->image));
	json_object_set_new(o, "current", json_boolean(r->current));
	json_object_set_new(o, "trace_id", json_text_or_null(r->op_id));
	json_object_set_new(o, "triggered_by", serialize_revision_caller(r->caller));
	json_object_set_new(o, "cvm", serialize_revision_cvm(c, app, r->cvm_uuid));
	return o;
}

/* ------------------------------------------------------------------ the list */

static void get_revisions(struct call *c)
{
	auto_revision_list struct revision_list h = { 0 };
	json_t *list, *body;
	struct app_row app;
	int64_t total = 0;
	struct page p;
	struct err e;

	if (page_read(c, 20, 1000, &p, &e) || api_find_app(c, c->param[0], &app, &e) ||
	    vmm_revisions(api_of(c)->vmm, app.workspace, app.app_id, page_offset(&p), p.size,
			  &h.list, &h.n, &total, &e)) {
		call_reply_err(c, &e);
		return;
	}
	list = json_array();
	for (size_t i = 0; i < h.n; i++) {
		json_t *o = serialize_revision(c, &app, &h.list[i]);

		json_object_set_new(o, "workspace",
				    serialize_workspace_ref(api_of(c)->vmm, app.workspace));
		json_array_append_new(list, o);
	}
	body = json_pack("{s:o}", "revisions", list);
	page_put(body, &p, total);
	json_object_set(body, "total_pages", json_object_get(body, "pages"));
	call_reply(c, 200, body);
}

/* ------------------------------------------------------------------ one revision */

static int read_revision_number(const char *text, int64_t *ret, struct err *e)
{
	size_t n = strspn(text, "0123456789");

	if (!n || n > 15 || text[n])
		return err_field(e, ERR_NOT_FOUND, "number", text,
				 "revision %.32s of this app does not exist", text);
	*ret = strtoll(text, NULL, 10);
	return 0;
}

static int revision_load_manifest(const struct call *c, const struct app_row *app, int64_t number,
				  json_t **ret, struct err *e)
{
	auto_free char *text = NULL;
	int r = vmm_revision_manifest(api_of(c)->vmm, app->workspace, app->app_id, number, &text,
				      e);

	if (r)
		return r;
	*ret = json_loads(text, 0, NULL);
	return *ret ? 0
		    : err_set(e, ERR_HOST, "the manifest of revision %lld cannot be read",
			      (long long)number);
}

/* The manifest as an object, or (@raw) as the exact text that was hashed. */
static int revision_load_file(const struct call *c, const struct app_row *app, int64_t number,
			      bool raw, json_t **ret, struct err *e)
{
	auto_free char *text = NULL;
	int r;

	if (!raw)
		return revision_load_manifest(c, app, number, ret, e);
	r = vmm_revision_manifest(api_of(c)->vmm, app->workspace, app->app_id, number, &text, e);
	if (!r)
		*ret = json_string(text);
	return r;
}

/* Clients require strings for encrypted_env and user_config. The history does not contain them:
 * they belong to a CVM and not to its software. */
static void get_revision(struct call *c)
{
	struct revision_info revision = { 0 };
	json_t *file = NULL, *o;
	struct app_row app;
	bool raw = false;
	int64_t number = 0;
	struct err e;

	if (call_query_bool(c, "raw_compose_file", false, &raw, &e) ||
	    read_revision_number(c->param[1], &number, &e) ||
	    api_find_app(c, c->param[0], &app, &e) ||
	    vmm_revision(api_of(c)->vmm, app.workspace, app.app_id, number, &revision, &e) ||
	    revision_load_file(c, &app, number, raw, &file, &e)) {
		call_reply_err(c, &e);
		return;
	}
	o = serialize_revision(c, &app, &revision);
	json_object_set_new(o, "workspace", serialize_workspace_ref(api_of(c)->vmm, app.workspace));
	json_object_set_new(o, "compose_file", file);
	json_object_set_new(o, "encrypted_env", json_string(""));
	json_object_set_new(o, "user_config", json_string(""));
	call_reply(c, 200, o);
}

/* ------------------------------------------------------------------ rollback */

struct rollback_call {
	struct mutation_call ch;
	struct rollback_body req; /* borrows from ch.body */
};

/* The CVMs to roll back: all of the app that are not being deleted, or only the one named. */
static int rollback_targets(const struct call *c, const struct app_row *app, const char *named,
			    struct cvm_row **ret, size_t *ret_n, struct err *e)
{
	const struct cvm_filter f = { .workspace = app->workspace,
				      .app_id = app->app_id,
				      .listed = -1 };
	auto_free struct cvm_row *rows = NULL;
	char uuid[UUID_TEXT] = "";
	size_t all = 0, n = 0;
	int r = vmm_cvms(api_of(c)->vmm, &f, 0, INSTANCES_MAX, &rows, &all, NULL, e);

	if (r)
		return r;
	if (named && !id_uuid_parse(named, uuid))
		return err_field(e, ERR_INVALID, "vm_uuid", named, "vm_uuid must be a UUID");
	for (size_t i = 0; i < all; i++)
		if (rows[i].desired != DESIRED_DELETED && (!named || !strcmp(rows[i].uuid, uuid)))
			rows[n++] = rows[i];
	if (!n && named)
		return err_field(e, ERR_CVM_NOT_FOUND, "vm_uuid", named,
				 "app %s has no CVM %.40s that can be rolled back", app->app_id,
				 named);
	if (!n)
		return err_field(e, ERR_CVM_NOT_FOUND, "app_id", app->app_id,
				 "app %s has no CVM that can be rolled back", app->app_id);
	*ret = take_ptr(&rows);
	*ret_n = n;
	return 0;
}

static int rollback_all(const struct call *c, const struct cvm_row *rows, size_t n,
			const struct update_request *req, const struct request_ref *ref,
			json_t *operations, struct err *e)
{
	assert(n > 0); /* rollback_targets() found a CVM */
	for (size_t i = 0; i < n; i++) {
		struct op_row op = { 0 };
		int r = vmm_update(api_of(c)->vmm, &rows[i], req, ref, &op, e);

		if (r)
			return r;
		json_array_append_new(operations, json_pack("{s:s,s:s}", "vm_uuid", rows[i].uuid,
							    "operation_id", op.id));
	}
	return 0;
}

static json_t *serialize_rollback(json_t *operations, int64_t number)
{
	json_t *first = json_object_get(json_array_get(operations, 0), "operation_id");

	return json_pack("{s:s,s:s,s:O,s:O,s:I,s:O}", "status", "in_progress", "message",
			 "the change is in progress", "correlation_id", first, "operation_id",
			 first, "number", (json_int_t)number, "operations", operations);
}

static int rollback_apply(struct mutation_call *ch, struct answer *ret, struct err *e)
{
	const struct rollback_call *rc = (const struct rollback_call *)ch;
	struct call *c = ch->call;
	struct update_request req = { .listed = -1,
				      .allow_restart = rc->req.allow_restart,
				      .timeout_s = rc->req.timeout_s,
				      .force = rc->req.allow_force_stop };
	auto_json json_t *manifest = NULL, *operations = json_array();
	auto_free char *text = NULL;
	struct request_ref ref = api_request_ref(c);
	auto_free struct cvm_row *rows = NULL;
	struct app_row app;
	int64_t number = 0;
	size_t n = 0;
	int r = read_revision_number(c->param[1], &number, e);

	if (!r)
		r = api_find_app(c, c->param[0], &app, e);
	if (!r)
		r = revision_load_manifest(c, &app, number, &manifest, e);
	if (!r)
		r = rollback_targets(c, &app, rc->req.vm_uuid, &rows, &n, e);
	/* serialize once for all CVMs */
	text = r ? NULL : compose_text(manifest);
	req.manifest = manifest;
	req.manifest_text = text;
	if (!r)
		r = rollback_all(c, rows, n, &req, &ref, operations, e);
	if (!r)
		*ret = (struct answer){ .status = 202,
					.body = serialize_rollback(operations, number) };
	return r;
}

static int rollback_parse(struct mutation_call *ch, struct err *e)
{
	return parse_rollback_body(ch->body, &((struct rollback_call *)ch)->req, e);
}

static const struct mutation_call_ops rollback_ops = { .parse = rollback_parse,
						       .apply = rollback_apply };

static void post_rollback(struct call *c)
{
	mutation_call_run_json(xcalloc(1, sizeof(struct rollback_call)), c, true, &rollback_ops);
}

const struct route revision_routes[] = {
	{ "GET", "/api/v1/apps/{id}/revisions", ROLE_READER, 0, 0, get_revisions, NULL },
	{ "GET", "/api/v1/apps/{id}/revisions/{number}", ROLE_READER, 0, 0, get_revision, NULL },
	{ "POST", "/api/v1/apps/{id}/revisions/{number}/rollback", ROLE_TENANT,
	  ROUTE_MUTATION | ROUTE_EMPTY_OK, 4096, post_rollback, &rollback_table },
	{ 0 },
};
