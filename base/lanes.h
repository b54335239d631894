/* SPDX-License-Identifier: Apache-2.0
 * lanes.h - blocking work beside the loop, in four lanes with their own threads.
 *
 * A peer that never answers must not take a thread away from anyone else. So work is divided by
 * what it waits for, and each lane has its own threads:
 *
 *	kill	ends a QEMU or closes a connection; nothing else may stand in its way
 *	guest	waits for a QEMU or for a guest
 *	bulk	hashes, copies, unpacks: long work on local files
 *	short	everything else
 *
 * Every job has a deadline. A job cannot be interrupted from outside, so a job past its deadline is
 * reported, and its thread no longer counts: another thread takes its place. In the lanes kill,
 * guest and short that happens after one second already.
 */
#ifndef TEEPOD_BASE_LANES_H
#define TEEPOD_BASE_LANES_H

#include <stdbool.h>
#include <uv.h>

enum lane { LANE_KILL, LANE_GUEST, LANE_BULK, LANE_SHORT, LANES };
extern const char *const lane_word[LANES];

/* Threads of each lane that work at the same time. */
struct lane_sizes {
	unsigned n[LANES];
};
extern const struct lane_sizes lane_sizes_default;

enum job_end {
	JOB_WORKED,  /* work() ran to its end, perhaps after the deadline */
	JOB_DROPPED, /* work() was never called: cancelled, or no thread was free before the
			deadline */
};

struct job_calls {
	enum lane lane;
	const char *what;     /* static; names the job in log lines: "define domain" */
	unsigned deadline_ms; /* from job_start(); at least 1 */
	/* Lane thread. Takes values from @arg, leaves values in it, shares nothing else. */
	void (*work)(void *arg);
	/* Loop thread, once, when work() has returned or will never be called. May be NULL. @arg is
	 * the caller's again. It is not called for a job that still runs when the lanes close: that
	 * job keeps @arg for ever. */
	void (*done)(void *arg, enum job_end end);
	/* Loop thread, at most once: the deadline has passed and work() still runs. @arg still
	 * belongs to the job. May be NULL. */
	void (*late)(void *arg);
};

struct job;

/* Loop thread. Start a job; the result is valid until done() was called. @calls is copied. */
struct job *job_start(uv_loop_t *loop, const struct job_calls *calls, void *arg);

/* Loop thread. The result is not needed any more. A queued job is dropped: done(JOB_DROPPED) is
 * called from the loop, not from here. A running one sees job_is_cancelled() and may end early;
 * done() follows as usual. */
void job_cancel(struct job *j);

/* Lane thread, inside work(): the caller no longer wants the result, or the deadline has passed.
 * Long work asks now and then. Elsewhere it is false. */
bool job_is_cancelled(void);
/* Lane thread, inside work(): milliseconds until the deadline, at least 0; a fixed long time
 * elsewhere. */
int job_time_left_ms(void);

/* Loop thread. The lanes of @loop; made with the default sizes by the first job if this was not
 * called before. They are found by uv_loop_get_data(), which uv_loop_init() leaves as it was: the
 * memory of a loop has to be zeroed before. */
void lanes_open(uv_loop_t *loop, const struct lane_sizes *sizes);
/* Loop thread. Cancel the jobs of one lane; jobs that are started in it later are dropped. */
void lanes_refuse(uv_loop_t *loop, enum lane lane);
/* Loop thread. Cancel all jobs that are queued or running now. */
void lanes_cancel_all(uv_loop_t *loop);
/* Loop thread. Cancel all jobs, drop those that their done() starts, and give up those that still
 * run. Returns the number of jobs that were given up: their threads still use what they were given,
 * so nothing of it may be freed, and the process has to end by _exit(). Handles close in later
 * turns of the loop. */
unsigned lanes_close(uv_loop_t *loop);

/* Loop thread; for metrics. */
struct lane_stats {
	unsigned queued, running; /* now */
	unsigned late;            /* of the running ones: past their deadline */
	unsigned long long late_total, dropped_total;
};
void lanes_stats(uv_loop_t *loop, struct lane_stats ret[LANES]);

#endif
