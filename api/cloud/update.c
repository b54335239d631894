/* SPDX-License-Identifier: Apache-2.0
 * update.c - all routes that change a CVM: size, software, environment, settings.
 *
 * Each is one vmm_update(), and so one operation and one revision of the app. Clients of the cloud
 * of different ages use different routes. They differ in the allowed fields, in how the CVM is
 * named and in the answer; struct update_route describes this. A running CVM is restarted unless
 * allow_restart is false; only /resources needs allow_restart true.
 *
 * Nothing is registered on a chain here, so X-Prepare-Only, X-Compose-Hash and X-Transaction-Hash
 * have no effect.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "api/cloud/body_update.h"
#include "api/cloud/context.h"
#include "api/cloud/json_or_null.h"
#include "api/cloud/lookup.h"
#include "api/cloud/mutation_call.h"
#include "api/cloud/route_tables.h"
#include "api/cloud/serialize_cvm.h"
#include "api/cloud/serialize_operation.h"
#include "api/http/call.h"
#include "api/http/reply.h"
#include "base/alloc.h"
#include "base/array.h"
#include "base/id.h"
#include "base/json.h"
#include "base/own.h"
#include "db/cvms.h"
#include "db/operations.h"
#include "vmm/compose/compose.h"
#include "vmm/compose/compose_lint.h"
#include "vmm/compose/compose_merge.h"
#include "vmm/cvm/change.h"
#include "vmm/node/find.h"
#include "vmm/cvm/update.h"
#include "vmm/cvm/update_provision.h"
#include "vmm/node/node.h"
#include "vmm/op/mutation.h"
#include "vmm/op/op_begin.h"
#include "vmm/vmm.h"

enum update_answer_form { ANSWER_PROGRESS, ANSWER_ENVS, ANSWER_DETAIL };

struct update_route {
	const struct field_table
		*table; /* NULL: the body is plain text, one field of the manifest */
	enum update_answer_form answer;
	bool by_app; /* an app id selects its oldest CVM: clients convert identifiers to app ids */
};

static const struct update_route resources_route = { &resources_table, ANSWER_PROGRESS, true };
static const struct update_route update_route_cvm = { &update_table, ANSWER_PROGRESS, false };
static const struct update_route legacy_update_route = { &legacy_update_table, ANSWER_PROGRESS,
							 true };
static const struct update_route envs_route = { &envs_table, ANSWER_ENVS, false };
static const struct update_route os_image_route = { &os_image_table, ANSWER_PROGRESS, false };
static const struct update_route visibility_route = { &visibility_table, ANSWER_DETAIL, false };
static const struct update_route compose_commit_route = { &compose_commit_table, ANSWER_PROGRESS,
							  false };
static const struct update_route text_route = { NULL, ANSWER_PROGRESS, false };

struct update_call {
	struct mutation_call ch;
	const struct update_route *route;
	struct parsed_update parsed; /* borrows from ch.body */
};

static void update_call_free(struct mutation_call *ch)
{
	struct update_call *uc = (struct update_call *)ch;

	parsed_update_end(&uc->parsed);
	free(uc);
}

static int update_find_cvm(const struct update_call *uc, struct cvm_row *ret, struct err *e)
{
	struct call *c = uc->ch.call;

	return uc->route->by_app ? api_find_first_cvm(c, c->param[0], ret, e)
				 : api_find_cvm(c, c->param[0], ret, e);
}

/* ------------------------------------------------------------------ the new manifest */

struct updated_manifest {
	json_t *manifest; /* owned; NULL: unchanged */
	bool envs_changed;
};

static int update_make_manifest(struct vmm *v, const struct cvm_row *row,
				const struct parsed_update *a, const json_t *own, json_t **ret,
				struct err *e)
{
	struct compose_merge merge = a->merge;

	if (a->compose_hash)
		return vmm_provisioned_update(v, row, a->compose_hash, ret, e);
	if (a->envs_replace)
		merge.allowed_envs = a->env_keys;
	return compose_merge(own, &merge, ret, e);
}

static int update_change_manifest(const struct call *c, const struct cvm_row *row,
				  const struct parsed_update *a, struct updated_manifest *ret,
				  struct err *e)
{
	auto_json json_t *own = NULL, *made = NULL;
	int r;

	if (!a->compose_hash && !a->env_keys && !compose_merge_any(&a->merge))
		return 0;
	r = api_load_manifest(c, row, &own, e);
	if (!r)
		r = update_make_manifest(api_of(c)->vmm, row, a, own, &made, e);
	if (!r)
		r = compose_envs_allowed(made, a->env_keys, "env_keys", e);
	if (r || json_equal(own, made))
		return r;
	ret->envs_changed = !compose_envs_equal(own, json_object_get(made, "allowed_envs"));
	ret->manifest = take_ptr(&made);
	return 0;
}

/* ------------------------------------------------------------------ answers */

static json_t *serialize_update_progress(const struct op_row *op)
{
	bool over = op->state == OP_SUCCEEDED;

	/* Clients require "in_progress", also if nothing had to be changed. */
	return json_pack("{s:s,s:s,s:s,s:s}", "status", "in_progress", "message",
			 over ? "no change was necessary" : "the change is in progress",
			 "correlation_id", op->id, "operation_id", op->id);
}

/* Always the v25 object: this route has no v26 answer. */
static int serialize_visibility_change(struct call *c, const char *uuid, const struct op_row *op,
				       json_t **ret, struct err *e)
{
	auto_cvm_serializer struct cvm_serializer s = { 0 };
	const int version = c->version;
	struct cvm_row row;
	int r = vmm_find_uuid(api_of(c)->vmm, 0, uuid, &row, e);

	if (r)
		return r;
	c->version = 25;
	cvm_row_overlay(&row, op);
	cvm_serializer_init(&s, c);
	r = serialize_cvm_detail(&s, &row, ret, e);
	c->version = version;
	if (r)
		return r;
	json_object_set_new(*ret, "operation_id", json_string(op->id));
	json_object_set_new(*ret, "correlation_id", json_string(op->id));
	return 0;
}

static int update_answer(const struct update_call *uc, const struct cvm_row *row,
			 const struct op_row *op, bool envs_changed, struct answer *ret,
			 struct err *e)
{
	ret->status = 202;
	if (uc->route->answer == ANSWER_DETAIL) {
		ret->status = 200;
		return serialize_visibility_change(uc->ch.call, row->uuid, op, &ret->body, e);
	}
	ret->body = serialize_update_progress(op);
	if (uc->route->answer == ANSWER_ENVS)
		json_object_set_new(ret->body, "allowed_envs_changed", json_boolean(envs_changed));
	return 0;
}

/* ------------------------------------------------------------------ changing */

static int update_apply(struct mutation_call *ch, struct answer *ret, struct err *e)
{
	struct update_call *uc = (struct update_call *)ch;
	struct vmm *v = api_of(ch->call)->vmm;
	struct request_ref ref = api_request_ref(ch->call);
	struct update_request req = uc->parsed.req;
	struct updated_manifest made = { 0 };
	struct cvm_row row;
	struct op_row op = { 0 };
	int r = update_find_cvm(uc, &row, e);

	ref.inspected = ch->host_inspected;
	if (!r)
		r = update_change_manifest(ch->call, &row, &uc->parsed, &made, e);
	req.manifest = made.manifest;
	if (!r)
		r = vmm_update(v, &row, &req, &ref, &op, e);
	if (!r)
		r = update_answer(uc, &row, &op, made.envs_changed, ret, e);
	json_decref(made.manifest);
	return r;
}

static int update_parse(struct mutation_call *ch, struct err *e)
{
	struct update_call *uc = (struct update_call *)ch;

	return parse_update_body(uc->route->table, ch->body, &uc->parsed, e);
}

static const struct mutation_call_ops update_ops = { .parse = update_parse,
						     .apply = update_apply,
						     .free = update_call_free };

static void update_run(struct call *c, const struct update_route *route)
{
	struct update_call *uc = xcalloc(1, sizeof(*uc));

	assert(route->table);
	uc->route = route;
	mutation_call_run_json(&uc->ch, c, false, &update_ops);
}

static void patch_resources(struct call *c)
{
	update_run(c, &resources_route);
}

static void patch_cvm(struct call *c)
{
	update_run(c, &update_route_cvm);
}

static void put_legacy_compose(struct call *c)
{
	update_run(c, &legacy_update_route);
}

static void patch_envs(struct call *c)
{
	update_run(c, &envs_route);
}

static void patch_os_image(struct call *c)
{
	update_run(c, &os_image_route);
}

static void patch_visibility(struct call *c)
{
	update_run(c, &visibility_route);
}

static void patch_compose_file(struct call *c)
{
	update_run(c, &compose_commit_route);
}

/* ------------------------------------------------------------------ plain text bodies */

static const struct compose_merge merge_nothing = { .public_logs = -1,
						    .public_sysinfo = -1,
						    .public_tcbinfo = -1 };

static void update_run_text(struct call *c, const char *field, const char *text, json_t *body)
{
	struct update_call *uc = xcalloc(1, sizeof(*uc));

	uc->route = &text_route;
	uc->parsed.req = (struct update_request){ .listed = -1, .allow_restart = true };
	uc->parsed.merge = merge_nothing;
	if (!strcmp(field, "pre_launch_script"))
		uc->parsed.merge.pre_launch_script = text;
	else
		uc->parsed.merge.docker_compose_file = text;
	mutation_call_run(&uc->ch, c, body, &update_ops);
}

static void patch_manifest_text(struct call *c, const char *field)
{
	json_t *body = json_stringn(c->body, c->body_len);
	struct err e;

	if (body && strlen(json_string_value(body)) == c->body_len) {
		update_run_text(c, field, json_string_value(body), body);
		return;
	}
	json_decref(body);
	(void)err_field(&e, ERR_INVALID, field, NULL,
			"%s must be UTF-8 text without NUL characters", field);
	call_reply_err(c, &e);
}

static void patch_docker_compose(struct call *c)
{
	patch_manifest_text(c, "docker_compose_file");
}

static void patch_script(struct call *c)
{
	patch_manifest_text(c, "pre_launch_script");
}

/* ------------------------------------------------------------------ provision of a manifest */

static int compose_provision(struct mutation_call *ch, const struct cvm_row *row,
			     char hash[SHA256_HEX], struct err *e)
{
	static const char *const not_manifest[] = { "update_env_vars", "env_keys",   "id", "uuid",
						    "app_id",          "instance_id" };
	struct vmm *v = api_of(ch->call)->vmm;
	auto_json json_t *keys = json_deep_copy(ch->body), *own = NULL, *made = NULL;
	int r;

	for (size_t i = 0; i < ARRAY_SIZE(not_manifest); i++)
		json_object_del(keys, not_manifest[i]);
	r = api_load_manifest(ch->call, row, &own, e);
	if (!r)
		r = compose_patch(own, keys, &made, e);
	if (!r)
		r = compose_envs_allowed(made, json_object_get(ch->body, "env_keys"), "env_keys",
					 e);
	return r ? r : vmm_provision_update(v, row, made, hash, e);
}

static int compose_provision_apply(struct mutation_call *ch, struct answer *ret, struct err *e)
{
	const char *device_id = vmm_settings(api_of(ch->call)->vmm)->device_id;
	char hash[SHA256_HEX];
	struct cvm_row row;
	int r = api_find_cvm(ch->call, ch->call->param[0], &row, e);

	if (!r)
		r = compose_provision(ch, &row, hash, e);
	if (r)
		return r;
	ret->status = 200;
	ret->body = json_pack("{s:s,s:o,s:s,s:n}", "app_id", row.app_id, "device_id",
			      json_text_or_null(device_id), "compose_hash", hash, "kms_info");
	return 0;
}

static int compose_provision_parse(struct mutation_call *ch, struct err *e)
{
	return fields_read(&compose_provision_table, ch->body, "", NULL, e);
}

static const struct mutation_call_ops compose_provision_ops = { .parse = compose_provision_parse,
								.apply = compose_provision_apply };

static void post_compose_provision(struct call *c)
{
	mutation_call_run_json(xcalloc(1, sizeof(struct mutation_call)), c, false,
			       &compose_provision_ops);
}

enum { BODY_MAX = 1024 * 1024, SMALL = 16 * 1024, SCRIPT_MAX = 1024 * 1024 };

#define CHANGES_IT ROLE_TENANT, ROUTE_MUTATION
#define CVM        "/api/v1/cvms/{id}"

const struct route update_routes[] = {
	{ "PATCH", CVM, CHANGES_IT, BODY_MAX, patch_cvm, &update_table },
	{ "PATCH", CVM "/resources", CHANGES_IT, SMALL, patch_resources, &resources_table },
	{ "PUT", CVM "/compose", CHANGES_IT, BODY_MAX, put_legacy_compose, &legacy_update_table },
	{ "PATCH", CVM "/envs", CHANGES_IT, BODY_MAX, patch_envs, &envs_table },
	{ "PATCH", CVM "/os-image", CHANGES_IT, SMALL, patch_os_image, &os_image_table },
	{ "PATCH", CVM "/visibility", CHANGES_IT, SMALL, patch_visibility, &visibility_table },
	{ "PATCH", CVM "/docker-compose", CHANGES_IT, COMPOSE_LINT_MAX, patch_docker_compose,
	  NULL },
	{ "PATCH", CVM "/pre-launch-script", CHANGES_IT | ROUTE_EMPTY_OK, SCRIPT_MAX, patch_script,
	  NULL },
	{ "POST", CVM "/compose_file/provision", CHANGES_IT, BODY_MAX, post_compose_provision,
	  &compose_provision_table },
	{ "PATCH", CVM "/compose_file", CHANGES_IT, BODY_MAX, patch_compose_file,
	  &compose_commit_table },
	{ 0 },
};
