/* SPDX-License-Identifier: Apache-2.0
 * turn.c - one transaction a turn.
 *
 * The transaction is opened by the first turn_do() of a turn and committed by whichever comes first: the check handle (right
 * after poll, where requests arrive) or the prepare handle (before the loop may block, for work done by timers and closing
 * callbacks). Nothing can be left open while the loop sleeps. turn_after() work may itself mutate; that opens the next
 * transaction, committed before the next sleep.
 */
#include <assert.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/lag.h"
#include "db/sql.h"
#include "db/turn.h"

struct after {
	void (*fn)(void *arg, const struct err *e);
	void *arg;
};

struct watcher {
	struct watcher *next;
	void (*fn)(void *arg);
	void *arg;
};

struct turn {
	struct db *db;
	uv_prepare_t prepare;
	uv_check_t check;
	uv_idle_t idle; /* keeps poll from blocking while after-work without a transaction waits */
	int open_handles;
	bool open;
	bool lost;      /* SQLite ended the transaction itself (full disk): nothing of this turn exists */
	struct err why; /* ... because */
	int depth;
	struct after *after;
	size_t n, cap;
	struct watcher *watchers;
	uint64_t commits, us;
};

static void nothing(uv_idle_t *h)
{
	(void)h;
}

static int commit(struct turn *t, struct err *e)
{
	int64_t t0 = clock_mono_us();
	int r = sql_run(t->db, e, "COMMIT", "");

	t->open = false;
	if (r < 0) {
		struct err ignored;

		if (!sqlite3_get_autocommit(t->db->conn))
			(void)sql_run(t->db, &ignored, "ROLLBACK", "");
		return r;
	}
	t->commits++;
	t->us += (uint64_t)(clock_mono_us() - t0);
	return 0;
}

static void run_watchers(struct turn *t)
{
	for (struct watcher *w = t->watchers, *next; w; w = next) {
		next = w->next;
		if (w->fn)
			w->fn(w->arg);
	}
	for (struct watcher **p = &t->watchers; *p;) {
		struct watcher *w = *p;

		if (w->fn) {
			p = &w->next;
			continue;
		}
		*p = w->next;
		free(w);
	}
}

static void end_turn(struct turn *t)
{
	struct after *list = t->after;
	size_t n = t->n;
	bool was_open = t->open;
	struct err e;
	int r = 0;

	if (!t->open && !n && !t->lost)
		return;
	LAG_SECTION("commit", "turn");
	t->after = NULL;
	t->n = t->cap = 0;
	(void)uv_idle_stop(&t->idle);
	if (t->lost) {
		e = t->why;
		r = -(int)e.code;
		t->lost = false;
	} else if (t->open) {
		r = commit(t, &e);
	}
	for (size_t i = 0; i < n; i++)
		list[i].fn(list[i].arg, r ? &e : NULL);
	free(list);
	if (was_open && !r)
		run_watchers(t);
}

static void on_prepare(uv_prepare_t *h)
{
	end_turn(h->data);
}

static void on_check(uv_check_t *h)
{
	end_turn(h->data);
}

struct turn *turn_new(uv_loop_t *loop, struct db *db)
{
	struct turn *t = xcalloc(1, sizeof(*t));

	t->db = db;
	t->prepare.data = t->check.data = t->idle.data = t;
	(void)uv_prepare_init(loop, &t->prepare);
	(void)uv_check_init(loop, &t->check);
	(void)uv_idle_init(loop, &t->idle);
	(void)uv_prepare_start(&t->prepare, on_prepare);
	(void)uv_check_start(&t->check, on_check);
	uv_unref((uv_handle_t *)&t->prepare);
	uv_unref((uv_handle_t *)&t->check);
	t->open_handles = 3;
	return t;
}

static void on_closed(uv_handle_t *h)
{
	struct turn *t = h->data;

	if (--t->open_handles)
		return;
	while (t->watchers) {
		struct watcher *w = t->watchers;

		t->watchers = w->next;
		free(w);
	}
	free(t->after);
	free(t);
}

void turn_close(struct turn *t)
{
	if (!t)
		return;
	while (t->open || t->n || t->lost)
		end_turn(t);
	uv_close((uv_handle_t *)&t->prepare, on_closed);
	uv_close((uv_handle_t *)&t->check, on_closed);
	uv_close((uv_handle_t *)&t->idle, on_closed);
}

int turn_do(struct turn *t, int (*fn)(void *arg, struct err *e), void *arg, struct err *e)
{
	static const char *const save[] = { "SAVEPOINT m0", "SAVEPOINT m1", "SAVEPOINT m2", "SAVEPOINT m3" };
	static const char *const keep[] = { "RELEASE m0", "RELEASE m1", "RELEASE m2", "RELEASE m3" };
	static const char *const drop[] = { "ROLLBACK TO m0", "ROLLBACK TO m1", "ROLLBACK TO m2",
					    "ROLLBACK TO m3" };
	int depth = t->depth, r;
	struct err ignored;

	assert(depth < 4);
	if (t->lost) {
		*e = t->why;
		return -(int)e->code;
	}
	if (!t->open) {
		r = sql_run(t->db, e, "BEGIN IMMEDIATE", "");
		if (r < 0)
			return r;
		t->open = true;
		(void)uv_idle_start(&t->idle, nothing);
	}
	r = sql_run(t->db, e, save[depth], "");
	if (r < 0)
		return r;
	t->depth++;
	r = fn(arg, e);
	t->depth--;
	if (r < 0)
		(void)sql_run(t->db, &ignored, drop[depth], "");
	if (sqlite3_get_autocommit(t->db->conn)) {
		t->open = false;
		t->lost = true;
		if (r >= 0)
			r = err_set(e, ERR_HOST, "database: the transaction was rolled back");
		t->why = *e;
		return r;
	}
	(void)sql_run(t->db, &ignored, keep[depth], "");
	return r;
}

void turn_after(struct turn *t, void (*fn)(void *arg, const struct err *e), void *arg)
{
	if (t->n == t->cap) {
		t->cap = t->cap ? t->cap * 2 : 16;
		t->after = xrealloc(t->after, t->cap * sizeof(*t->after));
	}
	t->after[t->n++] = (struct after){ fn, arg };
	(void)uv_idle_start(&t->idle, nothing);
}

void *turn_watch(struct turn *t, void (*fn)(void *arg), void *arg)
{
	struct watcher *w = xcalloc(1, sizeof(*w)), **last = &t->watchers;

	while (*last)
		last = &(*last)->next;
	*w = (struct watcher){ NULL, fn, arg };
	*last = w;
	return w;
}

void turn_unwatch(struct turn *t, void *ticket)
{
	struct watcher *w = ticket;

	(void)t;
	if (w)
		w->fn = NULL; /* freed after the next commit: the list may be walked right now */
}

void turn_stats(const struct turn *t, uint64_t *commits, uint64_t *us)
{
	*commits = t->commits;
	*us = t->us;
}
