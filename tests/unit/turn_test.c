/* SPDX-License-Identifier: Apache-2.0
 * turn_test.c - the turn transaction: when callbacks run and with which result, and what happens
 * while another process holds the write lock of the database.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "db/events.h"
#include "db/sql.h"
#include "db/turn.h"
#include "tests/unit/temp_dir.h"

static char path[80];

/* @calls: callbacks in order, "a" for a commit, "a!text" for an error. */
static struct fixture {
	uv_loop_t loop;
	struct db *db;
	struct turn *turn;
	sqlite3 *other; /* a second connection, for SQLite like another process */
	bool inside;    /* a turn_do() is running */
	int commits;    /* seen by turn_watch() */
	char calls[1000];
} f;

static void say(const char *name, const struct err *e)
{
	assert_false(f.inside);
	(void)snprintf(f.calls + strlen(f.calls), sizeof(f.calls) - strlen(f.calls), "%s%s%s ",
		       name, e ? "!" : "", e ? e->text : "");
}

static void record_result(void *arg, const struct err *e)
{
	say(arg, e);
}

static void committed(void *arg)
{
	(void)arg;
	f.commits++;
}

static int set_up(void **st)
{
	struct err e;

	(void)st;
	f = (struct fixture){ 0 };
	(void)unlink(path);
	if (uv_loop_init(&f.loop) || db_open(path, &f.db, &e))
		return -1;
	f.turn = turn_new(&f.loop, f.db);
	(void)turn_watch(f.turn, committed, NULL);
	turn_after(f.turn, record_result, "");
	(void)uv_run(&f.loop, UV_RUN_NOWAIT); /* from now on waits are short */
	f.calls[0] = 0;
	return sqlite3_open(path, &f.other) != SQLITE_OK;
}

static int tear_down(void **st)
{
	(void)st;
	(void)sqlite3_close(f.other);
	turn_close(f.turn);
	(void)uv_run(&f.loop, UV_RUN_DEFAULT);
	db_close(f.db);
	return uv_loop_close(&f.loop);
}

static int rows(void)
{
	int64_t n;
	struct err e;

	assert_int_equal(sql_int(f.db, &e, -1, &n, "SELECT count(*) FROM events", ""), 0);
	return (int)n;
}

/* A mutation: writes a row, registers @name, runs the nested mutation @within, and fails with
 * @reason. */
struct mutation {
	const char *name, *reason;
	const struct mutation *within;
	bool lost, late; /* @late: the row is written after @within */
};

static int mutate(void *arg, struct err *e)
{
	const struct mutation *m = arg;
	bool was = f.inside;
	struct err ignored;

	f.inside = true;
	if (!m->late)
		assert_int_equal(events_append(f.db, 1, m->name, "", "", "{}", e), 0);
	turn_after(f.turn, record_result, (char *)m->name);
	if (m->within)
		(void)turn_do(f.turn, mutate, (void *)m->within, &ignored);
	if (m->late)
		assert_true(events_append(f.db, 1, m->name, "", "", "{}", &ignored) < 0);
	if (m->lost)
		assert_true(sql_run(f.db, e, "ROLLBACK", "") >=
			    0); /* as SQLite does on a full disk */
	f.inside = was;
	return m->reason ? err_set(e, ERR_CONFLICT, "%s", m->reason) : 0;
}

static int run(const struct mutation *m)
{
	struct err e;

	return turn_do(f.turn, mutate, (void *)m, &e);
}

static void end_turn(void)
{
	(void)uv_run(&f.loop, UV_RUN_NOWAIT);
}

/* ------------------------------------------------------------------ callbacks */

static void what_a_savepoint_registered_fails_with_it(void **st)
{
	(void)st;
	assert_int_equal(run(&(struct mutation){ .name = "a" }), 0);
	assert_int_equal(run(&(struct mutation){ .name = "b", .reason = "no" }), -ERR_CONFLICT);
	assert_int_equal(run(&(struct mutation){ .name = "c" }), 0);
	assert_string_equal(f.calls, "");
	end_turn();
	assert_string_equal(f.calls, "a b!no c ");
	assert_int_equal(rows(), 2);
	assert_int_equal(f.commits, 1);
}

static void an_inner_savepoint_fails_alone(void **st)
{
	const struct mutation inner = { .name = "in", .reason = "inner" };

	(void)st;
	assert_int_equal(run(&(struct mutation){ .name = "out", .within = &inner }), 0);
	end_turn();
	assert_string_equal(f.calls, "out in!inner ");
	assert_int_equal(rows(), 1);
}

static void an_outer_savepoint_takes_the_inner_ones_along(void **st)
{
	const struct mutation bad = { .name = "bad", .reason = "first" };
	const struct mutation inner = { .name = "in", .within = &bad };

	(void)st;
	assert_int_equal(
		run(&(struct mutation){ .name = "out", .reason = "outer", .within = &inner }),
		-ERR_CONFLICT);
	turn_after(f.turn, record_result, "beside");
	end_turn();
	assert_string_equal(f.calls, "out!outer in!outer bad!first beside ");
	assert_int_equal(rows(), 0);
}

static void a_lost_transaction_fails_all_its_mutations(void **st)
{
	const struct mutation bad = { .name = "b", .reason = "no" };

	(void)st;
	assert_int_equal(run(&(struct mutation){ .name = "a" }), 0);
	assert_int_equal(run(&bad), -ERR_CONFLICT);
	assert_int_equal(
		run(&(struct mutation){ .name = "c", .reason = "disk full", .lost = true }),
		-ERR_CONFLICT);
	assert_int_equal(run(&(struct mutation){ .name = "d" }), -ERR_CONFLICT);
	end_turn();
	assert_string_equal(f.calls, "a!disk full b!no c!disk full ");
	assert_int_equal(rows(), 0);
	assert_int_equal(f.commits, 0);
}

static void nothing_is_written_after_an_inner_savepoint_lost_the_transaction(void **st)
{
	const struct mutation inner = { .name = "in", .reason = "disk full", .lost = true };
	const struct mutation outer = { .name = "out", .within = &inner, .late = true };

	(void)st;
	assert_int_equal(run(&(struct mutation){ .name = "a" }), 0);
	assert_int_equal(run(&outer), -ERR_CONFLICT);
	assert_int_equal(rows(), 0); /* reads outside of the transaction work */
	end_turn();
	assert_string_equal(f.calls, "a!disk full out!disk full in!disk full ");
	assert_int_equal(rows(), 0);
	assert_int_equal(run(&(struct mutation){ .name = "b" }), 0);
	end_turn();
	assert_int_equal(rows(), 1);
}

static void read_now(void *arg)
{
	assert_false(turn_is_open(f.turn));
	assert_true(sqlite3_get_autocommit(f.db->conn));
	say(arg, NULL);
}

static void do_more(void *arg, const struct err *e)
{
	say(arg, e);
	assert_int_equal(run(&(struct mutation){ .name = "more" }), 0);
}

/* Watchers are called before the callbacks of this transaction open the next one. */
static void watchers_and_readers_see_only_what_is_committed(void **st)
{
	void *ticket = turn_watch(f.turn, read_now, "watch");

	(void)st;
	turn_read(f.turn, read_now, "at-once");
	assert_int_equal(run(&(struct mutation){ .name = "one" }), 0);
	turn_after(f.turn, do_more, "after");
	turn_read(f.turn, read_now, "late");
	assert_string_equal(f.calls, "at-once ");
	end_turn();
	end_turn();
	assert_string_equal(f.calls, "at-once watch late one after watch more ");
	turn_unwatch(f.turn, ticket);
}

static void a_commit_that_keeps_nothing_is_not_watched(void **st)
{
	(void)st;
	assert_int_equal(run(&(struct mutation){ .name = "a", .reason = "no" }), -ERR_CONFLICT);
	end_turn();
	assert_string_equal(f.calls, "a!no ");
	assert_int_equal(f.commits, 0);
	assert_int_equal(run(&(struct mutation){ .name = "b" }), 0);
	end_turn();
	assert_int_equal(f.commits, 1);
}

static int not_found(void *arg, struct err *e)
{
	(void)e;
	turn_after(f.turn, record_result, arg);
	return -ERR_NOT_FOUND;
}

static void a_failure_without_text_gets_one(void **st)
{
	struct err e;

	(void)st;
	memset(&e, 'x', sizeof(e));
	assert_int_equal(turn_do(f.turn, not_found, "a", &e), -ERR_NOT_FOUND);
	assert_int_equal(e.code, ERR_NOT_FOUND);
	end_turn();
	assert_string_equal(f.calls, "a!not_found ");
}

/* ------------------------------------------------------------------ writes by another process */

static void foreign(const char *sql)
{
	assert_int_equal(sqlite3_exec(f.other, sql, NULL, NULL, NULL), SQLITE_OK);
}

static int append(void *arg, struct err *e)
{
	return events_append(f.db, 1, arg, "", "", "{}", e);
}

static void a_hundred_writers_cost_one_short_wait(void **st)
{
	int64_t began = clock_mono_ms();
	struct err e;

	(void)st;
	foreign("BEGIN IMMEDIATE");
	for (int i = 0; i < 100; i++)
		assert_int_equal(turn_do(f.turn, append, "a", &e), -ERR_UNAVAILABLE);
	assert_in_range(clock_mono_ms() - began, 0, 500);
	assert_non_null(strstr(e.text, "locked by another process"));
	assert_int_equal(rows(), 0); /* reads still work */
	foreign("ROLLBACK");
}

static void waiting_mutations_continue_in_order_when_the_lock_is_free(void **st)
{
	(void)st;
	foreign("BEGIN IMMEDIATE");
	turn_run(f.turn, append, record_result, "a");
	turn_run(f.turn, append, record_result, "b");
	end_turn();
	assert_string_equal(f.calls, "");
	foreign("ROLLBACK");
	turn_run(f.turn, append, record_result, "c"); /* must not overtake waiting calls */
	while (strlen(f.calls) < strlen("a b c "))
		(void)uv_run(&f.loop, UV_RUN_ONCE);
	assert_string_equal(f.calls, "a b c ");
	assert_int_equal(rows(), 3);
	assert_int_equal(f.commits, 1);
}

static void a_lock_that_stays_is_an_error_and_nothing_is_done(void **st)
{
	(void)st;
	foreign("BEGIN IMMEDIATE");
	turn_run(f.turn, append, record_result, "a");
	while (!f.calls[0])
		(void)uv_run(&f.loop, UV_RUN_ONCE);
	assert_non_null(strstr(f.calls, "a!database is locked by another process"));
	foreign("ROLLBACK");
	assert_int_equal(rows(), 0);
}

static void waiting_mutations_fail_when_the_node_closes(void **st)
{
	(void)st;
	foreign("BEGIN IMMEDIATE");
	turn_run(f.turn, append, record_result, "a");
	turn_cancel_waiting(f.turn);
	assert_non_null(strstr(f.calls, "a!database is locked"));
	foreign("ROLLBACK");
	end_turn();
	assert_int_equal(rows(), 0);
}

/* A callback that tries again when it gets an error. */
static void once_more(void *arg, const struct err *e)
{
	say("once", e);
	turn_run(f.turn, append, record_result, arg);
}

static void waiting_mutations_fail_when_the_turn_closes(void **st)
{
	(void)st;
	foreign("BEGIN IMMEDIATE");
	turn_run(f.turn, append, once_more, "waits");
	turn_after(f.turn, once_more, "after");
	turn_close(f.turn);
	f.turn = NULL;
	assert_non_null(strstr(f.calls, "once!database is locked"));
	assert_non_null(strstr(f.calls, "waits!database is locked"));
	assert_non_null(strstr(f.calls, "once after!database is locked"));
	foreign("ROLLBACK");
	assert_int_equal(rows(), 0);
	(void)uv_run(&f.loop, UV_RUN_DEFAULT);
}

static int make_folder(void **st)
{
	if (temp_dir_set_up(st))
		return -1;
	(void)snprintf(path, sizeof(path), "%s/t.db", temp_dir);
	return 0;
}

#define WITH_TURN(t) cmocka_unit_test_setup_teardown(t, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_TURN(what_a_savepoint_registered_fails_with_it),
		WITH_TURN(an_inner_savepoint_fails_alone),
		WITH_TURN(an_outer_savepoint_takes_the_inner_ones_along),
		WITH_TURN(a_lost_transaction_fails_all_its_mutations),
		WITH_TURN(nothing_is_written_after_an_inner_savepoint_lost_the_transaction),
		WITH_TURN(watchers_and_readers_see_only_what_is_committed),
		WITH_TURN(a_commit_that_keeps_nothing_is_not_watched),
		WITH_TURN(a_failure_without_text_gets_one),
		WITH_TURN(a_hundred_writers_cost_one_short_wait),
		WITH_TURN(waiting_mutations_continue_in_order_when_the_lock_is_free),
		WITH_TURN(a_lock_that_stays_is_an_error_and_nothing_is_done),
		WITH_TURN(waiting_mutations_fail_when_the_node_closes),
		WITH_TURN(waiting_mutations_fail_when_the_turn_closes),
	};

	return cmocka_run_group_tests(tests, make_folder, temp_dir_tear_down);
}
