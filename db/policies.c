/* SPDX-License-Identifier: Apache-2.0
 * policies.c - what the node does with a CVM without a request: columns of the table cvms.
 */
#include "db/operations.h"
#include "db/policies.h"
#include "db/sql.h"

const char *const restart_policy_word[RESTART_POLICIES] = {
	[RESTART_ON_CRASH] = "on-crash",
	[RESTART_NEVER] = "never",
	[RESTART_ALWAYS] = "always",
};

const char *const ended_word[ENDED_MAX] = {
	[ENDED_NOT] = "",          [ENDED_OFF] = "off",   [ENDED_CRASHED] = "crashed",
	[ENDED_FAILED] = "failed", [ENDED_LOST] = "lost",
};

const char *const turn_word[TURN_MAX] = {
	[TURN_NONE] = "",
	[TURN_START] = "start",
	[TURN_DRAIN] = "drain",
	[TURN_DRAINED] = "drained",
};

/* Two conditions, because queued and running operations have one index each. */
#define NOBODY_WORKS_ON_IT                                                                         \
	" (NOT EXISTS (SELECT 1 FROM operations o WHERE o.cvm = cvms.id AND o.state = 'running') " \
	"AND"                                                                                      \
	" NOT EXISTS (SELECT 1 FROM operations o WHERE o.cvm = cvms.id AND o.state = 'queued'))"
#define IS_UP "observed IN ('running', 'paused')"

int cvms_set_policy(struct db *db, int64_t id, const struct cvm_policy *p, struct err *e)
{
	return sql_exec_one(
		db, e,
		"UPDATE cvms SET restart_policy = ?, auto_start = ?, start_order = ? WHERE id = ?",
		"sdii", restart_policy_word[p->restart], (int)p->auto_start, p->start_order, id);
}

int cvms_set_ended(struct db *db, int64_t id, enum ended ended, struct err *e)
{
	return sql_exec_one(db, e,
			    "UPDATE cvms SET ended = ?1, restart_next_ms = iif(?1 = '', 0, "
			    "restart_next_ms) WHERE id = ?2",
			    "si", ended_word[ended], id);
}

int cvms_set_restart(struct db *db, int64_t id, int64_t attempts, int64_t next_ms, bool exhausted,
		     struct err *e)
{
	return sql_exec_one(db, e,
			    "UPDATE cvms SET restart_attempts = ?, restart_next_ms = ?, "
			    "restart_exhausted = ? WHERE id = ?",
			    "iidi", attempts, next_ms, (int)exhausted, id);
}

/* ------------------------------------------------------------------ turns */

int cvms_set_turn(struct db *db, int64_t id, enum turn_for turn, struct err *e)
{
	return sql_exec_one(db, e, "UPDATE cvms SET turn = ? WHERE id = ?", "si", turn_word[turn],
			    id);
}

int cvms_move_turns(struct db *db, enum turn_for from, enum turn_for to, struct err *e)
{
	return sql_run(db, e, "UPDATE cvms SET turn = ? WHERE turn = ? AND turn <> ''", "ss",
		       turn_word[to], turn_word[from]);
}

int cvms_turn_to_start(struct db *db, struct err *e)
{
	return sql_run(db, e,
		       "UPDATE cvms SET turn = 'start' WHERE turn = '' AND desired = 'running' AND "
		       "ended <> '' AND ended = 'lost' AND"
		       " auto_start = 1 AND NOT " IS_UP " AND" NOBODY_WORKS_ON_IT,
		       "");
}

int cvms_turn_to_drain(struct db *db, struct err *e)
{
	return sql_run(db, e,
		       "UPDATE cvms SET turn = 'drain' WHERE turn <> 'drain' AND desired = "
		       "'running' AND (" IS_UP " OR (restart_exhausted = 0 AND (ended <> 'off' OR "
		       "restart_next_ms > 0)) OR NOT" NOBODY_WORKS_ON_IT ")",
		       "");
}

int cvms_drain_counts(struct db *db, struct drain_counts *ret, struct err *e)
{
	sqlite3_stmt *st = sql_query(
		db, e,
		"SELECT count(*) FILTER (WHERE turn = 'drain'),"
		" count(*) FILTER (WHERE turn = 'drained' AND NOT" NOBODY_WORKS_ON_IT "),"
		" count(*) FILTER (WHERE turn = 'drained' AND " IS_UP " AND" NOBODY_WORKS_ON_IT "),"
		" count(*) FILTER (WHERE turn = 'drained' AND NOT " IS_UP " AND" NOBODY_WORKS_ON_IT
		"),"
		" count(*) FILTER (WHERE turn = 'start') FROM cvms WHERE turn <> ''",
		"");
	int r = sql_next(db, st, e);

	if (r <= 0)
		return r;
	*ret = (struct drain_counts){ .waiting = sqlite3_column_int64(st, 0),
				      .under_way = sqlite3_column_int64(st, 1),
				      .running = sqlite3_column_int64(st, 2),
				      .down = sqlite3_column_int64(st, 3),
				      .starting = sqlite3_column_int64(st, 4) };
	return sql_done(db, st, e);
}

int cvms_next_turn(struct db *db, enum turn_for turn, int64_t *ret_id, int64_t *ret_order,
		   struct err *e)
{
	sqlite3_stmt *st =
		turn == TURN_START
			? sql_query(db, e,
				    "SELECT id, start_order FROM cvms WHERE turn = ? AND turn <> "
				    "'' AND" NOBODY_WORKS_ON_IT " ORDER BY start_order, id LIMIT 1",
				    "s", turn_word[turn])
			: sql_query(db, e,
				    "SELECT id, start_order FROM cvms WHERE turn = ? AND turn <> "
				    "'' AND" NOBODY_WORKS_ON_IT
				    " ORDER BY start_order DESC, id DESC LIMIT 1",
				    "s", turn_word[turn]);
	int r = sql_next(db, st, e);

	if (r <= 0)
		return r ? r : -ERR_NOT_FOUND;
	*ret_id = sqlite3_column_int64(st, 0);
	*ret_order = sqlite3_column_int64(st, 1);
	return sql_done(db, st, e);
}

int cvms_automatic_load(struct db *db, enum op_kind kind, struct turn_load *ret, struct err *e)
{
	sqlite3_stmt *st =
		sql_query(db, e,
			  "SELECT count(*), sum(o.kind = ?1), min(iif(o.kind = ?1, c.start_order, "
			  "NULL)), max(iif(o.kind = ?1, c.start_order, NULL))"
			  " FROM operations o JOIN cvms c ON c.id = o.cvm WHERE o.state IN "
			  "('queued', 'running') AND"
			  " instr(o.params, '\"auto\":true') > 0",
			  "s", op_kind_word[kind]);
	int r = sql_next(db, st, e);

	if (r <= 0)
		return r;
	*ret = (struct turn_load){ .n = sqlite3_column_int64(st, 0),
				   .of_kind = sqlite3_column_int64(st, 1),
				   .lowest = sqlite3_column_int64(st, 2),
				   .highest = sqlite3_column_int64(st, 3) };
	return sql_done(db, st, e);
}

/* ------------------------------------------------------------------ restarts */

#define RESTART_SELECT                                                                      \
	"SELECT id, restart_policy, ended, restart_attempts, restart_next_ms, started_ms, " \
	"stopped_ms,"                                                                       \
	" restart_exhausted, NOT" NOBODY_WORKS_ON_IT " FROM cvms"

static void read_restart(struct db *db, sqlite3_stmt *st, void *row)
{
	struct restart_row *r = row;

	*r = (struct restart_row){
		.id = sqlite3_column_int64(st, 0),
		.policy = (enum restart_policy)sql_word(db, st, 1, restart_policy_word,
							RESTART_POLICIES),
		.ended = (enum ended)sql_word(db, st, 2, ended_word, ENDED_MAX),
		.attempts = sqlite3_column_int64(st, 3),
		.next_ms = sqlite3_column_int64(st, 4),
		.started_ms = sqlite3_column_int64(st, 5),
		.stopped_ms = sqlite3_column_int64(st, 6),
		.exhausted = sqlite3_column_int(st, 7),
		.busy = sqlite3_column_int(st, 8),
	};
}

int cvms_restarts(struct db *db, struct restart_row **ret, size_t *n, struct err *e)
{
	/* Each half uses a small partial index, because this runs whenever an operation ends. */
	sqlite3_stmt *st = sql_query(
		db, e,
		RESTART_SELECT " WHERE desired = 'running' AND ended <> '' UNION " RESTART_SELECT
			       " WHERE desired = 'running' AND restart_attempts > 0",
		"");

	return sql_good_rows(db, st, read_restart, ret, n, e);
}
