/* SPDX-License-Identifier: Apache-2.0
 * db_test.c - the promises of the database: nothing half done, nothing counted twice, no gaps in
 * the event log.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <glob.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
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
#include "db/images.h"
#include "db/keys.h"
#include "db/node.h"
#include "db/numa.h"
#include "db/operations.h"
#include "db/policies.h"
#include "db/ports.h"
#include "db/records.h"
#include "db/schema.h"
#include "db/sql.h"
#include "db/text.h"
#include "db/turn.h"
#include "db/workspaces.h"

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
	assert_int_equal(apps_ensure(w->db, w->workspace,
				     "0123456789012345678901234567890123456789", "a", &w->app, &e),
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
	assert_int_equal(capacity_reserve_amount(w.db, "vcpus", 5, &e), 1);
	assert_int_equal(capacity_reserve_amount(w.db, "vcpus", 4, &e), 0);
	assert_int_equal(capacity_reserve_amount(w.db, "vcpus", 3, &e), 1);
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
	assert_int_equal(apps_find(w.db, 0, "0123456789012345678901234567890123456789", &app, &e),
			 0);
	assert_int_equal(app.current_cvm, b);
	assert_int_equal(cvms_delete(w.db, b, &e), 0);
	assert_int_equal(apps_find(w.db, 0, "0123456789012345678901234567890123456789", &app, &e),
			 0);
	assert_int_equal(app.current_cvm, a);
	assert_int_equal(cvms_delete(w.db, a, &e), 0);
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

static int64_t count(struct db *db, const char *sql)
{
	int64_t n;
	struct err e;

	assert_int_equal(sql_int(db, &e, -1, &n, sql, ""), 0);
	return n;
}

static int64_t ops_total(struct db *db, int64_t workspace, int state)
{
	const struct op_filter f = { .workspace = workspace, .state = state };
	auto_free struct op_row *rows = NULL;
	int64_t total;
	size_t n;
	struct err e;

	assert_int_equal(ops_list(db, &f, 0, 100, &rows, &n, &total, &e), 0);
	assert_int_equal(total, n); /* what is counted is what is listed */
	return total;
}

/* tests/data/teepod-v1.sql: what teepod 0.1.0 had written, with two CVMs. */
static void write_version_1(void)
{
	auto_free char *sql = NULL;
	sqlite3 *conn;
	struct err e;

	(void)unlink(path);
	assert_int_equal(file_read("tests/data/teepod-v1.sql", 1 << 20, &sql, NULL, &e), 0);
	assert_int_equal(sqlite3_open(path, &conn), SQLITE_OK);
	assert_int_equal(sqlite3_exec(conn, sql, NULL, NULL, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_close(conn), SQLITE_OK);
}

static int copies(glob_t *g)
{
	auto_free char *pattern = xasprintf("%s.v1-*", path);

	return glob(pattern, 0, NULL, g);
}

static void a_file_of_schema_1_is_copied_and_migrated_with_what_it_holds(void **st)
{
	auto_buf struct buf out = { 0 };
	struct cvm_row c;
	struct db *db;
	glob_t g;
	sqlite3 *old;
	struct err e;

	(void)st;
	write_version_1();
	assert_int_equal(sqlite3_open(path, &old), SQLITE_OK);
	assert_int_equal(sqlite3_exec(old, "UPDATE cvms SET observed = 'off' WHERE id = 1", NULL,
				      NULL, NULL),
			 SQLITE_OK);
	(void)sqlite3_close(old);
	assert_int_equal(db_open(path, &db, &e), 0);
	assert_int_equal(count(db, "PRAGMA user_version"), schema_version());
	assert_int_equal(cvms_get(db, 1, &c, &e), 0);
	assert_string_equal(c.name, "first-one");
	assert_int_equal(c.vcpus, 2);
	assert_int_equal(c.given_vcpus, 2);
	assert_int_equal(c.given_memory_mib, 512);
	assert_string_equal(c.networks, "");
	assert_string_equal(c.gpu_attach, "");
	assert_false(c.hugepages || c.pin_numa || c.gpus);
	/* A guest that ran had a disk, of whatever size. */
	assert_int_equal(count(db, "SELECT disk_made FROM cvms WHERE id = 1"), 1);
	assert_int_equal(count(db, "SELECT disk_made FROM cvms WHERE id = 2"), 0);
	assert_int_equal(count(db, "SELECT count(*) FROM images WHERE files <> ''"), 0);
	assert_int_equal(count(db, "SELECT count(*) FROM ports WHERE vm_port = other_vm_port"), 2);
	assert_int_equal(count(db,
			       "SELECT count(*) FROM history h JOIN cvms c ON c.uuid = h.cvm_uuid"
			       " AND c.revision = h.revision WHERE h.changed = '[\"created\"]'"),
			 2);
	assert_int_equal(count(db, "SELECT cvms FROM workspaces"), 2);
	assert_int_equal(count(db, "SELECT count(*) FROM operations"), ops_total(db, 0, -1));
	assert_int_equal(cvms_delete(db, 2, &e), 0); /* triggers and cascades are still there */
	assert_int_equal(count(db, "SELECT cvms FROM workspaces"), 1);
	db_close(db);

	assert_int_equal(copies(&g), 0);
	assert_int_equal(g.gl_pathc, 1);
	assert_int_equal(sqlite3_open(g.gl_pathv[0], &old), SQLITE_OK);
	assert_int_equal(sqlite3_exec(old, "SELECT networks FROM cvms", NULL, NULL, NULL),
			 SQLITE_ERROR);
	assert_int_equal(sqlite3_exec(old, "SELECT name FROM cvms", NULL, NULL, NULL), SQLITE_OK);
	(void)sqlite3_close(old);
	globfree(&g);
	assert_int_equal(db_open(path, &db, &e), 0); /* a second time there is nothing to do */
	db_close(db);
	assert_int_equal(copies(&g), 0);
	assert_int_equal(g.gl_pathc, 1);
	globfree(&g);
}

static void names_that_clash_in_an_old_file_do_not_stop_its_migration(void **st)
{
	struct cvm_row found[2];
	struct db *db;
	sqlite3 *old;
	struct err e;

	(void)st;
	write_version_1();
	assert_int_equal(sqlite3_open(path, &old), SQLITE_OK);
	assert_int_equal(sqlite3_exec(old, "UPDATE cvms SET name = 'FIRST-One' WHERE id = 2", NULL,
				      NULL, NULL),
			 SQLITE_OK);
	(void)sqlite3_close(old);
	assert_int_equal(db_open(path, &db, &e), 0);
	assert_int_equal(cvms_find(db, 0, CVM_BY_NAME, "first-one", found, 2, &e), 2);
	assert_string_equal(found[0].name, "first-one");
	assert_string_equal(found[1].name, "FIRST-One");
	db_close(db);
}

static void a_migrated_file_passes_the_check(void **st)
{
	auto_buf struct buf out = { 0 };
	struct db *db;
	struct err e;

	(void)st;
	write_version_1();
	assert_int_equal(db_open(path, &db, &e), 0);
	db_close(db);
	assert_int_equal(db_check(path, &out, &e), 0);
}

static int64_t add_placed(struct world *w, const char *name, uint32_t cid)
{
	int64_t id = add_cvm(w, name, cid);
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
	struct world w = { .db = fresh() };
	const struct device_row found[] = { gpu("0000:18:00.0"), gpu("0000:2a:00.0") };
	auto_free struct device_row *rows = NULL;
	struct cvm_row c;
	int64_t a, b;
	size_t n;
	struct err e;

	(void)st;
	fill(&w);
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
	assert_int_equal(count(w.db, "SELECT count(*) FROM devices WHERE present AND cvm > 0"), 1);
	assert_int_equal(cvms_delete(w.db, a, &e), 0);
	assert_int_equal(count(w.db, "SELECT count(*) FROM devices WHERE cvm IS NULL"), 2);
	db_close(w.db);
}

static void hugepages_of_a_node_are_never_promised_beyond_what_is_there(void **st)
{
	struct world w = { .db = fresh() };
	const struct numa_row node = {
		.node = 1, .cpus = "4-7", .page_kib = 2048, .hugepages_mib = 4096
	};
	const struct cvm_node_row half = { .node = 1, .hugepages_mib = 2048 };
	auto_buf struct buf out = { 0 };
	int64_t a, b, c;
	bool changed;
	struct err e;

	(void)st;
	fill(&w);
	a = add_cvm(&w, "one", 1000);
	b = add_cvm(&w, "two", 1001);
	c = add_cvm(&w, "three", 1002);
	assert_int_equal(numa_put(w.db, &node, 4096, &e), 0);
	assert_int_equal(numa_reserve(w.db, a, &half, true, &e), 1);
	assert_int_equal(numa_put(w.db, &node, 3072, &e),
			 0); /* 1 GiB is in use, and no CVM runs: somebody else's */
	assert_int_equal(numa_reserve(w.db, b, &half, true, &e), 0);
	assert_int_equal(numa_put(w.db, &node, 4096, &e), 0);
	assert_int_equal(numa_reserve(w.db, b, &half, true, &e), 1);
	assert_int_equal(numa_reserve(w.db, c, &half, true, &e), 0);
	assert_int_equal(count(w.db, "SELECT hugepages_promised FROM numa_nodes"), 4096);

	assert_int_equal(numa_hold(w.db, b, false, &e), 1);
	assert_int_equal(cvms_set_holds_cpu(w.db, b, false, &e), 0);
	assert_int_equal(numa_reserve(w.db, c, &half, true, &e), 1);
	assert_int_equal(numa_hold(w.db, b, true, &e), 0);
	assert_int_equal(capacity_recount(w.db, &changed, &e), 0); /* vcpus were not taken here */
	assert_int_equal(capacity_recount(w.db, &changed, &e), 0);
	assert_false(changed);
	assert_int_equal(sql_run(w.db, &e, "UPDATE numa_nodes SET hugepages_promised = 1", ""), 1);
	assert_int_equal(db_check(path, &out, &e), 1);
	assert_non_null(strstr(
		out.data,
		"NUMA node 1 promised 1 MiB of hugepages and 0 MiB pinned, rows hold 4096 and 0"));
	assert_int_equal(capacity_recount(w.db, &changed, &e), 0);
	assert_true(changed);
	assert_int_equal(db_check(path, &out, &e), 0);
	db_close(w.db);
}

static void pages_of_a_cvm_that_runs_are_not_somebody_elses(void **st)
{
	struct world w = { .db = fresh() };
	const struct numa_row node = {
		.node = 0, .cpus = "0-3", .page_kib = 2048, .hugepages_mib = 4096
	};
	const struct cvm_node_row half = { .node = 0, .hugepages_mib = 2048 };
	int64_t a;
	struct err e;

	(void)st;
	fill(&w);
	a = add_cvm(&w, "one", 1000);
	assert_int_equal(numa_put(w.db, &node, 4096, &e), 0);
	assert_int_equal(numa_reserve(w.db, a, &half, true, &e), 1);
	assert_int_equal(cvms_set_observed(w.db, a, OBSERVED_RUNNING, PAUSED_NOT, &e), 0);
	assert_int_equal(numa_put(w.db, &node, 1024, &e), 0);
	assert_int_equal(count(w.db, "SELECT foreign_mib FROM numa_nodes"), 1024);
	db_close(w.db);
}

static void a_command_never_migrates_and_creates_only_when_told(void **st)
{
	struct db *db = NULL;
	sqlite3 *conn;
	glob_t g;
	struct err e;

	(void)st;
	(void)unlink(path);
	assert_int_equal(db_open_as_is(path, false, &db, &e), -ERR_HOST);
	assert_int_not_equal(access(path, F_OK), 0);
	write_version_1();
	assert_int_equal(db_open_as_is(path, false, &db, &e), -ERR_UNSUPPORTED);
	assert_non_null(strstr(e.text, "has schema 1"));
	assert_non_null(strstr(e.text, "restart the daemon"));
	assert_int_equal(db_open_as_is(path, true, &db, &e), -ERR_UNSUPPORTED);
	assert_null(db);
	assert_int_equal(sqlite3_open(path, &conn), SQLITE_OK);
	assert_int_equal(sqlite3_exec(conn, "SELECT networks FROM cvms", NULL, NULL, NULL),
			 SQLITE_ERROR);
	(void)sqlite3_close(conn);
	assert_int_equal(copies(&g), GLOB_NOMATCH);
	db_close(fresh());
	assert_int_equal(db_open_as_is(path, false, &db, &e), 0);
	db_close(db);
	(void)unlink(path);
	assert_int_equal(db_open_as_is(path, true, &db, &e), 0);
	assert_int_equal(count(db, "PRAGMA user_version"), schema_version());
	db_close(db);
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
	assert_int_equal(ports_holder(w.db, w.workspace, 0, false, "0.0.0.0", 8080, who, &e), 1);
	assert_string_equal(who, "one");
	assert_int_equal(ports_holder(w.db, w.workspace + 1, 0, false, "127.0.0.1", 8080, who, &e),
			 1);
	assert_string_equal(who, "");
	assert_int_equal(ports_holder(w.db, w.workspace, 0, false, "127.0.0.2", 8080, who, &e), 0);
	assert_int_equal(ports_holder(w.db, w.workspace, 0, true, "127.0.0.1", 8080, who, &e), 0);
	db_close(w.db);
}

static void plan_change(struct world *w, int64_t cvm, struct change_row *x)
{
	struct port_row port = { .host_address = "127.0.0.1", .host_port = 8081, .vm_port = 81 };
	int64_t more;
	struct err e;

	*x = (struct change_row){ .op = "op",
				  .cvm = cvm,
				  .changed = "[]",
				  .revision = w->revision,
				  .image = w->image,
				  .vcpus = 9,
				  .memory_mib = 99,
				  .disk_gib = 7,
				  .given_vcpus = 9,
				  .given_memory_mib = 99,
				  .blobs = { .user_config = xstrdup("new") } };
	assert_int_equal(ports_plan(w->db, cvm, &port, 1, &more, &e), 0);
	assert_int_equal(more, 1);
	assert_int_equal(changes_insert(w->db, x, &e), 0);
}

static void swapping_twice_is_where_it_began_and_settling_keeps_the_present(void **st)
{
	struct world w = { .db = fresh() };
	struct port_row port = { .host_address = "127.0.0.1", .host_port = 8080, .vm_port = 80 };
	struct cvm_row before, after;
	struct change_row x;
	int64_t cvm, gone;
	struct err e;

	(void)st;
	fill(&w);
	cvm = add_cvm(&w, "one", 1000);
	assert_int_equal(ports_add(w.db, cvm, &port, &e), 0);
	plan_change(&w, cvm, &x);
	assert_int_equal(cvms_get(w.db, cvm, &before, &e), 0);
	assert_int_equal(changes_swap(w.db, &x, &e), 0);
	assert_true(x.applied);
	assert_int_equal(x.vcpus, before.vcpus);
	assert_int_equal(count(w.db, "SELECT vcpus FROM cvms"), 9);
	assert_int_equal(count(w.db, "SELECT vm_port FROM ports WHERE host_port = 8081"), 81);
	assert_int_equal(count(w.db, "SELECT vm_port FROM ports WHERE host_port = 8080"), 0);
	assert_int_equal(count(w.db, "SELECT user_config = 'new' FROM cvms"), 1);
	assert_int_equal(changes_swap(w.db, &x, &e), 0);
	assert_int_equal(cvms_get(w.db, cvm, &after, &e), 0);
	assert_true(after.policy.generation >
		    before.policy.generation); /* there and back are two changes to who watches */
	after.policy.generation = before.policy.generation;
	assert_memory_equal(&before, &after, sizeof(before));
	assert_int_equal(ports_settle(w.db, cvm, &gone, &e), 0);
	assert_int_equal(gone, 1);
	assert_int_equal(count(w.db, "SELECT vm_port = other_vm_port FROM ports"), 1);
	cvm_blobs_free(&x.blobs);
	db_close(w.db);
}

static void the_check_finds_a_change_that_no_operation_carries_on(void **st)
{
	struct world w = { .db = fresh() };
	auto_buf struct buf out = { 0 };
	struct change_row x;
	bool changed;
	struct err e;

	(void)st;
	fill(&w);
	plan_change(&w, add_cvm(&w, "one", 1000), &x);
	assert_int_equal(capacity_recount(w.db, &changed, &e), 0);
	assert_int_equal(db_check(path, &out, &e), 1);
	assert_non_null(
		strstr(out.data, "change of CVM one belongs to operation op, which does not run"));
	assert_int_equal(changes_remove(w.db, "op", &e), 0);
	assert_true(db_check(path, &out, &e) > 0);
	assert_non_null(strstr(
		out.data, "CVM one is not changed, and has tcp port 8081 in one of two states"));
	cvm_blobs_free(&x.blobs);
	db_close(w.db);
}

static int first_free(struct world *w, const char *address, uint16_t from, uint16_t to)
{
	uint16_t port = 0;
	struct err e;
	int r = ports_first_free(w->db, 0, false, address, from, to, &port, &e);

	assert_int_equal(r, port ? 1 : 0);
	return port;
}

static void the_first_free_port_is_found_behind_any_number_that_are_taken(void **st)
{
	struct world w = { .db = fresh() };
	struct err e;

	(void)st;
	fill(&w);
	(void)add_cvm(&w, "one", 1000);
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
	assert_int_equal(count(w.db, "SELECT held_host_ports FROM workspaces WHERE id = 1"), 1002);
	db_close(w.db);
}

static void a_revision_goes_with_the_change_that_planned_it(void **st)
{
	struct world w = { .db = fresh() };
	struct revision_row planned = { .manifest = (char[]){ "{}" }, .storage_fs = "zfs" };
	struct change_row x;
	int64_t bytes;
	struct err e;

	(void)st;
	fill(&w);
	plan_change(&w, add_cvm(&w, "one", 1000), &x);
	assert_int_equal(changes_remove(w.db, "op", &e), 0);
	planned.app = w.app;
	memset(planned.compose_hash, 'c', 64);
	bytes = count(w.db, "SELECT bytes FROM apps");
	assert_int_equal(revisions_ensure(w.db, &planned, &x.revision, &e), 0);
	assert_int_equal(count(w.db, "SELECT bytes FROM apps"), bytes + 256 + 2);
	assert_int_equal(changes_insert(w.db, &x, &e), 0);
	assert_int_equal(changes_remove(w.db, "op", &e), 0);
	assert_int_equal(count(w.db, "SELECT count(*) FROM revisions"), 1);
	assert_int_equal(count(w.db, "SELECT bytes FROM apps"), bytes);
	assert_int_equal(records_bytes(w.db, w.workspace, RECORD_REVISIONS, &x.revision, &e), 0);
	assert_int_equal(x.revision, bytes);
	cvm_blobs_free(&x.blobs);
	db_close(w.db);
}

static void histories_are_dropped_in_portions_and_workspaces_in_turn(void **st)
{
	struct world w = { .db = fresh() };
	int64_t found;
	struct err e;

	(void)st;
	fill(&w);
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
	       count(w.db, "SELECT count(*) FROM history") > 6)
		;
	assert_int_equal(history_drop(w.db, w.workspace, 4, &e), 4);
	assert_int_equal(history_drop(w.db, w.workspace, 4, &e), 1);
	assert_int_equal(history_drop(w.db, w.workspace, 4, &e), 0);
	assert_int_equal(count(w.db, "SELECT number FROM history"), 1009);

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

static int asked_down(struct db *db, enum op_kind kind, enum op_state state, const char *step)
{
	static int number;
	struct op_row op = {
		.workspace = 1, .kind = kind, .state = state, .params = "{}", .finished_ms = 5
	};
	struct err e;

	/* Of the same millisecond, ids would come in any order. */
	(void)snprintf(op.id, sizeof(op.id), "%d", ++number);
	(void)snprintf(op.cvm_uuid, sizeof(op.cvm_uuid), "u");
	(void)snprintf(op.step, sizeof(op.step), "%s", step);
	assert_int_equal(ops_insert(db, &op, &e), 0);
	return ops_shutdown_unfinished(db, "u", 5, &e);
}

static void a_guest_is_asked_down_by_the_button_only(void **st)
{
	struct db *db = fresh();

	(void)st;
	assert_int_equal(asked_down(db, OP_RESTART, OP_FAILED, "signal"), 0);
	assert_int_equal(asked_down(db, OP_RESTART, OP_CANCELLED, "signal"), 1);
	assert_int_equal(asked_down(db, OP_SHUTDOWN, OP_FAILED, "signal"), 1);
	assert_int_equal(asked_down(db, OP_RESTART, OP_FAILED, "wait"), 1);
	assert_int_equal(asked_down(db, OP_RESTART, OP_FAILED, "start"), 0);
	db_close(db);
}

static void totals_of_operations_follow_their_states(void **st)
{
	struct op_row op = { .workspace = 1, .kind = OP_START, .state = OP_QUEUED, .params = "{}" };
	struct db *db = fresh();
	auto_buf struct buf out = { 0 };
	struct err e;

	(void)st;
	for (int i = 0; i < 4; i++) {
		id_uuid7(op.id);
		op.cvm = i;
		op.workspace = 1 + i / 3;
		assert_int_equal(ops_insert(db, &op, &e), 0);
	}
	assert_int_equal(ops_total(db, 0, -1), 4);
	assert_int_equal(ops_total(db, 1, -1), 3);
	op.state = OP_FAILED;
	op.finished_ms = 1;
	assert_int_equal(ops_update(db, &op, &e), 0);
	assert_int_equal(ops_total(db, 0, OP_FAILED), 1);
	assert_int_equal(ops_total(db, 2, OP_QUEUED), 0);
	assert_int_equal(ops_total(db, 1, OP_QUEUED), 3);
	assert_int_equal(ops_total(db, 2, OP_FAILED), 1);
	assert_int_equal(ops_total(db, 1, OP_FAILED), 0);
	assert_int_equal(ops_prune(db, 2, &e), 1);
	assert_int_equal(ops_total(db, 0, OP_FAILED), 0);
	assert_int_equal(ops_total(db, 0, -1), 3);
	assert_true(sql_run(db, &e, "UPDATE operation_counts SET n = 7 WHERE n = 3", "") > 0);
	assert_true(db_check(path, &out, &e) > 0);
	assert_non_null(strstr(out.data, "workspace 1 counts 7 operations queued, has 3"));
	db_close(db);
}

/* What a file that was written by hand, or by another program, may hold in spite of its CHECKs. */
static void spoil(struct db *db, const char *sql)
{
	struct err e;

	assert_true(sql_run(db, &e, "PRAGMA ignore_check_constraints = ON", "") >= 0);
	assert_true(sql_run(db, &e, sql, "") > 0);
	assert_true(sql_run(db, &e, "PRAGMA ignore_check_constraints = OFF", "") >= 0);
}

/* Steps of SQLite's machine in all statements so far; counted anew from here. */
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
	struct world w = { .db = fresh() };

	(void)st;
	fill(&w);
	spoil(w.db, "WITH RECURSIVE n (i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < "
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
	struct db *db = fresh();
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
	assert_int_equal(events_prune(db, 9999, &e), 0); /* the newest stays */
	assert_int_equal(events_bounds(db, &oldest, &newest, &e), 0);
	assert_int_equal(oldest, 2500);
	assert_int_equal(newest, 2500);
	assert_true(sql_run(db, &e,
			    "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE "
			    "i < 1500)"
			    " INSERT INTO idempotency SELECT 'c', i, 'd', 200, NULL, i, 1 FROM n",
			    "") > 0);
	assert_int_equal(idempotency_prune(db, 9999, &e), PRUNE_MAX);
	assert_int_equal(count(db, "SELECT min(created_ms) FROM idempotency"), PRUNE_MAX + 1);
	assert_int_equal(idempotency_prune(db, 9999, &e), 500);
	db_close(db);
}

/* Rows of every table with a rule: CVM 1, its operation "op" and change, a device, a key, and so
 * on. */
static void fill_ruled(struct world *w)
{
	static const char *const sql[] = {
		"INSERT INTO operations VALUES ('op', 1, 'u', 'n', 1, 'resize', 'running', 0, 0, "
		"'{}', '', '', '', 1, 1, 0, '', 1)",
		"INSERT INTO changes SELECT 'op', id, 0, '[]', revision, image, '', 1, 1, 1, 1, 1, "
		"'', '', 0, NULL, NULL FROM cvms",
		"INSERT INTO devices VALUES ('0000:18:00.0', 'gpu', '10de:2335', '', 0, 0, '', 0, "
		"1, 1, '', 1, 'both')",
		"INSERT INTO api_keys (workspace, name, role, hash, created_ms) VALUES (1, 'k', 3, "
		"zeroblob(32), 1)",
		"INSERT INTO history (app, number, revision, cvm_uuid, image, changed, op, caller, "
		"created_ms)"
		" SELECT app, 1, revision, uuid, '', '[]', '', '', 1 FROM cvms",
		"INSERT INTO provisions VALUES (1, '0123456789012345678901234567890123456789', "
		"'hash', '{}', '{}', 1, 1 << 60, 0)",
		"INSERT INTO idempotency VALUES ('key:1', 'k', 'd', 200, '{}', 1, 1)",
		"INSERT INTO events (at_ms, workspace, type, cvm_uuid, op_id, data) VALUES (1, 1, "
		"'t', '', '', '{}')",
		"INSERT INTO ports VALUES ('tcp', '127.0.0.1', 80, 8080, 8080, 1)",
		"INSERT INTO maintenance VALUES (1, '', '', 1, 60, 0)",
		"UPDATE cvms SET ended = 'crashed', desired = 'running'",
	};
	struct err e;

	fill(w);
	(void)add_cvm(w, "one", 1000);
	for (size_t i = 0; i < ARRAY_SIZE(sql); i++)
		assert_true(sql_run(w->db, &e, sql[i], "") > 0);
}

union any_row {
	struct cvm_row cvm;
	struct op_row op;
	struct image_row image;
	struct key_row key;
	struct change_row change;
	struct idempotency_row answer;
};

static int cvm_of(struct db *db, struct err *e)
{
	union any_row r;

	return cvms_get(db, 1, &r.cvm, e);
}

static int cvms_of_node(struct db *db, struct err *e)
{
	const struct cvm_filter all = { .listed = -1 };
	auto_free struct cvm_row *rows = NULL;
	size_t n;

	return cvms_list(db, &all, 0, 10, &rows, &n, NULL, e);
}

static int cvm_named(struct db *db, struct err *e)
{
	union any_row r;
	int n = cvms_find(db, 1, CVM_BY_NAME, "one", &r.cvm, 1, e);

	return n < 0 ? n : 0;
}

static int op_of(struct db *db, struct err *e)
{
	union any_row r;

	return ops_get(db, "op", &r.op, e);
}

static int ops_of_node(struct db *db, struct err *e)
{
	const struct op_filter all = { .state = -1 };
	auto_free struct op_row *rows = NULL;
	size_t n;

	return ops_list(db, &all, 0, 10, &rows, &n, NULL, e);
}

static int devices_of_node(struct db *db, struct err *e)
{
	auto_free struct device_row *rows = NULL;
	size_t n;

	return devices_list(db, &rows, &n, e);
}

static int key_of(struct db *db, struct err *e)
{
	union any_row r;

	return keys_get(db, 1, &r.key, e);
}

static int image_of(struct db *db, struct err *e)
{
	union any_row r;

	return images_by_name(db, "x-1.0.0", &r.image, e);
}

static int change_of(struct db *db, struct err *e)
{
	union any_row r;
	int n = changes_get(db, "op", &r.change, e);

	if (!n)
		cvm_blobs_free(&r.change.blobs);
	return n;
}

static int history_of(struct db *db, struct err *e)
{
	auto_free struct history_row *rows = NULL;
	int64_t total;
	size_t n;

	return history_list(db, 1, 0, 10, &rows, &n, &total, e);
}

static int manifest_of(struct db *db, struct err *e)
{
	auto_free char *text = NULL;

	return revisions_manifest(db, 1, &text, e);
}

static int provision_of(struct db *db, struct err *e)
{
	auto_free char *request = NULL, *manifest = NULL;
	char app[APP_ID_TEXT];

	return provisions_get(db, 1, "", "hash", &request, &manifest, app, e);
}

static int answer_of(struct db *db, struct err *e)
{
	struct idempotency_row row = { 0 };
	int r = idempotency_get(db, "key:1", "k", &row, e);

	free(row.body);
	return r;
}

static int events_of_node(struct db *db, struct err *e)
{
	struct event_row *rows;
	size_t n;
	int r = events_between(db, 0, 0, 100, 10, &rows, &n, e);

	if (!r)
		events_free(rows, n);
	return r;
}

static int maintenance_of(struct db *db, struct err *e)
{
	struct maintenance_row m;

	return maintenance_get(db, &m, e);
}

static int ports_of_cvm(struct db *db, struct err *e)
{
	auto_free struct port_row *rows = NULL;
	size_t n;

	return ports_of(db, 1, &rows, &n, e);
}

/* What names the row of fill_ruled() in the table of "table.column". */
static const char *row_of(const char *column)
{
	static const char *const names[][2] = {
		{ "operations.", "op" },   { "changes.", "op" },    { "devices.", "0000:18:00.0" },
		{ "provisions.", "hash" }, { "idempotency.", "k" }, { "ports.", "80" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (!strncmp(column, names[i][0], strlen(names[i][0])))
			return names[i][1];
	return "1";
}

#define LONG "replace(hex(zeroblob(2000)), '0', 'x')"

static void a_value_that_no_reader_knows_is_an_error_that_names_it(void **st)
{
	static const struct {
		int (*read)(struct db *db, struct err *e);
		const char *column, *value, *spoil;
	} bad[] = {
		{ cvm_of, "cvms.desired", "flying", "UPDATE cvms SET desired = 'flying'" },
		{ cvms_of_node, "cvms.observed", "flying", "UPDATE cvms SET observed = 'flying'" },
		{ cvm_named, "cvms.restart_policy", "maybe",
		  "UPDATE cvms SET restart_policy = 'maybe'" },
		{ cvm_of, "cvms.ended", "well", "UPDATE cvms SET ended = 'well'" },
		{ cvm_of, "cvms.turn", "left", "UPDATE cvms SET turn = 'left'" },
		{ cvm_of, "cvms.cid", "4294967299", "UPDATE cvms SET cid = 4294967299" },
		{ cvm_of, "cvms.numa_nodes", "0;1", "UPDATE cvms SET numa_nodes = '0;1'" },
		{ op_of, "operations.kind", "dance", "UPDATE operations SET kind = 'dance'" },
		{ ops_of_node, "operations.state", "odd", "UPDATE operations SET state = 'odd'" },
		{ op_of, "operations.params", "{", "UPDATE operations SET params = '{'" },
		{ op_of, "operations.error", "{", "UPDATE operations SET error = '{'" },
		{ op_of, "operations.params", "\"xxx",
		  "UPDATE operations SET params = printf('\"%s\"', " LONG ")" },
		{ op_of, "operations.error", "\"xxx",
		  "UPDATE operations SET error = printf('\"%s\"', " LONG ")" },
		{ history_of, "history.changed", "\"xxx",
		  "UPDATE history SET changed = printf('\"%s\"', " LONG ")" },
		{ devices_of_node, "devices.kind", "toy", "UPDATE devices SET kind = 'toy'" },
		{ key_of, "api_keys.role", "9", "UPDATE api_keys SET role = 9" },
		{ image_of, "images.nv", "7", "UPDATE images SET nv = 7" },
		{ image_of, "images.v2", "-1", "UPDATE images SET v2 = -1" },
		{ maintenance_of, "maintenance.timeout_s", "-1",
		  "UPDATE maintenance SET timeout_s = -1" },
		{ ports_of_cvm, "ports.vm_port", "65536", "UPDATE ports SET vm_port = 65536" },
		{ devices_of_node, "devices.numa_node", "-1", "UPDATE devices SET numa_node = -1" },
		{ change_of, "changes.changed", "no", "UPDATE changes SET changed = 'no'" },
		{ change_of, "changes.numa_nodes", "x", "UPDATE changes SET numa_nodes = 'x'" },
		{ history_of, "history.changed", "no", "UPDATE history SET changed = 'no'" },
		{ manifest_of, "revisions.manifest", "no", "UPDATE revisions SET manifest = 'no'" },
		{ provision_of, "provisions.request", "no",
		  "UPDATE provisions SET request = 'no'" },
		{ provision_of, "provisions.manifest", "no",
		  "UPDATE provisions SET manifest = 'no'" },
		{ answer_of, "idempotency.status", "20", "UPDATE idempotency SET status = 20" },
		{ answer_of, "idempotency.body", "no", "UPDATE idempotency SET body = 'no'" },
		{ events_of_node, "events.data", "no", "UPDATE events SET data = 'no'" },
	};

	(void)st;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct world w = { .db = fresh() };
		auto_free char *row = xasprintf("(row %s)", row_of(bad[i].column));
		auto_free char *text = xasprintf("%s is \"%s", bad[i].column, bad[i].value);
		auto_buf struct buf found = { 0 };
		struct err e = { 0 };

		fill_ruled(&w);
		assert_int_equal(bad[i].read(w.db, &e), 0);
		spoil(w.db, bad[i].spoil);
		assert_int_equal(bad[i].read(w.db, &e), -ERR_HOST);
		assert_true(db_bad_row(&e));
		assert_non_null(strstr(e.text, text));
		assert_non_null(strstr(e.text, row));
		assert_int_equal(w.db->bad.code,
				 0); /* told once: the next statement starts clean */
		assert_true(db_check(path, &found, &e) > 0);
		assert_non_null(strstr(found.data, bad[i].column));
		assert_non_null(strstr(found.data, "which no reader accepts"));
		db_close(w.db);
	}
}

static void the_check_finds_a_key_that_may_more_than_the_one_that_made_it(void **st)
{
	static const char *const more[] = { "role = 4", "expires_ms = 0", "expires_ms = 101",
					    "per_minute = 0", "per_minute = 31" };

	(void)st;
	for (size_t i = 0; i < ARRAY_SIZE(more); i++) {
		auto_free char *sql = xasprintf("UPDATE api_keys SET %s WHERE id = 2", more[i]);
		struct key_row k = {
			.role = 3, .name = "k", .expires_ms = 100, .per_minute = 30, .created_ms = 1
		};
		struct db *db = fresh();
		auto_buf struct buf found = { 0 };
		struct err e;

		assert_int_equal(workspaces_ensure(db, "local", &k.workspace, &e), 0);
		assert_int_equal(keys_add(db, &k, (const uint8_t[SHA256_LEN]){ 1 }, &k.parent, &e),
				 0);
		assert_int_equal(keys_add(db, &k, (const uint8_t[SHA256_LEN]){ 2 }, NULL, &e), 0);
		assert_int_equal(db_check(path, &found, &e), 0);
		spoil(db, sql);
		assert_int_equal(db_check(path, &found, &e), 1);
		assert_non_null(strstr(found.data, "API key 2 may more than key 1"));
		db_close(db);
	}
}

static void a_bad_row_does_not_stop_a_loop_over_all_cvms(void **st)
{
	struct world w = { .db = fresh() };
	const struct op_filter live = { .live = true, .state = -1, .skip_bad = true };
	auto_free struct restart_row *restarts = NULL;
	auto_free struct cvm_seen *seen = NULL;
	auto_free struct op_row *ops = NULL;
	int64_t counts[DESIRED_MAX][OBSERVED_MAX];
	size_t n = 0;
	struct err e;

	(void)st;
	fill_ruled(&w);
	(void)add_cvm(&w, "two", 1001);
	spoil(w.db, "UPDATE cvms SET desired = 'running', ended = 'crashed', observed = iif(id = "
		    "1, 'flying', 'off')");
	assert_int_equal(cvms_seen(w.db, &seen, &n, &e), 0);
	assert_int_equal(n, 1);
	assert_int_equal(seen[0].id, 2);
	assert_int_equal(cvms_count(w.db, counts, &e), 0);
	assert_int_equal(counts[DESIRED_RUNNING][OBSERVED_OFF], 1);
	spoil(w.db, "UPDATE cvms SET ended = 'well' WHERE id = 2");
	assert_int_equal(cvms_restarts(w.db, &restarts, &n, &e), 0);
	assert_int_equal(n, 1);
	assert_int_equal(restarts[0].id, 1);
	spoil(w.db, "UPDATE operations SET kind = 'dance'");
	assert_int_equal(ops_list(w.db, &live, 0, -1, &ops, &n, NULL, &e), 0);
	assert_int_equal(n, 0);
	db_close(w.db);
}

int main(void)
{
	const struct CMUnitTest t[] = {
		cmocka_unit_test(capacity_is_never_promised_beyond_its_total),
		cmocka_unit_test(counts_follow_rows_and_the_last_cvm_takes_its_app_along),
		cmocka_unit_test(check_finds_a_promise_that_no_row_holds),
		cmocka_unit_test(a_command_never_migrates_and_creates_only_when_told),
		cmocka_unit_test(newer_schema_is_refused_and_untouched),
		cmocka_unit_test(a_file_of_schema_1_is_copied_and_migrated_with_what_it_holds),
		cmocka_unit_test(names_that_clash_in_an_old_file_do_not_stop_its_migration),
		cmocka_unit_test(a_migrated_file_passes_the_check),
		cmocka_unit_test(a_device_has_one_holder_and_stays_known_while_it_is_held),
		cmocka_unit_test(hugepages_of_a_node_are_never_promised_beyond_what_is_there),
		cmocka_unit_test(pages_of_a_cvm_that_runs_are_not_somebody_elses),
		cmocka_unit_test(a_cvm_has_one_running_operation),
		cmocka_unit_test(failed_mutations_leave_no_gap_and_answers_leave_after_the_commit),
		cmocka_unit_test(swapping_twice_is_where_it_began_and_settling_keeps_the_present),
		cmocka_unit_test(the_check_finds_a_change_that_no_operation_carries_on),
		cmocka_unit_test(wildcard_addresses_collide_with_every_address),
		cmocka_unit_test(the_first_free_port_is_found_behind_any_number_that_are_taken),
		cmocka_unit_test(a_revision_goes_with_the_change_that_planned_it),
		cmocka_unit_test(histories_are_dropped_in_portions_and_workspaces_in_turn),
		cmocka_unit_test(a_guest_is_asked_down_by_the_button_only),
		cmocka_unit_test(totals_of_operations_follow_their_states),
		cmocka_unit_test(a_page_beyond_the_end_of_a_list_walks_nothing),
		cmocka_unit_test(old_rows_go_in_portions_and_leave_no_gap),
		cmocka_unit_test(a_value_that_no_reader_knows_is_an_error_that_names_it),
		cmocka_unit_test(the_check_finds_a_key_that_may_more_than_the_one_that_made_it),
		cmocka_unit_test(a_bad_row_does_not_stop_a_loop_over_all_cvms),
	};

	return cmocka_run_group_tests_name("db", t, set_up, tear_down);
}
