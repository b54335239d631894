/* SPDX-License-Identifier: Apache-2.0
 * sql.c - statement cache, binding, error mapping.
 */
#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>

#include "base/alloc.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/own.h"
#include "base/strings.h"
#include "db/plan.h"
#include "db/sql.h"

int sql_error(struct db *db, const char *what, struct err *e)
{
	int code = sqlite3_errcode(db->conn);

	switch (code & 0xff) {
	case SQLITE_FULL:
		return err_sys(e, ENOSPC, "database: %s", what);
	case SQLITE_IOERR:
		return err_sys(e, sqlite3_system_errno(db->conn) ?: EIO, "database: %s", what);
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		err_set(e, ERR_UNAVAILABLE, "database is locked by another process: %s", what);
		return err_hint(e, "try again; fuser -v %s names the process",
				sqlite3_db_filename(db->conn, "main"));
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
		err_set(e, ERR_HOST, "database %s: %s", sqlite3_db_filename(db->conn, "main"),
			sqlite3_errmsg(db->conn));
		return err_hint(e, "move it away and restore a copy");
	default:
		return err_set(e, ERR_HOST, "database: %s: %s", what, sqlite3_errmsg(db->conn));
	}
}

static struct statement *cache_slot_of(struct db *db, const char *sql)
{
	size_t i = ((uintptr_t)sql >> 3) * 0x9e3779b97f4a7c15ULL >> 20;

	for (;; i++) {
		struct statement *s = &db->cache[i & (db->cap - 1)];

		if (!s->sql || s->sql == sql)
			return s;
	}
}

static void grow_cache(struct db *db)
{
	struct statement *old = db->cache;
	size_t n = db->cap;

	db->cap = n ? n * 2 : 128;
	db->cache = xcalloc(db->cap, sizeof(*db->cache));
	for (size_t i = 0; i < n; i++)
		if (old[i].sql)
			*cache_slot_of(db, old[i].sql) = old[i];
	free(old);
}

/* True if SQLite has rolled back the transaction of the current turn_do(); *e says why. */
static bool transaction_is_lost(struct db *db, struct err *e)
{
	if (!db->in_turn || !sqlite3_get_autocommit(db->conn))
		return false;
	if (!db->lost.code)
		err_set(&db->lost, ERR_HOST, "database: the transaction was rolled back");
	*e = db->lost;
	return true;
}

static sqlite3_stmt *prepare_cached(struct db *db, const char *sql, struct err *e)
{
	struct statement *s;

	assert_loop_thread();  /* one connection, one thread */
	assert(!db->bad.code); /* a caller ignored the result of sql_next() or sql_done() */
	if (transaction_is_lost(db, e))
		return NULL;
	if (db->used * 2 >= db->cap)
		grow_cache(db);
	s = cache_slot_of(db, sql);
	if (s->sql)
		return s->st;
	if (sqlite3_prepare_v3(db->conn, sql, -1, SQLITE_PREPARE_PERSISTENT, &s->st, NULL) !=
	    SQLITE_OK) {
		sql_error(db, "prepare", e);
		s->st = NULL;
		return NULL;
	}
#ifdef TEEPOD_FAILPOINTS
	db->full_scans += plan_check(db->conn, sql);
#endif
	s->sql = sql;
	db->used++;
	return s->st;
}

static void bind_all(sqlite3_stmt *st, const char *fmt, va_list ap)
{
	const void *blob;
	int bound = 0;

	for (int i = 1; *fmt; fmt++, i++) {
		switch (*fmt) {
		case 'i':
			(void)sqlite3_bind_int64(st, i, va_arg(ap, int64_t));
			break;
		case 'd':
			(void)sqlite3_bind_int(st, i, va_arg(ap, int));
			break;
		case 's':
			(void)sqlite3_bind_text(st, i, va_arg(ap, const char *), -1,
						SQLITE_TRANSIENT);
			break;
		case 'b':
			blob = va_arg(ap, const void *);
			(void)sqlite3_bind_blob64(st, i, blob, va_arg(ap, size_t),
						  SQLITE_TRANSIENT);
			break;
		default:
			abort(); /* unknown format character */
		}
		bound++;
	}
	assert(bound == sqlite3_bind_parameter_count(st));
}

static void reset_statement(sqlite3_stmt *st)
{
	(void)sqlite3_reset(st);
	(void)sqlite3_clear_bindings(st);
}

static int take_bad_row(struct db *db, struct err *e)
{
	assert(db->bad.code);
	*e = db->bad;
	db->bad.code = ERR_NONE;
	return -(int)e->code;
}

int sql_next(struct db *db, sqlite3_stmt *st, struct err *e)
{
	int rc, r;

	if (!st)
		return -(int)e->code;
	if (db->bad.code) {
		reset_statement(st);
		return take_bad_row(db, e);
	}
	rc = sqlite3_step(st);
	if (rc == SQLITE_ROW)
		return 1;
	r = rc == SQLITE_DONE ? 0 : sql_error(db, "step", e);
	if (r && !db->lost.code && db->in_turn && sqlite3_get_autocommit(db->conn))
		db->lost = *e;
	reset_statement(st);
	return r;
}

int sql_done(struct db *db, sqlite3_stmt *st, struct err *e)
{
	reset_statement(st);
	return db->bad.code ? take_bad_row(db, e) : 0;
}

int sql_one(struct db *db, sqlite3_stmt *st, sql_reader *read, sql_freer *drop, void *ret,
	    size_t size, struct err *e)
{
	int r = sql_next(db, st, e);
	auto_free void *row = NULL;

	if (r <= 0)
		return r ? r : -ERR_NOT_FOUND;
	assert(size);
	row = xcalloc(1, size);
	read(db, st, row);
	r = sql_done(db, st, e);
	if (!r)
		memcpy(ret, row, size);
	else if (drop)
		drop(row);
	return r;
}

int sql_all(struct db *db, sqlite3_stmt *st, sql_reader *read, sql_freer *drop, size_t size,
	    bool skip_bad, void *ret, size_t *ret_n, struct err *e)
{
	auto_free char *rows = NULL;
	size_t n = 0, cap = 0;
	int r;

	while ((r = sql_next(db, st, e)) > 0) {
		if (n == cap) {
			cap = cap ? cap * 2 : 16;
			rows = xrealloc(rows, cap * size);
		}
		read(db, st, rows + n++ * size);
		if (!skip_bad || !db->bad.code)
			continue;
		(void)take_bad_row(db, e);
		log_error("skipped a bad row: %s", e->text);
		n--;
		if (drop)
			drop(rows + n * size);
	}
	if (r < 0) {
		while (drop && n)
			drop(rows + --n * size);
		return r;
	}
	memcpy(ret, &rows, sizeof(rows)); /* *ret is a pointer of another type */
	rows = NULL;
	*ret_n = n;
	return 0;
}

static int run_statement(struct db *db, struct err *e, const char *sql, const char *fmt, va_list ap)
{
	sqlite3_stmt *st = prepare_cached(db, sql, e);
	int r;

	if (!st)
		return -(int)e->code;
	bind_all(st, fmt, ap);
	do
		r = sql_next(db, st, e);
	while (r > 0);
	return r < 0 ? r : sqlite3_changes(db->conn);
}

int sql_run(struct db *db, struct err *e, const char *sql, const char *fmt, ...)
{
	va_list ap;
	int r;

	va_start(ap, fmt);
	r = run_statement(db, e, sql, fmt, ap);
	va_end(ap);
	return r;
}

int sql_exec(struct db *db, struct err *e, const char *sql, const char *fmt, ...)
{
	va_list ap;
	int r;

	va_start(ap, fmt);
	r = run_statement(db, e, sql, fmt, ap);
	va_end(ap);
	return r < 0 ? r : 0;
}

int sql_exec_one(struct db *db, struct err *e, const char *sql, const char *fmt, ...)
{
	va_list ap;
	int r;

	va_start(ap, fmt);
	r = run_statement(db, e, sql, fmt, ap);
	va_end(ap);
	return r < 0 ? r : r == 0 ? -ERR_NOT_FOUND : 0;
}

sqlite3_stmt *sql_query(struct db *db, struct err *e, const char *sql, const char *fmt, ...)
{
	sqlite3_stmt *st = prepare_cached(db, sql, e);
	va_list ap;

	if (!st)
		return NULL;
	va_start(ap, fmt);
	bind_all(st, fmt, ap);
	va_end(ap);
	return st;
}

int sql_int(struct db *db, struct err *e, int64_t def, int64_t *ret, const char *sql,
	    const char *fmt, ...)
{
	sqlite3_stmt *st = prepare_cached(db, sql, e);
	va_list ap;
	int r;

	if (!st)
		return -(int)e->code;
	va_start(ap, fmt);
	bind_all(st, fmt, ap);
	va_end(ap);
	r = sql_next(db, st, e);
	if (r < 0)
		return r;
	*ret = r && sqlite3_column_type(st, 0) != SQLITE_NULL ? sqlite3_column_int64(st, 0) : def;
	return r ? sql_done(db, st, e) : 0;
}

int64_t sql_page(int64_t limit, int64_t offset, int64_t total)
{
	int64_t left = offset < total ? total - offset : 0;

	return limit < 0 || left < limit ? left : limit;
}

void sql_text(sqlite3_stmt *st, int col, char *out, size_t n)
{
	const char *s = (const char *)sqlite3_column_text(st, col);
	size_t len = s ? strnlen(s, n - 1) : 0;

	assert(col < sqlite3_column_count(st));
	if (len)
		memcpy(out, s, len);
	out[len] = 0;
}

char *sql_text_dup(sqlite3_stmt *st, int col)
{
	const char *s = (const char *)sqlite3_column_text(st, col);

	assert(col < sqlite3_column_count(st));
	return s ? xstrdup(s) : NULL;
}

void *sql_blob_dup(sqlite3_stmt *st, int col, size_t *ret_n)
{
	const void *bytes = sqlite3_column_blob(st, col);
	size_t n = (size_t)sqlite3_column_bytes(st, col);

	*ret_n = n;
	return n ? memcpy(xmalloc(n), bytes, n) : NULL;
}

/* ------------------------------------------------------------------ columns with a rule */

static void bad_column(struct db *db, sqlite3_stmt *st, int col, const char *rule)
{
	const char *table = sqlite3_column_table_name(st, col);
	const char *value = (const char *)sqlite3_column_text(st, col);
	const char *row = (const char *)sqlite3_column_text(st, 0);

	if (db->bad.code)
		return; /* report the first one only */
	err_field(&db->bad, ERR_HOST, sqlite3_column_name(st, col), value ? value : "NULL",
		  "database: %s.%s is \"%.80s\" (row %.40s), which is not %s",
		  table ? table : "(expression)", sqlite3_column_name(st, col),
		  value ? value : "NULL", row ? row : "?", rule);
	db->bad.sys = EBADMSG;
	err_hint(&db->bad, "teepod --check-db lists such rows");
}

bool sql_is_bad_row(const struct err *e)
{
	return e->code == ERR_HOST && e->sys == EBADMSG;
}

int sql_word(struct db *db, sqlite3_stmt *st, int col, const char *const *words, int n)
{
	const char *s = (const char *)sqlite3_column_text(st, col);

	assert(col < sqlite3_column_count(st));
	for (int i = 0; s && i < n; i++)
		if (!strcmp(words[i], s))
			return i;
	bad_column(db, st, col, "a word this teepod knows");
	return 0;
}

int64_t sql_range(struct db *db, sqlite3_stmt *st, int col, int64_t lowest, int64_t highest)
{
	int64_t n = sqlite3_column_int64(st, col);

	assert(col < sqlite3_column_count(st) && lowest <= highest);
	if (sqlite3_column_type(st, col) == SQLITE_INTEGER && n >= lowest && n <= highest)
		return n;
	bad_column(db, st, col, "in the range of its column");
	return lowest;
}

static void check_json(struct db *db, sqlite3_stmt *st, int col)
{
	const char *s = (const char *)sqlite3_column_text(st, col);
	json_t *j = s ? json_loads(s, JSON_DECODE_ANY, NULL) : NULL;

	if (!j)
		bad_column(db, st, col, "JSON");
	json_decref(j);
}

void sql_json(struct db *db, sqlite3_stmt *st, int col, char *out, size_t n)
{
	sql_text(st, col, out, n);
	if (sqlite3_column_bytes(st, col) >= (int)n)
		bad_column(db, st, col, "of a length this teepod takes");
	else if (*out)
		check_json(db, st, col);
}

char *sql_json_dup(struct db *db, sqlite3_stmt *st, int col, int valid)
{
	if (sqlite3_column_type(st, col) != SQLITE_NULL && !sqlite3_column_int(st, valid))
		bad_column(db, st, col, "JSON");
	return sql_text_dup(st, col);
}

void sql_numbers(struct db *db, sqlite3_stmt *st, int col, char *out, size_t n)
{
	sql_text(st, col, out, n);
	if (out[strspn(out, "0123456789,")])
		bad_column(db, st, col, "a list of numbers");
}
