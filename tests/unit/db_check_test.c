/* SPDX-License-Identifier: Apache-2.0
 * db_check_test.c - bad rows: what readers and the check report.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/buf.h"
#include "base/own.h"
#include "base/strings.h"
#include "db/apps.h"
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
#include "db/operations.h"
#include "db/policies.h"
#include "db/ports.h"
#include "db/sql.h"
#include "db/text.h"
#include "db/turn.h"
#include "db/workspaces.h"
#include "tests/unit/db_fixture.h"

/* One row in each table with a rule: CVM 1, its operation "op" and its change, a device, a key, ...
 */
static void fill_ruled(struct db_fixture *w)
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

	db_fixture_fill(w);
	(void)db_fixture_add_cvm(w, "one", 1000);
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

/* Identifier of the row of fill_ruled() in @table. */
static const char *row_of(const char *table)
{
	static const char *const names[][2] = {
		{ "operations", "op" },   { "changes", "op" },    { "devices", "0000:18:00.0" },
		{ "provisions", "hash" }, { "idempotency", "k" }, { "ports", "80" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (!strcmp(table, names[i][0]))
			return names[i][1];
	return "1";
}

/* A JSON text longer than every buffer. */
#define LONG_JSON "printf('\"%s\"', replace(hex(zeroblob(2000)), '0', 'x'))"

static void an_unknown_value_is_an_error_that_names_column_and_row(void **st)
{
	static const struct {
		int (*read)(struct db *db, struct err *e);
		const char *table, *column, *value;
		const char *expression; /* SQL of the value; NULL: a constant */
	} bad[] = {
		{ cvm_of, "cvms", "desired", "flying", NULL },
		{ cvms_of_node, "cvms", "observed", "flying", NULL },
		{ cvm_named, "cvms", "restart_policy", "maybe", NULL },
		{ cvm_of, "cvms", "ended", "well", NULL },
		{ cvm_of, "cvms", "turn", "left", NULL },
		{ cvm_of, "cvms", "cid", "4294967299", NULL },
		{ cvm_of, "cvms", "numa_nodes", "0;1", NULL },
		{ op_of, "operations", "kind", "dance", NULL },
		{ ops_of_node, "operations", "state", "odd", NULL },
		{ op_of, "operations", "params", "{", NULL },
		{ op_of, "operations", "error", "{", NULL },
		{ op_of, "operations", "params", "\"xxx", LONG_JSON },
		{ op_of, "operations", "error", "\"xxx", LONG_JSON },
		{ history_of, "history", "changed", "\"xxx", LONG_JSON },
		{ devices_of_node, "devices", "kind", "toy", NULL },
		{ key_of, "api_keys", "role", "9", NULL },
		{ image_of, "images", "nv", "7", NULL },
		{ image_of, "images", "v2", "-1", NULL },
		{ maintenance_of, "maintenance", "timeout_s", "-1", NULL },
		{ ports_of_cvm, "ports", "vm_port", "65536", NULL },
		{ devices_of_node, "devices", "numa_node", "-1", NULL },
		{ change_of, "changes", "changed", "no", NULL },
		{ change_of, "changes", "numa_nodes", "x", NULL },
		{ history_of, "history", "changed", "no", NULL },
		{ manifest_of, "revisions", "manifest", "no", NULL },
		{ provision_of, "provisions", "request", "no", NULL },
		{ provision_of, "provisions", "manifest", "no", NULL },
		{ answer_of, "idempotency", "status", "20", NULL },
		{ answer_of, "idempotency", "body", "no", NULL },
		{ events_of_node, "events", "data", "no", NULL },
	};

	(void)st;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct db_fixture w = { .db = db_fixture_open() };
		auto_free char *row = xasprintf("(row %s)", row_of(bad[i].table));
		auto_free char *column = xasprintf("%s.%s", bad[i].table, bad[i].column);
		auto_free char *text = xasprintf("%s is \"%s", column, bad[i].value);
		auto_free char *constant = xasprintf("'%s'", bad[i].value);
		auto_free char *sql =
			xasprintf("UPDATE %s SET %s = %s", bad[i].table, bad[i].column,
				  bad[i].expression ? bad[i].expression : constant);
		auto_buf struct buf found = { 0 };
		struct err e = { 0 };

		fill_ruled(&w);
		assert_int_equal(bad[i].read(w.db, &e), 0);
		db_spoil(w.db, sql);
		assert_int_equal(bad[i].read(w.db, &e), -ERR_HOST);
		assert_true(db_bad_row(&e));
		assert_non_null(strstr(e.text, text));
		assert_non_null(strstr(e.text, row));
		assert_int_equal(w.db->bad.code,
				 0); /* reported once: the next statement succeeds */
		assert_true(db_check(db_fixture_path, &found, &e) > 0);
		assert_non_null(strstr(found.data, column));
		assert_non_null(strstr(found.data, "which no reader accepts"));
		db_close(w.db);
	}
}

static void the_check_finds_a_key_with_more_rights_than_its_parent(void **st)
{
	static const char *const more[] = { "role = 4", "expires_ms = 0", "expires_ms = 101",
					    "per_minute = 0", "per_minute = 31" };

	(void)st;
	for (size_t i = 0; i < ARRAY_SIZE(more); i++) {
		auto_free char *sql = xasprintf("UPDATE api_keys SET %s WHERE id = 2", more[i]);
		struct key_row k = {
			.role = 3, .name = "k", .expires_ms = 100, .per_minute = 30, .created_ms = 1
		};
		struct db *db = db_fixture_open();
		auto_buf struct buf found = { 0 };
		struct err e;

		assert_int_equal(workspaces_ensure(db, "local", &k.workspace, &e), 0);
		assert_int_equal(keys_add(db, &k, (const uint8_t[SHA256_LEN]){ 1 }, &k.parent, &e),
				 0);
		assert_int_equal(keys_add(db, &k, (const uint8_t[SHA256_LEN]){ 2 }, NULL, &e), 0);
		assert_int_equal(db_check(db_fixture_path, &found, &e), 0);
		db_spoil(db, sql);
		assert_int_equal(db_check(db_fixture_path, &found, &e), 1);
		assert_non_null(strstr(found.data, "API key 2 may more than key 1"));
		db_close(db);
	}
}

static void a_bad_row_does_not_stop_a_loop_over_all_cvms(void **st)
{
	struct db_fixture w = { .db = db_fixture_open() };
	const struct op_filter live = { .live = true, .state = -1, .skip_bad = true };
	auto_free struct restart_row *restarts = NULL;
	auto_free struct cvm_seen *seen = NULL;
	auto_free struct op_row *ops = NULL;
	int64_t counts[DESIRED_MAX][OBSERVED_MAX];
	size_t n = 0;
	struct err e;

	(void)st;
	fill_ruled(&w);
	(void)db_fixture_add_cvm(&w, "two", 1001);
	db_spoil(w.db,
		 "UPDATE cvms SET desired = 'running', ended = 'crashed', observed = iif(id = "
		 "1, 'flying', 'off')");
	assert_int_equal(cvms_seen(w.db, &seen, &n, &e), 0);
	assert_int_equal(n, 1);
	assert_int_equal(seen[0].id, 2);
	assert_int_equal(cvms_count(w.db, counts, &e), 0);
	assert_int_equal(counts[DESIRED_RUNNING][OBSERVED_OFF], 1);
	db_spoil(w.db, "UPDATE cvms SET ended = 'well' WHERE id = 2");
	assert_int_equal(cvms_restarts(w.db, &restarts, &n, &e), 0);
	assert_int_equal(n, 1);
	assert_int_equal(restarts[0].id, 1);
	db_spoil(w.db, "UPDATE operations SET kind = 'dance'");
	assert_int_equal(ops_list(w.db, &live, 0, -1, &ops, &n, NULL, &e), 0);
	assert_int_equal(n, 0);
	db_close(w.db);
}

int main(void)
{
	const struct CMUnitTest t[] = {
		cmocka_unit_test(an_unknown_value_is_an_error_that_names_column_and_row),
		cmocka_unit_test(the_check_finds_a_key_with_more_rights_than_its_parent),
		cmocka_unit_test(a_bad_row_does_not_stop_a_loop_over_all_cvms),
	};

	return cmocka_run_group_tests_name("db_check", t, db_fixture_set_up, temp_dir_tear_down);
}
