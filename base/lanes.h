/* SPDX-License-Identifier: Apache-2.0
 * lanes.h - blocking jobs on worker threads, in four lanes with their own threads.
 *
 * A peer that never answers must not block work that does not depend on it. Jobs are therefore
 *divided by what they wait for, and each lane has its own threads:
 *
 *	kill	ends a QEMU or closes a connection; must never wait for other jobs
 *	guest	waits for a QEMU or for a guest
 *	bulk	hashes, copies, unpacks: long work on local files
 *	short	everything else
 *
 * Every job has a deadline. A job cannot be interrupted, so when it is past its deadline this is
 *reported and the lane may start another thread in its place. In the lanes kill, guest and short
 *another thread may start after one second already.
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
	JOB_WORKED,  /* work() has returned, perhaps after the deadline */
	JOB_DROPPED, /* work() was not called: cancelled, or no thread was free in time */
};

struct job_calls {
	enum lane lane;
	const char *what;     /* static; names the job in log lines: "define domain" */
	unsigned deadline_ms; /* from job_start(); at least 1 */
	/* Lane thread. Reads and writes only values in @arg. */
	void (*work)(void *arg);
	/* Loop thread, once, when work() has returned or will not be called. May be NULL. @arg then
	 * belongs to the caller again. Not called for a job that still runs when the lanes close:
	 * @arg then stays with the job. */
	void (*done)(void *arg, enum job_end end);
	/* Loop thread, at most once, when the deadline has passed and work() still runs. @arg still
	 * belongs to the job. May be NULL. */
	void (*late)(void *arg);
};

struct job;

/* Loop thread. Start a job. The result is valid until done() is called. @calls is copied. */
struct job *job_start(uv_loop_t *loop, const struct job_calls *calls, void *arg);

/* Loop thread. Cancel a job. A queued job is dropped: done(JOB_DROPPED) is called later from the
 * loop. A running job may check job_is_cancelled() and return early; done() is called as usual. */
void job_cancel(struct job *j);

/* Inside work(): the job was cancelled or is past its deadline. Long jobs must check it. On other
 * threads it is false. */
bool job_is_cancelled(void);
/* Inside work(): milliseconds until the deadline, at least 0. On other threads: ten minutes. */
int job_time_left_ms(void);

/* Loop thread. Create the lanes of @loop. Without this call the first job creates them with default
 * sizes. They are stored in uv_loop_get_data(), which uv_loop_init() does not initialise: the
 * memory of the loop must be zeroed before. */
void lanes_open(uv_loop_t *loop, const struct lane_sizes *sizes);
/* Loop thread. Cancel the jobs of one lane, and drop all jobs started in it later. */
void lanes_refuse(uv_loop_t *loop, enum lane lane);
/* Loop thread. Cancel all jobs that are queued or running now. */
void lanes_cancel_all(uv_loop_t *loop);
/* Loop thread. Cancel all jobs, drop those started by done(), and abandon those that still run.
 * Returns the number of abandoned jobs: their threads still use their memory, so the caller must
 * not free it and must end the process by _exit(). Handles are closed in later turns of the loop.
 */
unsigned lanes_close(uv_loop_t *loop);

/* Loop thread; for metrics. */
struct lane_stats {
	unsigned queued, running; /* now */
	unsigned late;            /* running ones past their deadline */
	unsigned long long late_total, dropped_total;
};
void lanes_stats(uv_loop_t *loop, struct lane_stats ret[LANES]);

#endif
