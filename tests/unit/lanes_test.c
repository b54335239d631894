/* SPDX-License-Identifier: Apache-2.0
 * lanes_test.c - jobs on worker threads: done() runs on the loop thread, late jobs are reported,
 * and hanging jobs do not block others.
 *
 * Jobs wait for semaphores that the loop posts, and the loop waits for done(), so only deadlines
 * take time.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/lanes.h"
#include "base/log.h"
#include "vmm/logs/serial_scan.h"

enum { LONG_MS = 60 * 1000, SHORT_MS = 50, HANGING = 40 };

static const struct lane_sizes one_each = { { 1, 1, 1, 1 } };

/* What happened to one job. */
struct job_record {
	struct lanes_loop *w;
	struct job *job;
	sem_t go; /* work() waits for it, unless it must return by itself */
	pthread_t worked_on;
	bool was_cancelled;
	int left_ms;
	unsigned worked, late, done;
	enum job_end end;
	struct job_record *release; /* job to release when this one is done, or late */
};

struct lanes_loop {
	uv_loop_t loop;
	pthread_t thread;
	uv_async_t started; /* by work_until_cancelled() */
	struct job_record *running;
};

static int set_up(void **st)
{
	struct lanes_loop *w = calloc(1, sizeof(*w));

	log_open(LOG_LEVEL_ERROR, false);
	w->thread = pthread_self();
	assert_int_equal(uv_loop_init(&w->loop), 0);
	*st = w;
	return 0;
}

static int tear_down(void **st)
{
	struct lanes_loop *w = *st;

	assert_int_equal(lanes_close(&w->loop), 0);
	(void)uv_run(&w->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&w->loop), 0);
	free(w);
	return 0;
}

static void note(struct job_record *t)
{
	t->worked_on = pthread_self();
	t->was_cancelled = job_is_cancelled();
	t->left_ms = job_time_left_ms();
	t->worked++;
}

static void work(void *arg)
{
	note(arg);
}

static void work_until_released(void *arg)
{
	struct job_record *t = arg;

	note(t);
	while (sem_wait(&t->go))
		;
}

static void work_until_cancelled(void *arg)
{
	struct job_record *t = arg;

	note(t);
	(void)uv_async_send(&t->w->started);
	while (!job_is_cancelled())
		(void)sched_yield();
	t->was_cancelled = true;
}

static void release(struct job_record *t)
{
	if (t)
		(void)sem_post(&t->go);
}

static void done(void *arg, enum job_end end)
{
	struct job_record *t = arg;

	assert_true(pthread_equal(pthread_self(), t->w->thread));
	t->done++;
	t->end = end;
	release(t->release);
}

static void late(void *arg)
{
	struct job_record *t = arg;

	assert_true(pthread_equal(pthread_self(), t->w->thread));
	assert_int_equal(t->done, 0);
	t->late++;
	release(t->release);
}

static void start(struct lanes_loop *w, struct job_record *t, enum lane lane, unsigned deadline_ms,
		  void (*fn)(void *))
{
	const struct job_calls calls = { .lane = lane,
					 .what = "test",
					 .deadline_ms = deadline_ms,
					 .work = fn,
					 .done = done,
					 .late = late };

	t->w = w;
	(void)sem_init(&t->go, 0, 0);
	t->job = job_start(&w->loop, &calls, t);
}

/* Returns when no jobs are left, because the loop has nothing else. */
static void run(struct lanes_loop *w)
{
	assert_int_equal(uv_run(&w->loop, UV_RUN_DEFAULT), 0);
}

static void assert_ended(const struct job_record *t, unsigned worked, enum job_end end)
{
	assert_int_equal(t->worked, worked);
	assert_int_equal(t->done, 1);
	assert_int_equal(t->end, end);
}

/* ------------------------------------------------------------------ */

static void a_job_runs_on_a_thread_and_ends_on_the_loop(void **st)
{
	struct lanes_loop *w = *st;

	for (int lane = 0; lane < LANES; lane++) {
		struct job_record t = { 0 };

		start(w, &t, (enum lane)lane, LONG_MS, work);
		assert_int_equal(t.done, 0);
		run(w);
		assert_ended(&t, 1, JOB_WORKED);
		assert_false(pthread_equal(t.worked_on, w->thread));
		assert_int_equal(t.late, 0);
	}
}

static void only_a_job_sees_its_remaining_time(void **st)
{
	struct lanes_loop *w = *st;
	struct job_record t = { 0 };

	start(w, &t, LANE_SHORT, LONG_MS, work);
	run(w);
	assert_false(t.was_cancelled);
	assert_in_range(t.left_ms, LONG_MS / 2, LONG_MS);
	assert_false(job_is_cancelled());
	assert_true(job_time_left_ms() > LONG_MS);
}

static void a_job_past_its_deadline_is_late_once_and_done_all_the_same(void **st)
{
	struct lanes_loop *w = *st;
	struct job_record t = { 0 };
	struct lane_stats stats[LANES];

	t.release = &t; /* when it is late */
	start(w, &t, LANE_GUEST, SHORT_MS, work_until_released);
	run(w);
	assert_int_equal(t.late, 1);
	assert_ended(&t, 1, JOB_WORKED);
	lanes_stats(&w->loop, stats);
	assert_int_equal(stats[LANE_GUEST].late_total, 1);
	assert_int_equal(stats[LANE_GUEST].late, 0);
	assert_int_equal(stats[LANE_GUEST].running, 0);
	assert_int_equal(stats[LANE_SHORT].late_total, 0);
}

static void a_job_past_its_deadline_counts_as_cancelled(void **st)
{
	struct lanes_loop *w = *st;
	struct job_record t = { 0 };

	(void)uv_async_init(&w->loop, &w->started, NULL);
	uv_unref((uv_handle_t *)&w->started);
	start(w, &t, LANE_SHORT, SHORT_MS, work_until_cancelled);
	run(w);
	assert_true(t.was_cancelled);
	assert_ended(&t, 1, JOB_WORKED);
	uv_close((uv_handle_t *)&w->started, NULL);
}

static void release_all(void *arg, enum job_end end)
{
	struct job_record *last = arg;

	done(arg, end);
	for (struct job_record *t = last - HANGING; t < last; t++)
		release(t);
}

static void jobs_that_hang_do_not_keep_the_next_from_running(void **st)
{
	struct lanes_loop *w = *st;
	struct job_record t[HANGING + 1] = { 0 };
	const struct job_calls calls = { .lane = LANE_GUEST,
					 .what = "the one behind them",
					 .deadline_ms = 15 * 1000,
					 .work = work,
					 .done = release_all };

	lanes_open(&w->loop, &(struct lane_sizes){ { 1, 16, 1, 1 } });
	for (int i = 0; i < HANGING; i++)
		start(w, &t[i], LANE_GUEST, LONG_MS, work_until_released);
	t[HANGING].w = w;
	(void)job_start(&w->loop, &calls, &t[HANGING]);
	run(w);
	assert_ended(&t[HANGING], 1, JOB_WORKED);
	for (int i = 0; i < HANGING; i++)
		assert_ended(&t[i], 1, JOB_WORKED);
}

static void jobs_that_hang_in_one_lane_do_not_delay_other_lanes(void **st)
{
	struct lanes_loop *w = *st;
	struct job_record hangs = { 0 }, other = { .release = &hangs };

	lanes_open(&w->loop, &one_each);
	start(w, &hangs, LANE_BULK, LONG_MS, work_until_released);
	start(w, &other, LANE_KILL, LONG_MS, work);
	run(w);
	assert_ended(&other, 1, JOB_WORKED);
	assert_ended(&hangs, 1, JOB_WORKED);
}

static void a_queued_job_is_dropped_at_its_deadline(void **st)
{
	struct lanes_loop *w = *st;
	struct job_record first = { 0 }, second = { .release = &first };
	struct lane_stats stats[LANES];

	lanes_open(&w->loop, &one_each);
	start(w, &first, LANE_BULK, LONG_MS, work_until_released);
	start(w, &second, LANE_BULK, SHORT_MS, work);
	lanes_stats(&w->loop, stats);
	assert_int_equal(stats[LANE_BULK].queued + stats[LANE_BULK].running, 2);
	run(w);
	assert_ended(&second, 0, JOB_DROPPED);
	assert_ended(&first, 1, JOB_WORKED);
	assert_int_equal(second.late, 0);
	lanes_stats(&w->loop, stats);
	assert_int_equal(stats[LANE_BULK].dropped_total, 1);
}

static void a_queued_job_that_is_cancelled_is_dropped_from_the_loop(void **st)
{
	struct lanes_loop *w = *st;
	struct job_record first = { 0 }, second = { .release = &first };

	lanes_open(&w->loop, &one_each);
	start(w, &first, LANE_BULK, LONG_MS, work_until_released);
	start(w, &second, LANE_BULK, LONG_MS, work);
	job_cancel(second.job);
	assert_int_equal(second.done, 0);
	run(w);
	assert_ended(&second, 0, JOB_DROPPED);
	assert_ended(&first, 1, JOB_WORKED);
}

static void cancel_running(uv_async_t *a)
{
	struct lanes_loop *w = a->data;

	job_cancel(w->running->job);
}

static void a_running_job_sees_that_it_is_cancelled(void **st)
{
	struct lanes_loop *w = *st;
	struct job_record t = { 0 };

	(void)uv_async_init(&w->loop, &w->started, cancel_running);
	uv_unref((uv_handle_t *)&w->started);
	w->started.data = w;
	w->running = &t;
	start(w, &t, LANE_SHORT, LONG_MS, work_until_cancelled);
	run(w);
	assert_true(t.was_cancelled);
	assert_int_equal(t.late, 0);
	assert_ended(&t, 1, JOB_WORKED);
	uv_close((uv_handle_t *)&w->started, NULL);
}

static void cancel_all(uv_async_t *a)
{
	lanes_cancel_all(a->loop);
}

static void all_jobs_are_cancelled_and_later_ones_run(void **st)
{
	struct lanes_loop *w = *st;
	struct job_record running = { 0 }, queued = { 0 }, later = { 0 };

	lanes_open(&w->loop, &one_each);
	(void)uv_async_init(&w->loop, &w->started, cancel_all);
	uv_unref((uv_handle_t *)&w->started);
	start(w, &running, LANE_BULK, LONG_MS, work_until_cancelled);
	start(w, &queued, LANE_BULK, LONG_MS, work);
	run(w);
	assert_ended(&running, 1, JOB_WORKED);
	assert_ended(&queued, 0, JOB_DROPPED);
	start(w, &later, LANE_SHORT, LONG_MS, work);
	run(w);
	assert_ended(&later, 1, JOB_WORKED);
	uv_close((uv_handle_t *)&w->started, NULL);
}

/* Lanes without jobs do not keep the loop alive; a loop without lanes can be closed, too. */
static void lanes_that_were_never_used_close(void **st)
{
	struct lanes_loop *w = *st;

	run(w);
	assert_int_equal(lanes_close(&w->loop), 0);
	lanes_open(&w->loop, &one_each);
	run(w);
}

static void closing_cancels_running_jobs(void **st)
{
	struct lanes_loop *w = *st;
	struct job_record t[3] = { 0 };

	lanes_open(&w->loop, &one_each);
	for (int i = 0; i < 3; i++)
		start(w, &t[i], LANE_SHORT, LONG_MS, work);
	assert_int_equal(lanes_close(&w->loop), 0);
	/* done() was called for each of them */
	for (int i = 0; i < 3; i++)
		assert_int_equal(t[i].done, 1);
}

/* ------------------------------------------------------------------ abandoned jobs */

static pthread_key_t at_thread_end;

static void thread_ended(void *arg)
{
	(void)sem_post(arg);
}

struct stuck {
	struct job_record t;
	sem_t running, ended;
};

static void work_stuck(void *arg)
{
	struct stuck *s = arg;

	(void)pthread_setspecific(at_thread_end, &s->ended);
	(void)sem_post(&s->running);
	work_until_released(&s->t);
}

enum { STUCK_JOBS = 2 }; /* each of them has given its place in the lane away */

/* Runs in a child process, which ends by _exit() as lanes_close() requires. Status: 0, or the
 * number of the failed check. */
static int close_with_stuck_jobs(void)
{
	static struct lanes_loop w;
	static struct stuck s[STUCK_JOBS];
	struct job_calls calls = { LANE_GUEST, "stuck", 20, work_stuck, done, late };

	(void)pthread_key_create(&at_thread_end, thread_ended);
	w.thread = pthread_self();
	(void)uv_loop_init(&w.loop);
	for (int i = 0; i < STUCK_JOBS; i++) {
		(void)sem_init(&s[i].running, 0, 0);
		(void)sem_init(&s[i].ended, 0, 0);
		(void)sem_init(&s[i].t.go, 0, 0);
		s[i].t.w = &w;
		(void)job_start(&w.loop, &calls, &s[i]);
		(void)sem_wait(&s[i].running);
	}
	/* Not UV_RUN_ONCE: libuv runs timers that are due, then waits for another event. */
	while (!s[0].t.late || !s[1].t.late)
		(void)uv_run(&w.loop, UV_RUN_NOWAIT);
	if (lanes_close(&w.loop) != STUCK_JOBS)
		return 1;
	(void)uv_run(&w.loop, UV_RUN_DEFAULT);
	if (uv_loop_close(&w.loop))
		return 2;
	for (int i = 0; i < STUCK_JOBS; i++) {
		release(&s[i].t); /* its thread now continues with closed lanes */
		(void)sem_wait(&s[i].ended);
	}
	return s[0].t.done || s[1].t.done ? 3 : 0;
}

static void jobs_that_are_stuck_when_the_lanes_close_are_given_up(void **st)
{
	int status = 0;
	pid_t pid = fork();

	(void)st;
	if (!pid)
		_exit(close_with_stuck_jobs());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		/* first, because it forks and must be the only thread */
		cmocka_unit_test(jobs_that_are_stuck_when_the_lanes_close_are_given_up),
		TEST(a_job_runs_on_a_thread_and_ends_on_the_loop),
		TEST(only_a_job_sees_its_remaining_time),
		TEST(a_job_past_its_deadline_is_late_once_and_done_all_the_same),
		TEST(a_job_past_its_deadline_counts_as_cancelled),
		TEST(jobs_that_hang_do_not_keep_the_next_from_running),
		TEST(jobs_that_hang_in_one_lane_do_not_delay_other_lanes),
		TEST(a_queued_job_is_dropped_at_its_deadline),
		TEST(a_queued_job_that_is_cancelled_is_dropped_from_the_loop),
		TEST(a_running_job_sees_that_it_is_cancelled),
		TEST(all_jobs_are_cancelled_and_later_ones_run),
		TEST(lanes_that_were_never_used_close),
		TEST(closing_cancels_running_jobs),
	};

	return cmocka_run_group_tests_name("lanes", tests, NULL, NULL);
}
