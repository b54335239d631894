/* SPDX-License-Identifier: Apache-2.0
 * events.c - the event log.
 */
#include <stdlib.h>

#include "base/clock.h"
#include "db/events.h"
#include "db/operations.h"
#include "db/sql.h"

int events_append(struct db *db, int64_t workspace, const char *type, const char *cvm_uuid,
		  const char *op_id, const char *data, struct err *e)
{
	return sql_exec(db, e,
			"INSERT INTO events (at_ms, workspace, type, cvm_uuid, op_id, data) VALUES "
			"(?, ?, ?, ?, ?, ?)",
			"iissss", clock_wall_ms(), workspace, type, cvm_uuid, op_id, data);
}

#define EVENT_SELECT \
	"SELECT seq, at_ms, workspace, type, cvm_uuid, op_id, data, json_valid(data) FROM events"

static void read_event(struct db *db, sqlite3_stmt *st, void *row)
{
	struct event_row *v = row;

	*v = (struct event_row){ .seq = sqlite3_column_int64(st, 0),
				 .at_ms = sqlite3_column_int64(st, 1),
				 .workspace = sqlite3_column_int64(st, 2),
				 .data = sql_json_dup(db, st, 6, 7) };
	sql_text(st, 3, v->type, sizeof(v->type));
	sql_text(st, 4, v->cvm_uuid, sizeof(v->cvm_uuid));
	sql_text(st, 5, v->op_id, sizeof(v->op_id));
}

static void free_event(void *row)
{
	free(((struct event_row *)row)->data);
}

int events_between(struct db *db, int64_t workspace, int64_t seq, int64_t last, int64_t limit,
		   struct event_row **ret, size_t *ret_n, struct err *e)
{
	/* Two statements, because with an OR over the workspace SQLite uses no index. */
	sqlite3_stmt *st =
		workspace ? sql_query(db, e,
				      EVENT_SELECT " WHERE workspace = ?1 AND seq > ?2 AND seq <= "
						   "?3 ORDER BY seq LIMIT ?4",
				      "iiii", workspace, seq, last, limit)
			  : sql_query(db, e,
				      EVENT_SELECT
				      " WHERE seq > ?1 AND seq <= ?2 ORDER BY seq LIMIT ?3",
				      "iii", seq, last, limit);

	return sql_all(db, st, read_event, free_event, sizeof(**ret), false, ret, ret_n, e);
}

void events_free(struct event_row *rows, size_t n)
{
	for (size_t i = 0; i < n; i++)
		free(rows[i].data);
	free(rows);
}

int events_newest(struct db *db, int64_t *ret, struct err *e)
{
	return sql_int(db, e, 0, ret, "SELECT max(seq) FROM events", "");
}

int events_bounds(struct db *db, int64_t *oldest, int64_t *newest, struct err *e)
{
	int r = sql_int(db, e, 0, oldest, "SELECT min(seq) FROM events", "");

	return r ? r : events_newest(db, newest, e);
}

int events_prune(struct db *db, int64_t before_ms, struct err *e)
{
	/* Delete a prefix, because numbers have no gaps; it ends before the first row to keep. */
	return sql_run(db, e,
		       "DELETE FROM events WHERE seq < min((SELECT max(seq) FROM events), (SELECT "
		       "min(seq) FROM events) + ?2,"
		       " coalesce((SELECT min(seq) FROM (SELECT seq, at_ms FROM events ORDER BY "
		       "seq LIMIT ?2) WHERE at_ms >= ?1),"
		       " 9223372036854775807))",
		       "id", before_ms, PRUNE_MAX);
}
