/* SPDX-License-Identifier: Apache-2.0
 * db_test.c - the promises of the database: nothing half done, nothing counted twice, no gaps in the event log.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/own.h"
#include "db/rows.h"
#include "db/sql.h"
#include "db/turn.h"

static char dir[] = "/tmp/teepod-db-XXXXXX";
static char path[64];

static struct db *fresh(void)
{
	struct db *db;
	struct err e;

	(void)unlink(path);
	assert_int_equal(db_open(path, &db, &e), 0);
	return db;
}

static int set_up(void **st)
{
	(void)st;
	if (!mkdtemp(dir))
		return -1;
	(void)snprintf(path, sizeof(path), "%s/t.db", dir);
	return 0;
}

static int tear_down(void **st)
{
	auto_free char *cmd = xasprintf("rm -rf %s", dir);

	(void)st;
	return system(cmd);
}

struct world {
	struct db *db;
	int64_t workspace, app, revision, image;
};

static void fill(struct world *w)
{
	struct image_row img = {
		.name = "x-1.0.0", .family = "x", .version = "1.0.0", .v = { 1, 0, 0, 0 }, .nv = 3
	};
	struct revision_row rev = { .manifest = (char[]){ "{}" }, .storage_fs = "zfs" };
	struct err e;

	memset(rev.compose_hash, 'a', 64);
	assert_int_equal(workspaces_ensure(w->db, "local", &w->workspace, &e), 0);
	assert_int_equal(images_add(w->db, &img, &w->image, &e), 0);
	assert_int_equal(apps_ensure(w->db, w->workspace, "0123456789012345678901234567890123456789", "a",
				     &w->app, &e),
			 0);
	rev.app = w->app;
	assert_int_equal(revisions_ensure(w->db, &rev, &w->revision, &e), 0);
	assert_int_equal(capacity_set_total(w->db, "vcpus", 8, &e), 0);
}

static int64_t add_cvm(struct world *w, const char *name, uint32_t cid)
{
	struct cvm_row c = { .workspace = w->workspace,
			     .app = w->app,
			     .revision = w->revision,
			     .image = w->image,
			     .vcpus = 2,
			     .memory_mib = 64,
			     .disk_gib = 1,
			     .holds_cpu = true,
			     .cid = cid };
	struct cvm_blobs none = { 0 };
	int64_t id;
	struct err e;

	id_uuid4(c.uuid);
	(void)snprintf(c.name, sizeof(c.name), "%s", name);
	(void)snprintf(c.app_id, sizeof(c.app_id), "0123456789012345678901234567890123456789");
	assert_int_equal(cvms_insert(w->db, &c, &none, &id, &e), 0);
	return id;
}

static void capacity_is_never_promised_beyond_its_total(void **st)
{
	struct world w = { .db = fresh() };
	struct capacity_row row;
	struct err e;

	(void)st;
	fill(&w);
	assert_int_equal(capacity_take(w.db, "vcpus", 5, &e), 1);
	assert_int_equal(capacity_take(w.db, "vcpus", 4, &e), 0);
	assert_int_equal(capacity_take(w.db, "vcpus", 3, &e), 1);
	assert_int_equal(capacity_get(w.db, "vcpus", &row, &e), 0);
	assert_int_equal(row.promised, 8);
	db_close(w.db);
}

static void counts_follow_rows_and_the_last_cvm_takes_its_app_along(void **st)
{
	struct world w = { .db = fresh() };
	struct workspace_row ws;
	struct app_row app;
	int64_t a, b;
	struct err e;

	(void)st;
	fill(&w);
	a = add_cvm(&w, "one", 1000);
	b = add_cvm(&w, "two", 1001);
	assert_int_equal(workspaces_get(w.db, w.workspace, &ws, &e), 0);
	assert_int_equal(ws.cvms, 2);
	assert_int_equal(apps_find(w.db, 0, "0123456789012345678901234567890123456789", &app, &e), 0);
	assert_int_equal(app.current_cvm, b);
	assert_int_equal(cvms_forget(w.db, b, &e), 0);
	assert_int_equal(apps_find(w.db, 0, "0123456789012345678901234567890123456789", &app, &e), 0);
	assert_int_equal(app.current_cvm, a);
	assert_int_equal(cvms_forget(w.db, a, &e), 0);
	assert_int_equal(apps_find(w.db, 0, "0123456789012345678901234567890123456789", &app, &e),
			 -ERR_NOT_FOUND);
	assert_int_equal(workspaces_get(w.db, w.workspace, &ws, &e), 0);
	assert_int_equal(ws.apps, 0);
	db_close(w.db);
}

static void check_finds_a_promise_that_no_row_holds(void **st)
{
	struct world w = { .db = fresh() };
	auto_buf struct buf out = { 0 };
	bool changed;
	struct err e;

	(void)st;
	fill(&w);
	(void)add_cvm(&w, "one", 1000);
	assert_int_equal(db_check(path, &out, &e), 1);
	assert_non_null(strstr(out.data, "vcpus promised 0, rows hold 2"));
	assert_int_equal(capacity_recount(w.db, &changed, &e), 0);
	assert_true(changed);
	assert_int_equal(db_check(path, &out, &e), 0);
	db_close(w.db);
}

static void newer_schema_is_refused_and_untouched(void **st)
{
	struct db *db = fresh(), *again = NULL;
	struct err e;

	(void)st;
	assert_int_equal(sql_run(db, &e, "PRAGMA user_version = 9999", ""), 0);
	db_close(db);
	assert_int_equal(db_open(path, &again, &e), -ERR_UNSUPPORTED);
	assert_null(again);
	assert_non_null(strstr(e.text, "9999"));
}

static void a_cvm_has_one_running_operation(void **st)
{
	struct op_row op = { .cvm = 1, .kind = OP_START, .state = OP_RUNNING };
	struct db *db = fresh();
	struct err e;

	(void)st;
	id_uuid7(op.id);
	assert_int_equal(ops_insert(db, &op, &e), 0);
	id_uuid7(op.id);
	assert_true(ops_insert(db, &op, &e) < 0);
	op.state = OP_QUEUED;
	assert_int_equal(ops_insert(db, &op, &e), 0);
	db_close(db);
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
	struct db *db = fresh();
	struct step good = { db, 0 }, bad = { db, 1 };
	struct event_row *rows;
	struct turn *t;
	size_t n;
	int told = 0;
	struct err e;

	(void)st;
	assert_int_equal(uv_loop_init(&loop), 0);
	t = turn_new(&loop, db);
	assert_int_equal(turn_do(t, append_one, &good, &e), 0);
	turn_after(t, count_after, &told);
	assert_int_equal(turn_do(t, append_one, &bad, &e), -ERR_CONFLICT);
	assert_int_equal(turn_do(t, append_one, &good, &e), 0);
	turn_after(t, count_after, &told);
	assert_int_equal(told, 0);
	(void)uv_run(&loop, UV_RUN_NOWAIT);
	assert_int_equal(told, 2);
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
	struct world w = { .db = fresh() };
	struct port_row p = { .host_address = "127.0.0.1", .host_port = 8080, .vm_port = 80 };
	char who[NAME_TEXT];
	struct err e;

	(void)st;
	fill(&w);
	assert_int_equal(ports_add(w.db, add_cvm(&w, "one", 1000), &p, &e), 0);
	assert_int_equal(ports_holder(w.db, w.workspace, false, "0.0.0.0", 8080, who, &e), 1);
	assert_string_equal(who, "one");
	assert_int_equal(ports_holder(w.db, w.workspace + 1, false, "127.0.0.1", 8080, who, &e), 1);
	assert_string_equal(who, "");
	assert_int_equal(ports_holder(w.db, w.workspace, false, "127.0.0.2", 8080, who, &e), 0);
	assert_int_equal(ports_holder(w.db, w.workspace, true, "127.0.0.1", 8080, who, &e), 0);
	db_close(w.db);
}

int main(void)
{
	const struct CMUnitTest t[] = {
		cmocka_unit_test(capacity_is_never_promised_beyond_its_total),
		cmocka_unit_test(counts_follow_rows_and_the_last_cvm_takes_its_app_along),
		cmocka_unit_test(check_finds_a_promise_that_no_row_holds),
		cmocka_unit_test(newer_schema_is_refused_and_untouched),
		cmocka_unit_test(a_cvm_has_one_running_operation),
		cmocka_unit_test(failed_mutations_leave_no_gap_and_answers_leave_after_the_commit),
		cmocka_unit_test(wildcard_addresses_collide_with_every_address),
	};

	return cmocka_run_group_tests_name("db", t, set_up, tear_down);
}
