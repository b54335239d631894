/* SPDX-License-Identifier: Apache-2.0
 * workspaces.c - rows of workspaces: quotas, what is reserved of them, balance.
 *
 * The row of a deleted workspace is kept, because events, operations and idempotency keys refer to
 * its id, which must never be used again. Its slug gets a "~", which no valid slug contains.
 */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "db/keys.h"
#include "db/sql.h"
#include "db/workspaces.h"

const char *const quota_word[QUOTAS] = {
	[QUOTA_VCPUS] = "vcpus", [QUOTA_MEMORY] = "memory_mib", [QUOTA_DISK] = "disk_gib",
	[QUOTA_CVMS] = "cvms",   [QUOTA_GPUS] = "gpus",         [QUOTA_PORTS] = "host_ports",
};

#define WORKSPACE_SELECT                                                                      \
	"SELECT id, apps, created_ms, slug, name, balance, coalesce(max_vcpus, -1),"          \
	" coalesce(max_memory_mib, -1), coalesce(max_disk_gib, -1), coalesce(max_cvms, -1),"  \
	" coalesce(max_gpus, -1), coalesce(max_host_ports, -1), held_vcpus, held_memory_mib," \
	" held_disk_gib, cvms, held_gpus, held_host_ports FROM workspaces"

static void read_workspace(struct db *db, sqlite3_stmt *st, void *row)
{
	struct workspace_row *w = row;

	(void)db;
	*w = (struct workspace_row){ .id = sqlite3_column_int64(st, 0),
				     .apps = sqlite3_column_int64(st, 1),
				     .created_ms = sqlite3_column_int64(st, 2),
				     .balance = sqlite3_column_int64(st, 5) };
	sql_text(st, 3, w->slug, sizeof(w->slug));
	sql_text(st, 4, w->name, sizeof(w->name));
	for (int q = 0; q < QUOTAS; q++) {
		w->max[q] = sqlite3_column_int64(st, 6 + q);
		w->held[q] = sqlite3_column_int64(st, 6 + QUOTAS + q);
	}
	w->cvms = w->held[QUOTA_CVMS];
}

int workspaces_ensure(struct db *db, const char *slug, int64_t *ret_id, struct err *e)
{
	int r = sql_run(
		db, e,
		"INSERT OR IGNORE INTO workspaces (slug, name, created_ms) VALUES (?1, ?1, ?2)",
		"si", slug, clock_wall_ms());

	return r < 0 ? r
		     : sql_int(db, e, 0, ret_id, "SELECT id FROM workspaces WHERE slug = ?", "s",
			       slug);
}

int workspaces_get(struct db *db, int64_t id, struct workspace_row *ret, struct err *e)
{
	return sql_row(db, sql_query(db, e, WORKSPACE_SELECT " WHERE id = ?", "i", id),
		       read_workspace, ret, e);
}

int workspaces_find(struct db *db, const char *slug, struct workspace_row *ret, struct err *e)
{
	int64_t id = -1;
	char *end;

	if (!strncmp(slug, "ws_", 3) && strspn(slug + 3, "0123456789") == strlen(slug + 3) &&
	    strlen(slug) < 3 + 19)
		id = strtoll(slug + 3, &end, 10);
	return sql_row(db,
		       sql_query(db, e,
				 WORKSPACE_SELECT
				 " WHERE (slug = ?1 OR id = ?2) AND deleted_ms = 0",
				 "si", slug, id),
		       read_workspace, ret, e);
}

int workspaces_list(struct db *db, int64_t offset, int64_t limit, struct workspace_row **ret,
		    size_t *ret_n, struct err *e)
{
	int64_t total = 0;
	sqlite3_stmt *st;
	int r = sql_int(db, e, 0, &total, "SELECT count(*) FROM workspaces WHERE deleted_ms = 0",
			"");

	if (r)
		return r;
	st = sql_query(db, e,
		       WORKSPACE_SELECT " WHERE deleted_ms = 0 ORDER BY slug LIMIT ? OFFSET ?",
		       "ii", sql_page(limit, offset, total), offset);
	r = sql_rows(db, st, read_workspace, ret, ret_n, e);
	return r ? r : (int)total;
}

int workspaces_add(struct db *db, const char *slug, const char *name, int64_t *ret_id,
		   struct err *e)
{
	int r = sql_run(
		db, e, "INSERT OR IGNORE INTO workspaces (slug, name, created_ms) VALUES (?, ?, ?)",
		"ssi", slug, name, clock_wall_ms());

	if (r > 0)
		*ret_id = sqlite3_last_insert_rowid(db->conn);
	return r;
}

int workspaces_set(struct db *db, const struct workspace_row *w, struct err *e)
{
	return sql_exec(db, e,
			"UPDATE workspaces SET name = ?2, max_vcpus = nullif(?3, -1), "
			"max_memory_mib = nullif(?4, -1),"
			" max_disk_gib = nullif(?5, -1), max_cvms = nullif(?6, -1), max_gpus = "
			"nullif(?7, -1),"
			" max_host_ports = nullif(?8, -1) WHERE id = ?1",
			"isiiiiii", w->id, w->name, w->max[QUOTA_VCPUS], w->max[QUOTA_MEMORY],
			w->max[QUOTA_DISK], w->max[QUOTA_CVMS], w->max[QUOTA_GPUS],
			w->max[QUOTA_PORTS]);
}

int workspaces_delete(struct db *db, int64_t id, int64_t now_ms, struct err *e)
{
	int r = sql_run(
		db, e,
		"UPDATE workspaces SET slug = slug || '~' || id, deleted_ms = ?2 WHERE id = ?1",
		"ii", id, now_ms > 0 ? now_ms : 1);

	if (r >= 0)
		r = keys_revoke_workspace(db, id, now_ms, e);
	if (r >= 0)
		r = sql_run(db, e, "DELETE FROM provisions WHERE workspace = ?", "i", id);
	return r < 0 ? r : 0;
}
