/* SPDX-License-Identifier: Apache-2.0
 * turn.c - one transaction per turn of the loop.
 *
 * The first turn_do() of a turn opens the transaction. It is committed by the check handle (right
 * after poll, where requests arrive) or by the prepare handle (before the loop may block, for work
 * of timers and closing callbacks), whichever comes first. No transaction is open while the loop
 * sleeps. A callback of turn_after() may mutate; this opens the next transaction, which is
 * committed before the next sleep.
 *
 * A callback of turn_after() belongs to the savepoint that registered it. If that savepoint is
 * rolled back, the callback is marked with the error and called with all others when the turn ends.
 *
 * Another process (sqlite3, a backup, --add-key) may hold the write lock of the database for any
 * time. While the loop runs, BEGIN waits WAIT_MS for it. After such a failure all transactions are
 * refused for PAUSE_MS, so that a hundred writers cost one wait. turn_run() queues its calls and
 * retries by a timer.
 *
 * Readers do not need that lock (WAL). If a reader finds the file busy nevertheless, for example
 * while another process recovers the WAL, it waits WAIT_MS, too. Automatic checkpoints are passive:
 * they never wait for readers of other processes.
 */
#include <assert.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/array.h"
#include "base/clock.h"
#include "base/lag.h"
#include "base/loop.h"
#include "base/own.h"
#include "db/sql.h"
#include "db/turn.h"

enum { WAIT_MS = 20, PAUSE_MS = 100, GIVE_UP_MS = 2000 };

struct turn_callback {
	void (*fn)(void *arg, const struct err *e);
	void *arg;
	size_t why; /* 1 + index into turn.whys: its savepoint was rolled back; 0: the result of the
		       commit counts */
};

/* A turn_run() that waits for the write lock. */
struct waiting_run {
	struct waiting_run *next;
	int (*fn)(void *arg, struct err *e);
	void (*done)(void *arg, const struct err *e);
	void *arg;
	int64_t until_ms; /* clock_mono_ms() */
};

/* A turn_read() that waits for the end of the transaction. */
struct waiting_read {
	void (*fn)(void *arg);
	void *arg;
};

struct turn_watcher {
	struct turn_watcher *next;
	void (*fn)(void *arg);
	void *arg;
};

struct turn {
	uv_loop_t *loop;
	struct db *db;
	uv_prepare_t prepare;
	uv_check_t check;
	uv_idle_t idle; /* keeps poll from blocking while callbacks without a transaction wait */
	int open_handles;
	bool serving; /* the loop runs: waits are short from now on */
	bool open;
	bool kept; /* at least one savepoint of this transaction was released */
	int depth; /* of nested turn_do() */
	struct turn_callback *after;
	size_t n, cap;
	struct err *whys; /* errors of savepoints that were rolled back in this turn and had
			     callbacks */
	size_t n_whys;
	int64_t locked_until_ms;     /* no BEGIN before this time (clock_mono_ms()) */
	struct err locked;           /* the error until then */
	struct waiting_run *waiting; /* oldest first */
	struct loop_timer *retry;
	struct turn_watcher *watchers;
	struct waiting_read *readers; /* in order */
	size_t n_readers;
	uint64_t commits, us;
};

static void turn_on_idle(uv_idle_t *h)
{
	(void)h;
}

static int commit_transaction(struct turn *t, struct err *e)
{
	int64_t t0 = clock_mono_us();
	int r;

	assert(t->open && !t->depth);
	r = sql_run(t->db, e, "COMMIT", "");

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
	for (struct turn_watcher *w = t->watchers, *next; w; w = next) {
		next = w->next;
		if (w->fn)
			w->fn(w->arg);
	}
	for (struct turn_watcher **p = &t->watchers; *p;) {
		struct turn_watcher *w = *p;

		if (w->fn) {
			p = &w->next;
			continue;
		}
		*p = w->next;
		free(w);
	}
}

/* A reader may open the next transaction. The other readers then wait for its end. */
static void run_readers(struct turn *t)
{
	auto_free struct waiting_read *list = t->readers;
	size_t n = t->n_readers;

	t->readers = NULL;
	t->n_readers = 0;
	for (size_t i = 0; i < n; i++)
		turn_read(t, list[i].fn, list[i].arg);
}

static void end_turn(struct turn *t)
{
	struct turn_callback *list = t->after;
	struct err *whys = t->whys;
	size_t n = t->n;
	bool was_kept = t->kept;
	struct err e;
	int r = 0;

	assert_loop_thread();
	if (!t->open && !n && !t->db->lost.code)
		return;
	LAG_SECTION("commit", "turn");
	assert(t->depth == 0);
	t->after = NULL;
	t->whys = NULL;
	t->n = t->cap = t->n_whys = 0;
	t->kept = false;
	(void)uv_idle_stop(&t->idle);
	if (t->db->lost.code) {
		e = t->db->lost;
		r = -(int)e.code;
		t->db->lost.code = ERR_NONE;
	} else if (t->open) {
		r = commit_transaction(t, &e);
	}
	if (was_kept && !r)
		run_watchers(t);
	run_readers(t);
	for (size_t i = 0; i < n; i++)
		list[i].fn(list[i].arg, list[i].why ? &whys[list[i].why - 1] : r ? &e : NULL);
	free(list);
	free(whys);
}

static void turn_on_prepare(uv_prepare_t *h)
{
	struct turn *t = h->data;

	if (!t->serving) {
		t->serving = true;
		(void)sqlite3_busy_timeout(t->db->conn, WAIT_MS);
	}
	end_turn(t);
}

static void turn_on_check(uv_check_t *h)
{
	end_turn(h->data);
}

struct turn *turn_new(uv_loop_t *loop, struct db *db)
{
	struct turn *t = xcalloc(1, sizeof(*t));

	t->loop = loop;
	t->db = db;
	t->prepare.data = t->check.data = t->idle.data = t;
	(void)uv_prepare_init(loop, &t->prepare);
	(void)uv_check_init(loop, &t->check);
	(void)uv_idle_init(loop, &t->idle);
	(void)uv_prepare_start(&t->prepare, turn_on_prepare);
	(void)uv_check_start(&t->check, turn_on_check);
	uv_unref((uv_handle_t *)&t->prepare);
	uv_unref((uv_handle_t *)&t->check);
	t->open_handles = 3;
	return t;
}

static void turn_on_closed(uv_handle_t *h)
{
	struct turn *t = h->data;

	assert(t->open_handles > 0 && !t->open);
	if (--t->open_handles)
		return;
	while (t->watchers) {
		struct turn_watcher *w = t->watchers;

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
	do {
		turn_cancel_waiting(t);
		end_turn(t);
	} while (t->open || t->n || t->db->lost.code || t->waiting || t->n_readers);
	assert(!t->waiting && !t->retry);
	uv_close((uv_handle_t *)&t->prepare, turn_on_closed);
	uv_close((uv_handle_t *)&t->check, turn_on_closed);
	uv_close((uv_handle_t *)&t->idle, turn_on_closed);
}

bool turn_is_open(const struct turn *t)
{
	return t->open;
}

void turn_read(struct turn *t, void (*fn)(void *arg), void *arg)
{
	assert_loop_thread();
	assert(!t->depth);
	if (!t->open) {
		fn(arg);
		return;
	}
	t->readers = xrealloc(t->readers, (t->n_readers + 1) * sizeof(*t->readers));
	t->readers[t->n_readers++] = (struct waiting_read){ fn, arg };
}

static int begin_transaction(struct turn *t, struct err *e)
{
	int r;

	if (t->db->lost.code) {
		*e = t->db->lost;
		return -(int)e->code;
	}
	if (t->open)
		return 0;
	assert(!t->depth && !t->kept);
	if (clock_mono_ms() < t->locked_until_ms) {
		*e = t->locked;
		return -(int)e->code;
	}
	r = sql_run(t->db, e, "BEGIN IMMEDIATE", "");
	if (r == -ERR_UNAVAILABLE) {
		t->locked = *e;
		t->locked_until_ms = clock_mono_ms() + PAUSE_MS;
	}
	if (r < 0)
		return r;
	t->open = true;
	(void)uv_idle_start(&t->idle, turn_on_idle);
	return 0;
}

/* Mark the callbacks of a failed savepoint, from number @first on, with its error @e. */
static void fail_callbacks(struct turn *t, size_t first, const struct err *e)
{
	bool any = false;

	assert(first <= t->n && e->code);
	for (size_t i = first; i < t->n; i++) {
		if (t->after[i].why)
			continue; /* of an inner savepoint, which has its own error */
		t->after[i].why = t->n_whys + 1;
		any = true;
	}
	if (!any)
		return;
	t->whys = xrealloc(t->whys, (t->n_whys + 1) * sizeof(*t->whys));
	t->whys[t->n_whys++] = *e;
}

static int run_saved(struct turn *t, int (*fn)(void *arg, struct err *e), void *arg, struct err *e)
{
	size_t first = t->n;
	int r;

	e->code = ERR_NONE;
	t->depth++;
	t->db->in_turn = true;
	r = fn(arg, e);
	assert(t->depth > 0);
	t->depth--;
	t->db->in_turn = t->depth > 0;
	if (r < 0 && e->code == ERR_NONE)
		err_set(e, (enum err_code) - r, "%s", err_word((enum err_code) - r));
	if (r < 0)
		fail_callbacks(t, first, e);
	return r;
}

/* SQLite has rolled back the transaction (full disk): all changes of this turn are lost. The first
 * error counts. */
static int lose_transaction(struct turn *t, int r, struct err *e)
{
	struct db *db = t->db;

	t->open = false;
	if (!db->lost.code && r < 0)
		db->lost = *e;
	else if (!db->lost.code)
		err_set(&db->lost, ERR_HOST, "database: the transaction was rolled back");
	if (r < 0)
		return r;
	*e = db->lost;
	return -(int)e->code;
}

int turn_do(struct turn *t, int (*fn)(void *arg, struct err *e), void *arg, struct err *e)
{
	static const char *const save[] = { "SAVEPOINT m0", "SAVEPOINT m1", "SAVEPOINT m2",
					    "SAVEPOINT m3" };
	static const char *const keep[] = { "RELEASE m0", "RELEASE m1", "RELEASE m2",
					    "RELEASE m3" };
	static const char *const drop[] = { "ROLLBACK TO m0", "ROLLBACK TO m1", "ROLLBACK TO m2",
					    "ROLLBACK TO m3" };
	int depth = t->depth, r = begin_transaction(t, e);
	struct err ignored;

	assert(fn && depth < (int)ARRAY_SIZE(save));
	if (r < 0)
		return r;
	r = sql_run(t->db, e, save[depth], "");
	if (r < 0)
		return r;
	r = run_saved(t, fn, arg, e);
	if (r < 0 && !sqlite3_get_autocommit(t->db->conn))
		(void)sql_run(t->db, &ignored, drop[depth], "");
	if (sqlite3_get_autocommit(t->db->conn))
		return lose_transaction(t, r, e);
	(void)sql_run(t->db, &ignored, keep[depth], "");
	t->kept |= r >= 0 && !depth;
	return r;
}

void turn_after(struct turn *t, void (*fn)(void *arg, const struct err *e), void *arg)
{
	assert_loop_thread();
	assert(fn);
	if (t->n == t->cap) {
		t->cap = t->cap ? t->cap * 2 : 16;
		t->after = xrealloc(t->after, t->cap * sizeof(*t->after));
	}
	t->after[t->n++] = (struct turn_callback){ .fn = fn, .arg = arg };
	(void)uv_idle_start(&t->idle, turn_on_idle);
}

/* ------------------------------------------------------------------ waiting for the write lock */

static void run_waiting_now(struct turn *t, const struct waiting_run *w)
{
	struct err e;

	if (turn_do(t, w->fn, w->arg, &e) < 0)
		w->done(w->arg, &e);
	else
		turn_after(t, w->done, w->arg);
}

static void turn_retry(void *arg);

static void turn_retry_later(struct turn *t)
{
	if (!t->retry)
		(void)loop_after(t->loop, PAUSE_MS, turn_retry, t, &t->retry);
}

static struct waiting_run *next_waiting(struct turn *t)
{
	struct waiting_run *w = t->waiting;

	t->waiting = w->next;
	return w;
}

static void turn_retry(void *arg)
{
	struct turn *t = arg;
	int64_t now = clock_mono_ms();
	struct err e;

	while (t->waiting) {
		int r = begin_transaction(t, &e);
		struct waiting_run *w = t->waiting;

		if (r == -ERR_UNAVAILABLE && now < w->until_ms) {
			turn_retry_later(t);
			return;
		}
		w = next_waiting(t);
		if (r < 0)
			w->done(w->arg, &e);
		else
			run_waiting_now(t, w);
		free(w);
	}
}

void turn_run(struct turn *t, int (*fn)(void *arg, struct err *e),
	      void (*done)(void *arg, const struct err *e), void *arg)
{
	struct waiting_run w = { .fn = fn, .done = done, .arg = arg }, **last = &t->waiting;
	struct err e;

	assert(t->depth == 0);
	if (!t->waiting && begin_transaction(t, &e) != -ERR_UNAVAILABLE) {
		run_waiting_now(t, &w);
		return;
	}
	while (*last)
		last = &(*last)->next;
	*last = xmalloc(sizeof(**last));
	w.until_ms = clock_mono_ms() + GIVE_UP_MS;
	**last = w;
	turn_retry_later(t);
}

void turn_cancel_waiting(struct turn *t)
{
	while (t->waiting) {
		struct waiting_run *w = next_waiting(t);

		w->done(w->arg, &t->locked);
		free(w);
	}
	loop_after_cancel(&t->retry); /* at the end, because a done() may have called turn_run() */
}

/* ------------------------------------------------------------------ following */

void *turn_watch(struct turn *t, void (*fn)(void *arg), void *arg)
{
	struct turn_watcher *w = xcalloc(1, sizeof(*w)), **last = &t->watchers;

	while (*last)
		last = &(*last)->next;
	*w = (struct turn_watcher){ NULL, fn, arg };
	*last = w;
	return w;
}

void turn_unwatch(struct turn *t, void *ticket)
{
	struct turn_watcher *w = ticket;

	(void)t;
	if (w)
		w->fn = NULL; /* freed after the next commit, because the list may be in use now */
}

void turn_stats(const struct turn *t, uint64_t *commits, uint64_t *us)
{
	*commits = t->commits;
	*us = t->us;
}
