/* SPDX-License-Identifier: Apache-2.0
 * state.c - are the files of images as they were when they were verified? For those who list
 * images.
 *
 * Only sizes and times are compared, in a job: the folder may be on a file system that does not
 * answer. Then the answer is "unknown" when the time is up, and the job keeps its values until it
 * returns. Each such job holds a thread. So with LATE_MAX of them the answer is "unknown" at once,
 * until one of them has returned.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/lanes.h"
#include "base/strings.h"
#include "db/images.h"
#include "images/images.h"
#include "images/state.h"
#include "vmm/logs/serial_scan.h"
#include "vmm/node/node.h"
#include "vmm/node/world.h"

enum { LOOK_MS = 5000, LATE_MAX = 4 };

const char *const image_state_word[IMAGE_STATES] = { [IMAGE_AVAILABLE] = "available",
						     [IMAGE_MISSING] = "missing",
						     [IMAGE_CHANGED] = "changed",
						     [IMAGE_UNKNOWN] = "unknown" };

struct looking {
	struct vmm *v;
	size_t n;
	char **dirs, **files;     /* @n each, owned */
	struct image_look *looks; /* @n, of the job */
	bool late;
	void (*done)(void *arg, const struct image_look *looks);
	void *arg;
};

static void look_at(const char *dir, const char *files, struct image_look *ret)
{
	struct err e;
	int r = image_record_check(dir, files, &e);

	ret->state = !r                    ? IMAGE_AVAILABLE
		     : r == -ERR_NOT_FOUND ? IMAGE_MISSING
		     : r == -ERR_CONFLICT  ? IMAGE_CHANGED
					   : IMAGE_UNKNOWN;
	(void)snprintf(ret->reason, sizeof(ret->reason), "%s", r ? e.text : "");
	for (char *c = ret->reason; *c; c++)
		if (*c < ' ' || *c > '~')
			*c = '?'; /* a file may be called anything */
}

static void look_work(void *arg)
{
	struct looking *l = arg;

	for (size_t i = 0; i < l->n; i++)
		look_at(l->dirs[i], l->files[i], &l->looks[i]);
}

static void tell(struct looking *l, const struct image_look *looks)
{
	void (*done)(void *, const struct image_look *) = l->done;

	l->done = NULL;
	if (done)
		done(l->arg, looks);
}

/* The job writes into looks: those who wait get others. */
static void tell_unknown(struct looking *l)
{
	struct image_look *looks = xcalloc(l->n + 1, sizeof(*looks));

	for (size_t i = 0; i < l->n; i++) {
		looks[i].state = IMAGE_UNKNOWN;
		(void)snprintf(looks[i].reason, sizeof(looks[i].reason),
			       "its folder could not be read in time");
	}
	tell(l, looks);
	free(looks);
}

static void look_late(void *arg)
{
	struct looking *l = arg;

	l->late = true;
	l->v->late_looks++;
	tell_unknown(l);
}

static void looking_free(struct looking *l)
{
	for (size_t i = 0; i < l->n; i++) {
		free(l->dirs[i]);
		free(l->files[i]);
	}
	free(l->dirs);
	free(l->files);
	free(l->looks);
	free(l);
}

static void looked(void *arg, enum job_end end)
{
	struct looking *l = arg;
	struct vmm *v = l->v;

	if (l->late)
		v->late_looks--;
	if (end == JOB_DROPPED)
		tell_unknown(l);
	else
		tell(l, l->looks);
	looking_free(l);
	vmm_job_end(v);
}

void vmm_images_look(struct vmm *v, const struct image_row *rows, size_t n,
		     void (*done)(void *arg, const struct image_look *looks), void *arg)
{
	static const struct job_calls calls = { .lane = LANE_SHORT,
						.what = "look at images",
						.deadline_ms = LOOK_MS,
						.work = look_work,
						.done = looked,
						.late = look_late };
	struct looking *l = xcalloc(1, sizeof(*l));
	struct err e;

	*l = (struct looking){ .v = v, .n = n, .done = done, .arg = arg };
	l->looks = xcalloc(n + 1, sizeof(*l->looks));
	l->dirs = xcalloc(n + 1, sizeof(*l->dirs));
	l->files = xcalloc(n + 1, sizeof(*l->files));
	for (size_t i = 0; i < n; i++) {
		l->dirs[i] = image_dir(v, rows[i].name);
		if (images_files(vmm_db(v), rows[i].id, &l->files[i], &e) < 0)
			l->files[i] = xstrdup("");
	}
	if (v->late_looks >= LATE_MAX) {
		tell_unknown(l);
		looking_free(l);
		return;
	}
	vmm_job_begin(v);
	(void)job_start(vmm_settings(v)->loop, &calls, l);
}
