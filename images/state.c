/* SPDX-License-Identifier: Apache-2.0
 * state.c - finds out for lists of images whether their files still match their records.
 *
 * A job compares only sizes and times. If the file system of the store does not answer within the
 * deadline, the state is "unknown"; the job then keeps its values until it returns. Each such job
 * occupies a thread. Therefore no further job is started while LATE_MAX of them still run: the
 * state is "unknown" at once.
 *
 * See also: record.c for the comparison, store.c for the check of the content.
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/lanes.h"
#include "base/loop.h"
#include "base/strings.h"
#include "db/images.h"
#include "images/images.h"
#include "images/state.h"
#include "images/store_context.h"

enum { CHECK_MS = 5000, LATE_MAX = 4 };

const char *const image_state_word[IMAGE_STATES] = { [IMAGE_AVAILABLE] = "available",
						     [IMAGE_MISSING] = "missing",
						     [IMAGE_CHANGED] = "changed",
						     [IMAGE_UNKNOWN] = "unknown" };

struct image_state_job {
	struct image_store *s;
	size_t n;
	char **dirs, **files;         /* @n each, owned */
	struct image_status *results; /* @n; written by the job */
	bool late;                    /* past its deadline; done() was called */
	void (*done)(void *arg, const struct image_status *results);
	void *arg;
};

static void image_status_read(const char *dir, const char *files, struct image_status *ret)
{
	struct err e;
	int r = image_record_check(dir, files, &e);

	ret->state = !r                    ? IMAGE_AVAILABLE
		     : r == -ERR_NOT_FOUND ? IMAGE_MISSING
		     : r == -ERR_CONFLICT  ? IMAGE_CHANGED
					   : IMAGE_UNKNOWN;
	(void)snprintf(ret->reason, sizeof(ret->reason), "%s", r ? e.text : "");
	/* The text may contain a file name, which may contain any byte. */
	for (char *c = ret->reason; *c; c++)
		if (*c < ' ' || *c > '~')
			*c = '?';
}

static void image_state_work(void *arg)
{
	struct image_state_job *j = arg;

	for (size_t i = 0; i < j->n; i++)
		image_status_read(j->dirs[i], j->files[i], &j->results[i]);
}

/* Call done() once: after the deadline it was called already. */
static void image_state_report(struct image_state_job *j, const struct image_status *results)
{
	void (*done)(void *, const struct image_status *) = j->done;

	j->done = NULL;
	if (done)
		done(j->arg, results);
}

/* The job may still write to j->results, so the caller gets an array of its own. */
static void image_state_report_unknown(struct image_state_job *j)
{
	struct image_status *results = xcalloc(j->n + 1, sizeof(*results));

	for (size_t i = 0; i < j->n; i++) {
		results[i].state = IMAGE_UNKNOWN;
		(void)snprintf(results[i].reason, sizeof(results[i].reason),
			       "its folder could not be read in time");
	}
	image_state_report(j, results);
	free(results);
}

static void image_state_late(void *arg)
{
	struct image_state_job *j = arg;

	assert(!j->late);
	j->late = true;
	j->s->late_checks++;
	image_state_report_unknown(j);
}

static void image_state_job_free(struct image_state_job *j)
{
	for (size_t i = 0; i < j->n; i++) {
		free(j->dirs[i]);
		free(j->files[i]);
	}
	free(j->dirs);
	free(j->files);
	free(j->results);
	free(j);
}

static void image_state_done(void *arg, enum job_end end)
{
	struct image_state_job *j = arg;
	struct image_store *s = j->s;

	if (j->late) {
		assert(s->late_checks);
		s->late_checks--;
	}
	if (end == JOB_DROPPED)
		image_state_report_unknown(j);
	else
		image_state_report(j, j->results);
	image_state_job_free(j);
	s->cfg.on_end(s->cfg.arg);
}

void image_states_read(struct image_store *s, const struct image_row *rows, size_t n,
		       void (*done)(void *arg, const struct image_status *results), void *arg)
{
	static const struct job_calls calls = { .lane = LANE_SHORT,
						.what = "read the state of images",
						.deadline_ms = CHECK_MS,
						.work = image_state_work,
						.done = image_state_done,
						.late = image_state_late };
	struct image_state_job *j = xcalloc(1, sizeof(*j));
	struct err e;

	assert_loop_thread();
	*j = (struct image_state_job){ .s = s, .n = n, .done = done, .arg = arg };
	j->results = xcalloc(n + 1, sizeof(*j->results));
	j->dirs = xcalloc(n + 1, sizeof(*j->dirs));
	j->files = xcalloc(n + 1, sizeof(*j->files));
	for (size_t i = 0; i < n; i++) {
		j->dirs[i] = image_store_path(s, rows[i].name);
		if (images_files(s->cfg.db, rows[i].id, &j->files[i], &e) < 0)
			j->files[i] = xstrdup("");
	}
	if (s->late_checks >= LATE_MAX) {
		image_state_report_unknown(j);
		image_state_job_free(j);
		return;
	}
	s->cfg.on_begin(s->cfg.arg);
	(void)job_start(s->cfg.loop, &calls, j);
}
