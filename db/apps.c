/* SPDX-License-Identifier: Apache-2.0
 * apps.c - apps, their compose revisions, and provisions waiting for a create.
 */
#include <string.h>

#include "base/clock.h"
#include "base/own.h"
#include "db/apps.h"
#include "db/operations.h"
#include "db/sql.h"
#include "db/text.h"

/* @r: result of an INSERT. */
static int take_id(struct db *db, int r, int64_t *ret_id)
{
	if (r >= 0)
		*ret_id = sqlite3_last_insert_rowid(db->conn);
	return r < 0 ? r : 0;
}

/* Most creates find their app. An INSERT OR IGNORE for them would still write sqlite_sequence. */
int apps_ensure(struct db *db, int64_t workspace, const char *app_id, const char *name,
		int64_t *ret_id, struct err *e)
{
	int64_t found;
	int r = sql_int(db, e, 0, &found, "SELECT id FROM apps WHERE workspace = ? AND app_id = ?",
			"is", workspace, app_id);

	if (r)
		return r;
	if (found) {
		*ret_id = found;
		return 0;
	}
	return take_id(db,
		       sql_run(db, e,
			       "INSERT INTO apps (workspace, app_id, name, created_ms) VALUES (?, "
			       "?, ?, ?)",
			       "issi", workspace, app_id, name, clock_wall_ms()),
		       ret_id);
}

static void read_app(struct db *db, sqlite3_stmt *st, void *row)
{
	struct app_row *a = row;

	(void)db;
	*a = (struct app_row){ .id = sqlite3_column_int64(st, 0),
			       .workspace = sqlite3_column_int64(st, 1),
			       .cvms = sqlite3_column_int64(st, 2),
			       .created_ms = sqlite3_column_int64(st, 3),
			       .current_cvm = sqlite3_column_int64(st, 4) };
	sql_text(st, 5, a->app_id, sizeof(a->app_id));
	sql_text(st, 6, a->name, sizeof(a->name));
}

int apps_find(struct db *db, int64_t workspace, const char *app_id, struct app_row *ret,
	      struct err *e)
{
	sqlite3_stmt *st = sql_query(
		db, e,
		"SELECT id, workspace, cvms, created_ms, current_cvm, app_id, name FROM apps"
		" WHERE app_id = ?1 AND (?2 = 0 OR workspace = ?2) ORDER BY id LIMIT 2",
		"si", app_id, workspace);
	auto_free struct app_row *rows = NULL;
	size_t n = 0;
	int r = sql_rows(db, st, read_app, &rows, &n, e);

	if (r)
		return r;
	if (!n)
		return -ERR_NOT_FOUND;
	if (n > 1)
		return err_field(e, ERR_CVM_AMBIGUOUS, "identifier", app_id,
				 "several workspaces have the app %.60s", app_id);
	*ret = rows[0];
	return 0;
}

int revisions_ensure(struct db *db, const struct revision_row *row, int64_t *ret_id, struct err *e)
{
	int64_t found;
	int r = sql_int(db, e, 0, &found,
			"SELECT id FROM revisions WHERE app = ? AND compose_hash = ?", "is",
			row->app, row->compose_hash);

	if (r)
		return r;
	if (found) {
		*ret_id = found;
		return 0;
	}
	r = sql_run(db, e,
		    "INSERT INTO revisions (app, compose_hash, manifest, public_logs, "
		    "public_sysinfo, public_tcbinfo, gateway_enabled, kms_enabled, secure_time, "
		    "storage_fs, created_ms) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
		    "issddddddsi", row->app, row->compose_hash, row->manifest,
		    (int)row->public_logs, (int)row->public_sysinfo, (int)row->public_tcbinfo,
		    (int)row->gateway_enabled, (int)row->kms_enabled, (int)row->secure_time,
		    row->storage_fs, clock_wall_ms());
	return take_id(db, r, ret_id);
}

int revisions_manifest(struct db *db, int64_t id, char **ret, struct err *e)
{
	sqlite3_stmt *st = sql_query(
		db, e, "SELECT id, manifest, json_valid(manifest) FROM revisions WHERE id = ?", "i",
		id);
	auto_free char *manifest = NULL;
	int r = sql_next(db, st, e);

	if (r <= 0)
		return r ? r : -ERR_NOT_FOUND;
	manifest = sql_json_dup(db, st, 1, 2);
	r = sql_done(db, st, e);
	if (!r)
		*ret = take_ptr(&manifest);
	return r;
}

int provisions_put(struct db *db, int64_t workspace, const char *app_id, const char *compose_hash,
		   const char *request, const char *manifest, int64_t expires_ms, struct err *e)
{
	int64_t now = clock_wall_ms();
	/* Not REPLACE: it runs no delete trigger for the replaced row. */
	int r = sql_run(
		db, e,
		"DELETE FROM provisions WHERE workspace = ? AND compose_hash = ? AND app_id = ?",
		"iss", workspace, compose_hash, app_id);

	if (r >= 0)
		r = sql_run(db, e,
			    "INSERT INTO provisions (workspace, app_id, compose_hash, request, "
			    "manifest, created_ms,"
			    " expires_ms) VALUES (?, ?, ?, ?, ?, ?, ?)",
			    "issssii", workspace, app_id, compose_hash, request, manifest, now,
			    expires_ms);
	return r < 0 ? r : 0;
}

int provisions_set_used(struct db *db, int64_t workspace, const char *app_id,
			const char *compose_hash, struct err *e)
{
	return sql_exec(db, e,
			"UPDATE provisions SET used = 1 WHERE workspace = ? AND compose_hash = ? "
			"AND app_id = ?",
			"iss", workspace, compose_hash, app_id);
}

int provisions_prune(struct db *db, int64_t now_ms, struct err *e)
{
	return sql_run(db, e,
		       "DELETE FROM provisions WHERE rowid IN (SELECT rowid FROM provisions WHERE "
		       "expires_ms < ?"
		       " ORDER BY expires_ms LIMIT ?)",
		       "id", now_ms, PRUNE_LONG);
}

int provisions_get(struct db *db, int64_t workspace, const char *app_id, const char *compose_hash,
		   char **ret_request, char **ret_manifest, char ret_app_id[APP_ID_TEXT],
		   struct err *e)
{
	sqlite3_stmt *st =
		sql_query(db, e,
			  "SELECT compose_hash, request, manifest, app_id, json_valid(request), "
			  "json_valid(manifest)"
			  " FROM provisions WHERE workspace = ?1 AND"
			  " compose_hash = ?2 AND (?3 = '' OR app_id = ?3) AND expires_ms >= ?4"
			  " ORDER BY created_ms DESC LIMIT 1",
			  "issi", workspace, compose_hash, app_id, clock_wall_ms());
	auto_free char *request = NULL, *manifest = NULL;
	char found[APP_ID_TEXT];
	int r = sql_next(db, st, e);

	if (r <= 0)
		return r ? r : -ERR_NOT_FOUND;
	request = sql_json_dup(db, st, 1, 4);
	manifest = sql_json_dup(db, st, 2, 5);
	sql_text(st, 3, found, sizeof(found));
	r = sql_done(db, st, e);
	if (r)
		return r;
	*ret_request = take_ptr(&request);
	*ret_manifest = take_ptr(&manifest);
	memcpy(ret_app_id, found, sizeof(found));
	return 0;
}

int provisions_drop(struct db *db, int64_t workspace, int most, struct err *e)
{
	return sql_run(db, e,
		       "DELETE FROM provisions WHERE rowid IN (SELECT rowid FROM provisions WHERE "
		       "workspace = ?"
		       " AND used = 1 ORDER BY created_ms LIMIT ?)",
		       "id", workspace, most);
}
