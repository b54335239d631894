/* SPDX-License-Identifier: Apache-2.0
 * records.c - size of the records of a workspace.
 *
 * Triggers maintain the sums: table records, and apps.bytes for the revisions and history of one
 * app. A row counts with its long texts plus a fixed amount for the rest and its indexes
 * (schema.c).
 */
#include <assert.h>

#include "db/records.h"
#include "db/sql.h"

const char *const record_word[RECORDS] = {
	[RECORD_PROVISIONS] = "provisions",
	[RECORD_REVISIONS] = "revisions",
	[RECORD_ANSWERS] = "answers",
	[RECORD_EVENTS] = "events",
};

int records_bytes(struct db *db, int64_t workspace, enum record kind, int64_t *ret, struct err *e)
{
	return sql_int(db, e, 0, ret, "SELECT bytes FROM records WHERE workspace = ? AND kind = ?",
		       "is", workspace, record_word[kind]);
}

int records_total(struct db *db, enum record kind, int64_t *ret, struct err *e)
{
	return sql_int(db, e, 0, ret, "SELECT sum(bytes) FROM records WHERE kind = ?", "s",
		       record_word[kind]);
}

int records_over(struct db *db, enum record kind, int64_t limit, int64_t after,
		 int64_t *ret_workspace, struct err *e)
{
	return sql_int(
		db, e, 0, ret_workspace,
		"SELECT workspace FROM records WHERE kind = ? AND bytes > ? AND workspace > ?"
		" ORDER BY workspace LIMIT 1",
		"sii", record_word[kind], limit, after);
}

int records_oldest(struct db *db, int64_t workspace, enum record kind, int64_t *ret_ms,
		   struct err *e)
{
	static const char *const sql[RECORDS] = {
		[RECORD_PROVISIONS] = "SELECT min(created_ms) FROM provisions WHERE workspace = ?",
		[RECORD_ANSWERS] = "SELECT min(created_ms) FROM idempotency WHERE workspace = ?",
		[RECORD_EVENTS] =
			"SELECT at_ms FROM events WHERE workspace = ? ORDER BY seq LIMIT 1",
	};

	assert(kind < RECORDS);
	*ret_ms = 0;
	return sql[kind] ? sql_int(db, e, 0, ret_ms, sql[kind], "i", workspace) : 0;
}
