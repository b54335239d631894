/* SPDX-License-Identifier: Apache-2.0
 * pace.c - automatic starts and drains, a few at a time and in order.
 *
 * After a boot of the host many guests must start, and before its next boot they must shut down.
 * cvms.turn says which CVMs wait for which of them. At most start.parallel are under way at once,
 * each as an ordinary operation, and the next begins when one ends. A lower start_order starts
 * earlier and shuts down later. The next order waits until all CVMs of the present one are up or
 * have failed.
 *
 * No state is kept in memory: the operations show which CVMs are under way. In maintenance no
 * queued start begins. See policies.c for when this runs.
 */
#include <assert.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/loop.h"
#include "db/cvms.h"
#include "db/node.h"
#include "db/operations.h"
#include "db/policies.h"
#include "db/turn.h"
#include "vmm/cvm/pace.h"
#include "vmm/cvm/policies.h"
#include "vmm/cvm/power.h"
#include "vmm/node/node.h"
#include "vmm/node/settings.h"
#include "vmm/node/event.h"
#include "vmm/op/op_begin.h"

struct paced_cvm {
	struct vmm *v;
	enum turn_for turn;
	struct cvm_row cvm;
};

static bool pace_is_up(const struct cvm_row *c)
{
	return c->observed == OBSERVED_RUNNING || c->observed == OBSERVED_PAUSED;
}

static int pace_begin_operation(void *arg, struct err *e)
{
	struct paced_cvm *n = arg;
	struct request_ref ref = { .caller = n->turn == TURN_START ? "teepod:auto-start"
								   : PACE_DRAIN_CALLER,
				   .inspected = true,
				   .automatic = true };
	struct power_request req = { .kind = OP_START };
	struct maintenance_row m = { 0 };
	struct op_row op;
	int r = maintenance_get(vmm_db(n->v), &m, e);

	assert(n->turn == TURN_START || n->turn == TURN_DRAIN);
	if (r)
		return r;
	if (n->turn == TURN_DRAIN)
		req = (struct power_request){ .kind = pace_is_up(&n->cvm) ? OP_SHUTDOWN : OP_STOP,
					      .timeout_s = m.timeout_s,
					      .force = m.force };
	return vmm_power(n->v, &n->cvm, &req, &ref, &op, e);
}

/* True if the CVM is in the wanted state already, or should not reach it any more. */
static bool pace_is_over(const struct paced_cvm *n)
{
	if (n->turn == TURN_START)
		return pace_is_up(&n->cvm) || n->cvm.desired == DESIRED_DELETED;
	return n->cvm.desired != DESIRED_RUNNING;
}

/* The log is for operators. The event is for tenants, so it does not have the totals of the node.
 */
static int pace_refused(struct paced_cvm *n, const struct err *why, struct err *e)
{
	struct err public = *why;
	int r = n->turn == TURN_START ? cvms_set_ended(vmm_db(n->v), n->cvm.id, ENDED_FAILED, e)
				      : 0;

	log_warn("%s cannot be %s: %s", n->cvm.name,
		 n->turn == TURN_START ? "started" : "shut down", why->text);
	err_hide_total(&public);
	return r ? r
		 : event(n->v, &n->cvm, "",
			 n->turn == TURN_START ? "cvm.start.refused" : "cvm.drain.refused", e,
			 "{s:s}", "error", public.text);
}

static int pace_take_turn(struct paced_cvm *n, struct err *e)
{
	bool drained = n->turn == TURN_DRAIN && !pace_is_over(n);
	struct err why;
	int r = cvms_set_turn(vmm_db(n->v), n->cvm.id, drained ? TURN_DRAINED : TURN_NONE, e);

	if (r || pace_is_over(n))
		return r;
	r = turn_do(vmm_turn(n->v), pace_begin_operation, n, &why);
	return r < 0 ? pace_refused(n, &why, e) : 0;
}

/* 1 if the CVM must wait for the operations under way, 0 if not, or a negative error. */
static int pace_must_wait(struct vmm *v, enum turn_for turn, int64_t order, struct err *e)
{
	struct turn_load load = { 0 };
	int r = cvms_automatic_load(vmm_db(v), turn == TURN_START ? OP_START : OP_SHUTDOWN, &load,
				    e);

	if (r)
		return r;
	if (load.n >=
	    (int64_t)(vmm_settings(v)->start.parallel ? vmm_settings(v)->start.parallel : 1))
		return 1;
	if (!load.of_kind)
		return 0;
	return turn == TURN_START ? load.lowest < order : load.highest > order;
}

/* 1: an operation has begun, or the CVM left the queue. 0: none can begin now. */
static int pace_begin_one(struct vmm *v, enum turn_for turn, struct err *e)
{
	struct paced_cvm n = { .v = v, .turn = turn };
	int64_t id, order;
	int r = cvms_next_turn(vmm_db(v), turn, &id, &order, e);

	if (r == -ERR_NOT_FOUND)
		return 0;
	if (!r)
		r = pace_must_wait(v, turn, order, e);
	if (r)
		return r < 0 ? r : 0;
	r = cvms_get(vmm_db(v), id, &n.cvm, e);
	if (r && db_bad_row(e)) {
		log_error("a CVM is removed from the queue of automatic starts and drains: %s",
			  e->text);
		r = cvms_set_turn(vmm_db(v), id, TURN_NONE, e);
		return r ? r : 1; /* continue with the others */
	}
	if (!r)
		r = pace_take_turn(&n, e);
	return r ? r : 1;
}

int pace_begin(struct vmm *v, struct err *e)
{
	struct maintenance_row m = { 0 };
	enum turn_for turn;
	int r = maintenance_get(vmm_db(v), &m, e);

	turn = m.on ? TURN_DRAIN : TURN_START;
	while (!r) {
		r = pace_begin_one(v, turn, e);
		if (!r)
			return 0;
		r = r < 0 ? r : 0;
	}
	return r;
}

static int pace_turn(void *arg, struct err *e)
{
	return pace_begin(arg, e);
}

void pace_start_next(struct vmm *v)
{
	struct drain_counts waiting = { 0 };
	struct err e;
	int r = 0;

	assert_loop_thread();
	if (vmm_is_closing(v) || !vmm_is_settled(v))
		return;
	r = cvms_drain_counts(vmm_db(v), &waiting, &e);
	if (!r && (waiting.waiting || waiting.starting)) {
		turn_after(vmm_turn(v), policies_committed, v);
		r = turn_do(vmm_turn(v), pace_turn, v, &e);
	}
	if (r >= 0)
		return;
	log_error("cannot continue automatic starts or the drain: %s", e.text);
	policies_check_in(v, 1000);
}

int pace_queue_after_boot(struct vmm *v, struct err *e)
{
	int n = vmm_settings(v)->start.automatic ? cvms_turn_to_start(vmm_db(v), e) : 0;

	if (n > 0)
		log_info("%d CVMs are queued for an automatic start", n);
	return n < 0 ? n : 0;
}

int pace_queue_lost(struct vmm *v, const struct cvm_row *c, struct err *e)
{
	if (!vmm_settings(v)->start.automatic || !c->policy.auto_start ||
	    c->desired != DESIRED_RUNNING || c->op_id[0])
		return 0;
	return cvms_set_turn(vmm_db(v), c->id, TURN_START, e);
}
