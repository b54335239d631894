/* SPDX-License-Identifier: Apache-2.0
 * sql.h - statements inside db/: prepared once, bound by a format, errors mapped in one place.
 *
 * Formats: i int64_t, d int, s const char * (NULL is NULL), b const void * and size_t. The SQL text must be a static string: its
 * address is the key of the statement cache. A statement is not re-entrant: finish a query before running its twin.
 */
#ifndef TEEPOD_DB_SQL_H
#define TEEPOD_DB_SQL_H

#include <sqlite3.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "db/db.h"

struct db {
	sqlite3 *conn;
	struct statement {
		const char *sql;
		sqlite3_stmt *st;
	} * cache; /* open addressing, power of two */
	size_t cap, used;
};

/* Fill *e from the connection's last error. Always negative. */
int sql_error(struct db *db, const char *what, struct err *e);

/* Run a statement to its end. Rows changed (>= 0), or negative. */
int sql_run(struct db *db, struct err *e, const char *sql, const char *fmt, ...);

/* Begin a query; NULL on failure. Then sql_next() until it is not 1, or sql_done(). */
sqlite3_stmt *sql_query(struct db *db, struct err *e, const char *sql, const char *fmt, ...);
/* 1 a row, 0 the end (statement reset), negative an error (reset). */
int sql_next(struct db *db, sqlite3_stmt *st, struct err *e);
void sql_done(sqlite3_stmt *st);

/* First column of the first row; *ret = @def when there is no row. */
int sql_int(struct db *db, struct err *e, int64_t def, int64_t *ret, const char *sql, const char *fmt, ...);

/* Text of a column into a fixed buffer ("" for NULL), or malloc'd (NULL for NULL). */
void sql_text(sqlite3_stmt *st, int col, char *out, size_t n);
char *sql_text_dup(sqlite3_stmt *st, int col);

/* Index of a word in a table of @n words; 0 if it is none of them (CHECKed columns can not hold others). */
int sql_word(sqlite3_stmt *st, int col, const char *const *words, int n);

/* What the rows of CVMs hold: a CVM under change the larger of its two states. Written by capacity_recount(), restated by db_check(). */
#define HELD(SUM)  "SELECT coalesce(sum(" SUM "), 0) FROM cvms c LEFT JOIN changes x ON x.cvm = c.id"
#define VCPUS_HELD HELD("max(c.given_vcpus, coalesce(x.given_vcpus, 0)) * c.holds_cpu")
#define MEMORY_HELD \
	HELD("max(c.given_memory_mib, coalesce(x.given_memory_mib, 0)) * c.holds_cpu * (1 - c.hugepages)")
#define DISK_HELD HELD("max(c.disk_gib, coalesce(x.disk_gib, 0))")

/* The same of each NUMA node (node, huge, pinned). */
#define NUMA_HELD                                                                                             \
	"SELECT n.node, coalesce(sum(max(a.hugepages_mib, a.other_hugepages_mib) * c.holds_cpu), 0) AS huge," \
	" coalesce(sum(max(a.pinned_mib, a.other_pinned_mib) * c.holds_cpu), 0) AS pinned FROM numa_nodes n"  \
	" LEFT JOIN cvm_nodes a ON a.node = n.node LEFT JOIN cvms c ON c.id = a.cvm GROUP BY n.node"

/* Apply numbered migrations; *ret_from = version found. */
int schema_migrate(struct db *db, const char *path, struct err *e);

#endif
