/* SPDX-License-Identifier: Apache-2.0
 * power.c - start, stop (hard), shutdown (by the guest), restart, and resume of a paused guest.
 *
 * The answer shows the CVM in transition ("starting", "stopping", ...) and the id of the operation.
 */

#include "api/cloud/body_power.h"
#include "api/cloud/context.h"
#include "api/cloud/lookup.h"
#include "api/cloud/mutation_call.h"
#include "api/cloud/route_tables.h"
#include "api/cloud/serialize_cvm.h"
#include "api/http/call.h"
#include "base/alloc.h"
#include "base/json.h"
#include <jansson.h>
#include "db/cvms.h"
#include "db/operations.h"
#include "vmm/node/find.h"
#include "vmm/cvm/power.h"
#include "vmm/op/mutation.h"
#include "vmm/op/op_begin.h"

struct power_call {
	struct mutation_call ch;
	const struct field_table *table; /* NULL: the body has no fields that count */
	struct power_request req;
};

static int power_apply(struct mutation_call *ch, struct answer *ret, struct err *e)
{
	const struct power_call *pc = (const struct power_call *)ch;
	struct vmm *v = api_of(ch->call)->vmm;
	struct request_ref ref = api_request_ref(ch->call);
	auto_cvm_serializer struct cvm_serializer s = { 0 };
	struct cvm_row row;
	struct op_row op;
	int r;

	ref.inspected = ch->host_inspected;
	r = api_find_cvm(ch->call, ch->call->param[0], &row, e);

	if (!r)
		r = vmm_power(v, &row, &pc->req, &ref, &op, e);
	if (!r)
		r = vmm_find_uuid(v, 0, row.uuid, &row, e);
	if (r)
		return r;
	cvm_serializer_init(&s, ch->call);
	ret->status = 200;
	return serialize_cvm_lifecycle(&s, &row, &op, &ret->body, e);
}

static int power_parse(struct mutation_call *ch, struct err *e)
{
	struct power_call *pc = (struct power_call *)ch;
	enum op_kind kind = pc->req.kind;
	bool waits = kind == OP_SHUTDOWN || kind == OP_RESTART;
	int r = waits ? 0 : refuse_timeout(ch->body, op_kind_word[kind], e);

	return r || !pc->table ? r : parse_power_body(pc->table, ch->body, &pc->req, e);
}

static const struct mutation_call_ops power_ops = { .parse = power_parse, .apply = power_apply };

static void power_run(struct call *c, enum op_kind kind, const struct field_table *table)
{
	struct power_call *pc = xcalloc(1, sizeof(*pc));

	pc->req.kind = kind;
	pc->table = table;
	mutation_call_run_json(&pc->ch, c, true, &power_ops);
}

static void post_start(struct call *c)
{
	power_run(c, OP_START, &start_table);
}

static void post_stop(struct call *c)
{
	power_run(c, OP_STOP, NULL);
}

static void post_shutdown(struct call *c)
{
	power_run(c, OP_SHUTDOWN, &shutdown_table);
}

static void post_restart(struct call *c)
{
	power_run(c, OP_RESTART, &restart_table);
}

static void post_resume(struct call *c)
{
	power_run(c, OP_RESUME, NULL);
}

enum { FLAGS = ROUTE_MUTATION | ROUTE_EMPTY_OK, BODY_MAX = 4096 };

const struct route power_routes[] = {
	{ "POST", "/api/v1/cvms/{id}/start", ROLE_TENANT, FLAGS, BODY_MAX, post_start,
	  &start_table },
	{ "POST", "/api/v1/cvms/{id}/stop", ROLE_TENANT, FLAGS, BODY_MAX, post_stop, NULL },
	{ "POST", "/api/v1/cvms/{id}/shutdown", ROLE_TENANT, FLAGS, BODY_MAX, post_shutdown,
	  &shutdown_table },
	{ "POST", "/api/v1/cvms/{id}/restart", ROLE_TENANT, FLAGS, BODY_MAX, post_restart,
	  &restart_table },
	{ "POST", "/api/v1/cvms/{id}/resume", ROLE_TENANT, FLAGS, BODY_MAX, post_resume, NULL },
	{ 0 },
};
