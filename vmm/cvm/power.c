/* SPDX-License-Identifier: Apache-2.0
 * power.c - accept requests to start, stop, shut down, restart, resume and delete a CVM.
 *
 * A request is one transaction: desired state, reservation and operation appear together. The
 * steps that change the guest are in steps.c. A CVM starts only while it holds its vCPUs and
 * memory (capacity_hold_cpu()).
 */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/loop.h"
#include "db/cvms.h"
#include "db/operations.h"
#include "vmm/account/billing.h"
#include "vmm/admit/admit_machine.h"
#include "vmm/admit/capacity.h"
#include "vmm/admit/reservation.h"
#include "vmm/cvm/policies.h"
#include "vmm/cvm/power.h"
#include "vmm/cvm/status.h"
#include "vmm/node/node.h"
#include "vmm/node/owner.h"
#include "vmm/node/settings.h"
#include "vmm/node/event.h"
#include "vmm/op/op_begin.h"

enum { TIMEOUT_DEFAULT_S = 60, TIMEOUT_MIN_S = 10, TIMEOUT_MAX_S = 1200 };

/* True if the CVM is in the requested state and no operation runs. A stopped CVM may still hold
 * resources that it should release: its stop failed, or release_on_stop was set later. */
static bool power_is_done(const struct vmm *v, const struct cvm_row *c, enum op_kind kind)
{
	if (c->op_id[0])
		return false;
	if (kind == OP_START)
		return c->observed == OBSERVED_RUNNING && c->desired == DESIRED_RUNNING;
	if (kind == OP_STOP || kind == OP_SHUTDOWN)
		return !cvm_is_up(c) && c->desired == DESIRED_STOPPED &&
		       c->observed != OBSERVED_CRASHED &&
		       !(vmm_settings(v)->release_on_stop && c->holds_cpu);
	return false;
}

int set_desired(struct vmm *v, const struct cvm_row *c, enum desired d, struct err *e)
{
	int r;

	if (c->desired == d)
		return 0;
	r = cvms_set_desired(vmm_db(v), c->id, d, e);
	return r ? r : event(v, c, "", "cvm.desired", e, "{s:s}", "desired", desired_word[d]);
}

/* While an operation runs, op_begin() refuses with ERR_BUSY instead. */
static int power_check_paused(const struct cvm_row *c, enum op_kind kind, struct err *e)
{
	const char *status = status_word(cvm_status(c));

	if (c->op_id[0])
		return 0;
	if (kind == OP_RESUME && c->observed != OBSERVED_PAUSED)
		return err_field(e, ERR_CONFLICT, "status", status,
				 "%s is %s: only a paused CVM can be resumed", c->name, status);
	if (kind != OP_START || c->observed != OBSERVED_PAUSED)
		return 0;
	err_field(e, ERR_CONFLICT, "status", status,
		  "%s is paused (%s): only a stopped CVM can be started", c->name,
		  paused_word[c->paused]);
	return err_hint(e, "resume it (POST /api/v1/cvms/%s/resume), or restart it", c->uuid);
}

int power_timeout(unsigned *timeout_s, struct err *e)
{
	char given[16];

	if (!*timeout_s)
		*timeout_s = TIMEOUT_DEFAULT_S;
	if (*timeout_s >= TIMEOUT_MIN_S && *timeout_s <= TIMEOUT_MAX_S)
		return 0;
	(void)snprintf(given, sizeof(given), "%u", *timeout_s);
	return err_field(e, ERR_INVALID, "timeout", given,
			 "timeout %s is out of range; allowed: %d to %d seconds", given,
			 TIMEOUT_MIN_S, TIMEOUT_MAX_S);
}

int vmm_power(struct vmm *v, const struct cvm_row *cvm, const struct power_request *req,
	      const struct request_ref *ref, struct op_row *ret_op, struct err *e)
{
	unsigned timeout_s = req->timeout_s;
	char params[128];
	struct cvm_row c;
	int r = owner_allows(v, e);

	assert_loop_thread();
	assert(req->kind != OP_CREATE && req->kind != OP_RESIZE && req->kind != OP_UPGRADE);
	if (!r)
		r = power_timeout(&timeout_s, e);
	if (r)
		return r;
	/* The caller's row may be from an earlier turn. */
	r = cvms_get(vmm_db(v), cvm->id, &c, e);
	if (r)
		return r == -ERR_NOT_FOUND ? err_field(e, ERR_CVM_NOT_FOUND, "cvm_id", cvm->uuid,
						       "no CVM %s", cvm->uuid)
					   : r;
	if (c.desired == DESIRED_DELETED && req->kind != OP_DELETE)
		return err_set(e, ERR_BUSY, "%s is being deleted", c.name);
	r = power_check_paused(&c, req->kind, e);
	if (r)
		return r;
	if (req->new_disk && req->kind == OP_START && power_is_done(v, &c, OP_START)) {
		err_field(e, ERR_CONFLICT, "new_disk", "true",
			  "%s is running and uses its present disk", c.name);
		return err_hint(e, "restart it with new_disk, or stop it first");
	}
	(void)snprintf(params, sizeof(params), "{\"timeout_s\":%u,\"force\":%s%s%s}", timeout_s,
		       req->force ? "true" : "false", ref->automatic ? ",\"auto\":true" : "",
		       req->new_disk ? ",\"new_disk\":true" : "");
	if (!ref->automatic && req->kind != OP_DELETE)
		r = policies_reset(v, &c, e);
	if (r)
		return r;
	if (power_is_done(v, &c, req->kind))
		return op_record(v, &c, req->kind, params, ref, ret_op, e);
	if (req->kind == OP_START || req->kind == OP_RESTART) {
		r = tee_allows(v, &c, e);
		if (!r)
			r = billing_covers(v, c.workspace, &c, &c, true, e);
		if (!r && c.hugepages && !c.holds_cpu && !ref->inspected)
			r = inventory_is_stale("hugepages", e);
		if (!r)
			r = capacity_hold_cpu(v, &c, true, e);
	}
	return r ? r : op_begin(v, &c, req->kind, params, ref, ret_op, e);
}
