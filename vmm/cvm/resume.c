/* SPDX-License-Identifier: Apache-2.0
 * resume.c - resumes guests that QEMU paused on a full disk, when there is space again.
 *
 * While a row says that a guest waits for space, a job reads the free space of the file systems of
 * these disks every POLL_MS (one statvfs() each, in the lane "short"); otherwise there is no timer.
 * The space must be more than the one block that was missing, or the next write would pause the
 * guest again: 2 % of the file system, at least 4 MiB and at most 1 GiB. At most RESUMES_PER_POLL
 * guests are resumed per poll, oldest first, and the next poll sees how much space they have left.
 * A guest that is paused again waits twice as long as before, up to RESUME_DELAY_MAX_MS, until it
 * has run for RESUME_GOOD_MS.
 *
 * Resuming is an ordinary operation ("resume", caller "teepod:auto-resume"). The last attempts are
 * kept in memory only, so a restarted daemon tries at once. See observe.c for how a pause and its
 * cause are found.
 */
#include <assert.h>
#include <stdlib.h>
#include <sys/statvfs.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/lanes.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/own.h"
#include "db/cvms.h"
#include "db/operations.h"
#include "db/turn.h"
#include "vmm/cvm/power.h"
#include "vmm/cvm/resume.h"
#include "vmm/node/node.h"
#include "vmm/node/settings.h"
#include "vmm/op/op_begin.h"

enum { POLL_MS = 3000, STATVFS_MS = 10000, RESUMES_PER_POLL = 4 };
enum {
	RESUME_DELAY_MS = 5000,
	RESUME_DELAY_MAX_MS = 10 * 60 * 1000,
	RESUME_GOOD_MS = 10 * 60 * 1000
};

/* A CVM that was resumed automatically not long ago. */
struct resumed {
	struct resumed *next;
	int64_t cvm, at_ms; /* monotonic */
	int64_t delay_ms;   /* from at_ms to the next attempt */
};

struct resumes {
	struct loop_timer *timer;
	struct resumed *list;
	bool polling; /* a job measures the free space */
};

struct resumes *resumes_new(void)
{
	return xcalloc(1, sizeof(struct resumes));
}

static void resumes_clear(struct resumes *s)
{
	loop_after_cancel(&s->timer);
	for (struct resumed *r = s->list, *next; r; r = next) {
		next = r->next;
		free(r);
	}
	s->list = NULL;
}

void resumes_free(struct resumes *s)
{
	if (!s)
		return;
	assert(!s->polling);
	resumes_clear(s);
	free(s);
}

struct disk_space {
	int64_t cvm;
	char *dir;
	bool has_space;
};

struct space_poll {
	struct vmm *v;
	struct disk_space *disks;
	size_t n;
};

/* ------------------------------------------------------------------ the job */

static uint64_t space_needed(uint64_t total)
{
	const uint64_t mib = 1024 * 1024;
	uint64_t need = total / 50;

	return need < 4 * mib ? 4 * mib : need > 1024 * mib ? 1024 * mib : need;
}

static bool resume_has_space(const char *dir)
{
	struct statvfs s;

	return !statvfs(dir, &s) &&
	       (uint64_t)s.f_bavail * s.f_frsize >= space_needed((uint64_t)s.f_blocks * s.f_frsize);
}

static void space_poll_work(void *arg)
{
	struct space_poll *p = arg;

	for (size_t i = 0; i < p->n && !job_is_cancelled(); i++)
		p->disks[i].has_space = resume_has_space(p->disks[i].dir);
}

/* ------------------------------------------------------------------ resuming */

static void resumed_prune(struct resumed **at, int64_t now_ms)
{
	while (*at) {
		struct resumed *r = *at;

		if (now_ms - r->at_ms <= r->delay_ms + RESUME_GOOD_MS) {
			at = &r->next;
			continue;
		}
		*at = r->next;
		free(r);
	}
}

/* NULL: not resumed lately, so it may be resumed at once. */
static struct resumed *resumed_find(struct vmm *v, int64_t cvm, int64_t now_ms)
{
	struct resumed *r;

	resumed_prune(&vmm_resumes(v)->list, now_ms);
	r = vmm_resumes(v)->list;
	while (r && r->cvm != cvm)
		r = r->next;
	return r;
}

static bool resume_is_due(struct vmm *v, int64_t cvm)
{
	int64_t now = clock_mono_ms();
	const struct resumed *r = resumed_find(v, cvm, now);

	return !r || now >= r->at_ms + r->delay_ms;
}

/* A resume is committed: the next one of this CVM must wait longer. */
static void resume_count_attempt(struct vmm *v, int64_t cvm)
{
	int64_t now = clock_mono_ms();
	struct resumed *r = resumed_find(v, cvm, now);

	if (!r) {
		r = xcalloc(1, sizeof(*r));
		*r = (struct resumed){ .next = vmm_resumes(v)->list,
				       .cvm = cvm,
				       .delay_ms = RESUME_DELAY_MS / 2 };
		vmm_resumes(v)->list = r;
	}
	r->delay_ms = r->delay_ms * 2 < RESUME_DELAY_MAX_MS ? r->delay_ms * 2 : RESUME_DELAY_MAX_MS;
	r->at_ms = now;
}

struct resume_attempt {
	struct vmm *v;
	int64_t cvm;
};

static void resume_attempt_committed(void *arg, const struct err *e)
{
	struct resume_attempt *a = arg;

	if (!e && !vmm_is_closing(a->v))
		resume_count_attempt(a->v, a->cvm);
	free(a);
}

struct resume_try {
	struct vmm *v;
	int64_t cvm;
	bool begun;
};

static int resume_turn(void *arg, struct err *e)
{
	static const struct power_request req = { .kind = OP_RESUME };
	static const struct request_ref ref = { .caller = "teepod:auto-resume", .automatic = true };
	struct resume_try *g = arg;
	struct resume_attempt *a;
	struct cvm_row c;
	struct op_row op;
	int r = cvms_get(vmm_db(g->v), g->cvm, &c, e);

	if (r)
		return r == -ERR_NOT_FOUND ? 0 : r;
	if (c.op_id[0] || c.paused != PAUSED_NOSPC || c.desired != DESIRED_RUNNING ||
	    !resume_is_due(g->v, c.id))
		return 0;
	r = vmm_power(g->v, &c, &req, &ref, &op, e);
	if (r)
		return r;
	g->begun = true;
	a = xcalloc(1, sizeof(*a));
	*a = (struct resume_attempt){ g->v, g->cvm };
	turn_after(vmm_turn(g->v), resume_attempt_committed, a);
	return 0;
}

static bool resume_guest(struct vmm *v, int64_t cvm)
{
	struct resume_try g = { .v = v, .cvm = cvm };
	struct err e;

	if (turn_do(vmm_turn(v), resume_turn, &g, &e) < 0)
		log_error("cannot resume a paused guest: %s", e.text);
	return g.begun;
}

static void space_poll_end(struct space_poll *p)
{
	struct vmm *v = p->v;

	for (size_t i = 0; i < p->n; i++)
		free(p->disks[i].dir);
	free(p->disks);
	free(p);
	assert(vmm_resumes(v)->polling);
	vmm_resumes(v)->polling = false;
	vmm_job_end(v);
}

static void space_poll_done(void *arg, enum job_end end)
{
	struct space_poll *p = arg;
	struct vmm *v = p->v;
	int begun = 0;

	for (size_t i = 0;
	     i < p->n && begun < RESUMES_PER_POLL && end == JOB_WORKED && !vmm_is_closing(v); i++)
		if (p->disks[i].has_space)
			begun += resume_guest(v, p->disks[i].cvm);
	resume_poll_soon(v);
	space_poll_end(p);
}

/* ------------------------------------------------------------------ polling */

static void space_poll_begin(struct vmm *v, const struct cvm_seen *seen, size_t n)
{
	static const struct job_calls calls = { .lane = LANE_SHORT,
						.what = "free space of disks",
						.deadline_ms = STATVFS_MS,
						.work = space_poll_work,
						.done = space_poll_done };
	struct space_poll *p = xcalloc(1, sizeof(*p));

	*p = (struct space_poll){ .v = v, .disks = xcalloc(n, sizeof(*p->disks)), .n = n };
	for (size_t i = 0; i < n; i++)
		p->disks[i] =
			(struct disk_space){ .cvm = seen[i].id, .dir = cvm_dir(v, seen[i].uuid) };
	assert(!vmm_resumes(v)->polling);
	vmm_resumes(v)->polling = true;
	vmm_job_begin(v);
	(void)job_start(vmm_settings(v)->loop, &calls, p);
}

static void resume_poll(void *arg)
{
	struct vmm *v = arg;
	auto_free struct cvm_seen *seen = NULL;
	struct err e;
	size_t n = 0;

	if (vmm_is_closing(v) || vmm_resumes(v)->polling || !vmm_is_settled(v))
		return; /* space_poll_done(), or the next list of domains, sets the timer */
	if (cvms_without_space(vmm_db(v), &seen, &n, &e)) {
		log_error("cannot read which guests wait for disk space: %s", e.text);
		resume_poll_soon(v);
	} else if (n) {
		space_poll_begin(v, seen, n);
	}
}

void resume_poll_soon(struct vmm *v)
{
	assert_loop_thread();
	if (!vmm_is_closing(v) && !vmm_resumes(v)->timer)
		(void)loop_after(vmm_settings(v)->loop, POLL_MS, resume_poll, v,
				 &vmm_resumes(v)->timer);
}

void resume_close(struct vmm *v)
{
	assert(vmm_is_closing(v));
	resumes_clear(vmm_resumes(v));
}
