/* SPDX-License-Identifier: Apache-2.0
 * idempotency.c - answers kept for Idempotency-Keys.
 */
#include "base/clock.h"
#include "db/rows.h"
#include "db/sql.h"

int idempotency_get(struct db *db, const char *caller, const char *key, struct idempotency_row *ret,
		    struct err *e)
{
	sqlite3_stmt *st =
		sql_query(db, e, "SELECT digest, status, body FROM idempotency WHERE caller = ? AND key = ?",
			  "ss", caller, key);
	int r = st ? sql_next(db, st, e) : -(int)e->code;

	if (r <= 0)
		return r ? r : -ERR_NOT_FOUND;
	*ret = (struct idempotency_row){ .status = sqlite3_column_int(st, 1), .body = sql_text_dup(st, 2) };
	sql_text(st, 0, ret->digest, sizeof(ret->digest));
	sql_done(st);
	return 0;
}

int idempotency_put(struct db *db, const char *caller, const char *key, const char *digest, int status,
		    const char *body, struct err *e)
{
	int r = sql_run(
		db, e,
		"INSERT INTO idempotency (caller, key, digest, status, body, created_ms) VALUES (?, ?, ?, ?, ?, ?)",
		"sssdsi", caller, key, digest, status, body, clock_wall_ms());

	return r < 0 ? r : 0;
}

int idempotency_prune(struct db *db, int64_t created_before_ms, struct err *e)
{
	return sql_run(db, e, "DELETE FROM idempotency WHERE created_ms < ?", "i", created_before_ms);
}
