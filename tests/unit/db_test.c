/* SPDX-License-Identifier: Apache-2.0
 * db_test.c - rows: reservations, counts, lists and pruning.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/own.h"
#include "db/apps.h"
#include "db/capacity.h"
#include "db/changes.h"
#include "db/check.h"
#include "db/cvms.h"
#include "db/devices.h"
#include "db/events.h"
#include "db/history.h"
#include "db/idempotency.h"
#include "db/keys.h"
#include "db/node.h"
#include "db/numa.h"
#include "db/operations.h"
#include "db/ports.h"
#include "db/records.h"
#include "db/sql.h"
#include "db/text.h"
#include "db/turn.h"
#include "db/workspaces.h"
#include "tests/unit/db_fixture.h"

static void capacity_is_never_reserved_beyond_its_total(void **st)
{
	struct db_fixture w = { .db = db_fixture_open() };
	struct capacity_row row;
	struct err e;

	(void)st;
	db_fixture_fill(&w);
	assert_int_equal(capacity_reserve_amount(w.db, "vcpus", 5, &e), 1);
	assert_int_equal(capacity_reserve_amount(w.db, "vcpus", 4, &e), 0);
	assert_int_equal(capacity_reserve_amount(w.db, "vcpus", 3, &e), 1);
	assert_int_equal(capacity_get(w.db, "vcpus", &row, &e), 0);
	assert_int_equal(row.promised, 8);
	db_close(w.db);
}

static void counts_follow_rows_and_the_last_cvm_takes_its_app_along(void **st)
{
	struct db_fixture w = { .db = db_fixture_open() };
	struct workspace_row ws;
	struct app_row app;
	int64_t a, b;
	struct err e;

	(void)st;
	db_fixture_fill(&w);
	a = db_fixture_add_cvm(&w, "one", 1000);
	b = db_fixture_add_cvm(&w, "two", 1001);
	assert_int_equal(workspaces_get(w.db, w.workspace, &ws, &e), 0);
	assert_int_equal(ws.cvms, 2);
	assert_int_equal(apps_find(w.db, 0, DB_FIXTURE_APP, &app, &e), 0);
	assert_int_equal(app.current_cvm, b);
	assert_int_equal(cvms_delete(w.db, b, &e), 0);
	assert_int_equal(apps_find(w.db, 0, DB_FIXTURE_APP, &app, &e), 0);
	assert_int_equal(app.current_cvm, a);
	assert_int_equal(cvms_delete(w.db, a, &e), 0);
	assert_int_equal(apps_find(w.db, 0, DB_FIXTURE_APP, &app, &e), -ERR_NOT_FOUND);
	assert_int_equal(workspaces_get(w.db, w.workspace, &ws, &e), 0);
	assert_int_equal(ws.apps, 0);
	db_close(w.db);
}

static void the_check_finds_a_reservation_without_a_row(void **st)
{
	struct db_fixture w = { .db = db_fixture_open() };
	auto_buf struct buf out = { 0 };
	bool changed;
	struct err e;

	(void)st;
	db_fixture_fill(&w);
	(void)db_fixture_add_cvm(&w, "one", 1000);
	assert_int_equal(db_check(db_fixture_path, &out, &e), 1);
	assert_non_null(strstr(out.data, "vcpus promised 0, rows hold 2"));
	assert_int_equal(capacity_recount(w.db, &changed, &e), 0);
	assert_true(changed);
	assert_int_equal(db_check(db_fixture_path, &out, &e), 0);
	db_close(w.db);
}

static int64_t add_placed(struct db_fixture *w, const char *name, uint32_t cid)
{
	int64_t id = db_fixture_add_cvm(w, name, cid);
	struct err e;

	assert_int_equal(
		sql_run(w->db, &e,
			"UPDATE cvms SET hugepages = 1, gpu_attach = 'listed' WHERE id = ?", "i",
			id),
		1);
	return id;
}

static struct device_row gpu(const char *address)
{
	struct device_row d = {
		.kind = DEVICE_GPU, .iommu_group = 7, .offered = true, .present = true
	};

	(void)snprintf(d.address, sizeof(d.address), "%s", address);
	(void)snprintf(d.product_id, sizeof(d.product_id), "10de:2335");
	return d;
}

static void find_devices(struct db *db, const struct device_row *d, size_t n)
{
	struct err e;

	assert_int_equal(devices_begin(db, &e), 0);
	for (size_t i = 0; i < n; i++)
		assert_int_equal(devices_put(db, &d[i], &e), 0);
	assert_int_equal(devices_end(db, &e), 0);
}

static void a_device_has_one_holder_and_stays_known_while_it_is_held(void **st)
{
	struct db_fixture w = { .db = db_fixture_open() };
	const struct device_row found[] = { gpu("0000:18:00.0"), gpu("0000:2a:00.0") };
	auto_free struct device_row *rows = NULL;
	struct cvm_row c;
	int64_t a, b;
	size_t n;
	struct err e;

	(void)st;
	db_fixture_fill(&w);
	a = add_placed(&w, "one", 1000);
	b = add_placed(&w, "two", 1001);
	find_devices(w.db, found, 2);
	assert_int_equal(devices_reserve(w.db, "0000:18:00.0", a, &e), 1);
	assert_int_equal(devices_reserve(w.db, "0000:18:00.0", b, &e), 0);
	find_devices(w.db, found, 0);
	assert_int_equal(devices_list(w.db, &rows, &n, &e), 0);
	assert_int_equal(n, 1);
	assert_int_equal(rows[0].cvm, a);
	assert_false(rows[0].present);
	assert_int_equal(cvms_get(w.db, a, &c, &e), 0);
	assert_int_equal(c.gpus, 1);
	find_devices(w.db, found, 2);
	assert_int_equal(db_count(w.db, "SELECT count(*) FROM devices WHERE present AND cvm > 0"),
			 1);
	assert_int_equal(cvms_delete(w.db, a, &e), 0);
	assert_int_equal(db_count(w.db, "SELECT count(*) FROM devices WHERE cvm IS NULL"), 2);
	db_close(w.db);
}

static void hugepages_of_a_node_are_never_reserved_beyond_its_total(void **st)
{
	struct db_fixture w = { .db = db_fixture_open() };
	const struct numa_row node = {
		.node = 1, .cpus = "4-7", .page_kib = 2048, .hugepages_mib = 4096
	};
	const struct cvm_node_row half = { .node = 1, .hugepages_mib = 2048 };
	auto_buf struct buf out = { 0 };
	int64_t a, b, c;
	bool changed;
	struct err e;

	(void)st;
	db_fixture_fill(&w);
	a = db_fixture_add_cvm(&w, "one", 1000);
	b = db_fixture_add_cvm(&w, "two", 1001);
	c = db_fixture_add_cvm(&w, "three", 1002);
	assert_int_equal(numa_put(w.db, &node, 4096, &e), 0);
	assert_int_equal(numa_reserve(w.db, a, &half, true, &e), 1);
	assert_int_equal(numa_put(w.db, &node, 3072, &e),
			 0); /* 1 GiB is in use and no CVM runs: another program */
	assert_int_equal(numa_reserve(w.db, b, &half, true, &e), 0);
	assert_int_equal(numa_put(w.db, &node, 4096, &e), 0);
	assert_int_equal(numa_reserve(w.db, b, &half, true, &e), 1);
	assert_int_equal(numa_reserve(w.db, c, &half, true, &e), 0);
	assert_int_equal(db_count(w.db, "SELECT hugepages_promised FROM numa_nodes"), 4096);

	assert_int_equal(numa_hold(w.db, b, false, &e), 1);
	assert_int_equal(cvms_set_holds_cpu(w.db, b, false, &e), 0);
	assert_int_equal(numa_reserve(w.db, c, &half, true, &e), 1);
	assert_int_equal(numa_hold(w.db, b, true, &e), 0);
	assert_int_equal(capacity_recount(w.db, &changed, &e),
			 0); /* vcpus were not reserved by this test */
	assert_int_equal(capacity_recount(w.db, &changed, &e), 0);
	assert_false(changed);
	assert_int_equal(sql_run(w.db, &e, "UPDATE numa_nodes SET hugepages_promised = 1", ""), 1);
	assert_int_equal(db_check(db_fixture_path, &out, &e), 1);
	assert_non_null(strstr(
		out.data,
		"NUMA node 1 promised 1 MiB of hugepages and 0 MiB pinned, rows hold 4096 and 0"));
	assert_int_equal(capacity_recount(w.db, &changed, &e), 0);
	assert_true(changed);
	assert_int_equal(db_check(db_fixture_path, &out, &e), 0);
	db_close(w.db);
}

static void pages_of_a_running_cvm_do_not_count_as_foreign(void **st)
{
	struct db_fixture w = { .db = db_fixture_open() };
	const struct numa_row node = {
		.node = 0, .cpus = "0-3", .page_kib = 2048, .hugepages_mib = 4096
	};
	const struct cvm_node_row half = { .node = 0, .hugepages_mib = 2048 };
	int64_t a;
	struct err e;

	(void)st;
	db_fixture_fill(&w);
	a = db_fixture_add_cvm(&w, "one", 1000);
	assert_int_equal(numa_put(w.db, &node, 4096, &e), 0);
	assert_int_equal(numa_reserve(w.db, a, &half, true, &e), 1);
	assert_int_equal(cvms_set_observed(w.db, a, OBSERVED_RUNNING, PAUSED_NOT, &e), 0);
	assert_int_equal(numa_put(w.db, &node, 1024, &e), 0);
	assert_int_equal(db_count(w.db, "SELECT foreign_mib FROM numa_nodes"), 1024);
	db_close(w.db);
}

struct step {
	struct db *db;
	int fail;
};

static int append_one(void *arg, struct err *e)
{
	struct step *s = arg;
	int r = events_append(s->db, 1, "t", "", "", "{}", e);

	return r ? r : s->fail ? err_set(e, ERR_CONFLICT, "no") : 0;
}

static void count_after(void *arg, const struct err *e)
{
	int *n = arg;

	assert_null(e);
	(*n)++;
}

static void failed_mutations_leave_no_gap_and_answers_leave_after_the_commit(void **st)
{
	uv_loop_t loop;
	struct db *db = db_fixture_open();
	struct step good = { db, 0 }, bad = { db, 1 };
	struct event_row *rows;
	struct turn *t;
	size_t n;
	int called = 0;
	struct err e;

	(void)st;
	assert_int_equal(uv_loop_init(&loop), 0);
	t = turn_new(&loop, db);
	assert_int_equal(turn_do(t, append_one, &good, &e), 0);
	turn_after(t, count_after, &called);
	assert_int_equal(turn_do(t, append_one, &bad, &e), -ERR_CONFLICT);
	assert_int_equal(turn_do(t, append_one, &good, &e), 0);
	turn_after(t, count_after, &called);
	assert_int_equal(called, 0);
	(void)uv_run(&loop, UV_RUN_NOWAIT);
	assert_int_equal(called, 2);
	assert_int_equal(events_between(db, 0, 0, 100, 10, &rows, &n, &e), 0);
	assert_int_equal(n, 2);
	assert_int_equal(rows[0].seq + 1, rows[1].seq);
	events_free(rows, n);
	turn_close(t);
	(void)uv_run(&loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&loop), 0);
	db_close(db);
}

static void wildcard_addresses_collide_with_every_address(void **st)
{
	struct db_fixture w = { .db = db_fixture_open() };
	struct port_row p = { .host_address = "127.0.0.1", .host_port = 8080, .vm_port = 80 };
	char who[NAME_TEXT];
	struct err e;

	(void)st;
	db_fixture_fill(&w);
	assert_int_equal(ports_add(w.db, db_fixture_add_cvm(&w, "one", 1000), &p, &e), 0);
	assert_int_equal(ports_holder(w.db, w.workspace, 0, false, "0.0.0.0", 8080, who, &e), 1);
	assert_string_equal(who, "one");
	assert_int_equal(ports_holder(w.db, w.workspace + 1, 0, false, "127.0.0.1", 8080, who, &e),
			 1);
	assert_string_equal(who, "");
	assert_int_equal(ports_holder(w.db, w.workspace, 0, false, "127.0.0.2", 8080, who, &e), 0);
	assert_int_equal(ports_holder(w.db, w.workspace, 0, true, "127.0.0.1", 8080, who, &e), 0);
	db_close(w.db);
}

static int first_free(struct db_fixture *w, const char *address, uint16_t from, uint16_t to)
{
	uint16_t port = 0;
	struct err e;
	int r = ports_first_free(w->db, 0, false, address, from, to, &port, &e);

	assert_int_equal(r, port ? 1 : 0);
	return port;
}

static void the_first_free_port_is_found_behind_any_number_that_are_taken(void **st)
{
	struct db_fixture w = { .db = db_fixture_open() };
	struct err e;

	(void)st;
	db_fixture_fill(&w);
	(void)db_fixture_add_cvm(&w, "one", 1000);
	assert_int_equal(first_free(&w, "127.0.0.1", 2000, 2000), 2000);
	assert_true(sql_run(w.db, &e,
			    "WITH RECURSIVE n (i) AS (VALUES (2000) UNION ALL SELECT i + 1 FROM n "
			    "WHERE i < 2998)"
			    " INSERT INTO ports SELECT 'tcp', '127.0.0.1', i, 1, 1, 1 FROM n",
			    "") > 0);
	assert_true(
		sql_run(w.db, &e,
			"INSERT INTO ports VALUES ('tcp', '127.0.0.2', 2000, 1, 1, 1),"
			" ('tcp', '0.0.0.0', 2999, 1, 1, 1), ('udp', '127.0.0.1', 3000, 1, 1, 1)",
			"") > 0);
	assert_int_equal(first_free(&w, "127.0.0.1", 2000, 3000), 3000);
	assert_int_equal(first_free(&w, "127.0.0.1", 1999, 3000), 1999);
	assert_int_equal(first_free(&w, "127.0.0.2", 2000, 2999), 2001);
	assert_int_equal(first_free(&w, "0.0.0.0", 2000, 3000), 3000);
	assert_int_equal(first_free(&w, "127.0.0.1", 2000, 2999), 0);
	assert_int_equal(db_count(w.db, "SELECT held_host_ports FROM workspaces WHERE id = 1"),
			 1002);
	db_close(w.db);
}

static void histories_are_dropped_in_portions_and_workspaces_in_turn(void **st)
{
	struct db_fixture w = { .db = db_fixture_open() };
	int64_t found;
	struct err e;

	(void)st;
	db_fixture_fill(&w);
	assert_true(sql_run(w.db, &e,
			    "WITH RECURSIVE n (i) AS (VALUES (1000) UNION ALL SELECT i + 1 FROM n "
			    "WHERE i < 1009)"
			    " INSERT INTO history (app, workspace, number, revision, cvm_uuid, "
			    "image, changed, op,"
			    " caller, created_ms) SELECT a.id, a.workspace, i, (SELECT min(id) "
			    "FROM revisions), 'gone',"
			    " '', '[]', '', '', 1 FROM n, apps a WHERE a.id = ?",
			    "i", w.app) == 10);
	while (history_drop(w.db, w.workspace, 1, &e) == 1 &&
	       db_count(w.db, "SELECT count(*) FROM history") > 6)
		;
	assert_int_equal(history_drop(w.db, w.workspace, 4, &e), 4);
	assert_int_equal(history_drop(w.db, w.workspace, 4, &e), 1);
	assert_int_equal(history_drop(w.db, w.workspace, 4, &e), 0);
	assert_int_equal(db_count(w.db, "SELECT number FROM history"), 1009);

	assert_true(sql_run(w.db, &e,
			    "INSERT OR REPLACE INTO records VALUES (7, 'events', 9), (8, 'events', "
			    "1), (9, 'events', 9)",
			    "") > 0);
	assert_int_equal(records_over(w.db, RECORD_EVENTS, 5, 6, &found, &e), 0);
	assert_int_equal(found, 7);
	assert_int_equal(records_over(w.db, RECORD_EVENTS, 5, 7, &found, &e), 0);
	assert_int_equal(found, 9);
	assert_int_equal(records_over(w.db, RECORD_EVENTS, 5, 9, &found, &e), 0);
	assert_int_equal(found, 0);
	db_close(w.db);
}

/* VM steps of all statements since the last call. */
static int64_t steps(struct db *db)
{
	int64_t n = 0;

	for (size_t i = 0; i < db->cap; i++)
		if (db->cache[i].st)
			n += sqlite3_stmt_status(db->cache[i].st, SQLITE_STMTSTATUS_VM_STEP, 1);
	return n;
}

static void assert_page(struct db *db, const struct op_filter *f, int64_t offset, size_t rows)
{
	auto_free struct op_row *ops = NULL;
	int64_t total;
	size_t n;
	struct err e;

	(void)steps(db);
	assert_int_equal(ops_list(db, f, offset, 10, &ops, &n, &total, &e), 0);
	assert_int_equal(n, rows);
	if (!rows)
		assert_in_range(steps(db), 1, 300);
}

static void a_page_beyond_the_end_of_a_list_walks_nothing(void **st)
{
	struct db_fixture w = { .db = db_fixture_open() };

	(void)st;
	db_fixture_fill(&w);
	db_spoil(w.db,
		 "WITH RECURSIVE n (i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < "
		 "1005) INSERT INTO"
		 " operations (id, cvm, cvm_uuid, cvm_name, workspace, kind, state, undoing, "
		 "cancel, params, error,"
		 " request_id, caller, created_ms, started_ms, finished_ms) SELECT "
		 "printf('op%05d', i), i, 'u', 'n',"
		 " 1, 'stop', 'succeeded', 0, 0, '{}', '', '', '', i, i, i FROM n");
	for (int of = 0; of < 2; of++)
		for (int state = -1; state <= OP_SUCCEEDED; state += 1 + OP_SUCCEEDED) {
			const struct op_filter f = { .workspace = of ? w.workspace : 0,
						     .state = state };

			assert_page(w.db, &f, 0, 10);
			assert_page(w.db, &f, 1000, 5);
			assert_page(w.db, &f, 1005, 0);
			assert_page(w.db, &f, INT64_MAX / 2, 0);
		}
	db_close(w.db);
}

static void old_rows_go_in_portions_and_leave_no_gap(void **st)
{
	struct db *db = db_fixture_open();
	int64_t oldest, newest;
	struct err e;

	(void)st;
	assert_true(sql_run(db, &e,
			    "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE "
			    "i < 2500)"
			    " INSERT INTO events (at_ms, workspace, type, cvm_uuid, op_id, data)"
			    " SELECT i, 1, 't', '', '', '{}' FROM n",
			    "") > 0);
	assert_int_equal(events_prune(db, 500, &e), 499);
	assert_int_equal(events_bounds(db, &oldest, &newest, &e), 0);
	assert_int_equal(oldest, 500);
	assert_int_equal(events_prune(db, 9999, &e), PRUNE_MAX);
	assert_int_equal(events_prune(db, 9999, &e), PRUNE_MAX);
	assert_int_equal(events_prune(db, 9999, &e), 0); /* the newest is kept */
	assert_int_equal(events_bounds(db, &oldest, &newest, &e), 0);
	assert_int_equal(oldest, 2500);
	assert_int_equal(newest, 2500);
	assert_true(sql_run(db, &e,
			    "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE "
			    "i < 1500)"
			    " INSERT INTO idempotency SELECT 'c', i, 'd', 200, NULL, i, 1 FROM n",
			    "") > 0);
	assert_int_equal(idempotency_prune(db, 9999, &e), PRUNE_MAX);
	assert_int_equal(db_count(db, "SELECT min(created_ms) FROM idempotency"), PRUNE_MAX + 1);
	assert_int_equal(idempotency_prune(db, 9999, &e), 500);
	db_close(db);
}

/* The counters of SQLite would cost a lock for each allocation. */
static void allocations_are_not_counted(void **st)
{
	struct db *db = db_fixture_open();

	(void)st;
	assert_true(db_count(db, "SELECT count(*) FROM images") >= 0);
	assert_int_equal(sqlite3_memory_used(), 0);
	db_close(db);
}

/* A log that is longer than journal_size_limit is truncated, and has to grow again. A commit of 32
 * creates has about 300 pages. */
static void the_log_and_a_large_commit_fit_the_size_that_is_kept(void **st)
{
	enum { LARGE_COMMIT = 400, FRAME_HEAD = 24 };
	struct db *db = db_fixture_open();
	int64_t frame = db_count(db, "PRAGMA page_size") + FRAME_HEAD;

	(void)st;
	assert_true((db_count(db, "PRAGMA wal_autocheckpoint") + LARGE_COMMIT) * frame <=
		    db_count(db, "PRAGMA journal_size_limit"));
	db_close(db);
}

int main(void)
{
	const struct CMUnitTest t[] = {
		cmocka_unit_test(allocations_are_not_counted),
		cmocka_unit_test(the_log_and_a_large_commit_fit_the_size_that_is_kept),
		cmocka_unit_test(capacity_is_never_reserved_beyond_its_total),
		cmocka_unit_test(counts_follow_rows_and_the_last_cvm_takes_its_app_along),
		cmocka_unit_test(the_check_finds_a_reservation_without_a_row),
		cmocka_unit_test(a_device_has_one_holder_and_stays_known_while_it_is_held),
		cmocka_unit_test(hugepages_of_a_node_are_never_reserved_beyond_its_total),
		cmocka_unit_test(pages_of_a_running_cvm_do_not_count_as_foreign),
		cmocka_unit_test(failed_mutations_leave_no_gap_and_answers_leave_after_the_commit),
		cmocka_unit_test(wildcard_addresses_collide_with_every_address),
		cmocka_unit_test(the_first_free_port_is_found_behind_any_number_that_are_taken),
		cmocka_unit_test(histories_are_dropped_in_portions_and_workspaces_in_turn),
		cmocka_unit_test(a_page_beyond_the_end_of_a_list_walks_nothing),
		cmocka_unit_test(old_rows_go_in_portions_and_leave_no_gap),
	};

	return cmocka_run_group_tests_name("db", t, db_fixture_set_up, temp_dir_tear_down);
}
