/* SPDX-License-Identifier: Apache-2.0
 * policies.c - when the policies of CVMs are applied, and how a client takes over.
 *
 * The policies themselves are in restart.c (restarts after a crash) and pace.c (automatic starts
 * and drains). They read all that matters from the database, so they are applied once for all that
 * happens in a turn: a hundred guests may end in the same one.
 *
 * At most one timer is set: for the earliest moment at which a decision would change.
 */
#include <assert.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/loop.h"
#include "db/cvms.h"
#include "db/policies.h"
#include "db/turn.h"
#include "vmm/cvm/policies.h"
#include "vmm/node/node.h"
#include "vmm/node/settings.h"

struct policies {
	void (*apply)(struct vmm *v);
	bool is_due; /* when this turn is over */
	struct loop_timer *timer;
};

struct policies *policies_new(void (*apply)(struct vmm *v))
{
	struct policies *p = xcalloc(1, sizeof(*p));

	assert(apply);
	p->apply = apply;
	return p;
}

void policies_free(struct policies *p)
{
	assert(!p || !p->timer);
	free(p);
}

/* Also after a failed commit, because events before this turn may be due, too. */
static void policies_turn_ended(void *arg, const struct err *e)
{
	struct vmm *v = arg;
	struct policies *p = vmm_policies(v);

	(void)e;
	assert(p->is_due);
	p->is_due = false;
	p->apply(v);
}

void policies_check(struct vmm *v)
{
	struct policies *p = vmm_policies(v);

	if (p->is_due || vmm_is_closing(v))
		return;
	p->is_due = true;
	turn_after(vmm_turn(v), policies_turn_ended, v);
}

static void policies_timer_fired(void *arg)
{
	policies_check(arg);
}

void policies_cancel_timer(struct vmm *v)
{
	loop_after_cancel(&vmm_policies(v)->timer);
}

void policies_check_in(struct vmm *v, int64_t ms)
{
	policies_cancel_timer(v);
	if (!vmm_is_closing(v))
		(void)loop_after(vmm_settings(v)->loop, ms > 0 ? (uint64_t)ms : 1,
				 policies_timer_fired, v, &vmm_policies(v)->timer);
}

void policies_committed(void *arg, const struct err *e)
{
	if (e)
		policies_check_in(arg, 1000);
}

void policies_close(struct vmm *v)
{
	assert(vmm_is_closing(v));
	policies_cancel_timer(v);
}

int policies_reset(struct vmm *v, const struct cvm_row *c, struct err *e)
{
	const struct cvm_policy *p = &c->policy;
	int r = 0;

	if (p->attempts || p->next_ms || p->exhausted)
		r = cvms_set_restart(vmm_db(v), c->id, 0, 0, false, e);
	return r || p->turn == TURN_NONE ? r : cvms_set_turn(vmm_db(v), c->id, TURN_NONE, e);
}
