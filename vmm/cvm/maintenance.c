/* SPDX-License-Identifier: Apache-2.0
 * maintenance.c - maintenance mode, drain, and the policies of one CVM.
 *
 * Maintenance is a row, so it survives a restart of the daemon and of the host. In maintenance no
 * CVM is created, and automatic starts wait until it ends. Running CVMs continue, crashed ones are
 * restarted, and clients may start and stop existing CVMs. A drain is maintenance that also shuts
 * down the running CVMs (pace.c). A drained CVM is stopped like any other, and marked to be started
 * when maintenance ends. A client who starts or stops it removes the mark.
 */
#include <assert.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/loop.h"
#include "db/cvms.h"
#include "db/node.h"
#include "db/policies.h"
#include "vmm/admit/policy.h"
#include "vmm/admit/request.h"
#include "vmm/cvm/maintenance.h"
#include "vmm/cvm/pace.h"
#include "vmm/cvm/policies.h"
#include "vmm/cvm/power.h"
#include "vmm/node/node.h"
#include "vmm/node/settings.h"
#include "vmm/node/owner.h"
#include "vmm/node/event.h"
#include "vmm/op/op_begin.h"

enum { DRAIN_TIMEOUT_S = 60 };

int maintenance_allows(struct vmm *v, struct err *e)
{
	struct maintenance_row m = { 0 };
	int r = owner_allows(v, e);

	if (!r)
		r = maintenance_get(vmm_db(v), &m, e);

	if (r || !m.on)
		return r;
	err_field(e, ERR_NODE_CLOSED, "node_id", vmm_settings(v)->node_name,
		  "node in maintenance%s%s", m.reason[0] ? ": " : "", m.reason);
	return err_hint(e, "use another node, or wait until its maintenance is over");
}

int vmm_maintenance(struct vmm *v, struct maintenance_row *ret, struct drain_counts *ret_counts,
		    struct err *e)
{
	struct maintenance_row m = { 0 };
	int r = maintenance_get(vmm_db(v), &m, e);

	if (!r)
		r = cvms_drain_counts(vmm_db(v), ret_counts, e);
	if (r)
		return r;
	if (*vmm_foreign(v)) {
		m.on = true;
		m.since_ms = vmm_opened_ms(v);
		(void)snprintf(m.reason, sizeof(m.reason), "%s", vmm_foreign(v));
		(void)snprintf(m.caller, sizeof(m.caller), "teepod");
	}
	*ret = m;
	return 0;
}

/* ------------------------------------------------------------------ changes */

static int maintenance_record(struct vmm *v, const char *type, const char *reason,
			      const struct request_ref *ref, struct err *e)
{
	assert(ref->caller && reason);
	log_info("%s%s%s, by %s", type, *reason ? ": " : "", reason, ref->caller);
	policies_check(v);
	return event(v, NULL, "", type, e, "{s:s, s:s}", "reason", reason, "by", ref->caller);
}

static int maintenance_end(struct vmm *v, const struct maintenance_row *was,
			   const struct request_ref *ref, struct err *e)
{
	static const struct maintenance_row off = { 0 };
	int r = maintenance_set(vmm_db(v), &off, e);

	if (!r)
		r = cvms_move_turns(vmm_db(v), TURN_DRAIN, TURN_NONE, e);
	if (r >= 0)
		r = cvms_move_turns(vmm_db(v), TURN_DRAINED, TURN_START, e);
	return r < 0 ? r : maintenance_record(v, "node.maintenance.ended", was->reason, ref, e);
}

static int maintenance_begin(struct vmm *v, const struct maintenance_row *was,
			     struct maintenance_row *now, const struct request_ref *ref,
			     struct err *e)
{
	int r;

	now->on = true;
	now->since_ms = was->on ? was->since_ms : clock_wall_ms();
	(void)snprintf(now->caller, sizeof(now->caller), "%s", ref->caller);
	r = maintenance_set(vmm_db(v), now, e);
	return r ? r : maintenance_record(v, "node.maintenance.begun", now->reason, ref, e);
}

int vmm_set_maintenance(struct vmm *v, bool on, const char *reason, const struct request_ref *ref,
			struct err *e)
{
	struct maintenance_row was = { 0 }, now = { 0 };
	int r = maintenance_get(vmm_db(v), &was, e);

	assert_loop_thread();
	if (r)
		return r;
	if (!on) {
		r = owner_allows(v, e);
		return r ? r : was.on ? maintenance_end(v, &was, ref, e) : 0;
	}
	now.timeout_s = was.timeout_s;
	now.force = was.force;
	(void)snprintf(now.reason, sizeof(now.reason), "%s", reason);
	return maintenance_begin(v, &was, &now, ref, e);
}

int vmm_drain(struct vmm *v, const struct power_request *req, const char *reason,
	      const struct request_ref *ref, struct err *e)
{
	struct maintenance_row was = { 0 }, now = { .force = req->force };
	int n, r = owner_allows(v, e);

	assert_loop_thread();
	if (!r)
		r = maintenance_get(vmm_db(v), &was, e);
	if (r)
		return r;
	if (!vmm_is_settled(v))
		return err_set(e, ERR_UNAVAILABLE, "the guests of this node are not known yet: %s",
			       vmm_is_linked(v) ? "listing domains" : vmm_link_error(v));
	now.timeout_s = req->timeout_s ? req->timeout_s : DRAIN_TIMEOUT_S;
	(void)snprintf(now.reason, sizeof(now.reason), "%s", *reason ? reason : was.reason);
	n = cvms_turn_to_drain(vmm_db(v), e);
	r = n < 0 ? n : maintenance_begin(v, &was, &now, ref, e);
	return r ? r : pace_begin(v, e);
}

/* ------------------------------------------------------------------ policies of one CVM */

int vmm_set_policy(struct vmm *v, const struct cvm_row *cvm, const struct policy_request *req,
		   struct cvm_row *ret, struct err *e)
{
	struct cvm_policy p = cvm->policy;
	int r;

	assert_loop_thread();
	policy_apply_request(&p, req);
	r = cvms_set_policy(vmm_db(v), cvm->id, &p, e);
	/* It is queued for an automatic start, which is disabled now. */
	if (!r && !p.auto_start && p.turn == TURN_START && cvm->desired == DESIRED_RUNNING)
		r = cvms_set_turn(vmm_db(v), cvm->id, TURN_NONE, e);
	if (!r)
		r = event(v, cvm, "", "cvm.policy", e, "{s:s, s:b, s:I}", "restart_policy",
			  restart_policy_word[p.restart], "auto_start", (int)p.auto_start,
			  "start_order", (json_int_t)p.start_order);
	if (!r)
		r = cvms_get(vmm_db(v), cvm->id, ret, e);
	if (r)
		return r == -ERR_NOT_FOUND ? err_set(e, ERR_CVM_NOT_FOUND, "no CVM %s", cvm->uuid)
					   : r;
	policies_check(v);
	return 0;
}
