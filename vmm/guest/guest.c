/* SPDX-License-Identifier: Apache-2.0
 * guest.c - what running guests say on their serial console, and keeping their logs bounded.
 *
 * Guests of images that report their boot are followed by inotify on the serial log: no polling.
 * The log is read in jobs, one at a time for each guest. A guest is an enemy: however fast it
 * writes, its log is read no more than every READ_GAP_MS, 64 KiB at a time, and only what changes a
 * row is written. One that has reported more than NEWS_MAX times in a boot is read every
 * NOISY_GAP_MS from then on, so that it cannot fill the event log.
 *
 * A guest that has ended stays in v->guests until its log was read to the end and what it said was
 * committed, or was refused LAST_TRIES times. A job keeps its guest, and the vmm (vmm_job_begin()),
 * until it is done.
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
#include "vmm/node/world.h"
#include "vmm/op/engine.h"
#include "vmm/node/event.h"

enum {
	READ_GAP_MS = 50,
	NOISY_GAP_MS = 10000,
	NEWS_MAX = 256,
	SAY_AGAIN_MS = 1000,
	LAST_TRIES = 60
};
enum { READ_MAX_MS = 15 * 1000, ROTATE_MAX_MS = 10 * 60 * 1000 };

struct heard {
	char said[SERIAL_KINDS][SERIAL_TEXT]; /* "" = none */
	bool news[SERIAL_KINDS];
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
	unsigned told;       /* news recorded in this boot */
	unsigned tries;      /* that failed to record its last words */
	unsigned pokes;      /* commits waited for: the struct stays until then */
	struct heard heard;  /* to be recorded */
	bool changed;        /* the log, since the last read was started */
	bool ended, dropped; /* the guest: read to the end; the struct: free it */
	bool reading;        /* a job is: it has the members from here on to itself */
	struct serial_scan scan;
	struct heard read; /* what is new */
	bool to_end;       /* read all there is, not only a slice */
	bool more;
};

/* Of those that have not ended. */
static struct guest *find(struct vmm *v, int64_t cvm)
{
	struct guest *g = v->guests;

	while (g && (g->cvm != cvm || g->ended))
		g = g->next;
	return g;
}

static void free_unused(struct guest *g)
{
	if (!g->dropped || g->reading || g->watch_open || g->pokes)
		return;
	free(g->log_dir);
	free(g);
}

static void watch_closed(uv_handle_t *h)
{
	struct guest *g = h->data;

	g->watch_open = false;
	free_unused(g);
}

static void drop(struct guest *g)
{
	struct guest **p = &g->v->guests;

	assert(!g->dropped);
	while (*p != g)
		p = &(*p)->next;
	*p = g->next;
	g->dropped = true;
	loop_after_cancel(&g->timer);
	if (g->watch_open)
		uv_close((uv_handle_t *)&g->watch, watch_closed);
	else
		free_unused(g);
}

/* ------------------------------------------------------------------ progress */

/* [job] */
static void hear(void *arg, enum serial_kind kind, const char *text)
{
	struct heard *h = arg;

	h->news[kind] = true;
	(void)snprintf(h->said[kind], sizeof(h->said[kind]), "%s", text);
}

static int record(struct guest *g, const struct cvm_row *c, const char *column, const char *old,
		  enum serial_kind kind, struct err *e)
{
	int r;

	if (!g->heard.news[kind] || !strcmp(old, g->heard.said[kind]))
		return 0;
	r = cvms_set_progress(vmm_db(g->v), c->id, column, g->heard.said[kind], e);
	/* It says what it likes, and so takes of its workspace's share: a part that leaves its
	 * owner room. */
	if (!r)
		r = records_allow(g->v, c->workspace, RECORD_EVENTS, RECORDS_GUEST, e);
	if (r)
		return r == -ERR_QUOTA ? 0 : r;
	return event(g->v, c, c->op_id, "cvm.progress", e, "{s:s}", column, g->heard.said[kind]);
}

static int record_turn(void *arg, struct err *e)
{
	struct guest *g = arg;
	struct cvm_row c;
	int r = cvms_get(vmm_db(g->v), g->cvm, &c, e);

	if (r || c.boot != g->boot)
		return r == -ERR_NOT_FOUND ? 0 : r;
	r = record(g, &c, "boot_progress", c.boot_progress, SERIAL_BOOT_PROGRESS, e);
	if (!r)
		r = record(g, &c, "boot_error", c.boot_error, SERIAL_BOOT_ERROR, e);
	if (!r)
		r = record(g, &c, "shutdown_progress", c.shutdown_progress,
			   SERIAL_SHUTDOWN_PROGRESS, e);
	return r;
}

static void read_log(void *arg);
static void say_again(struct guest *g);

/* Its last words are recorded, or given up. */
static bool is_over(const struct guest *g)
{
	return g->to_end && !g->reading && !g->timer && !g->pokes;
}

/* Operations ask guest_is_unread() when they are woken, so the guest is dropped before. */
static void poke(void *arg, const struct err *e)
{
	struct guest *g = arg;
	struct vmm *v = g->v;
	int64_t cvm = g->cvm;
	bool over;

	g->pokes--;
	if (e && !g->dropped && !vmm_is_closing(v))
		say_again(g);
	over = is_over(g);
	if (g->dropped)
		free_unused(g);
	else if (over)
		drop(g);
	if ((!e || over) && !vmm_is_closing(v))
		ops_poke(v, cvm);
}

static int64_t gap(const struct guest *g)
{
	return g->told > NEWS_MAX ? NOISY_GAP_MS : READ_GAP_MS;
}

static void read_soon(struct guest *g)
{
	int64_t wait = g->read_at + gap(g) - clock_mono_ms();

	if (!g->timer)
		(void)loop_after(vmm_settings(g->v)->loop, wait > 0 ? (uint64_t)wait : 0, read_log,
				 g, &g->timer);
}

/* The database would not take it: the guest will not say it again, so that is ours to do. */
static void say_again(struct guest *g)
{
	if (g->ended && ++g->tries >= LAST_TRIES) {
		log_warn("what the guest in %s said last is not recorded: the database refused it",
			 g->log_dir);
		return;
	}
	for (int k = SERIAL_BOOT_PROGRESS; k < SERIAL_KINDS; k++)
		g->heard.news[k] |= g->heard.said[k][0] != 0;
	if (!g->timer)
		(void)loop_after(vmm_settings(g->v)->loop, SAY_AGAIN_MS, read_log, g, &g->timer);
}

static void poke_later(struct guest *g)
{
	g->pokes++;
	turn_after(vmm_turn(g->v), poke, g);
}

static void tell(struct guest *g)
{
	struct err e;

	if (turn_do(vmm_turn(g->v), record_turn, g, &e) < 0) {
		say_again(g);
		return;
	}
	memset(g->heard.news, 0, sizeof(g->heard.news));
	g->told++;
	poke_later(g);
}

/* What was read is to be recorded. False if there is nothing. */
static bool take_read(struct guest *g)
{
	bool any = false;

	for (int k = SERIAL_BOOT_PROGRESS; k < SERIAL_KINDS; k++) {
		if (g->read.news[k])
			memcpy(g->heard.said[k], g->read.said[k], sizeof(g->heard.said[k]));
		g->heard.news[k] |= g->read.news[k];
		any |= g->heard.news[k];
	}
	memset(&g->read, 0, sizeof(g->read));
	return any;
}

static void read_work(void *arg)
{
	struct guest *g = arg;
	struct err e;

	do {
		if (serial_scan_file(&g->scan, g->log_dir, hear, &g->read, &g->more, &e))
			return;
	} while (g->more && g->to_end && !job_is_cancelled());
}

static void read_done(void *arg, enum job_end end)
{
	struct guest *g = arg;
	struct vmm *v = g->v;

	g->reading = false;
	if (take_read(g) && !vmm_is_closing(v))
		tell(g);
	if (g->dropped)
		free_unused(g);
	else if (vmm_is_closing(v))
		drop(g);
	else if (g->to_end && !g->timer)
		poke_later(g); /* who waits for its last words goes on, also if there were none */
	else if (g->ended && !g->to_end)
		read_log(g);
	else if (!g->ended && (g->more || g->changed || end == JOB_DROPPED))
		read_soon(g);
	vmm_job_end(v);
}

static void read_log(void *arg)
{
	static const struct job_calls calls = { .lane = LANE_SHORT,
						.what = "read a serial log",
						.deadline_ms = READ_MAX_MS,
						.work = read_work,
						.done = read_done };
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

static void log_changed(uv_fs_event_t *h, const char *name, int events, int status)
{
	struct guest *g = h->data;

	(void)name;
	(void)events;
	LAG_SECTION("log", "changed");
	if (status || g->ended || g->timer)
		return;
	g->changed = true;
	if (!g->reading)
		read_soon(g);
}

static void start_watching(struct guest *g)
{
	auto_free char *path = xasprintf("%s/serial.log", g->log_dir);

	g->watch.data = g;
	(void)uv_fs_event_init(vmm_settings(g->v)->loop, &g->watch);
	g->watched = g->watch_open = true;
	if (uv_fs_event_start(&g->watch, log_changed, path, 0))
		log_warn("cannot follow %s: boot progress of this guest will not be seen", path);
	read_log(g);
}

/* ------------------------------------------------------------------ rotation */

struct rotation {
	struct vmm *v;
	char **dirs;
	size_t n;
	struct log_limits limits;
};

static void rotate_work(void *arg)
{
	struct rotation *r = arg;
	struct err e;

	for (size_t i = 0; i < r->n && !job_is_cancelled(); i++)
		if (logs_rotate(r->dirs[i], &r->limits, &e) && !job_is_cancelled())
			log_warn("cannot rotate logs in %s: %s", r->dirs[i], e.text);
}

static void arm_rotation(struct vmm *v);

static void rotate_done(void *arg, enum job_end end)
{
	struct rotation *r = arg;
	struct vmm *v = r->v;

	(void)end; /* a round that was not begun is made up for by the next one */
	for (size_t i = 0; i < r->n; i++)
		free(r->dirs[i]);
	free(r->dirs);
	free(r);
	v->rotation = NULL;
	if (!vmm_is_closing(v))
		arm_rotation(v);
	vmm_job_end(v);
}

/* In the short lane on purpose: imports may have the bulk lane for hours, and a log must not grow
 * for as long. */
static void rotate(void *arg)
{
	static const struct job_calls calls = { .lane = LANE_SHORT,
						.what = "rotate logs",
						.deadline_ms = ROTATE_MAX_MS,
						.work = rotate_work,
						.done = rotate_done };
	struct vmm *v = arg;
	struct rotation *r = xcalloc(1, sizeof(*r));

	*r = (struct rotation){ .v = v,
				.limits = { .max_bytes = vmm_settings(v)->log_max_bytes,
					    .max_backups = vmm_settings(v)->log_backups,
					    .keep_boots = vmm_settings(v)->log_keep_boots } };
	for (struct guest *g = v->guests; g; g = g->next) {
		r->dirs = xrealloc(r->dirs, (r->n + 1) * sizeof(*r->dirs));
		r->dirs[r->n++] = xstrdup(g->log_dir);
	}
	vmm_job_begin(v);
	v->rotation = job_start(vmm_settings(v)->loop, &calls, r);
}

/* Only while guests run: an idle node has no timer here. Two rotations at a time would rotate the
 * same log. */
static void arm_rotation(struct vmm *v)
{
	if (v->guests && !v->log_timer && !v->rotation && vmm_settings(v)->log_check_s)
		(void)loop_after(vmm_settings(v)->loop,
				 (uint64_t)vmm_settings(v)->log_check_s * 1000, rotate, v,
				 &v->log_timer);
}

/* ------------------------------------------------------------------ who is listened to */

void guest_listen(struct vmm *v, const struct cvm_row *c)
{
	auto_free char *dir = cvm_dir(v, c->uuid);
	struct guest *g = find(v, c->id);

	if (g && g->boot == c->boot)
		return;
	guest_forget(v, c->id);
	g = xcalloc(1, sizeof(*g));
	*g = (struct guest){ .next = v->guests, .v = v, .cvm = c->id, .boot = c->boot };
	g->log_dir = xasprintf("%s/logs", dir);
	v->guests = g;
	if (c->serial_progress)
		start_watching(g);
	arm_rotation(v);
}

void guest_forget(struct vmm *v, int64_t cvm)
{
	struct guest *g = find(v, cvm);

	if (!g)
		return;
	g->ended = true;
	loop_after_cancel(&g->timer);
	/* Its last words may not have been read yet. */
	if (g->watched)
		read_log(g);
	else
		drop(g);
}

bool guest_is_unread(const struct vmm *v, int64_t cvm)
{
	for (const struct guest *g = v->guests; g; g = g->next)
		if (g->cvm == cvm && g->watched)
			return true;
	return false;
}

void guests_close(struct vmm *v)
{
	for (struct guest *g = v->guests, *next; g; g = next) {
		next = g->next;
		drop(g);
	}
	loop_after_cancel(&v->log_timer);
	if (v->rotation)
		job_cancel(v->rotation);
}
