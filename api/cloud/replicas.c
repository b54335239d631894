/* SPDX-License-Identifier: Apache-2.0
 * replicas.c - create one or more CVMs like an existing one.
 *
 * Without "count" the answer is the new CVM, as for a create. With "count" it is a list; "partial"
 * allows fewer replicas than requested.
 */
#include <stdlib.h>

#include "api/cloud/body_update.h"
#include "api/cloud/context.h"
#include "api/cloud/lookup.h"
#include "api/cloud/mutation_call.h"
#include "api/cloud/route_tables.h"
#include "api/cloud/serialize_cvm.h"
#include "api/http/call.h"
#include "api/http/envelope.h"
#include "base/alloc.h"
#include "base/json.h"
#include "base/own.h"
#include "db/cvms.h"
#include "db/workspaces.h"
#include "vmm/cvm/replicate.h"
#include "vmm/op/mutation.h"
#include "vmm/op/op_begin.h"

struct replica_call {
	struct mutation_call ch;
	const struct field_table *table;
	const char *app_id, *source;  /* of the path; NULL if it has none. Borrowed from the call */
	struct parsed_replica parsed; /* borrows from ch.body */
};

static void replica_call_free(struct mutation_call *ch)
{
	struct replica_call *rc = (struct replica_call *)ch;

	free(rc->parsed.env);
	free(rc);
}

static int serialize_replica(struct cvm_serializer *s, const struct replica *made, json_t **ret,
			     struct err *e)
{
	return serialize_cvm_lifecycle(s, &made->row, &made->op, ret, e);
}

static int serialize_replica_list(struct cvm_serializer *s, const struct replica *made, size_t n,
				  int64_t count, const struct err *why, json_t **ret, struct err *e)
{
	auto_json json_t *items = json_array();
	json_t *one;

	for (size_t i = 0; i < n; i++) {
		int r = serialize_replica(s, &made[i], &one, e);

		if (r)
			return r;
		json_array_append_new(items, one);
	}
	*ret = json_pack("{s:O,s:I,s:I,s:o}", "items", items, "asked", (json_int_t)count, "created",
			 (json_int_t)n, "error",
			 why->code ? envelope_for(s->call->caller.role, s->call->request_id, why)
				   : json_null());
	return 0;
}

static int replica_apply(struct mutation_call *ch, struct answer *ret, struct err *e)
{
	const struct parsed_replica *a = &((const struct replica_call *)ch)->parsed;
	struct request_ref ref = api_request_ref(ch->call);
	auto_free struct replica *made = NULL;
	auto_cvm_serializer struct cvm_serializer s = { 0 };
	struct err why;
	size_t n = 0;
	int r;

	ref.inspected = ch->host_inspected;
	r = vmm_replicate(api_of(ch->call)->vmm, &a->req, a->count ? (size_t)a->count : 1,
			  a->partial, &ref, &made, &n, &why, e);
	if (r)
		return r;
	cvm_serializer_init(&s, ch->call);
	ret->status = 200;
	return a->count ? serialize_replica_list(&s, made, n, a->count, &why, &ret->body, e)
			: serialize_replica(&s, &made[0], &ret->body, e);
}

/* Set the workspaces in which the source is searched. */
static int replica_set_workspace(struct call *c, struct replicate_request *req, struct err *e)
{
	const char *slug = call_query(c, "workspace", 0);
	struct workspace_row w = { .id = c->caller.workspace };
	int r = slug ? api_named_workspace(c, slug, &w, e) : 0;

	req->workspace = w.id;
	req->elsewhere = !slug && api_scope(c) == 0;
	return r;
}

static int replica_parse(struct mutation_call *ch, struct err *e)
{
	struct replica_call *rc = (struct replica_call *)ch;
	int r = parse_replica_body(rc->table, ch->body, &rc->parsed, e);

	if (!r)
		r = replica_set_workspace(ch->call, &rc->parsed.req, e);
	rc->parsed.req.app_id = rc->app_id;
	rc->parsed.req.source = rc->source;
	return r;
}

static const struct mutation_call_ops replica_ops = { .parse = replica_parse,
						      .apply = replica_apply,
						      .free = replica_call_free };

static void replica_run(struct call *c, const struct field_table *table, const char *app_id,
			const char *source)
{
	struct replica_call *rc = xcalloc(1, sizeof(*rc));

	rc->table = table;
	rc->app_id = app_id;
	rc->source = source;
	mutation_call_run_json(&rc->ch, c, true, &replica_ops);
}

static void post_replicas(struct call *c)
{
	replica_run(c, &replica_table, NULL, c->param[0]);
}

static void post_app_replicas(struct call *c)
{
	replica_run(c, &replica_table, c->param[0], c->param[1]);
}

static void post_instances(struct call *c)
{
	replica_run(c, &instance_table, c->param[0], NULL);
}

enum { FLAGS = ROUTE_MUTATION | ROUTE_EMPTY_OK, BODY_MAX = 1024 * 1024 };

const struct route replica_routes[] = {
	{ "POST", "/api/v1/cvms/{id}/replicas", ROLE_TENANT, FLAGS, BODY_MAX, post_replicas,
	  &replica_table },
	{ "POST", "/api/v1/apps/{id}/cvms/{vm_uuid}/replicas", ROLE_TENANT, FLAGS, BODY_MAX,
	  post_app_replicas, &replica_table },
	{ "POST", "/api/v1/apps/{id}/instances", ROLE_TENANT, FLAGS, BODY_MAX, post_instances,
	  &instance_table },
	{ 0 },
};
