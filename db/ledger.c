/* SPDX-License-Identifier: Apache-2.0
 * ledger.c - rows of meters, ledger and billing clock.
 */
#include "db/ledger.h"
#include "db/sql.h"

static void read_cvm_size(struct db *db, sqlite3_stmt *st, void *row)
{
	struct cvm_size *c = row;

	(void)db;
	*c = (struct cvm_size){ .id = sqlite3_column_int64(st, 0),
				.workspace = sqlite3_column_int64(st, 1),
				.vcpus = sqlite3_column_int64(st, 2),
				.memory_mib = sqlite3_column_int64(st, 3),
				.disk_gib = sqlite3_column_int64(st, 4),
				.gpus = sqlite3_column_int64(st, 5),
				.up = sqlite3_column_int(st, 6),
				.wanted = sqlite3_column_int(st, 7) };
	sql_text(st, 8, c->uuid, sizeof(c->uuid));
	sql_text(st, 9, c->name, sizeof(c->name));
}

#define SIZE_SELECT                                                                              \
	"SELECT id, workspace, given_vcpus, given_memory_mib, disk_gib, held_gpus, observed IN " \
	"('running',"                                                                            \
	" 'paused'), desired = 'running', uuid, name FROM cvms"

int cvms_sizes(struct db *db, int64_t workspace, int64_t id, struct cvm_size **ret, size_t *n,
	       struct err *e)
{
	sqlite3_stmt *st;

	if (id)
		st = sql_query(db, e, SIZE_SELECT " WHERE (?1 = 0 OR workspace = ?1) AND id = ?2",
			       "ii", workspace, id);
	else if (workspace)
		st = sql_query(db, e, SIZE_SELECT " WHERE workspace = ? ORDER BY id", "i",
			       workspace);
	else
		st = sql_query(db, e, SIZE_SELECT " ORDER BY id", "");
	return sql_rows(db, st, read_cvm_size, ret, n, e);
}

int billing_clock_get(struct db *db, struct meter_clock *ret, struct err *e)
{
	sqlite3_stmt *st =
		sql_query(db, e, "SELECT now_ms, boot_ms, boot_id FROM billing_clock", "");
	int r = sql_next(db, st, e);

	if (r < 0)
		return r;
	*ret = (struct meter_clock){ 0 };
	if (!r)
		return 0;
	ret->now_ms = sqlite3_column_int64(st, 0);
	ret->boot_ms = sqlite3_column_int64(st, 1);
	sql_text(st, 2, ret->boot_id, sizeof(ret->boot_id));
	return sql_done(db, st, e);
}

int billing_clock_put(struct db *db, const struct meter_clock *c, struct err *e)
{
	return sql_exec(
		db, e,
		"INSERT INTO billing_clock (id, now_ms, boot_id, boot_ms) VALUES (1, ?1, ?2, ?3)"
		" ON CONFLICT (id) DO UPDATE SET now_ms = ?1, boot_id = ?2, boot_ms = ?3",
		"isi", c->now_ms, c->boot_id, c->boot_ms);
}

/* ------------------------------------------------------------------ meters */

#define METER_SELECT "SELECT cvm, workspace, cvm_uuid, cvm_name, from_ms, rate, rest FROM meters"

static void read_meter_row(struct db *db, sqlite3_stmt *st, void *row)
{
	struct meter_row *m = row;

	(void)db;
	*m = (struct meter_row){ .cvm = sqlite3_column_int64(st, 0),
				 .workspace = sqlite3_column_int64(st, 1),
				 .from_ms = sqlite3_column_int64(st, 4),
				 .rate = sqlite3_column_int64(st, 5),
				 .rest = sqlite3_column_int64(st, 6) };
	sql_text(st, 2, m->cvm_uuid, sizeof(m->cvm_uuid));
	sql_text(st, 3, m->cvm_name, sizeof(m->cvm_name));
}

int meters_get(struct db *db, int64_t cvm, struct meter_row *ret, struct err *e)
{
	sqlite3_stmt *st = sql_query(db, e, METER_SELECT " WHERE cvm = ?", "i", cvm);

	return sql_row(db, st, read_meter_row, ret, e);
}

int meters_put(struct db *db, const struct meter_row *m, struct err *e)
{
	return sql_exec(db, e,
			"INSERT INTO meters (cvm, workspace, cvm_uuid, cvm_name, from_ms, rate, "
			"rest) VALUES"
			" (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT (cvm) DO UPDATE SET cvm_name = "
			"?4, from_ms = ?5,"
			" rate = ?6, rest = ?7",
			"iissiii", m->cvm, m->workspace, m->cvm_uuid, m->cvm_name, m->from_ms,
			m->rate, m->rest);
}

int meters_remove(struct db *db, int64_t cvm, struct err *e)
{
	return sql_exec(db, e, "DELETE FROM meters WHERE cvm = ?", "i", cvm);
}

int meters_list(struct db *db, int64_t workspace, struct meter_row **ret, size_t *n, struct err *e)
{
	sqlite3_stmt *st =
		workspace ? sql_query(db, e, METER_SELECT " WHERE workspace = ? ORDER BY cvm", "i",
				      workspace)
			  : sql_query(db, e, METER_SELECT " ORDER BY cvm", "");

	return sql_rows(db, st, read_meter_row, ret, n, e);
}

/* ------------------------------------------------------------------ the ledger */

int ledger_add(struct db *db, struct ledger_row *l, struct err *e)
{
	int r = sql_run(db, e,
			"INSERT INTO ledger (workspace, kind, amount, balance, at_ms, cvm_uuid, "
			"cvm_name, from_ms, to_ms, rate,"
			" caller, note) SELECT ?1, ?2, ?3, balance + ?3, ?4, ?5, ?6, ?7, ?8, ?9, "
			"?10, ?11 FROM workspaces"
			" WHERE id = ?1",
			"isiissiiiss", l->workspace, l->credit ? "credit" : "charge", l->amount,
			l->at_ms, l->cvm_uuid, l->cvm_name, l->from_ms, l->to_ms, l->rate,
			l->caller, l->note);

	if (r < 0)
		return r;
	l->id = sqlite3_last_insert_rowid(db->conn);
	return sql_int(db, e, 0, &l->balance, "SELECT balance FROM ledger WHERE id = ?", "i",
		       l->id);
}

static void read_ledger_row(struct db *db, sqlite3_stmt *st, void *row)
{
	struct ledger_row *l = row;

	(void)db;
	*l = (struct ledger_row){ .id = sqlite3_column_int64(st, 0),
				  .workspace = sqlite3_column_int64(st, 1),
				  .credit = sqlite3_column_int(st, 2),
				  .amount = sqlite3_column_int64(st, 3),
				  .balance = sqlite3_column_int64(st, 4),
				  .at_ms = sqlite3_column_int64(st, 5),
				  .from_ms = sqlite3_column_int64(st, 8),
				  .to_ms = sqlite3_column_int64(st, 9),
				  .rate = sqlite3_column_int64(st, 10) };
	sql_text(st, 6, l->cvm_uuid, sizeof(l->cvm_uuid));
	sql_text(st, 7, l->cvm_name, sizeof(l->cvm_name));
	sql_text(st, 11, l->caller, sizeof(l->caller));
	sql_text(st, 12, l->note, sizeof(l->note));
}

int ledger_list(struct db *db, int64_t workspace, int64_t offset, int64_t limit,
		struct ledger_row **ret, size_t *ret_n, int64_t *ret_total, struct err *e)
{
	sqlite3_stmt *st;
	int r = sql_int(db, e, 0, ret_total, "SELECT entries FROM workspaces WHERE id = ?", "i",
			workspace);

	if (r)
		return r;
	st = sql_query(db, e,
		       "SELECT id, workspace, kind = 'credit', amount, balance, at_ms, cvm_uuid, "
		       "cvm_name, from_ms,"
		       " to_ms, rate, caller, note FROM ledger WHERE workspace = ? ORDER BY id "
		       "DESC LIMIT ? OFFSET ?",
		       "iii", workspace, sql_page(limit, offset, *ret_total), offset);
	return sql_rows(db, st, read_ledger_row, ret, ret_n, e);
}
