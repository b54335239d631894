/* SPDX-License-Identifier: Apache-2.0
 * history.c - history of the CVMs of an app: what they were, since when, by whom and which
 * operation.
 *
 * An entry refers to a revision of the app; revisions are stored once per compose hash. The
 * transaction that changes a CVM adds the entry, and the one that rolls the change back deletes it.
 */
#include "db/history.h"
#include "db/sql.h"

int history_add(struct db *db, const struct history_row *h, struct err *e)
{
	return sql_exec(db, e,
			"INSERT INTO history (app, workspace, number, revision, cvm_uuid, image, "
			"changed, op, caller,"
			" created_ms) VALUES (?1, (SELECT workspace FROM apps WHERE id = ?1), "
			"(SELECT coalesce(max(number), 0) + 1 FROM history WHERE app = ?1),"
			" ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
			"iisssssi", h->app, h->revision, h->cvm_uuid, h->image, h->changed, h->op,
			h->caller, h->created_ms);
}

int history_remove(struct db *db, const char *op, struct err *e)
{
	return sql_exec(
		db, e,
		"DELETE FROM history WHERE op = ?1 AND cvm_uuid = (SELECT cvm_uuid FROM operations"
		" WHERE id = ?1)",
		"s", op);
}

static void read_history(struct db *db, sqlite3_stmt *st, void *row)
{
	struct history_row *h = row;

	*h = (struct history_row){ .id = sqlite3_column_int64(st, 0),
				   .app = sqlite3_column_int64(st, 1),
				   .number = sqlite3_column_int64(st, 2),
				   .revision = sqlite3_column_int64(st, 3),
				   .created_ms = sqlite3_column_int64(st, 9),
				   .current = sqlite3_column_int(st, 11) };
	sql_text(st, 4, h->cvm_uuid, sizeof(h->cvm_uuid));
	sql_text(st, 5, h->image, sizeof(h->image));
	sql_json(db, st, 6, h->changed, sizeof(h->changed));
	sql_text(st, 7, h->op, sizeof(h->op));
	sql_text(st, 8, h->caller, sizeof(h->caller));
	sql_text(st, 10, h->compose_hash, sizeof(h->compose_hash));
}

/* The test for a newer entry is one search in the index history_cvm (cvm_uuid, number). */
#define HISTORY_SELECT                                                                             \
	"SELECT h.id, h.app, h.number, h.revision, h.cvm_uuid, h.image, h.changed, h.op, "         \
	"h.caller, h.created_ms,"                                                                  \
	" r.compose_hash, EXISTS (SELECT 1 FROM cvms c WHERE c.uuid = h.cvm_uuid) AND NOT EXISTS " \
	"(SELECT 1"                                                                                \
	" FROM history n WHERE n.cvm_uuid = h.cvm_uuid AND n.number > h.number) FROM history h"    \
	" JOIN revisions r ON r.id = h.revision"

int history_list(struct db *db, int64_t app, int64_t offset, int64_t limit,
		 struct history_row **ret, size_t *ret_n, int64_t *ret_total, struct err *e)
{
	sqlite3_stmt *st;
	int64_t total;
	int r = sql_int(db, e, 0, &total, "SELECT count(*) FROM history WHERE app = ?", "i", app);

	if (r)
		return r;
	st = sql_query(db, e,
		       HISTORY_SELECT " WHERE h.app = ? ORDER BY h.number DESC LIMIT ? OFFSET ?",
		       "iii", app, sql_page(limit, offset, total), offset);
	r = sql_rows(db, st, read_history, ret, ret_n, e);
	if (!r)
		*ret_total = total;
	return r;
}

int history_get(struct db *db, int64_t app, int64_t number, struct history_row *ret, struct err *e)
{
	sqlite3_stmt *st = sql_query(db, e, HISTORY_SELECT " WHERE h.app = ? AND h.number = ?",
				     "ii", app, number);

	return sql_row(db, st, read_history, ret, e);
}

int history_revision(struct db *db, int64_t app, int64_t number, int64_t *ret, struct err *e)
{
	int64_t found;
	int r = sql_int(db, e, 0, &found,
			"SELECT revision FROM history WHERE app = ? AND number = ?", "ii", app,
			number);

	if (r)
		return r;
	if (!found)
		return -ERR_NOT_FOUND;
	*ret = found;
	return 0;
}

#define NEWER \
	"EXISTS (SELECT 1 FROM history n WHERE n.cvm_uuid = h.cvm_uuid AND n.number > h.number"

/* Keep the newest entry of each existing CVM (the two newest during a change, which may be rolled
 * back) and the one with the highest number of each app. A trigger deletes revisions that no row
 * refers to (history_dropped). */
int history_drop(struct db *db, int64_t workspace, int most, struct err *e)
{
	return sql_run(
		db, e,
		"DELETE FROM history WHERE id IN (SELECT h.id FROM history h WHERE h.workspace = ?1"
		" AND h.number < (SELECT max(m.number) FROM history m WHERE m.app = h.app)"
		" AND (NOT EXISTS (SELECT 1 FROM cvms c WHERE c.uuid = h.cvm_uuid) OR (" NEWER
		") AND (" NEWER
		" LIMIT 1 OFFSET 1) OR NOT EXISTS (SELECT 1 FROM cvms c JOIN changes x"
		" ON x.cvm = c.id WHERE c.uuid = h.cvm_uuid)))) ORDER BY h.id LIMIT ?2)",
		"id", workspace, most);
}
