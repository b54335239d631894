/* SPDX-License-Identifier: Apache-2.0
 * keys.c - rows of API keys: digest, role, limits and life time.
 *
 * The row of a revoked key is kept: idempotency keys identify their caller by its id, which must
 * never be used again.
 */
#include "base/clock.h"
#include "db/keys.h"
#include "db/operations.h"
#include "db/sql.h"

#define KEY_COLUMNS                                                                               \
	"SELECT k.id, k.workspace, k.role, k.name, w.slug, k.prefix, k.per_minute, k.created_ms," \
	" k.expires_ms, k.last_used_ms, k.parent FROM api_keys k"
#define KEY_SELECT KEY_COLUMNS " JOIN workspaces w ON w.id = k.workspace WHERE k.revoked_ms = 0"

static void read_key_row(struct db *db, sqlite3_stmt *st, void *row)
{
	struct key_row *k = row;

	*k = (struct key_row){ .id = sqlite3_column_int64(st, 0),
			       .workspace = sqlite3_column_int64(st, 1),
			       .role = (int)sql_range(db, st, 2, 1, 4),
			       .per_minute = sqlite3_column_int64(st, 6),
			       .created_ms = sqlite3_column_int64(st, 7),
			       .expires_ms = sqlite3_column_int64(st, 8),
			       .last_used_ms = sqlite3_column_int64(st, 9),
			       .parent = sqlite3_column_int64(st, 10) };
	sql_text(st, 3, k->name, sizeof(k->name));
	sql_text(st, 4, k->workspace_slug, sizeof(k->workspace_slug));
	sql_text(st, 5, k->prefix, sizeof(k->prefix));
}

int keys_add(struct db *db, const struct key_row *k, const uint8_t hash[SHA256_LEN],
	     int64_t *ret_id, struct err *e)
{
	int r = sql_run(db, e,
			"INSERT INTO api_keys (workspace, name, role, hash, created_ms, prefix, "
			"per_minute, expires_ms,"
			" parent) VALUES (?, ?, ?, ?, ?, ?, ?, ?, nullif(?, 0))",
			"isdbisiii", k->workspace, k->name, k->role, (const void *)hash,
			(size_t)SHA256_LEN, k->created_ms ? k->created_ms : clock_wall_ms(),
			k->prefix, k->per_minute, k->expires_ms, k->parent);

	if (r < 0)
		return r;
	if (ret_id)
		*ret_id = sqlite3_last_insert_rowid(db->conn);
	return 0;
}

int keys_find(struct db *db, const uint8_t hash[SHA256_LEN], struct key_row *ret, struct err *e)
{
	return sql_row(db,
		       sql_query(db, e, KEY_SELECT " AND k.hash = ?", "b", (const void *)hash,
				 (size_t)SHA256_LEN),
		       read_key_row, ret, e);
}

int keys_get(struct db *db, int64_t id, struct key_row *ret, struct err *e)
{
	return sql_row(db, sql_query(db, e, KEY_SELECT " AND k.id = ?", "i", id), read_key_row, ret,
		       e);
}

/* Without a workspace use the index of valid keys, because the table also has revoked ones. */
static sqlite3_stmt *query_key_list(struct db *db, int64_t workspace, int role, int64_t offset,
				    int64_t limit, struct err *e)
{
	if (workspace)
		return sql_query(db, e,
				 KEY_SELECT
				 " AND k.workspace = ?1 AND k.role <= ?2 ORDER BY k.id LIMIT ?3"
				 " OFFSET ?4",
				 "idii", workspace, role, limit, offset);
	return sql_query(
		db, e,
		KEY_COLUMNS
		" INDEXED BY api_keys_open CROSS JOIN workspaces w ON w.id = k.workspace"
		" WHERE k.revoked_ms = 0 AND k.role <= ?1 ORDER BY k.id LIMIT ?2 OFFSET ?3",
		"dii", role, limit, offset);
}

static int count_key_list(struct db *db, int64_t workspace, int role, int64_t *ret, struct err *e)
{
	if (workspace)
		return sql_int(db, e, 0, ret,
			       "SELECT count(*) FROM api_keys WHERE revoked_ms = 0 AND workspace = "
			       "? AND role <= ?",
			       "id", workspace, role);
	return sql_int(db, e, 0, ret,
		       "SELECT count(*) FROM api_keys INDEXED BY api_keys_open WHERE revoked_ms = "
		       "0 AND role <= ?",
		       "d", role);
}

int keys_list(struct db *db, int64_t workspace, int role, int64_t offset, int64_t limit,
	      struct key_row **ret, size_t *n, struct err *e)
{
	int64_t total;
	int r = count_key_list(db, workspace, role, &total, e);

	if (r)
		return r;
	r = sql_rows(db,
		     query_key_list(db, workspace, role, offset, sql_page(limit, offset, total), e),
		     read_key_row, ret, n, e);
	return r ? r : (int)total;
}

int keys_count(struct db *db, int64_t workspace, int64_t now_ms, int64_t *ret, struct err *e)
{
	return sql_int(db, e, 0, ret,
		       "SELECT count(*) FROM api_keys WHERE workspace = ?1 AND revoked_ms = 0 AND"
		       " (expires_ms = 0 OR expires_ms > ?2)",
		       "ii", workspace, now_ms);
}

int keys_made_since(struct db *db, int64_t workspace, int64_t since_ms, int64_t now_ms, int64_t nth,
		    int64_t *ret_ms, struct err *e)
{
	return sql_int(
		db, e, 0, ret_ms,
		"SELECT created_ms FROM api_keys WHERE workspace = ?1 AND created_ms > ?2 AND"
		" created_ms <= ?3 ORDER BY created_ms DESC LIMIT 1 OFFSET ?4",
		"iiii", workspace, since_ms, now_ms, nth - 1);
}

/* Revoke the valid keys that @roots selects and all their descendants. */
#define REVOKE(roots)                                                                              \
	"UPDATE api_keys SET revoked_ms = ?2 WHERE revoked_ms = 0 AND id IN (WITH RECURSIVE tree " \
	"(id)"                                                                                     \
	" AS (" roots " UNION SELECT k.id FROM tree CROSS JOIN api_keys k ON k.parent = tree.id"   \
	" WHERE k.revoked_ms = 0) SELECT id FROM tree)"

int keys_revoke(struct db *db, int64_t id, int64_t now_ms, struct err *e)
{
	return sql_exec_one(db, e, REVOKE("SELECT ?1"), "ii", id, now_ms > 0 ? now_ms : 1);
}

int keys_revoke_workspace(struct db *db, int64_t workspace, int64_t now_ms, struct err *e)
{
	return sql_exec(db, e,
			REVOKE("SELECT id FROM api_keys WHERE workspace = ?1 AND revoked_ms = 0"),
			"ii", workspace, now_ms > 0 ? now_ms : 1);
}

int keys_prune(struct db *db, int64_t before_ms, struct err *e)
{
	int revoked = sql_run(
		db, e,
		"DELETE FROM api_keys WHERE id IN (SELECT id FROM api_keys WHERE revoked_ms > 0 AND"
		" revoked_ms < ?1 ORDER BY revoked_ms LIMIT ?2) AND id < (SELECT max(id) FROM "
		"api_keys)",
		"id", before_ms, PRUNE_MAX);
	int expired =
		revoked < 0
			? revoked
			: sql_run(db, e,
				  "DELETE FROM api_keys WHERE id IN (SELECT id FROM api_keys WHERE"
				  " expires_ms > 0 AND expires_ms < ?1 ORDER BY expires_ms LIMIT "
				  "?2)"
				  " AND id < (SELECT max(id) FROM api_keys)",
				  "id", before_ms, PRUNE_MAX);

	return expired < 0 ? expired : revoked > expired ? revoked : expired;
}

int keys_set_used(struct db *db, int64_t id, int64_t now_ms, struct err *e)
{
	return sql_exec(db, e, "UPDATE api_keys SET last_used_ms = ?2 WHERE id = ?1", "ii", id,
			now_ms);
}
