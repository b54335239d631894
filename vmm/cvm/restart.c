/* SPDX-License-Identifier: Apache-2.0
 * restart.c - restarts guests that crashed.
 *
 * DOC: Theory of operation
 *
 * All input of a decision is in the CVM's row: how the guest ended, the number of restarts since it
 * last ran for long enough, and the time of the next one. restart_decide() computes from a row and
 * the time what to do. restart_apply() does it for all rows that may be concerned, after every
 * operation and observation, and sets one timer for the earliest time at which a decision would
 * change. So a daemon that was killed continues from the rows, and nothing polls.
 *
 * Delays double, so that a guest that cannot run costs little, and the budget ends the restarts
 * (dstack-vmm has the same five settings and defaults in [cvm.auto_restart]). A restart is an
 * ordinary start operation, which can be refused or undone; one that fails counts as a crash.
 *
 * Times are wall clock, because they must survive a boot of the host. A time that is further away
 * than the longest delay was written before the clock was set back, and counts as due.
 *
 * A TD that reboots ends and runs again 160 ms later (forwards.c), and libvirt reports only an
 * orderly end. So with the policy "always" a guest counts as down only if it still is down after
 * REBOOT_MS.
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include <jansson.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/own.h"
#include "db/cvms.h"
#include "db/operations.h"
#include "db/policies.h"
#include "db/turn.h"
#include "vmm/cvm/policies.h"
#include "vmm/cvm/power.h"
#include "vmm/cvm/restart.h"
#include "vmm/node/node.h"
#include "vmm/node/settings.h"
#include "vmm/node/event.h"
#include "vmm/op/op_begin.h"

enum { REBOOT_MS = 1000 };

static const char restart_caller[] = "teepod:auto-restart";

/* ------------------------------------------------------------------ decisions */

static int64_t restart_delay_ms(const struct restart_settings *s, int64_t attempts)
{
	int64_t delay = s->initial_s, max = s->max_s;

	while (attempts-- > 0 && delay < max)
		delay *= 2;
	return 1000 * (delay < max ? delay : max);
}

static struct restart_decision restart_decision_of(enum restart_action action, int64_t until,
						   int64_t attempts)
{
	return (struct restart_decision){ .action = action, .until = until, .attempts = attempts };
}

static bool restart_is_wanted(const struct restart_settings *s, const struct restart_row *r)
{
	if (!s->enabled || r->exhausted || r->policy == RESTART_NEVER)
		return false;
	return r->ended == ENDED_CRASHED || r->ended == ENDED_FAILED ||
	       (r->ended == ENDED_OFF && r->policy == RESTART_ALWAYS);
}

static struct restart_decision restart_decide_running(const struct restart_settings *s,
						      const struct restart_row *r, int64_t now)
{
	int64_t good = r->started_ms + 1000LL * s->window_s;

	if (!r->attempts)
		return restart_decision_of(RESTART_NOTHING, 0, 0);
	if (now >= good)
		return restart_decision_of(RESTART_RESET, 0, 0);
	return restart_decision_of(RESTART_NOTHING, good, r->attempts);
}

static struct restart_decision restart_decide_scheduled(const struct restart_settings *s,
							const struct restart_row *r, int64_t now)
{
	if (now >= r->next_ms || r->next_ms - now > 1000LL * s->max_s)
		return restart_decision_of(RESTART_NOW, 0, r->attempts);
	return restart_decision_of(RESTART_NOTHING, r->next_ms, r->attempts);
}

struct restart_decision restart_decide(const struct restart_settings *s,
				       const struct restart_row *r, int64_t now)
{
	/* The daemon may not have been running when the guest had run for long enough. */
	bool good = r->started_ms && r->stopped_ms - r->started_ms >= 1000LL * s->window_s;
	int64_t attempts = good && r->ended != ENDED_FAILED ? 0 : r->attempts;

	if (r->busy)
		return restart_decision_of(RESTART_NOTHING, 0, r->attempts);
	if (r->ended == ENDED_NOT)
		return restart_decide_running(s, r, now);
	if (!restart_is_wanted(s, r))
		return restart_decision_of(r->next_ms ? RESTART_CANCEL : RESTART_NOTHING, 0,
					   r->attempts);
	if (r->next_ms)
		return restart_decide_scheduled(s, r, now);
	if (r->ended == ENDED_OFF && now >= r->stopped_ms && now < r->stopped_ms + REBOOT_MS)
		return restart_decision_of(RESTART_NOTHING, r->stopped_ms + REBOOT_MS, r->attempts);
	if (attempts >= (int64_t)s->retries)
		return restart_decision_of(RESTART_EXHAUST, 0, attempts);
	return restart_decision_of(RESTART_SCHEDULE, now + restart_delay_ms(s, attempts), attempts);
}

/* ------------------------------------------------------------------ actions */

struct restart_pass {
	struct vmm *v;
	int64_t until; /* wall clock, ms: the next time to apply; 0 = none */
	const struct restart_row *row;
	struct restart_decision d;
	struct cvm_row cvm;
};

static int restart_schedule(struct restart_pass *p, struct err *e)
{
	const struct restart_settings *s = &vmm_settings(p->v)->restart;
	char at[CLOCK_TEXT];
	int r;

	assert(p->d.action == RESTART_SCHEDULE);
	r = cvms_set_restart(vmm_db(p->v), p->row->id, p->d.attempts, p->d.until, false, e);

	return r ? r
		 : event(p->v, &p->cvm, "", "cvm.restart.scheduled", e, "{s:s, s:I, s:I, s:s}",
			 "ended", ended_word[p->row->ended], "attempt",
			 (json_int_t)p->d.attempts + 1, "budget", (json_int_t)s->retries, "at",
			 clock_rfc3339(p->d.until, at));
}

static int restart_exhaust(struct restart_pass *p, struct err *e)
{
	int r = cvms_set_restart(vmm_db(p->v), p->row->id, p->d.attempts, 0, true, e);

	if (r)
		return r;
	log_warn("%s crashed again after %lld restarts and is not restarted any more", p->cvm.name,
		 (long long)p->d.attempts);
	return event(p->v, &p->cvm, "", "cvm.restart.exhausted", e, "{s:s, s:I}", "ended",
		     ended_word[p->row->ended], "attempts", (json_int_t)p->d.attempts);
}

static int restart_start(void *arg, struct err *e)
{
	static const struct power_request req = { .kind = OP_START };
	static const struct request_ref ref = { .caller = restart_caller,
						.inspected = true,
						.automatic = true };
	struct restart_pass *p = arg;
	struct op_row op;

	return vmm_power(p->v, &p->cvm, &req, &ref, &op, e);
}

/* The start was refused, for example because its capacity is gone. This counts as the attempt.
 * Tenants read the event, so it does not have the totals of the node. */
static int restart_refused(struct restart_pass *p, const struct err *why, struct err *e)
{
	struct err public = *why;
	int r = cvms_set_ended(vmm_db(p->v), p->row->id, ENDED_FAILED, e);

	if (r)
		return r;
	p->until = clock_wall_ms();
	err_hide_total(&public);
	return event(p->v, &p->cvm, "", "cvm.restart.refused", e, "{s:s}", "error", public.text);
}

static int restart_attempt(struct restart_pass *p, struct err *e)
{
	struct err why;
	int r = cvms_set_restart(vmm_db(p->v), p->row->id, p->d.attempts + 1, 0, false, e);

	if (r)
		return r;
	r = turn_do(vmm_turn(p->v), restart_start, p, &why);
	return r < 0 && r != -ERR_BUSY ? restart_refused(p, &why, e) : 0;
}

static int restart_act(void *arg, struct err *e)
{
	struct restart_pass *p = arg;
	int r = cvms_get(vmm_db(p->v), p->row->id, &p->cvm, e);

	if (r)
		return r == -ERR_NOT_FOUND ? 0 : r;
	switch (p->d.action) {
	case RESTART_CANCEL:
		return cvms_set_restart(vmm_db(p->v), p->row->id, p->row->attempts, 0,
					p->row->exhausted, e);
	case RESTART_RESET:
		return cvms_set_restart(vmm_db(p->v), p->row->id, 0, 0, false, e);
	case RESTART_SCHEDULE:
		return restart_schedule(p, e);
	case RESTART_EXHAUST:
		return restart_exhaust(p, e);
	case RESTART_NOW:
		return restart_attempt(p, e);
	case RESTART_NOTHING:
		break;
	}
	return 0;
}

static void restart_check_at(struct restart_pass *p, int64_t when)
{
	if (when && (!p->until || when < p->until))
		p->until = when;
}

static void restart_apply_row(struct restart_pass *p, const struct restart_row *row, int64_t now)
{
	struct err e;

	p->row = row;
	p->d = restart_decide(&vmm_settings(p->v)->restart, row, now);
	restart_check_at(p, p->d.until);
	if (p->d.action == RESTART_NOTHING)
		return;
	turn_after(vmm_turn(p->v), policies_committed, p->v);
	if (turn_do(vmm_turn(p->v), restart_act, p, &e) >= 0)
		return;
	log_error("cannot record a restart: %s", e.text);
	restart_check_at(p, now + 1000);
}

void restart_apply(struct vmm *v)
{
	auto_free struct restart_row *rows = NULL;
	int64_t now = clock_wall_ms();
	struct restart_pass p = { .v = v };
	struct err e;
	size_t n = 0;

	assert_loop_thread();
	policies_cancel_timer(v);
	if (vmm_is_closing(v) || !vmm_is_settled(v))
		return;
	if (cvms_restarts(vmm_db(v), &rows, &n, &e) < 0) {
		log_error("cannot read which CVMs have crashed: %s", e.text);
		p.until = now + 1000;
	}
	for (size_t i = 0; i < n; i++)
		restart_apply_row(&p, &rows[i], now);
	if (p.until)
		policies_check_in(v, p.until - now);
}
