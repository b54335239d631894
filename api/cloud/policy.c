/* SPDX-License-Identifier: Apache-2.0
 * policy.c - PATCH /cvms/{id}/policy: automatic restart and start order of a CVM.
 */

#include "api/cloud/body_policy.h"
#include "api/cloud/context.h"
#include "api/cloud/lookup.h"
#include "api/cloud/mutation_call.h"
#include "api/cloud/route_tables.h"
#include "api/cloud/serialize_cvm.h"
#include "api/http/call.h"
#include "base/alloc.h"
#include <jansson.h>
#include "db/cvms.h"
#include "db/operations.h"
#include "vmm/admit/request.h"
#include "vmm/cvm/maintenance.h"
#include "vmm/op/mutation.h"

struct policy_call {
	struct mutation_call ch;
	struct policy_request req;
};

static int policy_change_apply(struct mutation_call *ch, struct answer *ret, struct err *e)
{
	const struct policy_call *pc = (const struct policy_call *)ch;
	auto_cvm_serializer struct cvm_serializer s = { 0 };
	struct cvm_row row;
	int r = api_find_cvm(ch->call, ch->call->param[0], &row, e);

	if (!r)
		r = vmm_set_policy(api_of(ch->call)->vmm, &row, &pc->req, &row, e);
	if (r)
		return r;
	cvm_serializer_init(&s, ch->call);
	ret->status = 200;
	return serialize_cvm_lifecycle(&s, &row, NULL, &ret->body, e);
}

static int policy_change_parse(struct mutation_call *ch, struct err *e)
{
	return parse_policy_body(ch->body, &((struct policy_call *)ch)->req, e);
}

static const struct mutation_call_ops policy_ops = { .parse = policy_change_parse,
						     .apply = policy_change_apply };

static void patch_policy(struct call *c)
{
	mutation_call_run_json(xcalloc(1, sizeof(struct policy_call)), c, false, &policy_ops);
}

const struct route policy_routes[] = {
	{ "PATCH", "/api/v1/cvms/{id}/policy", ROLE_TENANT, ROUTE_MUTATION, 4096, patch_policy,
	  &policy_table },
	{ 0 },
};
