/* SPDX-License-Identifier: Apache-2.0
 * observe.c - records the state of domains in the database.
 *
 * An event only triggers a query: a job reads the state of the domain, and its answer is recorded.
 * Events lag behind calls (STOPPED arrives about 200 ms after the end), so the state in an event
 * could contradict a start that has happened since. At most one query per domain is under way; an
 * event that arrives meanwhile causes another one. libvirt reports that a disk error has paused a
 * guest, but not which error. QEMU knows it; if it does not answer within PAUSE_CAUSE_MS, the pause
 * is recorded without the cause.
 *
 * How a guest ended is recorded with it, because the policies depend on it (restart.c, pace.c).
 * libvirt forgets it when it restarts. A row that knows how its guest ended is then left unchanged.
 * A guest that ran, and is off for no reason that libvirt knows, was lost with the host.
 *
 * After every connect all domains are listed, and again a second later: a QEMU that died while the
 * daemon was not connected is still listed as running for a moment. Operations continue after the
 * first list. A domain that carries teepod's mark but has no row is not touched, unless an
 * operation of its CVM is recorded: then the CVM was deleted, and an abandoned job has created the
 * domain.
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/array.h"
#include "base/clock.h"
#include "base/lanes.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/own.h"
#include "base/strings.h"
#include "db/cvms.h"
#include "db/operations.h"
#include "db/policies.h"
#include "db/turn.h"
#include "vmm/account/billing.h"
#include "vmm/admit/capacity.h"
#include "vmm/cvm/forwards.h"
#include "vmm/cvm/observe.h"
#include "vmm/cvm/pace.h"
#include "vmm/cvm/policies.h"
#include "vmm/cvm/power.h"
#include "vmm/cvm/resume.h"
#include "vmm/guest/guest.h"
#include "vmm/host/host_watch.h"
#include "vmm/node/node.h"
#include "vmm/node/settings.h"
#include "vmm/op/engine.h"
#include "vmm/op/op_job.h"
#include "vmm/node/event.h"
#include "vmm/op/op_begin.h"
#include "vmm/virt/hypervisor.h"

enum { QUERY_MS = 30000, PAUSE_CAUSE_MS = 5000, LATE_SHUTDOWN_MS = 10 * 60 * 1000 };

struct observer {
	struct domain_query *queries; /* one per domain whose state is being read */
	struct loop_timer *relist_timer;
};

struct observer *observer_new(void)
{
	return xcalloc(1, sizeof(struct observer));
}

void observer_free(struct observer *o)
{
	if (!o)
		return;
	loop_after_cancel(&o->relist_timer);
	free(o);
}

void observe_close(struct vmm *v)
{
	assert(vmm_is_closing(v));
	loop_after_cancel(&vmm_observer(v)->relist_timer);
}

static enum observed observed_from(enum domain_state s)
{
	static const enum observed map[] = {
		[DOMAIN_ABSENT] = OBSERVED_ABSENT,   [DOMAIN_OFF] = OBSERVED_OFF,
		[DOMAIN_CRASHED] = OBSERVED_CRASHED, [DOMAIN_RUNNING] = OBSERVED_RUNNING,
		[DOMAIN_PAUSED] = OBSERVED_PAUSED,   [DOMAIN_PAUSED_IO] = OBSERVED_PAUSED,
		[DOMAIN_UNTOLD] = OBSERVED_OFF,      [DOMAIN_PAUSED_NOSPC] = OBSERVED_PAUSED,
	};

	assert((size_t)s < ARRAY_SIZE(map));
	return map[s];
}

static enum paused paused_from(enum domain_state s)
{
	return s == DOMAIN_PAUSED         ? PAUSED_OTHER
	       : s == DOMAIN_PAUSED_IO    ? PAUSED_IOERROR
	       : s == DOMAIN_PAUSED_NOSPC ? PAUSED_NOSPC
					  : PAUSED_NOT;
}

static bool observed_is_up(enum observed o)
{
	return o == OBSERVED_RUNNING || o == OBSERVED_PAUSED;
}

static void listing_start(struct vmm *v, bool second);

static void listing_start_second(void *arg)
{
	listing_start(arg, true);
}

/* A state could not be recorded or read, and no event will report it again: list all domains in a
 * second. */
void observe_all_soon(struct vmm *v)
{
	if (vmm_is_closing(v) || !vmm_is_linked(v))
		return;
	loop_after_cancel(&vmm_observer(v)->relist_timer);
	(void)loop_after(vmm_settings(v)->loop, 1000, listing_start_second, v,
			 &vmm_observer(v)->relist_timer);
}

/* ------------------------------------------------------------------ recording */

struct observed_cvm {
	struct vmm *v;
	int64_t cvm;
};

static int stop_unwanted_turn(void *arg, struct err *e)
{
	const struct request_ref ref = { .caller = "teepod:late-start", .automatic = true };
	const struct power_request req = { .kind = OP_STOP };
	struct op_row op;
	const struct observed_cvm *t = arg;
	struct cvm_row c;
	int r = cvms_get(vmm_db(t->v), t->cvm, &c, e);

	return r ? r : vmm_power(t->v, &c, &req, &ref, &op, e);
}

/* Stop a guest that runs because of an abandoned or failed start, although its CVM should be
 * stopped. */
static void stop_unwanted_guest(struct vmm *v, const struct cvm_row *c)
{
	struct observed_cvm t = { v, c->id };
	struct err e;

	if (!observed_is_up(c->observed) || c->desired != DESIRED_STOPPED || c->op_id[0] ||
	    ops_start_unconfirmed(vmm_db(v), c->uuid, "start", &e) <= 0)
		return;
	log_warn("%s runs because of an abandoned start; stopping it again", c->name);
	if (turn_do(vmm_turn(v), stop_unwanted_turn, &t, &e) < 0) {
		log_error("cannot stop %s: %s", c->name, e.text);
		observe_all_soon(v);
	}
}

static void observation_committed(void *arg, const struct err *e)
{
	struct observed_cvm *t = arg;
	struct cvm_row c;
	struct err ignored;

	if (!e && !vmm_is_closing(t->v)) {
		if (!cvms_get(vmm_db(t->v), t->cvm, &c, &ignored) && observed_is_up(c.observed)) {
			guest_listen(t->v, &c);
			stop_unwanted_guest(t->v, &c);
			if (c.paused == PAUSED_NOSPC)
				resume_poll_soon(t->v);
		} else {
			guest_forget(t->v, t->cvm);
		}
		ops_poke(t->v, t->cvm);
		policies_check(t->v);
	}
	if (e)
		observe_all_soon(t->v);
	free(t);
}

static void observation_log_pause(const struct cvm_row *c, enum paused p)
{
	static const char *const why[PAUSED_MAX] = {
		[PAUSED_NOSPC] =
			"no space is left for its disk; it is resumed when there is space again",
		[PAUSED_IOERROR] =
			"its disk had an I/O error; check the disks of the host, then resume it",
		[PAUSED_OTHER] = "by another program, or for a snapshot",
	};
	const struct log_about about = { .cvm = c->uuid };

	assert(p < PAUSED_MAX);
	if (p != PAUSED_NOT)
		log_write(LOG_LEVEL_WARN, &about, "%s is paused (%s): %s", c->name, paused_word[p],
			  why[p]);
	else
		log_write(LOG_LEVEL_INFO, &about, "%s is not paused any more", c->name);
}

static int observation_event(struct vmm *v, const struct cvm_row *c, enum observed o, enum paused p,
			     struct err *e)
{
	return event(v, c, c->op_id, "cvm.observed", e, "{s:s, s:s, s:s*}", "observed",
		     observed_word[o], "was", observed_word[c->observed], "reason",
		     p == PAUSED_NOT ? NULL : paused_word[p]);
}

/* A guest may power off after its shutdown operation was cancelled or timed out, because a pressed
 * power button cannot be taken back. A cancelled operation may also have ended it. Such a CVM
 * becomes stopped as requested, and not "exited". */
static int accept_late_shutdown(struct vmm *v, const struct cvm_row *c, struct err *e)
{
	int r;

	if (c->desired != DESIRED_RUNNING || c->op_id[0])
		return 0;
	r = ops_shutdown_unfinished(vmm_db(v), c->uuid, clock_wall_ms() - LATE_SHUTDOWN_MS, e);
	if (r <= 0)
		return r;
	r = set_desired(v, c, DESIRED_STOPPED, e);
	return r || !vmm_settings(v)->release_on_stop ? r : capacity_hold_cpu(v, c, false, e);
}

static int observation_apply(struct vmm *v, const struct cvm_row *c, enum observed o, enum paused p,
			     enum ended ended, struct err *e)
{
	struct observed_cvm *t;
	int r;

	assert((o == OBSERVED_PAUSED) == (p != PAUSED_NOT));
	if (c->observed == o && c->paused == p)
		return 0;
	if (c->paused != p)
		observation_log_pause(c, p);
	r = cvms_set_observed(vmm_db(v), c->id, o, p, e);
	if (!r)
		r = cvms_set_ended(vmm_db(v), c->id, ended, e);
	if (!r && observed_is_up(c->observed) && !observed_is_up(o))
		r = cvms_set_stopped(vmm_db(v), c->id, clock_wall_ms(), e);
	if (!r)
		r = observation_event(v, c, o, p, e);
	if (!r && observed_is_up(c->observed) && ended == ENDED_OFF)
		r = accept_late_shutdown(v, c, e);
	if (!r)
		r = meter_follow(v, c->id, e);
	if (r)
		return r;
	t = xcalloc(1, sizeof(*t));
	*t = (struct observed_cvm){ v, c->id };
	turn_after(vmm_turn(v), observation_committed, t);
	return 0;
}

static int observation_apply_as(struct vmm *v, const struct cvm_row *c, enum observed o,
				enum paused p, struct err *e)
{
	static const enum ended ended[OBSERVED_MAX] = {
		[OBSERVED_ABSENT] = ENDED_LOST,     [OBSERVED_OFF] = ENDED_OFF,
		[OBSERVED_CRASHED] = ENDED_CRASHED, [OBSERVED_RUNNING] = ENDED_NOT,
		[OBSERVED_PAUSED] = ENDED_NOT,
	};

	return observation_apply(v, c, o, p, ended[o], e);
}

int observe_apply(struct vmm *v, const struct cvm_row *c, enum observed o, struct err *e)
{
	return observation_apply_as(v, c, o, PAUSED_NOT, e);
}

/* True if libvirt has forgotten how the guest ended, and the row knows it. */
static bool libvirt_forgot_end(enum observed was, enum domain_state now)
{
	return now == DOMAIN_UNTOLD && (was == OBSERVED_OFF || was == OBSERVED_CRASHED);
}

/* True if @now does not contradict the row. A row may have the cause of a disk error; libvirt only
 * reports that there was one. */
static bool observation_agrees(enum observed o, enum paused p, enum domain_state now)
{
	if (now == DOMAIN_PAUSED_IO)
		return p == PAUSED_IOERROR || p == PAUSED_NOSPC;
	return o == observed_from(now) && p == paused_from(now);
}

static int observation_apply_state(struct vmm *v, const struct cvm_row *c, enum domain_state now,
				   struct err *e)
{
	if (libvirt_forgot_end(c->observed, now))
		return 0;
	if (now == DOMAIN_UNTOLD && observed_is_up(c->observed)) {
		int r = observation_apply(v, c, OBSERVED_OFF, PAUSED_NOT, ENDED_LOST, e);

		return r || !vmm_is_settled(v) ? r : pace_queue_lost(v, c, e);
	}
	/* libvirt calls it a crash when it finds, after a restart, that a QEMU has ended. The stop
	 * that ended it may be recorded already. */
	if (now == DOMAIN_CRASHED && c->observed == OBSERVED_OFF && c->desired != DESIRED_RUNNING)
		return 0;
	return observation_apply_as(v, c, observed_from(now), paused_from(now), e);
}

/* ------------------------------------------------------------------ query of one domain */

struct domain_query {
	struct vmm *v;
	struct domain_query *next;
	char uuid[UUID_TEXT];
	bool again;
	bool late; /* recorded without the cause, because QEMU did not answer in time */
	enum domain_state state, cause;
	int result, cause_result;
	struct err err;
};

static void domain_query_work(void *arg)
{
	struct domain_query *q = arg;

	q->result = hv_state(vmm_hv(q->v), q->uuid, &q->state, &q->err);
}

static int domain_query_turn(void *arg, struct err *e)
{
	struct domain_query *q = arg;
	struct cvm_row c;
	int r = cvms_by_uuid(vmm_db(q->v), q->uuid, &c, e);

	if (r)
		return r == -ERR_NOT_FOUND ? 0 : r;
	return observation_apply_state(q->v, &c, q->state, e);
}

static void domain_query_start(struct domain_query *q);

static void domain_query_unlink(struct domain_query *q)
{
	struct domain_query **p = &vmm_observer(q->v)->queries;

	assert_loop_thread();
	while (*p != q) {
		assert(*p);
		p = &(*p)->next;
	}
	*p = q->next;
}

static void domain_query_record(struct domain_query *q)
{
	struct vmm *v = q->v;
	struct err e;

	if (q->result || q->state == DOMAIN_ENDING) {
		observe_all_soon(v);
	} else if (!vmm_is_closing(v) && turn_do(vmm_turn(v), domain_query_turn, q, &e) < 0) {
		log_error("cannot record the state of %s: %s", q->uuid, e.text);
		observe_all_soon(v);
	}
}

/* Operations may wait for the result of the query (observe_is_pending()). */
static void domain_query_wake_operations(struct vmm *v, const char *uuid)
{
	struct cvm_row c;
	struct err ignored;

	if (!vmm_is_closing(v) && !cvms_by_uuid(vmm_db(v), uuid, &c, &ignored))
		ops_poke(v, c.id);
}

static void domain_query_end(struct domain_query *q)
{
	struct vmm *v = q->v;

	if (q->again && !vmm_is_closing(v)) {
		q->again = false;
		domain_query_start(q);
		return;
	}
	domain_query_unlink(q);
	domain_query_wake_operations(v, q->uuid);
	free(q);
	vmm_job_end(v);
}

static void pause_cause_work(void *arg)
{
	struct domain_query *q = arg;

	q->cause_result = hv_pause_cause(vmm_hv(q->v), q->uuid, &q->cause, &q->err);
}

static int pause_cause_late_turn(void *arg, struct err *e)
{
	struct domain_query *q = arg;
	struct cvm_row c;
	int r = cvms_by_uuid(vmm_db(q->v), q->uuid, &c, e);

	if (r || c.paused != PAUSED_IOERROR)
		return r == -ERR_NOT_FOUND ? 0 : r;
	return observation_apply_state(q->v, &c, q->cause, e);
}

/* Record a cause that QEMU reported late. If the guest was resumed meanwhile, its row does not say
 * PAUSED_IOERROR any more, or an event will follow. Another query could take as long again. */
static void pause_cause_record_late(struct domain_query *q)
{
	struct err e;

	if (vmm_is_closing(q->v) || q->cause != DOMAIN_PAUSED_NOSPC ||
	    turn_do(vmm_turn(q->v), pause_cause_late_turn, q, &e) >= 0)
		return;
	log_error("cannot record why %s is paused: %s", q->uuid, e.text);
	observe_domain(q->v, q->uuid);
}

/* Nothing is recorded if the connection was lost or no thread was free: the next list queries
 * again. After another error the pause stays recorded as an I/O error. */
static void pause_cause_done(void *arg, enum job_end end)
{
	struct domain_query *q = arg;
	struct vmm *v = q->v;

	if (q->late) {
		pause_cause_record_late(q);
		free(q);
		vmm_job_end(v);
		return;
	}
	if (end == JOB_DROPPED)
		q->result = -ERR_TIMEOUT;
	else if (q->cause_result == -ERR_UNAVAILABLE)
		q->result = q->cause_result;
	q->state = q->cause;
	domain_query_record(q);
	domain_query_end(q);
}

/* The job still owns this query, so the next query of the domain is a new one. */
static void pause_cause_late(void *arg)
{
	struct domain_query *q = arg;

	assert(!q->late);
	domain_query_unlink(q);
	q->late = true;
	domain_query_record(q);
	if (q->again && !vmm_is_closing(q->v))
		observe_domain(q->v, q->uuid);
	else
		domain_query_wake_operations(q->v, q->uuid);
}

static void domain_query_done(void *arg, enum job_end end)
{
	static const struct job_calls calls = { .lane = LANE_GUEST,
						.what = "why a guest is paused",
						.deadline_ms = PAUSE_CAUSE_MS,
						.work = pause_cause_work,
						.done = pause_cause_done,
						.late = pause_cause_late };
	struct domain_query *q = arg;

	if (end == JOB_DROPPED)
		q->result = -ERR_TIMEOUT;
	if (!q->result && q->state == DOMAIN_PAUSED_IO && !vmm_is_closing(q->v)) {
		q->cause = q->state;
		(void)job_start(vmm_settings(q->v)->loop, &calls, q);
		return;
	}
	domain_query_record(q);
	domain_query_end(q);
}

static void domain_query_start(struct domain_query *q)
{
	static const struct job_calls calls = { .lane = LANE_SHORT,
						.what = "state of a domain",
						.deadline_ms = QUERY_MS,
						.work = domain_query_work,
						.done = domain_query_done };

	(void)job_start(vmm_settings(q->v)->loop, &calls, q);
}

static struct domain_query *domain_query_find(const struct vmm *v, const char *uuid)
{
	struct domain_query *q = vmm_observer(v)->queries;

	while (q && strcmp(q->uuid, uuid) != 0)
		q = q->next;
	return q;
}

void observe_domain(struct vmm *v, const char *uuid)
{
	struct domain_query *q = domain_query_find(v, uuid);

	assert_loop_thread();
	if (q) {
		q->again = true;
		return;
	}
	q = xcalloc(1, sizeof(*q));
	*q = (struct domain_query){ .v = v, .next = vmm_observer(v)->queries };
	memcpy(q->uuid, uuid, sizeof(q->uuid));
	vmm_observer(v)->queries = q;
	vmm_job_begin(v);
	domain_query_start(q);
}

bool observe_is_pending(const struct vmm *v, const char *uuid)
{
	return domain_query_find(v, uuid) != NULL;
}

void observe_event(void *arg, const struct hv_event *ev)
{
	struct vmm *v = arg;
	struct cvm_row c;
	struct err e;

	assert_loop_thread();
	if (vmm_is_closing(v) || cvms_by_uuid(vmm_db(v), ev->uuid, &c, &e))
		return;
	if (ev->state == DOMAIN_RUNNING)
		forwards_renew(v, &c, true);
	/* A query under way may have read the state before this event. */
	if (!observation_agrees(c.observed, c.paused, ev->state) || domain_query_find(v, ev->uuid))
		observe_domain(v, ev->uuid);
}

/* ------------------------------------------------------------------ list of all domains */

struct listing {
	struct vmm *v;
	struct hv_domain *domains;
	size_t n;
	bool second;
	int result;
	struct err err;
};

static int hv_domain_compare(const void *a, const void *b)
{
	return strcmp(((const struct hv_domain *)a)->uuid, ((const struct hv_domain *)b)->uuid);
}

static void listing_work(void *arg)
{
	struct listing *l = arg;

	l->result = hv_list(vmm_hv(l->v), &l->domains, &l->n, &l->err);
	if (!l->result)
		qsort(l->domains, l->n, sizeof(*l->domains), hv_domain_compare);
}

static int listing_apply_row(struct listing *l, const struct cvm_seen *s, enum domain_state now,
			     struct err *e)
{
	/* The cause of an I/O error may have been reported too late, or its record was not
	 * committed. */
	bool sure = now != DOMAIN_PAUSED_IO || s->paused != PAUSED_IOERROR;
	struct cvm_row c;
	int r;

	if (now == DOMAIN_ENDING) {
		observe_domain(l->v, s->uuid);
		return 0;
	}
	if ((sure && observation_agrees(s->observed, s->paused, now)) ||
	    libvirt_forgot_end(s->observed, now))
		return 0;
	/* While operations run, the list may be older than their effects: query this domain alone.
	 * The list does not have the cause of a pause either. */
	if (l->second || now == DOMAIN_PAUSED_IO) {
		observe_domain(l->v, s->uuid);
		return 0;
	}
	r = cvms_get(vmm_db(l->v), s->id, &c, e);
	return r ? r : observation_apply_state(l->v, &c, now, e);
}

/* Remove a domain that an abandoned job created after its CVM was deleted. A domain of a CVM that
 * this database never had is not touched. */
static void listing_handle_unknown(struct listing *l)
{
	struct cvm_row c;
	struct err e;

	for (size_t i = 0; i < l->n; i++)
		if (cvms_by_uuid(vmm_db(l->v), l->domains[i].uuid, &c, &e) != -ERR_NOT_FOUND)
			continue;
		else if (ops_exist_of(vmm_db(l->v), l->domains[i].uuid, &e) > 0)
			op_clear_remains(l->v, l->domains[i].uuid);
		else
			log_warn(
				"domain %s carries teepod's mark but is not in the database; it is "
				"not touched",
				l->domains[i].uuid);
}

static int listing_turn(void *arg, struct err *e)
{
	struct listing *l = arg;
	auto_free struct cvm_seen *seen = NULL;
	size_t n;
	int r = cvms_seen(vmm_db(l->v), &seen, &n, e);

	for (size_t i = 0; !r && i < n; i++) {
		struct hv_domain key = { 0 }, *d;

		memcpy(key.uuid, seen[i].uuid, sizeof(key.uuid));
		d = l->n ? bsearch(&key, l->domains, l->n, sizeof(key), hv_domain_compare) : NULL;
		r = listing_apply_row(l, &seen[i], d ? d->state : DOMAIN_ABSENT, e);
		if (r && db_bad_row(e)) {
			log_error("the state of %s is not recorded: %s", seen[i].uuid, e->text);
			r = 0; /* continue with the others */
		}
	}
	return r || l->second ? r : pace_queue_after_boot(l->v, e);
}

/* Listen to the running guests, whether or not their rows changed. */
static void listing_adopt(struct listing *l)
{
	struct cvm_row c;
	struct err e;
	unsigned adopted = 0;

	for (size_t i = 0; i < l->n; i++) {
		if (!domain_state_is_up(l->domains[i].state))
			continue;
		if (cvms_by_uuid(vmm_db(l->v), l->domains[i].uuid, &c, &e))
			continue;
		guest_listen(l->v, &c);
		forwards_renew(l->v, &c, false);
		/* listing_turn() compares only CVMs that were seen running or should run. */
		if (!observation_agrees(c.observed, c.paused, l->domains[i].state))
			observe_domain(l->v, c.uuid);
		adopted++;
	}
	if (adopted)
		log_info("%u running guests adopted", adopted);
}

static void listing_settle(struct listing *l)
{
	struct vmm *v = l->v;

	if (l->second)
		return;
	listing_adopt(l);
	listing_handle_unknown(l);
	assert(vmm_is_linked(v));
	vmm_set_settled(v, true);
	resume_poll_soon(v);
	ops_unpark(v);
	observe_all_soon(v);
	policies_check(v);
}

static void listing_stop_unwanted(const struct listing *l)
{
	struct cvm_row c;
	struct err e;

	for (size_t i = 0; i < l->n; i++)
		if (domain_state_is_up(l->domains[i].state) &&
		    !cvms_by_uuid(vmm_db(l->v), l->domains[i].uuid, &c, &e))
			stop_unwanted_guest(l->v, &c);
}

static void listing_done(void *arg, enum job_end end)
{
	struct listing *l = arg;
	struct vmm *v = l->v;
	struct err e;

	if (end == JOB_DROPPED)
		l->result = err_set(&l->err, ERR_TIMEOUT, "no thread was free");
	if (vmm_is_closing(v) || !vmm_is_linked(v)) {
		/* closing, or disconnected again: the next connect lists the domains */
	} else if (l->result) {
		log_error("cannot list domains: %s", l->err.text);
		observe_all_soon(v);
	} else if (turn_do(vmm_turn(v), listing_turn, l, &e) < 0) {
		log_error("cannot record the state of domains: %s", e.text);
		observe_all_soon(v);
	} else {
		listing_settle(l);
		listing_stop_unwanted(l);
	}
	free(l->domains);
	free(l);
	vmm_job_end(v);
}

static void listing_start(struct vmm *v, bool second)
{
	static const struct job_calls calls = { .lane = LANE_SHORT,
						.what = "list domains",
						.deadline_ms = QUERY_MS,
						.work = listing_work,
						.done = listing_done };
	struct listing *l = xcalloc(1, sizeof(*l));

	*l = (struct listing){ .v = v, .second = second && vmm_is_settled(v) };
	vmm_job_begin(v);
	(void)job_start(vmm_settings(v)->loop, &calls, l);
}

void observe_link(void *arg, bool is_up, const struct err *e)
{
	struct vmm *v = arg;
	const struct hv_caps *caps = hv_caps(vmm_hv(v));
	auto_free char *error = xasprintf("%.199s%s%.160s", e ? e->text : "",
					  e && e->hint[0] ? "; " : "", e ? e->hint : "");

	vmm_set_link(v, is_up, error);
	policies_cancel_timer(v);
	if (vmm_is_closing(v))
		return;
	host_watch_refresh(v);
	if (!is_up) {
		log_error("hypervisor %s: %s", vmm_settings(v)->hypervisor_uri, vmm_link_error(v));
		return;
	}
	log_info("hypervisor %s connected: libvirt %s, QEMU %s, %s",
		 vmm_settings(v)->hypervisor_uri, caps->libvirt, caps->qemu,
		 caps->tdx   ? "TDX"
		 : caps->kvm ? "no TDX, KVM"
			     : "no TDX, no KVM: guests are emulated");
	listing_start(v, false);
}
