/* SPDX-License-Identifier: Apache-2.0
 * db.c - opening, shrinking and closing the database file.
 */
#include <assert.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "base/log.h"
#include "db/db.h"
#include "db/schema.h"
#include "db/sql.h"

/* synchronous must be FULL: WAL with NORMAL loses acknowledged commits on power loss.
 * A log of wal_autocheckpoint pages and one commit fits journal_size_limit: a longer log would be
 * truncated, and would have to grow again. */
static const char pragmas[] =
	"PRAGMA foreign_keys = ON; PRAGMA journal_mode = WAL;"
	"PRAGMA journal_size_limit = 8388608; PRAGMA wal_autocheckpoint = 1600;"
	"PRAGMA synchronous = FULL;"
	"PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON; PRAGMA temp_store = MEMORY;";

enum { BUSY_MS = 2000, AUTO_VACUUM_INCREMENTAL = 2, PAGES_KEPT = 1024 };

/* Only for a new file: later the pragma needs a VACUUM, see enable_auto_vacuum(). */
static int set_auto_vacuum(struct db *db, struct err *e)
{
	int64_t pages = 0;
	int r = sql_int(db, e, 0, &pages, "PRAGMA page_count", "");

	return r || pages                                                   ? r
	       : sql_run(db, e, "PRAGMA auto_vacuum = INCREMENTAL", "") < 0 ? -(int)e->code
									    : 0;
}

static int configure_connection(struct db *db, const char *path, struct err *e)
{
	(void)sqlite3_extended_result_codes(db->conn, 1);
	/* Before the first statement, because that one recovers the WAL after a crash. It may have
	 * to wait for a reader (a backup, --check-db) that is recovering the WAL already. */
	(void)sqlite3_busy_timeout(db->conn, BUSY_MS);
	(void)sqlite3_db_config(db->conn, SQLITE_DBCONFIG_DQS_DDL, 0, NULL);
	(void)sqlite3_db_config(db->conn, SQLITE_DBCONFIG_DQS_DML, 0, NULL);
	(void)sqlite3_db_config(db->conn, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
	if (set_auto_vacuum(db, e))
		return -(int)e->code;
	if (sqlite3_exec(db->conn, pragmas, NULL, NULL, NULL) != SQLITE_OK)
		return sql_error(db, path, e);
	return 0;
}

/* Files of early versions have no auto_vacuum. A failure is only logged: the daemon must start even
 * when the disk is full. */
static void enable_auto_vacuum(struct db *db, const char *path)
{
	/* VACUUM makes a copy, which may be too large for memory. */
	static const char vacuum[] =
		"PRAGMA temp_store = FILE; PRAGMA auto_vacuum = INCREMENTAL; VACUUM";
	int64_t mode = 0;
	struct err e;

	if (sql_int(db, &e, 0, &mode, "PRAGMA auto_vacuum", "") || mode == AUTO_VACUUM_INCREMENTAL)
		return;
	if (sqlite3_exec(db->conn, vacuum, NULL, NULL, NULL) != SQLITE_OK)
		log_warn("cannot enable auto_vacuum for %s, trying again at the next start: %s",
			 path, sqlite3_errmsg(db->conn));
	(void)sqlite3_exec(db->conn, "PRAGMA temp_store = MEMORY", NULL, NULL, NULL);
}

/* Counting allocations takes a global lock for each of several hundred in a transaction, and nobody
 * reads the counters. Without effect, and harmless, once SQLite is in use. */
static void configure_library(void)
{
	(void)sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
}

enum open_mode { OPEN_MIGRATE, OPEN_CREATE, OPEN_AS_IS };

static int open_database(const char *path, enum open_mode mode, struct db **ret, struct err *e)
{
	struct db *db = xcalloc(1, sizeof(*db));
	mode_t mask = umask(0077);
	int r = 0, rc;

	configure_library();
	rc = sqlite3_open_v2(path, &db->conn,
			     SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX |
				     (mode == OPEN_AS_IS ? 0 : SQLITE_OPEN_CREATE),
			     NULL);
	if (rc != SQLITE_OK)
		r = err_set(e, ERR_HOST, "cannot open database %s: %s", path,
			    db->conn ? sqlite3_errmsg(db->conn) : sqlite3_errstr(rc));
	if (!r)
		r = configure_connection(db, path, e);
	if (!r)
		r = mode == OPEN_MIGRATE ? schema_migrate(db, path, e)
					 : schema_current(db, path, mode == OPEN_CREATE, e);
	if (!r && mode == OPEN_MIGRATE)
		enable_auto_vacuum(db, path);
	(void)umask(mask);
	if (r) {
		db_close(db);
		return r;
	}
	*ret = db;
	return 0;
}

int db_open(const char *path, struct db **ret, struct err *e)
{
	return open_database(path, OPEN_MIGRATE, ret, e);
}

int db_open_as_is(const char *path, bool may_create, struct db **ret, struct err *e)
{
	return open_database(path, may_create ? OPEN_CREATE : OPEN_AS_IS, ret, e);
}

int db_open_read(const char *path, struct db **ret, struct err *e)
{
	struct db *db = xcalloc(1, sizeof(*db));
	int rc = sqlite3_open_v2(path, &db->conn, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX, NULL);
	int64_t version = 0;
	int r = 0;

	if (rc != SQLITE_OK)
		r = err_set(e, ERR_HOST, "cannot open database %s: %s", path,
			    db->conn ? sqlite3_errmsg(db->conn) : sqlite3_errstr(rc));
	if (!r)
		r = sql_int(db, e, 0, &version, "PRAGMA user_version", "");
	if (!r && version != schema_version())
		r = err_set(e, ERR_UNSUPPORTED, "%s has schema %lld, this teepod checks schema %d",
			    path, (long long)version, schema_version());
	if (r) {
		db_close(db);
		return r;
	}
	*ret = db;
	return 0;
}

int db_shrink(struct db *db, struct err *e)
{
	int64_t before = 0, after = 0;
	int r;

	assert(db->in_turn);
	r = sql_int(db, e, 0, &before, "PRAGMA freelist_count", "");

	if (r || before <= PAGES_KEPT)
		return r;
	r = sql_run(db, e, "PRAGMA incremental_vacuum(256)", "");
	if (r >= 0)
		r = sql_int(db, e, 0, &after, "PRAGMA freelist_count", "");
	return r ? r : (int)(before - after);
}

bool db_checkpoint(struct db *db)
{
	if (!sqlite3_get_autocommit(db->conn))
		return false;
	/* A failure does not matter: the next checkpoint does the work. */
	(void)sqlite3_wal_checkpoint_v2(db->conn, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
	return true;
}

void db_close(struct db *db)
{
	if (!db)
		return;
	assert(!db->in_turn && !db->bad.code);
	for (size_t i = 0; i < db->cap; i++)
		(void)sqlite3_finalize(db->cache[i].st);
	free(db->cache);
	(void)sqlite3_close(db->conn);
	free(db);
}

bool db_bad_row(const struct err *e)
{
	return sql_is_bad_row(e);
}
