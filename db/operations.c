/* SPDX-License-Identifier: Apache-2.0
 * operations.c - rows of operations: state, step and result.
 */
#include <assert.h>

#include "db/operations.h"
#include "db/sql.h"

const char *const op_kind_word[OP_KINDS] = {
	[OP_CREATE] = "create",     [OP_START] = "start",     [OP_STOP] = "stop",
	[OP_SHUTDOWN] = "shutdown", [OP_RESTART] = "restart", [OP_DELETE] = "delete",
	[OP_RESIZE] = "resize",     [OP_UPGRADE] = "upgrade", [OP_RESUME] = "resume",
};

const char *const op_state_word[OP_STATES] = {
	[OP_QUEUED] = "queued", [OP_RUNNING] = "running",     [OP_SUCCEEDED] = "succeeded",
	[OP_FAILED] = "failed", [OP_CANCELLED] = "cancelled",
};

#define OP_SELECT                                                                             \
	"SELECT id, cvm, cvm_uuid, cvm_name, workspace, kind, state, step, undoing, cancel, " \
	"params, error, request_id,"                                                          \
	" caller, created_ms, started_ms, finished_ms, step_table FROM operations"

static void read_op(struct db *db, sqlite3_stmt *st, void *row)
{
	struct op_row *o = row;

	*o = (struct op_row){ 0 };
	sql_text(st, 0, o->id, sizeof(o->id));
	o->cvm = sqlite3_column_int64(st, 1);
	sql_text(st, 2, o->cvm_uuid, sizeof(o->cvm_uuid));
	sql_text(st, 3, o->cvm_name, sizeof(o->cvm_name));
	o->workspace = sqlite3_column_int64(st, 4);
	o->kind = (enum op_kind)sql_word(db, st, 5, op_kind_word, OP_KINDS);
	o->state = (enum op_state)sql_word(db, st, 6, op_state_word, OP_STATES);
	sql_text(st, 7, o->step, sizeof(o->step));
	o->undoing = sqlite3_column_int(st, 8);
	o->cancel = sqlite3_column_int(st, 9);
	sql_json(db, st, 10, o->params, sizeof(o->params));
	sql_json(db, st, 11, o->error, sizeof(o->error));
	sql_text(st, 12, o->request_id, sizeof(o->request_id));
	sql_text(st, 13, o->caller, sizeof(o->caller));
	o->created_ms = sqlite3_column_int64(st, 14);
	o->started_ms = sqlite3_column_int64(st, 15);
	o->finished_ms = sqlite3_column_int64(st, 16);
	o->table_version = sqlite3_column_int(st, 17);
}

int ops_insert(struct db *db, const struct op_row *o, struct err *e)
{
	return sql_exec(db, e,
			"INSERT INTO operations (id, cvm, cvm_uuid, cvm_name, workspace, kind, "
			"state, step, undoing, cancel,"
			" params, error, request_id, caller, created_ms, started_ms, finished_ms, "
			"step_table) VALUES"
			" (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
			"sississsddssssiiid", o->id, o->cvm, o->cvm_uuid, o->cvm_name, o->workspace,
			op_kind_word[o->kind], op_state_word[o->state], o->step, (int)o->undoing,
			(int)o->cancel, o->params, o->error, o->request_id, o->caller,
			o->created_ms, o->started_ms, o->finished_ms, o->table_version);
}

/* max(cancel, ?): the engine may not know yet that cancellation was requested. For a step of a
 * running operation the first statement names no indexed column, because SQLite would rewrite all
 * indexes. */
int ops_update(struct db *db, const struct op_row *o, struct err *e)
{
	int r = 0;

	if (o->state == OP_RUNNING && !o->finished_ms)
		r = sql_run(db, e,
			    "UPDATE operations SET step = ?, step_table = ?, undoing = ?, cancel = "
			    "max(cancel, ?),"
			    " error = ?, started_ms = ? WHERE id = ? AND state = 'running'",
			    "sdddsis", o->step, o->table_version, (int)o->undoing, (int)o->cancel,
			    o->error, o->started_ms, o->id);
	if (!r)
		r = sql_run(
			db, e,
			"UPDATE operations SET state = ?, step = ?, step_table = ?, undoing = ?,"
			" cancel = max(cancel, ?), error = ?, started_ms = ?, finished_ms = ? "
			"WHERE id = ?",
			"ssdddsiis", op_state_word[o->state], o->step, o->table_version,
			(int)o->undoing, (int)o->cancel, o->error, o->started_ms, o->finished_ms,
			o->id);
	return r < 0 ? r : r == 0 ? -ERR_NOT_FOUND : 0;
}

int ops_get(struct db *db, const char *id, struct op_row *ret, struct err *e)
{
	return sql_row(db, sql_query(db, e, OP_SELECT " WHERE id = ?", "s", id), read_op, ret, e);
}

int ops_running_of(struct db *db, int64_t cvm, struct op_row *ret, struct err *e)
{
	return sql_row(db,
		       sql_query(db, e, OP_SELECT " WHERE cvm = ? AND state = 'running'", "i", cvm),
		       read_op, ret, e);
}

int ops_queued_of(struct db *db, int64_t cvm, struct op_row *ret, struct err *e)
{
	return sql_row(db,
		       sql_query(db, e, OP_SELECT " WHERE cvm = ? AND state = 'queued'", "i", cvm),
		       read_op, ret, e);
}

/* Not after a failed stop: another stop would fail, too, so that case is left to an operator. */
int ops_start_unconfirmed(struct db *db, const char *cvm_uuid, const char *start, struct err *e)
{
	int64_t found;
	int r = sql_int(
		db, e, 0, &found,
		"SELECT 1 FROM operations o WHERE cvm_uuid = ?1 AND state IN ('failed', "
		"'cancelled') AND (step = ?2 OR"
		" (step = '' AND undoing = 1 AND kind IN ('create', 'start', 'restart'))) AND id > "
		"coalesce((SELECT"
		" max(id) FROM operations WHERE cvm_uuid = ?1 AND state = 'succeeded' AND kind IN"
		" ('create', 'start', 'restart')), '') AND NOT EXISTS (SELECT 1 FROM operations s "
		"WHERE"
		" s.cvm_uuid = ?1 AND s.kind = 'stop' AND s.state = 'failed' AND s.id > o.id) "
		"LIMIT 1",
		"ss", cvm_uuid, start);

	return r ? r : (int)found;
}

/* A restart or change that failed at step "signal" did not press the power button; if it was
 * cancelled there, it may have. */
int ops_shutdown_unfinished(struct db *db, const char *cvm_uuid, int64_t since_ms, struct err *e)
{
	int64_t found;
	int r = sql_int(db, e, 0, &found,
			"SELECT 1 FROM operations WHERE id = (SELECT max(id) FROM operations WHERE "
			"cvm_uuid = ?1)"
			" AND state IN ('failed', 'cancelled') AND kind IN ('shutdown', 'restart', "
			"'resize', 'upgrade')"
			" AND step IN ('signal', 'wait', 'stop') AND (step <> 'signal' OR kind = "
			"'shutdown' OR"
			" state = 'cancelled') AND finished_ms >= ?2",
			"si", cvm_uuid, since_ms);

	return r ? r : (int)found;
}

int ops_exist_of(struct db *db, const char *cvm_uuid, struct err *e)
{
	int64_t found;
	int r = sql_int(db, e, 0, &found, "SELECT 1 FROM operations WHERE cvm_uuid = ? LIMIT 1",
			"s", cvm_uuid);

	return r ? r : (int)found;
}

/* ?1 workspace, ?2 cvm_uuid, ?3 state, ?4 limit, ?5 offset. The IN terms select partial indexes. In
 * UNSUCCESSFUL it is the second term: SQLite would search by the first and then sort. */
#define LIVE                                                                                    \
	" INDEXED BY operations_live WHERE state IN ('queued', 'running')"                      \
	" AND (?1 = 0 OR workspace = ?1) AND (?2 IS NULL OR cvm_uuid = ?2) AND (?3 IS NULL OR " \
	"state = ?3)"
#define UNSUCCESSFUL " WHERE state = ?3 AND state IN ('failed', 'cancelled')"
#define OF_ONE_CVM \
	" WHERE (?1 = 0 OR workspace = ?1) AND cvm_uuid = ?2 AND (?3 IS NULL OR state = ?3)"
#define NEWEST " ORDER BY id DESC LIMIT ?4 OFFSET ?5"

/* Totals from operation_counts, which triggers maintain, where the filter allows it. */
#define COUNTED       "SELECT sum(n) FROM operation_counts WHERE ?2 IS NULL AND "
#define COUNTED_STATE COUNTED "(?1 = 0 OR workspace = ?1) AND state = ?3"

/* One statement per index, because SQLite plans a statement once for all values of ?1 to ?3. There
 * is no index for 'succeeded', because nearly every row matches: these lists walk the primary key
 * or operations_workspace backwards. */
enum op_scope {
	OPS_OF_ALL,
	OPS_OF_WORKSPACE,
	OPS_OF_CVM,
	OPS_OF_LIVE,
	OPS_OF_LIVE_STATE,
	OPS_OF_SUCCESSFUL,
	OPS_OF_WORKSPACE_SUCCESSFUL,
	OPS_OF_UNSUCCESSFUL,
	OPS_OF_WORKSPACE_UNSUCCESSFUL,
	OP_SCOPES
};

static const struct {
	const char *count, *list;
} scopes[OP_SCOPES] = {
	[OPS_OF_ALL] = { COUNTED "?1 = ?1 AND ?3 IS NULL", OP_SELECT NEWEST },
	[OPS_OF_WORKSPACE] = { COUNTED "workspace = ?1 AND ?3 IS NULL",
			       OP_SELECT " WHERE workspace = ?1" NEWEST },
	[OPS_OF_CVM] = { "SELECT count(*) FROM operations" OF_ONE_CVM,
			 OP_SELECT OF_ONE_CVM NEWEST },
	[OPS_OF_LIVE] = { "SELECT count(*) FROM operations" LIVE,
			  OP_SELECT LIVE " ORDER BY id LIMIT ?4 OFFSET ?5" },
	[OPS_OF_LIVE_STATE] = { COUNTED_STATE, OP_SELECT LIVE NEWEST },
	[OPS_OF_SUCCESSFUL] = { COUNTED_STATE, OP_SELECT " WHERE state = ?3" NEWEST },
	[OPS_OF_WORKSPACE_SUCCESSFUL] = { COUNTED_STATE,
					  OP_SELECT " WHERE workspace = ?1 AND state = ?3" NEWEST },
	[OPS_OF_UNSUCCESSFUL] = { COUNTED_STATE, OP_SELECT UNSUCCESSFUL NEWEST },
	[OPS_OF_WORKSPACE_UNSUCCESSFUL] = { COUNTED_STATE,
					    OP_SELECT UNSUCCESSFUL " AND workspace = ?1" NEWEST },
};

static enum op_scope op_scope_of(const struct op_filter *f)
{
	assert(!f->live || f->state < 0);
	if (f->live)
		return OPS_OF_LIVE;
	if (f->cvm_uuid)
		return OPS_OF_CVM;
	if (f->state < 0)
		return f->workspace ? OPS_OF_WORKSPACE : OPS_OF_ALL;
	if (f->state == OP_QUEUED || f->state == OP_RUNNING)
		return OPS_OF_LIVE_STATE;
	if (f->state == OP_SUCCEEDED)
		return f->workspace ? OPS_OF_WORKSPACE_SUCCESSFUL : OPS_OF_SUCCESSFUL;
	return f->workspace ? OPS_OF_WORKSPACE_UNSUCCESSFUL : OPS_OF_UNSUCCESSFUL;
}

int ops_list(struct db *db, const struct op_filter *f, int64_t offset, int64_t limit,
	     struct op_row **ret, size_t *n, int64_t *ret_total, struct err *e)
{
	const char *state = f->state >= 0 ? op_state_word[f->state] : NULL;
	enum op_scope scope = op_scope_of(f);
	int r = 0;

	if (ret_total)
		r = sql_int(db, e, 0, ret_total, scopes[scope].count, "iss", f->workspace,
			    f->cvm_uuid, state);
	if (r)
		return r;
	if (ret_total)
		limit = sql_page(limit, offset, *ret_total);
	return sql_all(db,
		       sql_query(db, e, scopes[scope].list, "issii", f->workspace, f->cvm_uuid,
				 state, limit, offset),
		       read_op, NULL, sizeof(**ret), f->skip_bad, ret, n, e);
}

int ops_prune(struct db *db, int64_t finished_before_ms, struct err *e)
{
	return sql_run(db, e,
		       "DELETE FROM operations WHERE id IN (SELECT id FROM operations WHERE "
		       "finished_ms > 0 AND"
		       " finished_ms < ? ORDER BY finished_ms LIMIT ?)",
		       "id", finished_before_ms, PRUNE_MAX);
}

/* Counts first: the DELETE builds a table of what it deletes, also when that is nothing. */
int ops_trim(struct db *db, int64_t workspace, int64_t most, struct err *e)
{
	int64_t n;
	int r = sql_int(db, e, 0, &n, "SELECT sum(n) FROM operation_counts WHERE workspace = ?",
			"i", workspace);

	if (r || n <= most)
		return r;
	return sql_exec(db, e,
			"DELETE FROM operations WHERE id IN (SELECT id FROM operations WHERE "
			"workspace = ? AND finished_ms > 0 ORDER BY id LIMIT 2)",
			"i", workspace);
}
