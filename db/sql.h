/* SPDX-License-Identifier: Apache-2.0
 * sql.h - statements inside db/: prepared once, bound by a format, errors mapped in one place.
 *
 * Formats: i int64_t, d int, s const char * (NULL is NULL), b const void * and size_t. The SQL text
 * must be a static string: its address is the key of the statement cache. A statement is not
 * re-entrant: finish a query before running its twin.
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
	bool in_turn;    /* a turn_do() runs: what SQLite executes must belong to its transaction */
	struct err lost; /* why SQLite ended the transaction of this turn; code 0 = it did not */
	unsigned full_scans; /* plan.c */
	struct err bad; /* what the current row holds that no reader may accept; code 0 = nothing */
};

/* Fill *e from the connection's last error. Always negative. */
int sql_error(struct db *db, const char *what, struct err *e);

/* Run a statement to its end. Rows changed (>= 0), or negative. Every statement is refused in a
 * turn_do() whose transaction is lost: it would be committed by itself. */
int sql_run(struct db *db, struct err *e, const char *sql, const char *fmt, ...);
/* The same; 0 instead of the number of rows. */
int sql_exec(struct db *db, struct err *e, const char *sql, const char *fmt, ...);
/* The same; -ERR_NOT_FOUND, without *e filled, if no row was changed. */
int sql_exec_one(struct db *db, struct err *e, const char *sql, const char *fmt, ...);

/* Begin a query; NULL on failure, with *e filled. Then sql_next() until it is not 1, or sql_done().
 */
sqlite3_stmt *sql_query(struct db *db, struct err *e, const char *sql, const char *fmt, ...);
/* 1: there is a row. 0: there is none, and the statement is reset. Negative: an error, and the
 * statement is reset; also when the row before was bad, or when @st is NULL (*e is already filled).
 */
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

/* First column of the first row; *ret = @def when there is no row. */
int sql_int(struct db *db, struct err *e, int64_t def, int64_t *ret, const char *sql,
	    const char *fmt, ...);

/* LIMIT for the page of @limit rows (negative: all) at @offset of a list of @total rows: 0 beyond
 * the end, where SQLite reads nothing; OFFSET alone would walk the whole list. */
int64_t sql_page(int64_t limit, int64_t offset, int64_t total);

/* Text of a column into a fixed buffer ("" for NULL), or malloc'd (NULL for NULL). */
void sql_text(sqlite3_stmt *st, int col, char *out, size_t n);
char *sql_text_dup(sqlite3_stmt *st, int col);
/* Bytes of a column, malloc'd; NULL and 0 for NULL and for an empty one. */
void *sql_blob_dup(sqlite3_stmt *st, int col, size_t *ret_n);

/* Columns with a rule. What breaks it makes the row bad: the sql_next() or sql_done() that follows
 * fails with a text that names table, column, row and value (db_bad_row()), and what was returned
 * here is of no use. The first column of the query names the row. */
bool sql_is_bad_row(const struct err *e);
/* Index of a word in a table of @n words. */
int sql_word(struct db *db, sqlite3_stmt *st, int col, const char *const *words, int n);
int64_t sql_range(struct db *db, sqlite3_stmt *st, int col, int64_t lowest, int64_t highest);
/* JSON, or "" where that stands for none. */
void sql_json(struct db *db, sqlite3_stmt *st, int col, char *out, size_t n);
/* JSON of any length, malloc'd; NULL for NULL. The query has its json_valid() in column @valid:
 * SQLite checks 200 KB in a fraction of a millisecond; parsing them takes many times as long. */
char *sql_json_dup(struct db *db, sqlite3_stmt *st, int col, int valid);
/* Numbers with commas between them, or "". */
void sql_numbers(struct db *db, sqlite3_stmt *st, int col, char *out, size_t n);

#endif
