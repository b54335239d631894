/* SPDX-License-Identifier: Apache-2.0
 * db_schema_test.c - migrations: of older files, and which programs may migrate.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/array.h"
#include "base/buf.h"
#include "base/file.h"
#include "base/own.h"
#include "base/strings.h"
#include "db/apps.h"
#include "db/check.h"
#include "db/cvms.h"
#include "db/idempotency.h"
#include "db/operations.h"
#include "db/policies.h"
#include "db/schema.h"
#include "db/sql.h"
#include "db/turn.h"
#include "tests/unit/db_fixture.h"

/* tests/data/teepod-v1.sql: a database of teepod 0.1.0 with two CVMs. */
static void write_version_1(void)
{
	auto_free char *sql = NULL;
	sqlite3 *conn;
	struct err e;

	(void)unlink(db_fixture_path);
	assert_int_equal(file_read("tests/data/teepod-v1.sql", 1 << 20, &sql, NULL, &e), 0);
	assert_int_equal(sqlite3_open(db_fixture_path, &conn), SQLITE_OK);
	assert_int_equal(sqlite3_exec(conn, sql, NULL, NULL, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_close(conn), SQLITE_OK);
}

static int copies(glob_t *g)
{
	auto_free char *pattern = xasprintf("%s.v1-*", db_fixture_path);

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
	assert_int_equal(sqlite3_open(db_fixture_path, &old), SQLITE_OK);
	assert_int_equal(sqlite3_exec(old, "UPDATE cvms SET observed = 'off' WHERE id = 1", NULL,
				      NULL, NULL),
			 SQLITE_OK);
	(void)sqlite3_close(old);
	assert_int_equal(db_open(db_fixture_path, &db, &e), 0);
	assert_int_equal(db_count(db, "PRAGMA user_version"), schema_version());
	assert_int_equal(cvms_get(db, 1, &c, &e), 0);
	assert_string_equal(c.name, "first-one");
	assert_int_equal(c.vcpus, 2);
	assert_int_equal(c.given_vcpus, 2);
	assert_int_equal(c.given_memory_mib, 512);
	assert_string_equal(c.networks, "");
	assert_string_equal(c.gpu_attach, "");
	assert_false(c.hugepages || c.pin_numa || c.gpus);
	/* A guest that ran has a disk of any size. */
	assert_int_equal(db_count(db, "SELECT disk_made FROM cvms WHERE id = 1"), 1);
	assert_int_equal(db_count(db, "SELECT disk_made FROM cvms WHERE id = 2"), 0);
	assert_int_equal(db_count(db, "SELECT count(*) FROM images WHERE files <> ''"), 0);
	assert_int_equal(db_count(db, "SELECT count(*) FROM ports WHERE vm_port = other_vm_port"),
			 2);
	assert_int_equal(
		db_count(db, "SELECT count(*) FROM history h JOIN cvms c ON c.uuid = h.cvm_uuid"
			     " AND c.revision = h.revision WHERE h.changed = '[\"created\"]'"),
		2);
	assert_int_equal(db_count(db, "SELECT cvms FROM workspaces"), 2);
	assert_int_equal(db_count(db, "SELECT count(*) FROM operations"), db_ops_total(db, 0, -1));
	assert_int_equal(cvms_delete(db, 2, &e), 0); /* triggers and cascades still exist */
	assert_int_equal(db_count(db, "SELECT cvms FROM workspaces"), 1);
	db_close(db);

	assert_int_equal(copies(&g), 0);
	assert_int_equal(g.gl_pathc, 1);
	assert_int_equal(sqlite3_open(g.gl_pathv[0], &old), SQLITE_OK);
	assert_int_equal(sqlite3_exec(old, "SELECT networks FROM cvms", NULL, NULL, NULL),
			 SQLITE_ERROR);
	assert_int_equal(sqlite3_exec(old, "SELECT name FROM cvms", NULL, NULL, NULL), SQLITE_OK);
	(void)sqlite3_close(old);
	globfree(&g);
	assert_int_equal(db_open(db_fixture_path, &db, &e),
			 0); /* the second time it changes nothing */
	db_close(db);
	assert_int_equal(copies(&g), 0);
	assert_int_equal(g.gl_pathc, 1);
	globfree(&g);
}

static void touch_beside(const char *end)
{
	auto_free char *name = xasprintf("%s%s", db_fixture_path, end);
	FILE *f = fopen(name, "w");

	assert_non_null(f);
	assert_int_equal(fclose(f), 0);
}

static bool is_beside(const char *end)
{
	auto_free char *name = xasprintf("%s%s", db_fixture_path, end);
	bool there = access(name, F_OK) == 0;

	(void)unlink(name);
	return there;
}

static void a_migration_keeps_two_copies_and_the_files_of_the_operator(void **st)
{
	auto_free char *pattern = xasprintf("%s.v[0-9]*", db_fixture_path);
	struct db *db;
	struct err e;
	glob_t g;

	(void)st;
	write_version_1();
	if (!glob(pattern, 0, NULL, &g)) {
		for (size_t i = 0; i < g.gl_pathc; i++)
			(void)unlink(g.gl_pathv[i]);
		globfree(&g);
	}
	touch_beside(".v1-100");
	touch_beside(".v1-200");
	touch_beside(".v1-300.tmp"); /* half of a copy, later than both */
	touch_beside(".v1-400.tmp");
	touch_beside(".v1-400.tmp-journal");
	touch_beside(".v1-123.gz"); /* of the operator */
	touch_beside(".v1-50-saved");
	assert_int_equal(db_open(db_fixture_path, &db, &e), 0);
	db_close(db);
	assert_false(is_beside(".v1-100"));
	assert_true(is_beside(".v1-200")); /* the other one that stays was made by this migration */
	assert_false(is_beside(".v1-300.tmp"));
	assert_false(is_beside(".v1-400.tmp"));
	assert_false(is_beside(".v1-400.tmp-journal"));
	assert_true(is_beside(".v1-123.gz"));
	assert_true(is_beside(".v1-50-saved"));
	assert_int_equal(copies(&g), 0);
	assert_int_equal(g.gl_pathc, 1);
	(void)unlink(g.gl_pathv[0]);
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
	assert_int_equal(sqlite3_open(db_fixture_path, &old), SQLITE_OK);
	assert_int_equal(sqlite3_exec(old, "UPDATE cvms SET name = 'FIRST-One' WHERE id = 2", NULL,
				      NULL, NULL),
			 SQLITE_OK);
	(void)sqlite3_close(old);
	assert_int_equal(db_open(db_fixture_path, &db, &e), 0);
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
	assert_int_equal(db_open(db_fixture_path, &db, &e), 0);
	db_close(db);
	assert_int_equal(db_check(db_fixture_path, &out, &e), 0);
}

static void a_command_never_migrates_and_creates_only_on_request(void **st)
{
	struct db *db = NULL;
	sqlite3 *conn;
	glob_t g;
	struct err e;

	(void)st;
	(void)unlink(db_fixture_path);
	assert_int_equal(db_open_as_is(db_fixture_path, false, &db, &e), -ERR_HOST);
	assert_int_not_equal(access(db_fixture_path, F_OK), 0);
	write_version_1();
	assert_int_equal(db_open_as_is(db_fixture_path, false, &db, &e), -ERR_UNSUPPORTED);
	assert_non_null(strstr(e.text, "has schema 1"));
	assert_non_null(strstr(e.text, "restart the daemon"));
	assert_int_equal(db_open_as_is(db_fixture_path, true, &db, &e), -ERR_UNSUPPORTED);
	assert_null(db);
	assert_int_equal(sqlite3_open(db_fixture_path, &conn), SQLITE_OK);
	assert_int_equal(sqlite3_exec(conn, "SELECT networks FROM cvms", NULL, NULL, NULL),
			 SQLITE_ERROR);
	(void)sqlite3_close(conn);
	assert_int_equal(copies(&g), GLOB_NOMATCH);
	db_close(db_fixture_open());
	assert_int_equal(db_open_as_is(db_fixture_path, false, &db, &e), 0);
	db_close(db);
	(void)unlink(db_fixture_path);
	assert_int_equal(db_open_as_is(db_fixture_path, true, &db, &e), 0);
	assert_int_equal(db_count(db, "PRAGMA user_version"), schema_version());
	db_close(db);
}

static void newer_schema_is_refused_and_untouched(void **st)
{
	struct db *db = db_fixture_open(), *again = NULL;
	struct err e;

	(void)st;
	assert_int_equal(sql_exec(db, &e, "PRAGMA user_version = 9999", ""), 0);
	db_close(db);
	assert_int_equal(db_open(db_fixture_path, &again, &e), -ERR_UNSUPPORTED);
	assert_null(again);
	assert_non_null(strstr(e.text, "9999"));
}

static int tables_built_by(sqlite3 *conn, const char *sql)
{
	auto_free char *explain = xasprintf("EXPLAIN %s", sql);
	sqlite3_stmt *st;
	int n = 0;

	assert_int_equal(sqlite3_prepare_v2(conn, explain, -1, &st, NULL), SQLITE_OK);
	while (sqlite3_step(st) == SQLITE_ROW)
		n += !strcmp((const char *)sqlite3_column_text(st, 1), "OpenEphemeral");
	assert_int_equal(sqlite3_finalize(st), SQLITE_OK);
	return n;
}

static int set_word(struct db *db, const char *column, const char *word)
{
	auto_free char *sql = xasprintf("UPDATE %s = '%s'", column, word);

	(void)sqlite3_exec(db->conn, sql, NULL, NULL, NULL);
	return sqlite3_extended_errcode(db->conn);
}

static void assert_schema_is_protected(struct db *db)
{
	int defensive = 0;

	assert_int_equal(sqlite3_db_config(db->conn, SQLITE_DBCONFIG_DEFENSIVE, -1, &defensive),
			 SQLITE_OK);
	assert_true(defensive);
	assert_int_equal(db_count(db, "PRAGMA writable_schema"), 0);
	assert_int_equal(
		sqlite3_exec(db->conn, "UPDATE sqlite_schema SET sql = sql", NULL, NULL, NULL),
		SQLITE_ERROR);
}

/* A create executes both INSERTs. See migration 9. */
static void a_check_of_words_builds_no_table_and_refuses_other_words(void **st)
{
	static const char *const gpu_attach_words[] = { "", "listed", "all" };
	static const struct {
		const char *column;
		const char *const *words;
		size_t n;
	} checks[] = { { "cvms SET desired", desired_word, DESIRED_MAX },
		       { "cvms SET observed", observed_word, OBSERVED_MAX },
		       { "cvms SET gpu_attach", gpu_attach_words, ARRAY_SIZE(gpu_attach_words) },
		       { "cvms SET restart_policy", restart_policy_word, RESTART_POLICIES },
		       { "cvms SET ended", ended_word, ENDED_MAX },
		       { "cvms SET turn", turn_word, TURN_MAX },
		       { "cvms SET paused", paused_word, PAUSED_MAX },
		       { "operations SET kind", op_kind_word, OP_KINDS },
		       { "operations SET state", op_state_word, OP_STATES } };
	struct db *db;
	struct err e;

	(void)st;
	write_version_1();
	assert_int_equal(db_open(db_fixture_path, &db, &e), 0);
	assert_int_equal(tables_built_by(db->conn, "INSERT INTO cvms DEFAULT VALUES"), 0);
	assert_int_equal(tables_built_by(db->conn, "INSERT INTO operations DEFAULT VALUES"), 0);
	assert_true(db_count(db, "SELECT count(*) FROM cvms") > 0);
	assert_true(db_count(db, "SELECT count(*) FROM operations") > 0);
	for (size_t i = 0; i < ARRAY_SIZE(checks); i++) {
		assert_int_equal(set_word(db, checks[i].column, "unheard-of"),
				 SQLITE_CONSTRAINT_CHECK);
		for (size_t k = 0; k < checks[i].n; k++)
			assert_int_equal(set_word(db, checks[i].column, checks[i].words[k]),
					 SQLITE_OK);
	}
	assert_schema_is_protected(db);
	db_close(db);
}

int main(void)
{
	const struct CMUnitTest t[] = {
		cmocka_unit_test(a_command_never_migrates_and_creates_only_on_request),
		cmocka_unit_test(newer_schema_is_refused_and_untouched),
		cmocka_unit_test(a_file_of_schema_1_is_copied_and_migrated_with_what_it_holds),
		cmocka_unit_test(a_migration_keeps_two_copies_and_the_files_of_the_operator),
		cmocka_unit_test(names_that_clash_in_an_old_file_do_not_stop_its_migration),
		cmocka_unit_test(a_migrated_file_passes_the_check),
		cmocka_unit_test(a_check_of_words_builds_no_table_and_refuses_other_words),
	};

	return cmocka_run_group_tests_name("db_schema", t, db_fixture_set_up, temp_dir_tear_down);
}
