/* SPDX-License-Identifier: Apache-2.0
 * node.c - rows about the node: maintenance and owner, at most one row each.
 */
#include "db/node.h"
#include "db/sql.h"

/* ------------------------------------------------------------------ maintenance */

int maintenance_get(struct db *db, struct maintenance_row *ret, struct err *e)
{
	sqlite3_stmt *st = sql_query(
		db, e, "SELECT id, reason, caller, since_ms, timeout_s, force FROM maintenance",
		"");
	int r = sql_next(db, st, e);

	if (r < 0)
		return r;
	*ret = (struct maintenance_row){ .on = r > 0 };
	if (!r)
		return 0;
	sql_text(st, 1, ret->reason, sizeof(ret->reason));
	sql_text(st, 2, ret->caller, sizeof(ret->caller));
	ret->since_ms = sqlite3_column_int64(st, 3);
	ret->timeout_s = (unsigned)sql_range(db, st, 4, 0, INT32_MAX);
	ret->force = sqlite3_column_int(st, 5);
	return sql_done(db, st, e);
}

int maintenance_set(struct db *db, const struct maintenance_row *row, struct err *e)
{
	int r;

	if (!row->on)
		r = sql_run(db, e, "DELETE FROM maintenance", "");
	else
		r = sql_run(db, e,
			    "INSERT OR REPLACE INTO maintenance (id, reason, caller, since_ms, "
			    "timeout_s, force) VALUES"
			    " (1, ?, ?, ?, ?, ?)",
			    "ssidd", row->reason, row->caller, row->since_ms, (int)row->timeout_s,
			    (int)row->force);
	return r < 0 ? r : 0;
}

/* ------------------------------------------------------------------ owner */

static void read_owner(struct db *db, sqlite3_stmt *st, void *row)
{
	struct owner_row *o = row;

	(void)db;
	sql_text(st, 0, o->marker, sizeof(o->marker));
	o->inode = sqlite3_column_int64(st, 1);
	sql_text(st, 2, o->machine, sizeof(o->machine));
	sql_text(st, 3, o->host, sizeof(o->host));
	sql_text(st, 4, o->dir, sizeof(o->dir));
}

int owner_get(struct db *db, struct owner_row *ret, struct err *e)
{
	return sql_row(db,
		       sql_query(db, e, "SELECT marker, inode, machine, host, dir FROM owner", ""),
		       read_owner, ret, e);
}

int owner_set(struct db *db, const struct owner_row *row, struct err *e)
{
	return sql_exec(
		db, e,
		"INSERT OR REPLACE INTO owner (id, marker, inode, machine, host, dir) VALUES"
		" (1, ?, ?, ?, ?, ?)",
		"sisss", row->marker, row->inode, row->machine, row->host, row->dir);
}
