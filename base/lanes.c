/* SPDX-License-Identifier: Apache-2.0
 * lanes.c - worker threads, and what happens to jobs that do not end.
 *
 * DOC: Theory of operation
 *
 *	job_start --> queued --(a thread is free)--> running --> ended --(loop)--> done(JOB_WORKED)
 *	                 \--(cancelled, too late)--> dropped --(loop)--> done(JOB_DROPPED)
 *
 * A lane starts a thread when a job waits, no thread is idle and it has fewer threads than its
 * size. The thread of a job that has run for lend_ms, or past its deadline, no longer counts: it is
 * lent to the job, and the lane may start another thread. When the job ends, its thread counts
 * again, or ends if the lane has enough threads without it. A lane never has more than THREADS_MAX
 * threads; further jobs wait and are dropped at their deadline.
 *
 * The mutex guards the queues, the states of jobs and the counters. work(), done() and late() are
 * called without it. One timer, active only while there are jobs, finds threads to lend and jobs to
 * report or to drop.
 */
#include "base/lanes.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/queue.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/lag.h"
#include "base/log.h"
#include "base/loop.h"

enum { THREADS_MAX = 1024, TIME_LEFT_ELSEWHERE_MS = 600 * 1000, RECHECK_MS = 1000 };

const char *const lane_word[LANES] = { "kill", "guest", "bulk", "short" };
const struct lane_sizes lane_sizes_default = { { 16, 32, 4, 16 } };

/* Time until the thread of a job is lent; 0: until the deadline. */
static const int64_t lend_ms[LANES] = { 1000, 1000, 0, 1000 };

enum job_state { JOB_QUEUED, JOB_RUNNING, JOB_ENDED };

struct job {
	TAILQ_ENTRY(job) in_queue; /* queue of its lane, or of ended jobs */
	LIST_ENTRY(job) in_all;
	struct lanes *lanes;
	struct job_calls calls;
	void *arg;
	enum job_state state;
	enum job_end end;
	bool lent, late, untold;
	atomic_bool cancelled;
	int64_t started_ms, due_ms; /* started_ms: when work() began */
};

TAILQ_HEAD(job_queue, job);

struct lane_thread {
	LIST_ENTRY(lane_thread) all;
	struct lanes *lanes;
	enum lane lane;
	bool busy; /* inside work() */
	bool over; /* thread function has ended: join it */
	pthread_t id;
};

struct lanes {
	uv_loop_t *loop;
	pthread_mutex_t lock;
	struct {
		pthread_cond_t work;
		struct job_queue queue;
		unsigned size, threads, lent, queued;
		unsigned free; /* threads that run no job */
		unsigned long long late_total, dropped_total;
	} lane[LANES];
	struct job_queue ended;
	LIST_HEAD(thread_list, lane_thread) threads;
	bool closing; /* threads must end */

	/* loop thread */
	LIST_HEAD(job_list, job) all;
	bool refusing[LANES]; /* new jobs are dropped */
	int64_t check_ms;     /* when the timer fires; 0: stopped */
	uv_async_t wake;
	uv_timer_t timer;
	unsigned handles;
};

static _Thread_local struct job *current;

static void lanes_lock(struct lanes *l)
{
	(void)pthread_mutex_lock(&l->lock);
}

static void lanes_unlock(struct lanes *l)
{
	(void)pthread_mutex_unlock(&l->lock);
}

/* ------------------------------------------------------------------ lane threads */

bool job_is_cancelled(void)
{
	return current && (atomic_load(&current->cancelled) || clock_mono_ms() >= current->due_ms);
}

int job_time_left_ms(void)
{
	int64_t left = current ? current->due_ms - clock_mono_ms() : TIME_LEFT_ELSEWHERE_MS;

	return left < 0 ? 0 : left > INT32_MAX ? INT32_MAX : (int)left;
}

/* Mutex held. Queue an ended job for the loop and wake the loop. */
static void end_job(struct lanes *l, struct job *j, enum job_end end)
{
	assert(j->state != JOB_ENDED);
	j->state = JOB_ENDED;
	j->end = end;
	TAILQ_INSERT_TAIL(&l->ended, j, in_queue);
	(void)uv_async_send(&l->wake);
}

/* Mutex held; it is released while work() runs. */
static void run_next(struct lanes *l, struct lane_thread *t)
{
	enum lane n = t->lane;
	struct job *j = TAILQ_FIRST(&l->lane[n].queue);

	TAILQ_REMOVE(&l->lane[n].queue, j, in_queue);
	l->lane[n].queued--;
	l->lane[n].free--;
	assert(j->state == JOB_QUEUED && !j->lent);
	j->state = JOB_RUNNING;
	j->started_ms = clock_mono_ms();
	t->busy = true;
	lanes_unlock(l);
	current = j;
	j->calls.work(j->arg);
	current = NULL;
	lanes_lock(l);
	t->busy = false;
	l->lane[n].free++;
	if (j->lent)
		l->lane[n].lent--;
	if (l->closing)
		return; /* lanes_close() has abandoned the job */
	end_job(l, j, JOB_WORKED);
}

static bool is_surplus_thread(const struct lanes *l, enum lane n)
{
	return l->lane[n].threads - l->lane[n].lent > l->lane[n].size;
}

static void *lane_thread_main(void *arg)
{
	struct lane_thread *t = arg;
	struct lanes *l = t->lanes;
	enum lane n = t->lane;
	char name[16];

	(void)snprintf(name, sizeof(name), "lane-%s", lane_word[n]);
	(void)pthread_setname_np(pthread_self(), name);
	lanes_lock(l);
	while (!l->closing && !is_surplus_thread(l, n)) {
		if (TAILQ_EMPTY(&l->lane[n].queue))
			(void)pthread_cond_wait(&l->lane[n].work, &l->lock);
		else
			run_next(l, t);
	}
	assert(l->lane[n].free > 0 && l->lane[n].threads >= l->lane[n].lent);
	l->lane[n].threads--;
	l->lane[n].free--;
	t->over = true;
	lanes_unlock(l);
	return NULL;
}

/* Mutex held. Start threads as needed for queued jobs, and wake one. */
static void ensure_threads(struct lanes *l, enum lane n)
{
	while (l->lane[n].queued > l->lane[n].free &&
	       l->lane[n].threads - l->lane[n].lent < l->lane[n].size &&
	       l->lane[n].threads < THREADS_MAX) {
		struct lane_thread *t = xcalloc(1, sizeof(*t));

		*t = (struct lane_thread){ .lanes = l, .lane = n };
		if (pthread_create(&t->id, NULL, lane_thread_main, t)) {
			free(t); /* the timer retries */
			return;
		}
		LIST_INSERT_HEAD(&l->threads, t, all);
		l->lane[n].threads++;
		l->lane[n].free++;
	}
	(void)pthread_cond_signal(&l->lane[n].work);
}

/* ------------------------------------------------------------------ loop thread: slow jobs */

/* Mutex held. */
static void drop_queued_job(struct lanes *l, struct job *j)
{
	assert(j->state == JOB_QUEUED && l->lane[j->calls.lane].queued > 0);
	TAILQ_REMOVE(&l->lane[j->calls.lane].queue, j, in_queue);
	l->lane[j->calls.lane].queued--;
	l->lane[j->calls.lane].dropped_total++;
	end_job(l, j, JOB_DROPPED);
}

static int64_t lend_time_ms(const struct job *j)
{
	int64_t at = j->started_ms + lend_ms[j->calls.lane];

	return lend_ms[j->calls.lane] && at < j->due_ms ? at : j->due_ms;
}

/* Mutex held. Lend the thread of @j, drop @j, or mark it late, if it is time. Returns when to check
 * again; 0 = never. */
static int64_t check_job(struct lanes *l, struct job *j, int64_t now)
{
	enum lane n = j->calls.lane;

	if (j->state == JOB_ENDED)
		return 0;
	if (j->state == JOB_QUEUED) {
		if (now >= j->due_ms) {
			drop_queued_job(l, j);
			return 0;
		}
		/* A thread may have been lent since, or could not be created before. */
		ensure_threads(l, n);
		return j->due_ms < now + RECHECK_MS ? j->due_ms : now + RECHECK_MS;
	}
	if (!j->lent && now >= lend_time_ms(j)) {
		j->lent = true;
		l->lane[n].lent++;
		ensure_threads(l, n);
	}
	if (!j->late && now >= j->due_ms) {
		j->late = j->untold = true;
		l->lane[n].late_total++;
	}
	return !j->lent ? lend_time_ms(j) : !j->late ? j->due_ms : 0;
}

static void report_late_jobs(struct lanes *l)
{
	for (struct job *j = LIST_FIRST(&l->all); j; j = LIST_NEXT(j, in_all)) {
		if (!j->untold)
			continue;
		j->untold = false;
		log_warn("job \"%s\" (lane %s) exceeded its deadline of %u ms and still runs; its "
			 "result is no longer "
			 "awaited",
			 j->calls.what, lane_word[j->calls.lane], j->calls.deadline_ms);
		if (j->calls.late)
			j->calls.late(j->arg);
	}
}

static void lanes_on_timer(uv_timer_t *t);

static void arm_lanes_timer(struct lanes *l, int64_t at_ms)
{
	int64_t wait = at_ms - clock_mono_ms();

	if (l->check_ms && l->check_ms <= at_ms)
		return;
	l->check_ms = at_ms;
	uv_update_time(l->loop);
	(void)uv_timer_start(&l->timer, lanes_on_timer, wait > 0 ? (uint64_t)wait : 0, 0);
}

static void lanes_on_timer(uv_timer_t *t)
{
	struct lanes *l = t->data;
	int64_t now = clock_mono_ms(), next = 0;

	l->check_ms = 0;
	lanes_lock(l);
	for (struct job *j = LIST_FIRST(&l->all); j; j = LIST_NEXT(j, in_all)) {
		int64_t at = check_job(l, j, now);

		if (at && (!next || at < next))
			next = at;
	}
	lanes_unlock(l);
	if (next)
		arm_lanes_timer(l, next);
	report_late_jobs(l);
}

/* ------------------------------------------------------------------ loop thread: ended jobs */

static struct job *take_ended(struct lanes *l)
{
	lanes_lock(l);
	struct job *j = TAILQ_FIRST(&l->ended);
	if (j)
		TAILQ_REMOVE(&l->ended, j, in_queue);
	lanes_unlock(l);
	return j;
}

static struct lane_thread *take_finished_thread(struct lanes *l)
{
	struct lane_thread *t;

	lanes_lock(l);
	for (t = LIST_FIRST(&l->threads); t && !t->over;)
		t = LIST_NEXT(t, all);
	if (t)
		LIST_REMOVE(t, all);
	lanes_unlock(l);
	return t;
}

static void join_finished_threads(struct lanes *l)
{
	for (struct lane_thread *t; (t = take_finished_thread(l));) {
		(void)pthread_join(t->id, NULL);
		free(t);
	}
}

static void deliver_ended_job(struct job *j)
{
	LAG_SECTION("job", j->calls.what);
	assert(j->state == JOB_ENDED);
	LIST_REMOVE(j, in_all);
	if (j->calls.done)
		j->calls.done(j->arg, j->end);
	free(j);
}

/* Call done() of ended jobs: all of them, or until this turn of the loop has taken long enough. */
static void deliver_ended_jobs(struct lanes *l, bool all)
{
	for (struct job *j; (j = take_ended(l));) {
		deliver_ended_job(j);
		if (!all && lag_enough()) {
			(void)uv_async_send(&l->wake);
			break;
		}
	}
	join_finished_threads(l);
}

/* Without jobs: stop the timer, and let the loop end. */
static void idle_if_empty(struct lanes *l)
{
	if (!LIST_EMPTY(&l->all))
		return;
	l->check_ms = 0;
	(void)uv_timer_stop(&l->timer);
	uv_unref((uv_handle_t *)&l->wake);
}

static void lanes_on_wake(uv_async_t *a)
{
	struct lanes *l = a->data;

	deliver_ended_jobs(l, false);
	idle_if_empty(l);
}

/* ------------------------------------------------------------------ loop thread: jobs and lanes */

static struct lanes *lanes_of(uv_loop_t *loop)
{
	if (!uv_loop_get_data(loop))
		lanes_open(loop, &lane_sizes_default);
	return uv_loop_get_data(loop);
}

struct job *job_start(uv_loop_t *loop, const struct job_calls *calls, void *arg)
{
	struct lanes *l = lanes_of(loop);
	struct job *j = xcalloc(1, sizeof(*j));
	int64_t due = clock_mono_ms() + calls->deadline_ms;

	assert_loop_thread();
	assert(calls->deadline_ms && calls->work && calls->lane < LANES);
	*j = (struct job){ .lanes = l, .calls = *calls, .arg = arg, .due_ms = due };
	if (LIST_EMPTY(&l->all))
		uv_ref((uv_handle_t *)&l->wake);
	LIST_INSERT_HEAD(&l->all, j, in_all);
	lanes_lock(l);
	TAILQ_INSERT_TAIL(&l->lane[calls->lane].queue, j, in_queue);
	l->lane[calls->lane].queued++;
	if (l->refusing[calls->lane])
		drop_queued_job(l, j);
	else
		ensure_threads(l, calls->lane);
	lanes_unlock(l);
	arm_lanes_timer(l, lend_ms[calls->lane] && calls->deadline_ms > lend_ms[calls->lane]
				   ? due - calls->deadline_ms + lend_ms[calls->lane]
				   : due);
	return j;
}

void job_cancel(struct job *j)
{
	struct lanes *l = j->lanes;

	assert_loop_thread();
	lanes_lock(l);
	atomic_store(&j->cancelled, true);
	if (j->state == JOB_QUEUED)
		drop_queued_job(l, j);
	lanes_unlock(l);
}

void lanes_open(uv_loop_t *loop, const struct lane_sizes *sizes)
{
	struct lanes *l = xcalloc(1, sizeof(*l));

	assert(!uv_loop_get_data(loop));
	l->loop = loop;
	(void)pthread_mutex_init(&l->lock, NULL);
	TAILQ_INIT(&l->ended);
	LIST_INIT(&l->threads);
	LIST_INIT(&l->all);
	for (int n = 0; n < LANES; n++) {
		assert(sizes->n[n]);
		l->lane[n].size = sizes->n[n];
		(void)pthread_cond_init(&l->lane[n].work, NULL);
		TAILQ_INIT(&l->lane[n].queue);
	}
	(void)uv_async_init(loop, &l->wake, lanes_on_wake);
	(void)uv_timer_init(loop, &l->timer);
	l->wake.data = l->timer.data = l;
	uv_unref((uv_handle_t *)&l->wake);
	uv_unref((uv_handle_t *)&l->timer);
	l->handles = 2;
	uv_loop_set_data(loop, l);
}

static void cancel_lane(struct lanes *l, enum lane lane)
{
	for (struct job *j = LIST_FIRST(&l->all); j; j = LIST_NEXT(j, in_all)) {
		if (j->calls.lane == lane)
			job_cancel(j);
	}
}

void lanes_refuse(uv_loop_t *loop, enum lane lane)
{
	struct lanes *l = lanes_of(loop);

	l->refusing[lane] = true;
	cancel_lane(l, lane);
}

void lanes_cancel_all(uv_loop_t *loop)
{
	for (int n = 0; n < LANES; n++)
		cancel_lane(lanes_of(loop), (enum lane)n);
}

static void lanes_free(struct lanes *l)
{
	for (int n = 0; n < LANES; n++)
		(void)pthread_cond_destroy(&l->lane[n].work);
	(void)pthread_mutex_destroy(&l->lock);
	free(l);
}

static void lanes_on_closed(uv_handle_t *h)
{
	struct lanes *l = h->data;

	/* Abandoned jobs still use it. */
	assert(l->handles > 0);
	if (!--l->handles && LIST_EMPTY(&l->all))
		lanes_free(l);
}

/* Detach the threads that are inside work(); end and join the others. */
static void end_threads(struct lanes *l)
{
	struct lane_thread *t;

	lanes_lock(l);
	l->closing = true;
	for (int n = 0; n < LANES; n++)
		(void)pthread_cond_broadcast(&l->lane[n].work);
	while ((t = LIST_FIRST(&l->threads))) {
		pthread_t id = t->id;
		bool busy = t->busy;

		LIST_REMOVE(t, all);
		lanes_unlock(l);
		if (busy)
			(void)pthread_detach(id);
		else
			(void)pthread_join(id, NULL);
		if (!busy)
			free(t);
		lanes_lock(l);
	}
	lanes_unlock(l);
}

unsigned lanes_close(uv_loop_t *loop)
{
	struct lanes *l = uv_loop_get_data(loop);
	unsigned stuck = 0;

	if (!l)
		return 0;
	for (int n = 0; n < LANES; n++)
		lanes_refuse(loop, (enum lane)n);
	end_threads(l);
	deliver_ended_jobs(l, true);
	for (struct job *j = LIST_FIRST(&l->all); j; j = LIST_NEXT(j, in_all))
		stuck++;
	uv_loop_set_data(loop, NULL);
	uv_close((uv_handle_t *)&l->wake, lanes_on_closed);
	uv_close((uv_handle_t *)&l->timer, lanes_on_closed);
	return stuck;
}

void lanes_stats(uv_loop_t *loop, struct lane_stats ret[LANES])
{
	struct lanes *l = lanes_of(loop);

	lanes_lock(l);
	for (int n = 0; n < LANES; n++)
		ret[n] = (struct lane_stats){ .queued = l->lane[n].queued,
					      .late_total = l->lane[n].late_total,
					      .dropped_total = l->lane[n].dropped_total };
	for (struct job *j = LIST_FIRST(&l->all); j; j = LIST_NEXT(j, in_all)) {
		ret[j->calls.lane].running += j->state == JOB_RUNNING;
		ret[j->calls.lane].late += j->state == JOB_RUNNING && j->late;
	}
	lanes_unlock(l);
}
