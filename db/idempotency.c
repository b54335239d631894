/* SPDX-License-Identifier: Apache-2.0
 * idempotency.c - stored responses of requests with an Idempotency-Key.
 */
#include <stdlib.h>

#include "base/clock.h"
#include "db/idempotency.h"
#include "db/operations.h"
#include "db/sql.h"

static void read_answer(struct db *db, sqlite3_stmt *st, void *row)
{
	struct idempotency_row *i = row;

	*i = (struct idempotency_row){ .status = (int)sql_range(db, st, 2, 100, 599),
				       .body = sql_json_dup(db, st, 3, 4) };
	sql_text(st, 1, i->digest, sizeof(i->digest));
}

static void free_answer(void *row)
{
	free(((struct idempotency_row *)row)->body);
}

int idempotency_get(struct db *db, const char *caller, const char *key, struct idempotency_row *ret,
		    struct err *e)
{
	sqlite3_stmt *st = sql_query(db, e,
				     "SELECT key, digest, status, body, json_valid(body) FROM "
				     "idempotency WHERE caller = ? AND key = ?",
				     "ss", caller, key);

	return sql_one(db, st, read_answer, free_answer, ret, sizeof(*ret), e);
}

int idempotency_put(struct db *db, int64_t workspace, const char *caller, const char *key,
		    const char *digest, int status, const char *body, struct err *e)
{
	return sql_exec(
		db, e,
		"INSERT INTO idempotency (caller, key, digest, status, body, created_ms, workspace)"
		" VALUES (?, ?, ?, ?, ?, ?, ?)",
		"sssdsii", caller, key, digest, status, body, clock_wall_ms(), workspace);
}

int idempotency_prune(struct db *db, int64_t created_before_ms, struct err *e)
{
	return sql_run(db, e,
		       "DELETE FROM idempotency WHERE (caller, key) IN (SELECT caller, key FROM "
		       "idempotency"
		       " WHERE created_ms < ? ORDER BY created_ms LIMIT ?)",
		       "id", created_before_ms, PRUNE_MAX);
}
