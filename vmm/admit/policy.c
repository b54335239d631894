/* SPDX-License-Identifier: Apache-2.0
 * policy.c - the policy fields of a request, for a create and for a change of the policy.
 */
#include "db/cvms.h"
#include "vmm/admit/policy.h"
#include "vmm/admit/request.h"

void policy_apply_request(struct cvm_policy *p, const struct policy_request *req)
{
	if (req->has_restart)
		p->restart = req->restart;
	if (req->has_auto_start)
		p->auto_start = req->auto_start;
	if (req->has_order)
		p->start_order = req->start_order;
}
