/* SPDX-License-Identifier: Apache-2.0
 * plan_test.c - no statement that a request can trigger reads a whole table that grows.
 *
 * Every function of the row headers in db/ is called once, with each kind of filter, so that all
 * their statements are prepared; db/plan.c checks the plan of each. The last test reads these
 * headers and this file: it fails if a function is not called here.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <ctype.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/array.h"
#include "base/file.h"
#include "base/own.h"
#include "base/strings.h"
#include "db/apps.h"
#include "db/capacity.h"
#include "db/changes.h"
#include "db/cvms.h"
#include "db/devices.h"
#include "db/events.h"
#include "db/history.h"
#include "db/idempotency.h"
#include "db/images.h"
#include "db/keys.h"
#include "db/ledger.h"
#include "db/node.h"
#include "db/numa.h"
#include "db/operations.h"
#include "db/policies.h"
#include "db/ports.h"
#include "db/records.h"
#include "db/sql.h"
#include "db/text.h"
#include "db/workspaces.h"
#include "tests/unit/temp_dir.h"

static struct db *db;
static struct err e;

static void called(const char *what, int r)
{
	if (r < 0)
		print_error("%s: %d %s\n", what, r, e.text);
	assert_true(r >= 0);
	if (db->full_scans)
		print_error("%s reads a whole table\n", what);
	assert_int_equal(db->full_scans, 0);
}

#define CALL(expr) called(#expr, (expr))

#define APP "0123456789012345678901234567890123456789"

static int64_t workspace, app, revision, image, cvm, other;
static struct cvm_row row;

/* ------------------------------------------------------------------ rows */

static void workspaces(void)
{
	auto_free struct workspace_row *rows = NULL;
	struct workspace_row w;
	int64_t gone;
	size_t n;

	CALL(workspaces_ensure(db, "local", &workspace, &e));
	CALL(workspaces_add(db, "gone", "gone", &gone, &e));
	CALL(workspaces_get(db, workspace, &w, &e));
	CALL(workspaces_find(db, "local", &w, &e));
	CALL(workspaces_set(db, &w, &e));
	CALL(workspaces_list(db, 0, 10, &rows, &n, &e));
	CALL(workspaces_delete(db, gone, 1, &e));
}

static void keys(void)
{
	const uint8_t hash[SHA256_LEN] = { 1 };
	struct key_row k = { .workspace = workspace, .role = 4, .name = "k" };
	struct key_row *rows;
	int64_t id, n64;
	size_t n;

	CALL(keys_add(db, &k, hash, &id, &e));
	CALL(keys_find(db, hash, &k, &e));
	CALL(keys_get(db, id, &k, &e));
	CALL(keys_list(db, 0, 4, 0, 10, &rows, &n, &e));
	free(rows);
	CALL(keys_list(db, workspace, 4, 0, 10, &rows, &n, &e));
	free(rows);
	CALL(keys_count(db, workspace, 1, &n64, &e));
	CALL(keys_made_since(db, workspace, 0, 1, 1, &n64, &e));
	CALL(keys_set_used(db, id, 1, &e));
	CALL(keys_prune(db, 1, &e));
	CALL(keys_revoke(db, id, 1, &e));
	CALL(keys_revoke_workspace(db, workspace, 1, &e));
}

static void images(void)
{
	struct image_row i = { .name = "x-1", .family = "x", .version = "1", .nv = 3 };
	auto_free struct image_row *rows = NULL;
	char *files = NULL;
	int64_t gone;
	size_t n;

	CALL(images_add(db, &i, &image, &e));
	(void)snprintf(i.name, sizeof(i.name), "y-1");
	CALL(images_add(db, &i, &gone, &e));
	CALL(images_used(db, gone, &e));
	CALL(images_files(db, gone, &files, &e));
	free(files);
	CALL(images_set_files(db, gone, "", &e));
	CALL(images_remove(db, gone, &e));
	CALL(images_by_name(db, "x-1", &i, &e));
	CALL(images_newest(db, "x", -1, &i, &e));
	CALL(images_list(db, -1, 0, 10, &rows, &n, &e));
}

static void apps(void)
{
	struct revision_row r = { .manifest = (char[]){ "{}" }, .storage_fs = "zfs" };
	auto_free char *manifest = NULL, *request = NULL, *text = NULL;
	char found[APP_ID_TEXT];
	struct app_row a;

	CALL(apps_ensure(db, workspace, APP, "a", &app, &e));
	CALL(apps_find(db, 0, APP, &a, &e));
	r.app = app;
	memset(r.compose_hash, 'a', 64);
	CALL(revisions_ensure(db, &r, &revision, &e));
	CALL(revisions_manifest(db, revision, &manifest, &e));
	CALL(provisions_put(db, workspace, APP, "hash", "{}", "{}", INT64_MAX, &e));
	CALL(provisions_get(db, workspace, "", "hash", &request, &text, found, &e));
	CALL(provisions_set_used(db, workspace, APP, "hash", &e));
	CALL(provisions_drop(db, workspace, 1, &e));
	CALL(provisions_prune(db, 1, &e));
}

static int64_t add_cvm(const char *name, uint32_t cid)
{
	const struct cvm_blobs none = { 0 };
	int64_t id;

	row = (struct cvm_row){ .workspace = workspace,
				.app = app,
				.revision = revision,
				.image = image,
				.vcpus = 2,
				.memory_mib = 64,
				.disk_gib = 1,
				.cid = cid,
				.app_id = APP,
				.instance_id = "i" };
	id_uuid4(row.uuid);
	(void)snprintf(row.name, sizeof(row.name), "%s", name);
	CALL(cvms_insert(db, &row, &none, &id, &e));
	return id;
}

static void fill(void)
{
	workspaces();
	keys();
	images();
	apps();
	cvm = add_cvm("one", 3);
	other = add_cvm("two", 4);
}

static int set_up(void **st)
{
	if (temp_dir_set_up(st) || chdir(temp_dir) || db_open("t.db", &db, &e))
		return -1;
	fill();
	return 0;
}

static int tear_down(void **st)
{
	db_close(db);
	return temp_dir_tear_down(st);
}

/* ------------------------------------------------------------------ tests */

static void filters_of(bool total, const struct cvm_filter *f)
{
	struct cvm_row *rows;
	int64_t all;
	size_t n;

	CALL(cvms_list(db, f, 0, 10, &rows, &n, total ? &all : NULL, &e));
	free(rows);
	CALL(cvms_list_apps(db, f, 0, 10, &rows, &n, total ? &all : NULL, &e));
	free(rows);
}

static void lists_of_cvms_begin_by_an_index(void **st)
{
	const int64_t of[] = { 0, workspace };

	(void)st;
	for (size_t i = 0; i < ARRAY_SIZE(of); i++) {
		filters_of(true, &(struct cvm_filter){ .workspace = of[i], .listed = -1 });
		filters_of(true, &(struct cvm_filter){ .workspace = of[i], .listed = 1 });
		filters_of(true, &(struct cvm_filter){
					 .workspace = of[i], .listed = -1, .before_id = 1 });
		filters_of(true,
			   &(struct cvm_filter){ .workspace = of[i], .listed = -1, .app_id = APP });
		filters_of(true,
			   &(struct cvm_filter){ .workspace = of[i], .listed = -1, .search = "o" });
		filters_of(true, &(struct cvm_filter){
					 .workspace = of[i], .listed = -1, .image = "x-1" });
	}
}

static void cvms_are_found_and_changed_by_an_index(void **st)
{
	struct cvm_blobs blobs = { 0 };
	struct cvm_row c, found[2];
	int64_t count[DESIRED_MAX][OBSERVED_MAX], boot;
	struct cvm_seen *seen;
	size_t n;

	(void)st;
	CALL(cvms_get(db, cvm, &c, &e));
	CALL(cvms_by_uuid(db, c.uuid, &c, &e));
	CALL(cvms_blobs(db, cvm, &blobs, &e));
	for (enum cvm_key by = 0; by < CVM_KEYS; by++) {
		CALL(cvms_find(db, 0, by, "1", found, 2, &e));
		CALL(cvms_find(db, workspace, by, "1", found, 2, &e));
	}
	CALL(cvms_count(db, count, &e));
	CALL(cvms_seen(db, &seen, &n, &e));
	free(seen);
	CALL(cvms_without_space(db, &seen, &n, &e));
	free(seen);
	CALL(cids_in_use(db, 3, &e));
	CALL(cvms_set_desired(db, cvm, DESIRED_RUNNING, &e));
	CALL(cvms_set_observed(db, cvm, OBSERVED_RUNNING, PAUSED_NOT, &e));
	CALL(cvms_set_holds_cpu(db, cvm, true, &e));
	CALL(cvms_begin_boot(db, cvm, 1, &boot, &e));
	CALL(cvms_set_stopped(db, cvm, 1, &e));
	CALL(cvms_set_progress(db, cvm, "boot_progress", "x", &e));
	CALL(cvms_set_progress(db, cvm, "boot_error", "x", &e));
	CALL(cvms_set_progress(db, cvm, "shutdown_progress", "x", &e));
	CALL(cvms_set_disk(db, cvm, 2, 2, &e));
	CALL(cvms_delete(db, add_cvm("three", 5), &e));
}

static void policies_are_read_by_an_index(void **st)
{
	struct maintenance_row m = { .on = true };
	struct drain_counts counts;
	struct restart_row *rows;
	struct turn_load load;
	int64_t id, order;
	size_t n;

	(void)st;
	CALL(cvms_set_policy(db, cvm, &row.policy, &e));
	CALL(cvms_set_ended(db, cvm, ENDED_LOST, &e));
	CALL(cvms_set_restart(db, cvm, 1, 1, false, &e));
	CALL(cvms_turn_to_start(db, &e));
	CALL(cvms_turn_to_drain(db, &e));
	CALL(cvms_set_turn(db, cvm, TURN_START, &e));
	CALL(cvms_next_turn(db, TURN_START, &id, &order, &e));
	CALL(cvms_set_turn(db, cvm, TURN_DRAIN, &e));
	CALL(cvms_next_turn(db, TURN_DRAIN, &id, &order, &e));
	CALL(cvms_move_turns(db, TURN_DRAIN, TURN_DRAINED, &e));
	CALL(cvms_drain_counts(db, &counts, &e));
	CALL(cvms_automatic_load(db, OP_START, &load, &e));
	CALL(cvms_restarts(db, &rows, &n, &e));
	free(rows);
	CALL(maintenance_set(db, &m, &e));
	CALL(maintenance_get(db, &m, &e));
	CALL(maintenance_set(db, &(struct maintenance_row){ 0 }, &e));
	CALL(owner_set(db, &(struct owner_row){ .inode = 1 }, &e));
	CALL(owner_get(db, &(struct owner_row){ 0 }, &e));
}

static void capacity_is_read_and_taken_by_an_index(void **st)
{
	const struct port_row port = { .host_address = "127.0.0.1",
				       .host_port = 80,
				       .vm_port = 80 };
	struct capacity_row c;
	struct port_row *ports;
	char who[NAME_TEXT];
	bool changed;
	size_t n;
	uint16_t at;

	(void)st;
	CALL(ports_add(db, cvm, &port, &e));
	CALL(ports_of(db, cvm, &ports, &n, &e));
	free(ports);
	CALL(ports_other(db, cvm, &ports, &n, &e));
	free(ports);
	CALL(ports_first_free(db, 0, false, "127.0.0.1", 1, 99, &at, &e));
	CALL(ports_holder(db, workspace, 0, false, "0.0.0.0", 80, who, &e));
	CALL(capacity_set_total(db, "vcpus", 8, &e));
	CALL(capacity_get(db, "vcpus", &c, &e));
	CALL(capacity_reserve_amount(db, "vcpus", 1, &e));
	CALL(capacity_add_reserved(db, "vcpus", 1, &e));
	CALL(capacity_release_amount(db, "vcpus", 1, &e));
	CALL(capacity_recount(db, &changed, &e));
}

static void devices_and_nodes_are_held_by_an_index(void **st)
{
	struct device_row d = { .address = "0000:18:00.0",
				.product_id = "10de:2335",
				.present = true };
	const struct numa_row node = { .hugepages_mib = 1024 };
	const struct cvm_node_row share = { .hugepages_mib = 64 };
	struct cvm_node_row *shares;
	struct device_row *devices;
	struct numa_row *nodes;
	size_t n;

	(void)st;
	CALL(devices_begin(db, &e));
	CALL(devices_put(db, &d, &e));
	CALL(devices_end(db, &e));
	CALL(devices_reserve(db, d.address, cvm, &e));
	CALL(devices_list(db, &devices, &n, &e));
	free(devices);
	CALL(devices_of(db, cvm, &devices, &n, &e));
	free(devices);
	CALL(numa_begin(db, &e));
	CALL(numa_put(db, &node, 1024, &e));
	CALL(numa_end(db, &e));
	CALL(numa_reserve(db, cvm, &share, true, &e));
	CALL(numa_reserve_on_node(db, &share, &e));
	CALL(numa_hold(db, cvm, false, &e));
	CALL(numa_hold(db, cvm, true, &e));
	CALL(numa_list(db, &nodes, &n, &e));
	free(nodes);
	CALL(numa_of(db, cvm, &shares, &n, &e));
	free(shares);
}

static void filtered_ops(const struct op_filter *f)
{
	struct op_row *rows;
	int64_t total;
	size_t n;

	CALL(ops_list(db, f, 0, 10, &rows, &n, &total, &e));
	free(rows);
}

static void lists_of_operations_begin_by_an_index(void **st)
{
	const int64_t of[] = { 0, workspace };
	struct op_row op = { .id = "op", .cvm = other, .workspace = workspace, .params = "{}" };

	(void)st;
	CALL(ops_insert(db, &op, &e));
	op.state = OP_RUNNING;
	CALL(ops_update(db, &op, &e));
	CALL(ops_get(db, "op", &op, &e));
	CALL(ops_running_of(db, other, &op, &e));
	op.state = OP_QUEUED;
	CALL(ops_update(db, &op, &e));
	CALL(ops_queued_of(db, other, &op, &e));
	CALL(ops_start_unconfirmed(db, "u", "start", &e));
	CALL(ops_exist_of(db, "u", &e));
	CALL(ops_shutdown_unfinished(db, "u", 1, &e));
	for (size_t i = 0; i < ARRAY_SIZE(of); i++) {
		filtered_ops(&(struct op_filter){ .workspace = of[i], .state = -1 });
		for (int state = 0; state < OP_STATES; state++)
			filtered_ops(&(struct op_filter){ .workspace = of[i], .state = state });
		filtered_ops(&(struct op_filter){ .workspace = of[i], .state = -1, .live = true });
		filtered_ops(
			&(struct op_filter){ .workspace = of[i], .state = -1, .cvm_uuid = "u" });
		filtered_ops(
			&(struct op_filter){ .workspace = of[i], .state = 1, .cvm_uuid = "u" });
	}
	CALL(ops_prune(db, 1, &e));
	CALL(ops_trim(db, workspace, 1, &e));
}

static void changes_are_made_by_an_index(void **st)
{
	struct change_row x = { .op = "op",
				.cvm = other,
				.changed = "[]",
				.revision = revision,
				.image = image,
				.vcpus = 1,
				.memory_mib = 1,
				.disk_gib = 1 };
	const struct port_row port = { .host_address = "127.0.0.1",
				       .host_port = 81,
				       .vm_port = 81 };
	const struct device_row d = { .address = "0000:19:00.0" };
	const struct cvm_node_row share = { .hugepages_mib = 64 };
	int64_t n;

	(void)st;
	CALL(changes_insert(db, &x, &e));
	CALL(changes_get(db, "op", &x, &e));
	CALL(ports_plan(db, other, &port, 1, &n, &e));
	CALL(devices_plan(db, other, &d, 1, &e));
	CALL(numa_plan(db, other, &share, 1, true, &e));
	CALL(changes_swap(db, &x, &e));
	CALL(ports_settle(db, other, &n, &e));
	CALL(devices_settle(db, other, &e));
	CALL(numa_settle(db, other, true, &e));
	CALL(changes_remove(db, "op", &e));
	cvm_blobs_free(&x.blobs);
}

/* Assert that the test for a newer entry of a CVM is a search by an index. It runs for each row,
 * and a CVM may have 65,536 entries. */
static void assert_newer_is_searched(void)
{
	size_t found = 0;

	for (size_t i = 0; i < db->cap; i++) {
		const char *sql = db->cache[i].sql, *detail;
		auto_free char *explain = NULL;
		sqlite3_stmt *plan = NULL;

		if (!sql || !strstr(sql, "FROM history n"))
			continue;
		explain = xasprintf("EXPLAIN QUERY PLAN %s", sql);
		assert_int_equal(sqlite3_prepare_v2(db->conn, explain, -1, &plan, NULL), SQLITE_OK);
		while (sqlite3_step(plan) == SQLITE_ROW) {
			detail = (const char *)sqlite3_column_text(plan, 3);
			if (!strncmp(detail, "SEARCH n ", 9))
				assert_non_null(strstr(detail, "(cvm_uuid=? AND number>?)"));
			found += !strncmp(detail, "SEARCH n ", 9);
		}
		(void)sqlite3_finalize(plan);
	}
	assert_int_equal(found, 4); /* history_list(), history_get(), twice in history_drop() */
}

static void histories_are_read_by_an_index(void **st)
{
	const struct history_row h = {
		.app = app, .revision = revision, .changed = "[]", .op = "op"
	};
	struct idempotency_row answer;
	struct history_row *rows, one;
	struct event_row *events;
	int64_t total, number;
	size_t n;

	(void)st;
	CALL(history_add(db, &h, &e));
	CALL(history_list(db, app, 0, 10, &rows, &n, &total, &e));
	free(rows);
	CALL(history_get(db, app, 1, &one, &e));
	CALL(history_revision(db, app, 1, &number, &e));
	CALL(history_remove(db, "op", &e));
	CALL(idempotency_put(db, workspace, "c", "k", "d", 200, NULL, &e));
	CALL(idempotency_get(db, "c", "k", &answer, &e));
	CALL(idempotency_prune(db, 1, &e));
	CALL(events_append(db, workspace, "t", "", "", "{}", &e));
	CALL(events_between(db, 0, 0, 9, 9, &events, &n, &e));
	events_free(events, n);
	CALL(events_between(db, workspace, 0, 9, 9, &events, &n, &e));
	events_free(events, n);
	CALL(events_newest(db, &number, &e));
	CALL(events_bounds(db, &total, &number, &e));
	CALL(events_prune(db, 1, &e));
	CALL(history_drop(db, workspace, 1, &e));
	assert_newer_is_searched();
	CALL(records_bytes(db, workspace, RECORD_EVENTS, &total, &e));
	CALL(records_total(db, RECORD_EVENTS, &total, &e));
	CALL(records_over(db, RECORD_EVENTS, 1, 0, &total, &e));
	for (int kind = 0; kind < RECORDS; kind++)
		CALL(records_oldest(db, workspace, (enum record)kind, &total, &e));
}

static void ledgers_are_read_by_an_index(void **st)
{
	struct meter_row m = { .cvm = cvm, .workspace = workspace };
	struct ledger_row l = { .workspace = workspace, .credit = true };
	struct meter_clock clock = { .now_ms = 1 };
	struct ledger_row *rows;
	struct cvm_size *sizes;
	struct meter_row *meters;
	int64_t total;
	size_t n;

	(void)st;
	CALL(billing_clock_put(db, &clock, &e));
	CALL(billing_clock_get(db, &clock, &e));
	CALL(meters_put(db, &m, &e));
	CALL(meters_get(db, cvm, &m, &e));
	CALL(ledger_add(db, &l, &e));
	CALL(ledger_list(db, workspace, 0, 10, &rows, &n, &total, &e));
	assert_int_equal(total, 1);
	free(rows);
	for (int all = 0; all < 2; all++) {
		CALL(meters_list(db, all ? 0 : workspace, &meters, &n, &e));
		free(meters);
		CALL(cvms_sizes(db, all ? 0 : workspace, 0, &sizes, &n, &e));
		free(sizes);
	}
	CALL(cvms_sizes(db, 0, cvm, &sizes, &n, &e));
	free(sizes);
	CALL(meters_remove(db, cvm, &e));
}

/* ------------------------------------------------------------------ plan_check() */

static void a_statement_that_reads_everything_is_noticed(void **st)
{
	static const char *const bad[] = {
		"SELECT count(*) FROM events",
		"SELECT o.id FROM operations o WHERE o.caller = 'x' ORDER BY o.id LIMIT 1",
		"SELECT id FROM operations WHERE cvm_uuid = 'x' ORDER BY created_ms LIMIT 1",
		"SELECT c.id FROM cvms AS c WHERE c.id > 1 AND c.listed = 1 LIMIT 1",
		"SELECT id FROM operations LIMIT 10 OFFSET 10",
		"SELECT id FROM ledger ORDER BY workspace, at_ms LIMIT 10",
		"SELECT count(*) FROM ledger WHERE kind = 'charge'",
		"UPDATE ledger SET note = 'x' WHERE caller = 'x'",
	};
	static const char *const good[] = {
		"SELECT seq FROM events ORDER BY seq LIMIT 1",
		"SELECT max(seq) FROM events",
		"SELECT id FROM operations WHERE cvm_uuid = 'x' ORDER BY id LIMIT 1",
		"SELECT count(*) FROM cvms WHERE turn <> ''",
		"SELECT count(*) FROM images",
	};

	(void)st;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		assert_non_null(sql_query(db, &e, bad[i], ""));
		assert_int_equal(db->full_scans, 1);
		db->full_scans = 0;
	}
	for (size_t i = 0; i < ARRAY_SIZE(good); i++)
		CALL(sql_query(db, &e, good[i], "") ? 0 : -1);
}

/* Assert that this file calls each function that @text declares. */
static size_t assert_all_called(const char *text, const char *self)
{
	size_t n = 0;

	for (const char *at = text; (at = strstr(at, "\nint ")); n++) {
		auto_free char *call = NULL;

		at += strlen("\nint ");
		call = xasprintf("CALL(%.*s(", (int)strcspn(at, "("), at);
		if (!strstr(self, call))
			print_error("not called here: %s\n", call + strlen("CALL("));
		assert_non_null(strstr(self, call));
	}
	return n;
}

static char *root; /* source folder: the working directory of the test */

static char *source(const char *name)
{
	auto_free char *full = xasprintf("%s/%s", root, name);
	char *text = NULL;

	assert_int_equal(file_read(full, 1 << 20, &text, NULL, &e), 0);
	return text;
}

/* Headers of db/ that declare no functions of rows. */
static bool is_row_header(const char *name)
{
	static const char *const others[] = { "db/check.h",  "db/db.h",  "db/held.h", "db/plan.h",
					      "db/schema.h", "db/sql.h", "db/turn.h" };

	for (size_t i = 0; i < ARRAY_SIZE(others); i++)
		if (!strcmp(name, others[i]))
			return false;
	return true;
}

static void every_function_is_called_here(void **st)
{
	auto_free char *self = source("tests/unit/plan_test.c"),
		       *pattern = xasprintf("%s/db/*.h", root);
	size_t n = 0;
	glob_t headers;

	(void)st;
	assert_int_equal(glob(pattern, 0, NULL, &headers), 0);
	for (size_t i = 0; i < headers.gl_pathc; i++) {
		const char *name = headers.gl_pathv[i] + strlen(root) + 1;
		auto_free char *text = is_row_header(name) ? source(name) : NULL;

		n += text ? assert_all_called(text, self) : 0;
	}
	globfree(&headers);
	assert_true(n > 100);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lists_of_cvms_begin_by_an_index),
		cmocka_unit_test(cvms_are_found_and_changed_by_an_index),
		cmocka_unit_test(policies_are_read_by_an_index),
		cmocka_unit_test(capacity_is_read_and_taken_by_an_index),
		cmocka_unit_test(devices_and_nodes_are_held_by_an_index),
		cmocka_unit_test(lists_of_operations_begin_by_an_index),
		cmocka_unit_test(changes_are_made_by_an_index),
		cmocka_unit_test(histories_are_read_by_an_index),
		cmocka_unit_test(ledgers_are_read_by_an_index),
		cmocka_unit_test(a_statement_that_reads_everything_is_noticed),
		cmocka_unit_test(every_function_is_called_here),
	};
	int r;

	root = getcwd(NULL, 0);
	r = cmocka_run_group_tests(tests, set_up, tear_down);
	free(root);
	return r;
}
