/* SPDX-License-Identifier: Apache-2.0
 * sql.h - SQL statements, for db/ only: prepared once, bound by a format, errors mapped in one
 * place.
 *
 * Formats: i int64_t, d int, s const char * (NULL is NULL), b const void * and size_t. The SQL text
 * must be a static string, because its address is the key of the statement cache. A statement is
 * not re-entrant: finish a query before running the same text again.
 */
#ifndef TEEPOD_DB_SQL_H
#define TEEPOD_DB_SQL_H

#include <sqlite3.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct db {
	sqlite3 *conn;
	struct statement {
		const char *sql;
		sqlite3_stmt *st;
	} * cache; /* open addressing, power of two */
	size_t cap, used;
	bool in_turn; /* inside turn_do(): statements must belong to its transaction */
	/* Why SQLite rolled back the transaction of this turn; code 0 = it did not. */
	struct err lost;
	unsigned full_scans; /* counted by plan.c, for tests */
	struct err bad;      /* why the current row is bad; code 0 = it is not */
};

/* Fill *e from the last error of the connection. @what: the action that failed. Always negative. */
int sql_error(struct db *db, const char *what, struct err *e);

/* Run a statement to its end. Returns the number of rows changed, or negative. In a turn_do() whose
 * transaction was rolled back by SQLite every statement fails: it would commit on its own. */
int sql_run(struct db *db, struct err *e, const char *sql, const char *fmt, ...);
/* The same; 0 instead of the number of rows. */
int sql_exec(struct db *db, struct err *e, const char *sql, const char *fmt, ...);
/* The same; -ERR_NOT_FOUND, without *e filled, if no row was changed. */
int sql_exec_one(struct db *db, struct err *e, const char *sql, const char *fmt, ...);

/* Begin a query; NULL with *e filled on failure. Then sql_next() until not 1, or sql_done(). */
sqlite3_stmt *sql_query(struct db *db, struct err *e, const char *sql, const char *fmt, ...);
/* 1: there is a row. 0: there is none, and the statement is reset. Negative: an error, and the
 * statement is reset; also if the row before was bad, or @st is NULL (*e is already filled). */
int sql_next(struct db *db, sqlite3_stmt *st, struct err *e);
/* End a query early. 0, or negative when the last row was bad. */
int sql_done(struct db *db, sqlite3_stmt *st, struct err *e) __attribute__((warn_unused_result));

/* Fill @row (the caller's struct) from the current row of @st. */
typedef void sql_reader(struct db *db, sqlite3_stmt *st, void *row);
/* Free what @row owns, but not @row. NULL: rows own nothing. */
typedef void sql_freer(void *row);

/* The first row of @st into *@ret of @size bytes; -ERR_NOT_FOUND without *e filled if there is
 * none. @st may be NULL, as for sql_next(). */
int sql_one(struct db *db, sqlite3_stmt *st, sql_reader *read, sql_freer *drop, void *ret,
	    size_t size, struct err *e);
#define sql_row(db, st, read, ret, e) sql_one(db, st, read, NULL, ret, sizeof(*(ret)), e)

/* All rows of @st into a malloc'd array. @ret is the address of a pointer to rows of @size bytes.
 * With @skip_bad a bad row is logged and left out: for loops over all CVMs, which must not end
 * because of one of them. @st may be NULL, as for sql_next(). */
int sql_all(struct db *db, sqlite3_stmt *st, sql_reader *read, sql_freer *drop, size_t size,
	    bool skip_bad, void *ret, size_t *ret_n, struct err *e);
#define sql_rows(db, st, read, ret, ret_n, e) \
	sql_all(db, st, read, NULL, sizeof(**(ret)), false, ret, ret_n, e)
#define sql_good_rows(db, st, read, ret, ret_n, e) \
	sql_all(db, st, read, NULL, sizeof(**(ret)), true, ret, ret_n, e)

/* First column of the first row; *ret = @def if there is no row or it is NULL. */
int sql_int(struct db *db, struct err *e, int64_t def, int64_t *ret, const char *sql,
	    const char *fmt, ...);

/* LIMIT for the page of @limit rows (negative: all) at @offset of a list of @total rows. Beyond the
 * end it is 0, so that SQLite does not walk the whole list to skip OFFSET rows. */
int64_t sql_page(int64_t limit, int64_t offset, int64_t total);

/* Text of a column, cut to a buffer of @n bytes ("" for NULL); or malloc'd (NULL for NULL). */
void sql_text(sqlite3_stmt *st, int col, char *out, size_t n);
char *sql_text_dup(sqlite3_stmt *st, int col);
/* Bytes of a column, malloc'd; NULL and 0 for NULL and for an empty one. */
void *sql_blob_dup(sqlite3_stmt *st, int col, size_t *ret_n);

/* Columns with a rule. A value that breaks the rule makes the row bad: the next sql_next() or
 * sql_done() fails, and its error names table, column, row and value. The value returned here is
 * then meaningless. The first column of the query must identify the row. */
/* See db_bad_row(). */
bool sql_is_bad_row(const struct err *e);
/* Index of the word in a table of @n words. */
int sql_word(struct db *db, sqlite3_stmt *st, int col, const char *const *words, int n);
/* Integer from @lowest to @highest. */
int64_t sql_range(struct db *db, sqlite3_stmt *st, int col, int64_t lowest, int64_t highest);
/* JSON that fits into @n bytes, or "". */
void sql_json(struct db *db, sqlite3_stmt *st, int col, char *out, size_t n);
/* JSON of any length, malloc'd; NULL for NULL. Column @valid of the query is its json_valid(),
 * which is many times faster than parsing it here. */
char *sql_json_dup(struct db *db, sqlite3_stmt *st, int col, int valid);
/* Numbers separated by commas, or "". */
void sql_numbers(struct db *db, sqlite3_stmt *st, int col, char *out, size_t n);

#endif
