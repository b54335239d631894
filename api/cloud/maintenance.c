/* SPDX-License-Identifier: Apache-2.0
 * maintenance.c - maintenance of the node (no new CVMs), and drain (running CVMs are shut down as
 * well).
 */
#include <string.h>

#include "api/cloud/body_policy.h"
#include "api/cloud/context.h"
#include "api/cloud/mutation_call.h"
#include "api/cloud/route_tables.h"
#include "api/cloud/serialize_cvm.h"
#include "api/cloud/serialize_node.h"
#include "api/cloud/serialize_operation.h"
#include "api/http/call.h"
#include "api/http/reply.h"
#include "base/alloc.h"
#include <jansson.h>
#include "base/own.h"
#include "db/node.h"
#include "db/operations.h"
#include "db/policies.h"
#include "vmm/cvm/maintenance.h"
#include "vmm/cvm/pace.h"
#include "vmm/cvm/power.h"
#include "vmm/op/mutation.h"
#include "vmm/op/op_begin.h"
#include "vmm/vmm.h"

static void get_maintenance(struct call *c)
{
	json_t *body;
	struct err e;

	if (serialize_maintenance(c, &body, &e))
		call_reply_err(c, &e);
	else
		call_reply(c, 200, body);
}

/* ------------------------------------------------------------------ begin and end */

struct maintenance_call {
	struct mutation_call ch;
	struct maintenance_body req; /* points into ch.body */
};

static int maintenance_apply(struct mutation_call *ch, struct answer *ret, struct err *e)
{
	const struct maintenance_call *mc = (const struct maintenance_call *)ch;
	struct vmm *v = api_of(ch->call)->vmm;
	struct request_ref ref = api_request_ref(ch->call);
	int r = vmm_set_maintenance(v, mc->req.enabled, mc->req.reason, &ref, e);

	ret->status = 200;
	return r ? r : serialize_maintenance(ch->call, &ret->body, e);
}

static int maintenance_parse(struct mutation_call *ch, struct err *e)
{
	return parse_maintenance_body(ch->body, &((struct maintenance_call *)ch)->req, e);
}

static const struct mutation_call_ops maintenance_ops = { .parse = maintenance_parse,
							  .apply = maintenance_apply };

static void put_maintenance(struct call *c)
{
	mutation_call_run_json(xcalloc(1, sizeof(struct maintenance_call)), c, false,
			       &maintenance_ops);
}

static void delete_maintenance(struct call *c)
{
	struct maintenance_call *mc = xcalloc(1, sizeof(*mc));

	mc->req = (struct maintenance_body){ .enabled = false, .reason = "" };
	mutation_call_run(&mc->ch, c, NULL, &maintenance_ops);
}

/* ------------------------------------------------------------------ drain */

struct drain_call {
	struct mutation_call ch;
	struct drain_body req; /* points into ch.body */
};

/* Maintenance with the operations of the drain. CVMs that wait for their turn have no operation
 * yet. */
static int serialize_drain(const struct call *c, json_t **ret, struct err *e)
{
	static const struct op_filter live = { .live = true, .state = -1 };
	auto_free struct op_row *ops = NULL;
	json_t *list, *body;
	size_t n = 0;
	int r = vmm_operations(api_of(c)->vmm, &live, 0, -1, &ops, &n, NULL, e);

	if (!r)
		r = serialize_maintenance(c, &body, e);
	if (r)
		return r;
	list = json_array();
	for (size_t i = 0; i < n; i++)
		if (!strcmp(ops[i].caller, PACE_DRAIN_CALLER))
			json_array_append_new(list, serialize_operation(c, &ops[i]));
	json_object_set_new(body, "operations", list);
	*ret = body;
	return 0;
}

static int drain_apply(struct mutation_call *ch, struct answer *ret, struct err *e)
{
	const struct drain_call *dc = (const struct drain_call *)ch;
	const struct power_request req = { .kind = OP_SHUTDOWN,
					   .timeout_s = dc->req.timeout_s,
					   .force = dc->req.force };
	struct vmm *v = api_of(ch->call)->vmm;
	struct request_ref ref = api_request_ref(ch->call);
	int r = vmm_drain(v, &req, dc->req.reason, &ref, e);

	ret->status = 202;
	return r ? r : serialize_drain(ch->call, &ret->body, e);
}

static int drain_parse(struct mutation_call *ch, struct err *e)
{
	return parse_drain_body(ch->body, &((struct drain_call *)ch)->req, e);
}

static const struct mutation_call_ops drain_ops = { .parse = drain_parse, .apply = drain_apply };

static void post_drain(struct call *c)
{
	mutation_call_run_json(xcalloc(1, sizeof(struct drain_call)), c, true, &drain_ops);
}

enum { BODY_MAX = 4096 };

const struct route maintenance_routes[] = {
	{ "GET", "/api/v1/node/maintenance", ROLE_READER, 0, 0, get_maintenance, NULL },
	{ "PUT", "/api/v1/node/maintenance", ROLE_OPERATOR, ROUTE_MUTATION, BODY_MAX,
	  put_maintenance, &maintenance_table },
	{ "DELETE", "/api/v1/node/maintenance", ROLE_OPERATOR, ROUTE_MUTATION | ROUTE_EMPTY_OK,
	  BODY_MAX, delete_maintenance, NULL },
	{ "POST", "/api/v1/node/drain", ROLE_OPERATOR, ROUTE_MUTATION | ROUTE_EMPTY_OK, BODY_MAX,
	  post_drain, &drain_table },
	{ 0 },
};
