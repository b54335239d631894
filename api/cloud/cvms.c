/* SPDX-License-Identifier: Apache-2.0
 * cvms.c - provision, create, read, delete and preview a CVM.
 *
 * POST /cvms has two forms. {app_id, compose_hash, ...} commits what POST /cvms/provision stored; a
 * body with a compose_file does both in one transaction. Port forwards come from the request alone:
 * ports that a docker compose file publishes are published inside the guest.
 */
#include <stdlib.h>

#include "api/cloud/body_cvm.h"
#include "api/cloud/body_power.h"
#include "api/cloud/context.h"
#include "api/cloud/json_or_null.h"
#include "api/cloud/lookup.h"
#include "api/cloud/measurements.h"
#include "api/cloud/mutation_call.h"
#include "api/cloud/precondition.h"
#include "api/cloud/route_tables.h"
#include "api/cloud/serialize_cvm.h"
#include "api/cloud/serialize_node.h"
#include "api/http/call.h"
#include "api/http/reply.h"
#include "base/alloc.h"
#include "base/json.h"
#include "base/own.h"
#include "db/cvms.h"
#include "db/operations.h"
#include "vmm/admit/port_probe.h"
#include "vmm/compose/compose.h"
#include "vmm/cvm/create.h"
#include "vmm/cvm/power.h"
#include "vmm/node/node.h"
#include "vmm/node/settings.h"
#include "vmm/op/mutation.h"
#include "vmm/op/op_begin.h"

static void get_cvm(struct call *c)
{
	auto_cvm_serializer struct cvm_serializer s = { 0 };
	struct cvm_row row;
	json_t *body;
	struct err e;

	cvm_serializer_init(&s, c);
	if (api_find_cvm(c, c->param[0], &row, &e) || serialize_cvm_detail(&s, &row, &body, &e)) {
		call_reply_err(c, &e);
	} else {
		etag_put(c, row.policy.generation);
		call_reply(c, 200, body);
	}
}

/* ------------------------------------------------------------------ provision and create */

struct cvm_create_call {
	struct mutation_call ch;
	const struct field_table *table;
	struct cvm_body req; /* points into ch.body */
	struct parsed_cvm parsed;
};

static void cvm_create_call_free(struct mutation_call *ch)
{
	struct cvm_create_call *cc = (struct cvm_create_call *)ch;

	parsed_cvm_end(&cc->parsed);
	free(cc);
}

static json_t *serialize_provision(const struct vmm_settings *s, const struct provision_result *p)
{
	return json_pack("{s:s,s:s,s:n,s:n,s:o,s:o,s:I,s:I,s:n,s:n}", "compose_hash",
			 p->compose_hash, "app_id", p->app_id, "app_env_encrypt_pubkey", "kms_info",
			 "os_image_hash", json_text_or_null(p->os_image_hash), "instance_type",
			 json_text_or_null(p->instance_type), "teepod_id", (json_int_t)s->node_id,
			 "node_id", (json_int_t)s->node_id, "device_id", "fmspc");
}

static int cvm_provision_apply(struct mutation_call *ch, struct answer *ret, struct err *e)
{
	struct cvm_create_call *cc = (struct cvm_create_call *)ch;
	struct vmm *v = api_of(ch->call)->vmm;
	struct provision_result p;
	int r;

	cc->parsed.req.inspected = ch->host_inspected;
	r = vmm_provision(v, ch->call->caller.workspace, &cc->parsed.req, &p, e);

	if (!r)
		*ret = (struct answer){ .status = 200,
					.body = serialize_provision(vmm_settings(v), &p) };
	return r;
}

static int cvm_create_apply(struct mutation_call *ch, struct answer *ret, struct err *e)
{
	struct cvm_create_call *cc = (struct cvm_create_call *)ch;
	const struct cvm_body *q = &cc->req;
	struct vmm *v = api_of(ch->call)->vmm;
	struct request_ref ref = api_request_ref(ch->call);
	int64_t workspace = ch->call->caller.workspace;
	auto_cvm_serializer struct cvm_serializer s = { 0 };
	struct cvm_row row;
	struct op_row op = { 0 };
	int r;

	ref.inspected = cc->parsed.req.inspected = ch->host_inspected;
	if (is_commit_body(ch->body))
		r = vmm_commit(v, workspace,
			       &(struct commit_request){ .app_id = q->app_id,
							 .compose_hash = q->compose_hash,
							 .encrypted_env = cc->parsed.env,
							 .encrypted_env_len = cc->parsed.env_len,
							 .env_keys = q->env_keys,
							 .node_id = cc->parsed.req.node_id,
							 .region = q->region,
							 .stopped = q->stopped },
			       &ref, &row, &op, e);
	else
		r = vmm_create(v, workspace, &cc->parsed.req, &ref, &row, &op, e);
	if (r)
		return r;
	cvm_serializer_init(&s, ch->call);
	ret->status = 200;
	return serialize_cvm_lifecycle(&s, &row, &op, &ret->body, e);
}

static int cvm_create_parse(struct mutation_call *ch, struct err *e)
{
	struct cvm_create_call *cc = (struct cvm_create_call *)ch;
	int r = cvm_body_read(cc->table, ch->body, &cc->req, e);

	if (r)
		return r;
	if (cc->table == &create_table && is_commit_body(ch->body))
		return parse_commit_body(&cc->req, &cc->parsed, e);
	return parse_cvm_body(&cc->req, ch->body, &cc->parsed, e);
}

static const struct mutation_call_ops cvm_provision_ops = { .parse = cvm_create_parse,
							    .apply = cvm_provision_apply,
							    .free = cvm_create_call_free };
static const struct mutation_call_ops cvm_create_ops = { .parse = cvm_create_parse,
							 .apply = cvm_create_apply,
							 .free = cvm_create_call_free };

static void cvm_create_run(struct call *c, const struct field_table *table,
			   const struct mutation_call_ops *ops)
{
	struct cvm_create_call *cc = xcalloc(1, sizeof(*cc));

	cc->table = table;
	mutation_call_run_json(&cc->ch, c, false, ops);
}

static void post_provision(struct call *c)
{
	cvm_create_run(c, &provision_table, &cvm_provision_ops);
}

static void post_cvms(struct call *c)
{
	cvm_create_run(c, &create_table, &cvm_create_ops);
}

/* ------------------------------------------------------------------ delete */

static int cvm_delete_apply(struct mutation_call *ch, struct answer *ret, struct err *e)
{
	static const struct power_request req = { .kind = OP_DELETE };
	struct request_ref ref = api_request_ref(ch->call);
	struct cvm_row row;
	struct op_row op;
	int r = api_find_cvm(ch->call, ch->call->param[0], &row, e);

	if (!r)
		r = vmm_power(api_of(ch->call)->vmm, &row, &req, &ref, &op, e);
	if (!r)
		*ret = (struct answer){ .status = 204,
					.body = json_pack("{s:s}", "operation_id", op.id) };
	return r;
}

static const struct mutation_call_ops cvm_delete_ops = { .apply = cvm_delete_apply };

static void delete_cvm(struct call *c)
{
	struct err e;
	json_t *body = call_json(c, true, &e);

	if (!body || refuse_timeout(body, "delete", &e)) {
		call_reply_err(c, &e);
		json_decref(body);
		return;
	}
	/* The digest of a request without a body is computed from no body, as in earlier
	 * versions: stored digests must stay valid. */
	if (!c->body_len) {
		json_decref(body);
		body = NULL;
	}
	mutation_call_run(xcalloc(1, sizeof(struct mutation_call)), c, body, &cvm_delete_ops);
}

/* ------------------------------------------------------------------ preflight */

static json_t *serialize_fit(const struct call *c, const struct cvm_row *row)
{
	const struct vmm_settings *s = vmm_settings(api_of(c)->vmm);
	json_t *resources = json_pack("{s:I,s:I,s:I,s:I}", "vcpus", (json_int_t)row->given_vcpus,
				      "memory_mib", (json_int_t)row->given_memory_mib, "disk_gib",
				      (json_int_t)row->disk_gib, "gpus", (json_int_t)row->gpus);
	json_t *image = json_pack("{s:s,s:s,s:b,s:o}", "name", row->image_name, "version",
				  row->image_version, "is_dev", row->image_dev, "os_image_hash",
				  json_text_or_null(row->image_hash));

	return json_pack("{s:b,s:o,s:o,s:o,s:o,s:o,s:o,s:s,s:s,s:{s:I,s:s,s:s}}", "fits", 1,
			 "resources", resources, "placement", serialize_placement(row), "image",
			 image, "instance_type", json_text_or_null(row->instance_type), "app_id",
			 json_text_or_null(row->app_id), "compose_hash",
			 json_text_or_null(row->compose_hash), "mode",
			 row->tdx ? "tdx" : "development", "tee", row->tdx ? "tdx" : "none", "node",
			 "id", (json_int_t)s->node_id, "name", s->node_name, "region", s->region);
}

static void preflight_answer(struct call *c, bool host_inspected);

static void preflight_host_inspected(void *arg)
{
	struct call *c = arg;
	struct err e;

	if (call_refuse_cut(c, &e))
		call_reply_err(c, &e);
	else
		preflight_answer(c, true);
}

/* A request that could never succeed is an error. A CVM that does not fit now is a result. */
static void preflight_answer(struct call *c, bool host_inspected)
{
	auto_parsed_cvm struct parsed_cvm parsed = { 0 };
	auto_json json_t *body = NULL;
	struct vmm *v = api_of(c)->vmm;
	auto_free char *text = NULL;
	struct cvm_body q = { 0 };
	struct cvm_row row;
	struct err e;

	body = call_json(c, false, &e);
	if (!body || cvm_body_read(&preflight_table, body, &q, &e) ||
	    parse_cvm_body(&q, body, &parsed, &e)) {
		call_reply_err(c, &e);
		return;
	}
	text = compose_text(parsed.manifest);
	parsed.req.manifest_text = text;
	parsed.req.inspected = host_inspected;
	if (!vmm_preflight(v, c->caller.workspace, &parsed.req, &row, &e))
		preflight_reply_measured(c, serialize_fit(c, &row), &row, text);
	else if (!admission_retry(v, &e, host_inspected, preflight_host_inspected, c))
		preflight_reply_refused(c, &e);
}

static void post_preflight(struct call *c)
{
	preflight_answer(c, false);
}

enum { BODY_MAX = 1024 * 1024 };

const struct route cvm_routes[] = {
	{ "POST", "/api/v1/cvms/provision", ROLE_TENANT, ROUTE_MUTATION, BODY_MAX, post_provision,
	  &provision_table },
	{ "POST", "/api/v1/cvms", ROLE_TENANT, ROUTE_MUTATION, BODY_MAX, post_cvms, &create_table },
	{ "POST", "/api/v1/preflight", ROLE_READER, 0, BODY_MAX, post_preflight, &preflight_table },
	{ "GET", "/api/v1/cvms/{id}", ROLE_READER, 0, 0, get_cvm, NULL },
	{ "DELETE", "/api/v1/cvms/{id}", ROLE_TENANT, ROUTE_MUTATION | ROUTE_EMPTY_OK, 1024,
	  delete_cvm, NULL },
	{ 0 },
};
