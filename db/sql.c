/* SPDX-License-Identifier: Apache-2.0
 * sql.c - statement cache, binding, error mapping.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
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

static struct statement *slot_of(struct db *db, const char *sql)
{
	size_t i = ((uintptr_t)sql >> 3) * 0x9e3779b97f4a7c15ULL >> 20;

	for (;; i++) {
		struct statement *s = &db->cache[i & (db->cap - 1)];

		if (!s->sql || s->sql == sql)
			return s;
	}
}

static void grow(struct db *db)
{
	struct statement *old = db->cache;
	size_t n = db->cap;

	db->cap = n ? n * 2 : 128;
	db->cache = xcalloc(db->cap, sizeof(*db->cache));
	for (size_t i = 0; i < n; i++)
		if (old[i].sql)
			*slot_of(db, old[i].sql) = old[i];
	free(old);
}

static sqlite3_stmt *prepared(struct db *db, const char *sql, struct err *e)
{
	struct statement *s;

	if (db->used * 2 >= db->cap)
		grow(db);
	s = slot_of(db, sql);
	if (s->sql)
		return s->st;
	if (sqlite3_prepare_v3(db->conn, sql, -1, SQLITE_PREPARE_PERSISTENT, &s->st, NULL) != SQLITE_OK) {
		sql_error(db, "prepare", e);
		s->st = NULL;
		return NULL;
	}
	s->sql = sql;
	db->used++;
	return s->st;
}

static void bind_all(sqlite3_stmt *st, const char *fmt, va_list ap)
{
	const void *blob;

	for (int i = 1; *fmt; fmt++, i++) {
		switch (*fmt) {
		case 'i':
			(void)sqlite3_bind_int64(st, i, va_arg(ap, int64_t));
			break;
		case 'd':
			(void)sqlite3_bind_int(st, i, va_arg(ap, int));
			break;
		case 's':
			(void)sqlite3_bind_text(st, i, va_arg(ap, const char *), -1, SQLITE_TRANSIENT);
			break;
		case 'b':
			blob = va_arg(ap, const void *);
			(void)sqlite3_bind_blob64(st, i, blob, va_arg(ap, size_t), SQLITE_TRANSIENT);
			break;
		default:
			abort(); /* a format that is not one of ours */
		}
	}
}

int sql_next(struct db *db, sqlite3_stmt *st, struct err *e)
{
	int rc = sqlite3_step(st), r;

	if (rc == SQLITE_ROW)
		return 1;
	r = rc == SQLITE_DONE ? 0 : sql_error(db, "step", e);
	sql_done(st);
	return r;
}

void sql_done(sqlite3_stmt *st)
{
	(void)sqlite3_reset(st);
	(void)sqlite3_clear_bindings(st);
}

int sql_run(struct db *db, struct err *e, const char *sql, const char *fmt, ...)
{
	sqlite3_stmt *st = prepared(db, sql, e);
	va_list ap;
	int r;

	if (!st)
		return -(int)e->code;
	va_start(ap, fmt);
	bind_all(st, fmt, ap);
	va_end(ap);
	do
		r = sql_next(db, st, e);
	while (r > 0);
	return r < 0 ? r : sqlite3_changes(db->conn);
}

sqlite3_stmt *sql_query(struct db *db, struct err *e, const char *sql, const char *fmt, ...)
{
	sqlite3_stmt *st = prepared(db, sql, e);
	va_list ap;

	if (!st)
		return NULL;
	va_start(ap, fmt);
	bind_all(st, fmt, ap);
	va_end(ap);
	return st;
}

int sql_int(struct db *db, struct err *e, int64_t def, int64_t *ret, const char *sql, const char *fmt, ...)
{
	sqlite3_stmt *st = prepared(db, sql, e);
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
	if (r)
		sql_done(st);
	return 0;
}

void sql_text(sqlite3_stmt *st, int col, char *out, size_t n)
{
	const char *s = (const char *)sqlite3_column_text(st, col);
	size_t len = s ? strnlen(s, n - 1) : 0;

	if (len)
		memcpy(out, s, len);
	out[len] = 0;
}

char *sql_text_dup(sqlite3_stmt *st, int col)
{
	const char *s = (const char *)sqlite3_column_text(st, col);

	return s ? xstrdup(s) : NULL;
}

int sql_word(sqlite3_stmt *st, int col, const char *const *words, int n)
{
	const char *s = (const char *)sqlite3_column_text(st, col);

	for (int i = 0; s && i < n; i++)
		if (!strcmp(words[i], s))
			return i;
	return 0;
}
