/* SPDX-License-Identifier: Apache-2.0
 * policy.c - the policy fields of a request, for a create and for a change of the policy.
 */
#include "db/cvms.h"
#include "vmm/admit/policy.h"
#include "vmm/admit/request.h"

void policy_apply_request(struct cvm_policy *p, const struct policy_request *ask)
{
	if (ask->has_restart)
		p->restart = ask->restart;
	if (ask->has_auto_start)
		p->auto_start = ask->auto_start;
	if (ask->has_order)
		p->start_order = ask->start_order;
}
