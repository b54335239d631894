/* SPDX-License-Identifier: Apache-2.0
 * workspaces.c - workspaces and the API keys that open them.
 */
#include "base/clock.h"
#include "db/rows.h"
#include "db/sql.h"

int workspaces_ensure(struct db *db, const char *slug, int64_t *ret_id, struct err *e)
{
	int r = sql_run(db, e,
			"INSERT OR IGNORE INTO workspaces (slug, name, created_ms) VALUES (?1, ?1, ?2)", "si",
			slug, clock_wall_ms());

	return r < 0 ? r : sql_int(db, e, 0, ret_id, "SELECT id FROM workspaces WHERE slug = ?", "s", slug);
}

int workspaces_get(struct db *db, int64_t id, struct workspace_row *ret, struct err *e)
{
	sqlite3_stmt *st = sql_query(
		db, e, "SELECT id, apps, cvms, created_ms, slug, name FROM workspaces WHERE id = ?", "i", id);
	int r = st ? sql_next(db, st, e) : -(int)e->code;

	if (r <= 0)
		return r ? r : -ERR_NOT_FOUND;
	*ret = (struct workspace_row){ .id = sqlite3_column_int64(st, 0),
				       .apps = sqlite3_column_int64(st, 1),
				       .cvms = sqlite3_column_int64(st, 2),
				       .created_ms = sqlite3_column_int64(st, 3) };
	sql_text(st, 4, ret->slug, sizeof(ret->slug));
	sql_text(st, 5, ret->name, sizeof(ret->name));
	sql_done(st);
	return 0;
}

int keys_add(struct db *db, int64_t workspace, const char *name, int role, const uint8_t hash[SHA256_LEN],
	     int64_t *ret_id, struct err *e)
{
	int r = sql_run(
		db, e,
		"INSERT INTO api_keys (workspace, name, role, hash, created_ms) VALUES (?, ?, ?, ?, ?)",
		"isdbi", workspace, name, role, (const void *)hash, (size_t)SHA256_LEN, clock_wall_ms());

	if (r < 0)
		return r;
	if (ret_id)
		*ret_id = sqlite3_last_insert_rowid(db->conn);
	return 0;
}

int keys_find(struct db *db, const uint8_t hash[SHA256_LEN], struct key_row *ret, struct err *e)
{
	sqlite3_stmt *st = sql_query(db, e,
				     "SELECT k.id, k.workspace, k.role, k.name, w.slug FROM api_keys k"
				     " JOIN workspaces w ON w.id = k.workspace WHERE k.hash = ?",
				     "b", (const void *)hash, (size_t)SHA256_LEN);
	int r = st ? sql_next(db, st, e) : -(int)e->code;

	if (r <= 0)
		return r ? r : -ERR_NOT_FOUND;
	*ret = (struct key_row){ .id = sqlite3_column_int64(st, 0),
				 .workspace = sqlite3_column_int64(st, 1),
				 .role = sqlite3_column_int(st, 2) };
	sql_text(st, 3, ret->name, sizeof(ret->name));
	sql_text(st, 4, ret->workspace_slug, sizeof(ret->workspace_slug));
	sql_done(st);
	return 0;
}
