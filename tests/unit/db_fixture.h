/* SPDX-License-Identifier: Apache-2.0
 * db_fixture.h - a new database in a temporary folder, with rows that a CVM needs.
 *
 *     struct db_fixture w = { .db = db_fixture_open() };
 *
 *     db_fixture_fill(&w);
 *     id = db_fixture_add_cvm(&w, "one", 1000);
 *     ...
 *     db_close(w.db);
 *
 * The group of tests needs db_fixture_set_up() and temp_dir_tear_down().
 */
#ifndef TEEPOD_TESTS_UNIT_DB_FIXTURE_H
#define TEEPOD_TESTS_UNIT_DB_FIXTURE_H

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/id.h"
#include "base/own.h"
#include "db/apps.h"
#include "db/capacity.h"
#include "db/cvms.h"
#include "db/images.h"
#include "db/operations.h"
#include "db/sql.h"
#include "db/workspaces.h"
#include "tests/unit/temp_dir.h"

#define DB_FIXTURE_APP "0123456789012345678901234567890123456789"

static char db_fixture_path[80];

struct db_fixture {
	struct db *db;
	int64_t workspace, app, revision, image;
};

/* cmocka set-up of the group. */
static inline int db_fixture_set_up(void **state)
{
	if (temp_dir_set_up(state))
		return -1;
	(void)snprintf(db_fixture_path, sizeof(db_fixture_path), "%s/t.db", temp_dir);
	return 0;
}

/* A new, empty database at db_fixture_path. */
static inline struct db *db_fixture_open(void)
{
	struct db *db;
	struct err e;

	(void)unlink(db_fixture_path);
	assert_int_equal(db_open(db_fixture_path, &db, &e), 0);
	return db;
}

/* One workspace ("local"), image, app and revision; 8 vCPUs. */
static inline void db_fixture_fill(struct db_fixture *w)
{
	struct image_row img = {
		.name = "x-1.0.0", .family = "x", .version = "1.0.0", .v = { 1, 0, 0, 0 }, .nv = 3
	};
	struct revision_row rev = { .manifest = (char[]){ "{}" }, .storage_fs = "zfs" };
	struct err e;

	memset(rev.compose_hash, 'a', 64);
	assert_int_equal(workspaces_ensure(w->db, "local", &w->workspace, &e), 0);
	assert_int_equal(images_add(w->db, &img, &w->image, &e), 0);
	assert_int_equal(apps_ensure(w->db, w->workspace, DB_FIXTURE_APP, "a", &w->app, &e), 0);
	rev.app = w->app;
	assert_int_equal(revisions_ensure(w->db, &rev, &w->revision, &e), 0);
	assert_int_equal(capacity_set_total(w->db, "vcpus", 8, &e), 0);
}

/* A stopped CVM of 2 vCPUs, 64 MiB and 1 GiB that holds CPU. Returns its id. */
static inline int64_t db_fixture_add_cvm(struct db_fixture *w, const char *name, uint32_t cid)
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
	(void)snprintf(c.app_id, sizeof(c.app_id), DB_FIXTURE_APP);
	assert_int_equal(cvms_insert(w->db, &c, &none, &id, &e), 0);
	return id;
}

/* First column of the first row. */
static inline int64_t db_count(struct db *db, const char *sql)
{
	int64_t n;
	struct err e;

	assert_int_equal(sql_int(db, &e, -1, &n, sql, ""), 0);
	return n;
}

/* Write values that only another program can write, because they break a CHECK. */
static inline void db_spoil(struct db *db, const char *sql)
{
	struct err e;

	assert_true(sql_run(db, &e, "PRAGMA ignore_check_constraints = ON", "") >= 0);
	assert_true(sql_run(db, &e, sql, "") > 0);
	assert_true(sql_run(db, &e, "PRAGMA ignore_check_constraints = OFF", "") >= 0);
}

/* Total of a list of operations, which must be their number. @state -1: any. */
static inline int64_t db_ops_total(struct db *db, int64_t workspace, int state)
{
	const struct op_filter f = { .workspace = workspace, .state = state };
	auto_free struct op_row *rows = NULL;
	int64_t total;
	size_t n;
	struct err e;

	assert_int_equal(ops_list(db, &f, 0, 100, &rows, &n, &total, &e), 0);
	assert_int_equal(total, n); /* the total equals the length of the list */
	return total;
}

#endif
