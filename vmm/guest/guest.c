/* SPDX-License-Identifier: Apache-2.0
 * guest.c - record the boot and shutdown progress that guests print on their serial console, and
 * rotate their logs.
 *
 * The serial log of an image that reports its boot is followed with inotify. A job reads it; each
 * guest has at most one such job at a time. A guest is hostile: however fast it writes, its log is
 * read at most once per READ_GAP_MS, 64 KiB at a time, and a row is written only when a value
 * changes. After REPORTS_MAX reports in one boot the log is read only once per NOISY_GAP_MS, so
 * that a guest cannot fill the event log.
 *
 * A guest that has ended stays in the list until its log is read to the end and the last report is
 * committed, or until the database refused it RETRIES_MAX times. A running job keeps its struct
 * guest and the vmm alive (vmm_job_begin()); freeing either one earlier is a use after free.
 *
 * The scanner of the log is vmm/logs/serial_scan.c.
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <uv.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/lag.h"
#include "base/lanes.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/own.h"
#include "base/strings.h"
#include "db/cvms.h"
#include "db/records.h"
#include "db/turn.h"
#include "vmm/guest/guest.h"
#include "vmm/logs/logs.h"
#include "vmm/logs/serial_scan.h"
#include "vmm/node/node.h"
#include "vmm/node/records.h"
#include "vmm/node/settings.h"
#include "vmm/op/engine.h"
#include "vmm/node/event.h"

enum {
	READ_GAP_MS = 50,
	NOISY_GAP_MS = 10000,
	REPORTS_MAX = 256,
	RETRY_MS = 1000,
	RETRIES_MAX = 60
};
enum { READ_MAX_MS = 15 * 1000, ROTATE_MAX_MS = 10 * 60 * 1000 };

struct boot_reports {
	char text[SERIAL_KINDS][SERIAL_TEXT]; /* "" = none */
	bool is_new[SERIAL_KINDS];
};

struct guest {
	struct guest *next;
	struct vmm *v;
	int64_t cvm, boot;
	char *log_dir;
	uv_fs_event_t watch;
	bool watched, watch_open;
	struct loop_timer *timer;
	int64_t read_at;
	unsigned reports_recorded;   /* reports recorded in this boot */
	unsigned record_tries;       /* failed attempts to record the last report */
	unsigned commits_pending;    /* commits in progress; the struct stays until they end */
	struct boot_reports pending; /* read, and not yet recorded */
	bool changed;                /* the log changed after the last read was started */
	bool ended, dropped; /* ended: the guest is off, read to the end; dropped: not in the list,
				free the struct when unused */
	bool reading;        /* a job runs; it alone uses the members below */
	struct serial_scan scan;
	struct boot_reports fresh; /* found by the job */
	bool to_end;               /* read to the end, not only one slice */
	bool more;
};

struct guests {
	struct guest *list;   /* the guests whose logs are followed */
	struct job *rotation; /* of their logs; NULL: none is under way */
	struct loop_timer *log_timer;
};

struct guests *guests_new(void)
{
	return xcalloc(1, sizeof(struct guests));
}

/* Find the guest of @cvm among those that have not ended; NULL if there is none. */
static struct guest *guest_find(struct vmm *v, int64_t cvm)
{
	struct guest *g = vmm_guests(v)->list;

	while (g && (g->cvm != cvm || g->ended))
		g = g->next;
	return g;
}

static void guest_free_unused(struct guest *g)
{
	if (!g->dropped || g->reading || g->watch_open || g->commits_pending)
		return;
	free(g->log_dir);
	free(g);
}

static void serial_watch_closed(uv_handle_t *h)
{
	struct guest *g = h->data;

	g->watch_open = false;
	guest_free_unused(g);
}

static void guest_drop(struct guest *g)
{
	struct guest **p = &vmm_guests(g->v)->list;

	assert_loop_thread();
	assert(!g->dropped);
	while (*p != g) {
		assert(*p);
		p = &(*p)->next;
	}
	*p = g->next;
	g->dropped = true;
	loop_after_cancel(&g->timer);
	if (g->watch_open)
		uv_close((uv_handle_t *)&g->watch, serial_watch_closed);
	else
		guest_free_unused(g);
}

/* ------------------------------------------------------------------ progress */

/* [job] */
static void collect_progress(void *arg, enum serial_kind kind, const char *text)
{
	struct boot_reports *h = arg;

	h->is_new[kind] = true;
	(void)snprintf(h->text[kind], sizeof(h->text[kind]), "%s", text);
}

static int record_column(struct guest *g, const struct cvm_row *c, const char *column,
			 const char *old, enum serial_kind kind, struct err *e)
{
	int r;

	if (!g->pending.is_new[kind] || !strcmp(old, g->pending.text[kind]))
		return 0;
	r = cvms_set_progress(vmm_db(g->v), c->id, column, g->pending.text[kind], e);
	/* The guest controls this text. RECORDS_GUEST limits guests to a part of the workspace's
	 * event quota, so that its owner keeps room. */
	if (!r)
		r = records_allow(g->v, c->workspace, RECORD_EVENTS, RECORDS_GUEST, e);
	if (r)
		return r == -ERR_QUOTA ? 0 : r;
	return event(g->v, c, c->op_id, "cvm.progress", e, "{s:s}", column, g->pending.text[kind]);
}

static int record_progress_turn(void *arg, struct err *e)
{
	struct guest *g = arg;
	struct cvm_row c;
	int r = cvms_get(vmm_db(g->v), g->cvm, &c, e);

	if (r || c.boot != g->boot)
		return r == -ERR_NOT_FOUND ? 0 : r;
	r = record_column(g, &c, "boot_progress", c.boot_progress, SERIAL_BOOT_PROGRESS, e);
	if (!r)
		r = record_column(g, &c, "boot_error", c.boot_error, SERIAL_BOOT_ERROR, e);
	if (!r)
		r = record_column(g, &c, "shutdown_progress", c.shutdown_progress,
				  SERIAL_SHUTDOWN_PROGRESS, e);
	return r;
}

static void serial_read(void *arg);
static void record_retry(struct guest *g);

/* True when the last report is recorded, or no longer retried. */
static bool guest_is_finished(const struct guest *g)
{
	return g->to_end && !g->reading && !g->timer && !g->commits_pending;
}

/* Runs after the commit. ops_poke() makes operations call guest_is_unread(), so the guest is
 * dropped first. */
static void progress_committed(void *arg, const struct err *e)
{
	struct guest *g = arg;
	struct vmm *v = g->v;
	int64_t cvm = g->cvm;
	bool over;

	assert(g->commits_pending > 0);
	g->commits_pending--;
	if (e && !g->dropped && !vmm_is_closing(v))
		record_retry(g);
	over = guest_is_finished(g);
	if (g->dropped)
		guest_free_unused(g);
	else if (over)
		guest_drop(g);
	if ((!e || over) && !vmm_is_closing(v))
		ops_poke(v, cvm);
}

static int64_t read_gap_ms(const struct guest *g)
{
	return g->reports_recorded > REPORTS_MAX ? NOISY_GAP_MS : READ_GAP_MS;
}

static void serial_read_soon(struct guest *g)
{
	int64_t wait = g->read_at + read_gap_ms(g) - clock_mono_ms();

	if (!g->timer)
		(void)loop_after(vmm_settings(g->v)->loop, wait > 0 ? (uint64_t)wait : 0,
				 serial_read, g, &g->timer);
}

/* Record the reports again later: the database refused them, and the guest does not repeat them. */
static void record_retry(struct guest *g)
{
	if (g->ended && ++g->record_tries >= RETRIES_MAX) {
		log_warn("cannot record the last progress of the guest in %s: the database refused "
			 "it %d times",
			 g->log_dir, RETRIES_MAX);
		return;
	}
	for (int k = SERIAL_BOOT_PROGRESS; k < SERIAL_KINDS; k++)
		g->pending.is_new[k] |= g->pending.text[k][0] != 0;
	if (!g->timer)
		(void)loop_after(vmm_settings(g->v)->loop, RETRY_MS, serial_read, g, &g->timer);
}

static void wake_after_commit(struct guest *g)
{
	g->commits_pending++;
	turn_after(vmm_turn(g->v), progress_committed, g);
}

static void record_progress(struct guest *g)
{
	struct err e;

	if (turn_do(vmm_turn(g->v), record_progress_turn, g, &e) < 0) {
		record_retry(g);
		return;
	}
	memset(g->pending.is_new, 0, sizeof(g->pending.is_new));
	g->reports_recorded++;
	wake_after_commit(g);
}

/* Move the reports that the job found to those to be recorded. False if there are none. */
static bool take_fresh_progress(struct guest *g)
{
	bool any = false;

	for (int k = SERIAL_BOOT_PROGRESS; k < SERIAL_KINDS; k++) {
		if (g->fresh.is_new[k])
			memcpy(g->pending.text[k], g->fresh.text[k], sizeof(g->pending.text[k]));
		g->pending.is_new[k] |= g->fresh.is_new[k];
		any |= g->pending.is_new[k];
	}
	memset(&g->fresh, 0, sizeof(g->fresh));
	return any;
}

static void serial_read_work(void *arg)
{
	struct guest *g = arg;
	struct err e;

	do {
		if (serial_scan_file(&g->scan, g->log_dir, collect_progress, &g->fresh, &g->more,
				     &e))
			return;
	} while (g->more && g->to_end && !job_is_cancelled());
}

static void serial_read_done(void *arg, enum job_end end)
{
	struct guest *g = arg;
	struct vmm *v = g->v;

	assert(g->reading);
	g->reading = false;
	if (take_fresh_progress(g) && !vmm_is_closing(v))
		record_progress(g);
	if (g->dropped)
		guest_free_unused(g);
	else if (vmm_is_closing(v))
		guest_drop(g);
	else if (g->to_end && !g->timer)
		wake_after_commit(g); /* wake the operations that wait for the end of the log, even
					 if it had no report */
	else if (g->ended && !g->to_end)
		serial_read(g);
	else if (!g->ended && (g->more || g->changed || end == JOB_DROPPED))
		serial_read_soon(g);
	vmm_job_end(v);
}

static void serial_read(void *arg)
{
	static const struct job_calls calls = { .lane = LANE_SHORT,
						.what = "read a serial log",
						.deadline_ms = READ_MAX_MS,
						.work = serial_read_work,
						.done = serial_read_done };
	struct guest *g = arg;

	if (g->reading) {
		g->changed = true;
		return;
	}
	g->read_at = clock_mono_ms();
	g->reading = true;
	g->changed = g->more = false;
	g->to_end = g->ended;
	vmm_job_begin(g->v);
	(void)job_start(vmm_settings(g->v)->loop, &calls, g);
}

static void serial_log_changed(uv_fs_event_t *h, const char *name, int events, int status)
{
	struct guest *g = h->data;

	(void)name;
	(void)events;
	LAG_SECTION("log", "changed");
	if (status || g->ended || g->timer)
		return;
	g->changed = true;
	if (!g->reading)
		serial_read_soon(g);
}

static void serial_watch_start(struct guest *g)
{
	auto_free char *path = xasprintf("%s/serial.log", g->log_dir);

	g->watch.data = g;
	(void)uv_fs_event_init(vmm_settings(g->v)->loop, &g->watch);
	g->watched = g->watch_open = true;
	if (uv_fs_event_start(&g->watch, serial_log_changed, path, 0))
		log_warn("cannot watch %s: the boot progress of this guest is not recorded", path);
	serial_read(g);
}

/* ------------------------------------------------------------------ rotation */

struct log_rotation {
	struct vmm *v;
	char **dirs;
	size_t n;
	struct log_limits limits;
};

static void log_rotation_work(void *arg)
{
	struct log_rotation *r = arg;
	struct err e;

	for (size_t i = 0; i < r->n && !job_is_cancelled(); i++)
		if (logs_rotate(r->dirs[i], &r->limits, &e) && !job_is_cancelled())
			log_warn("cannot rotate logs in %s: %s", r->dirs[i], e.text);
}

static void log_rotation_arm(struct vmm *v);

static void log_rotation_done(void *arg, enum job_end end)
{
	struct log_rotation *r = arg;
	struct vmm *v = r->v;

	(void)end; /* if the job did not run, the next rotation replaces it */
	for (size_t i = 0; i < r->n; i++)
		free(r->dirs[i]);
	free(r->dirs);
	free(r);
	assert(vmm_guests(v)->rotation);
	vmm_guests(v)->rotation = NULL;
	if (!vmm_is_closing(v))
		log_rotation_arm(v);
	vmm_job_end(v);
}

/* Uses the short lane: imports can occupy the bulk lane for hours, and logs must not grow for so
 * long. */
static void log_rotation_start(void *arg)
{
	static const struct job_calls calls = { .lane = LANE_SHORT,
						.what = "rotate logs",
						.deadline_ms = ROTATE_MAX_MS,
						.work = log_rotation_work,
						.done = log_rotation_done };
	struct vmm *v = arg;
	struct guests *all = vmm_guests(v);
	struct log_rotation *r = xcalloc(1, sizeof(*r));

	*r = (struct log_rotation){ .v = v,
				    .limits = { .max_bytes = vmm_settings(v)->log_max_bytes,
						.max_backups = vmm_settings(v)->log_backups,
						.keep_boots = vmm_settings(v)->log_keep_boots } };
	for (struct guest *g = all->list; g; g = g->next) {
		r->dirs = xrealloc(r->dirs, (r->n + 1) * sizeof(*r->dirs));
		r->dirs[r->n++] = xstrdup(g->log_dir);
	}
	assert(!all->rotation);
	vmm_job_begin(v);
	all->rotation = job_start(vmm_settings(v)->loop, &calls, r);
}

/* Start the timer only while guests run, so that an idle node has none. Never two rotations at
 * once: they would rotate the same log. */
static void log_rotation_arm(struct vmm *v)
{
	struct guests *all = vmm_guests(v);

	if (all->list && !all->log_timer && !all->rotation && vmm_settings(v)->log_check_s)
		(void)loop_after(vmm_settings(v)->loop,
				 (uint64_t)vmm_settings(v)->log_check_s * 1000, log_rotation_start,
				 v, &all->log_timer);
}

/* ------------------------------------------------------------------ guests that are followed */

void guest_listen(struct vmm *v, const struct cvm_row *c)
{
	auto_free char *dir = cvm_dir(v, c->uuid);
	struct guests *all = vmm_guests(v);
	struct guest *g = guest_find(v, c->id);

	assert_loop_thread();
	if (g && g->boot == c->boot)
		return;
	guest_forget(v, c->id);
	g = xcalloc(1, sizeof(*g));
	*g = (struct guest){ .next = all->list, .v = v, .cvm = c->id, .boot = c->boot };
	g->log_dir = xasprintf("%s/logs", dir);
	all->list = g;
	if (c->serial_progress)
		serial_watch_start(g);
	log_rotation_arm(v);
}

void guest_forget(struct vmm *v, int64_t cvm)
{
	struct guest *g = guest_find(v, cvm);

	if (!g)
		return;
	g->ended = true;
	loop_after_cancel(&g->timer);
	/* The end of the log may be unread. */
	if (g->watched)
		serial_read(g);
	else
		guest_drop(g);
}

bool guest_is_unread(const struct vmm *v, int64_t cvm)
{
	for (const struct guest *g = vmm_guests(v)->list; g; g = g->next)
		if (g->cvm == cvm && g->watched)
			return true;
	return false;
}

bool guests_are_followed(const struct vmm *v)
{
	return vmm_guests(v)->list != NULL;
}

void guests_close(struct vmm *v)
{
	struct guests *all = vmm_guests(v);

	assert(vmm_is_closing(v));
	for (struct guest *g = all->list, *next; g; g = next) {
		next = g->next;
		guest_drop(g);
	}
	loop_after_cancel(&all->log_timer);
	if (all->rotation)
		job_cancel(all->rotation);
}

void guests_free(struct guests *all)
{
	if (!all)
		return;
	assert(!all->rotation && !all->list && !all->log_timer); /* guests_close() was called */
	free(all);
}
