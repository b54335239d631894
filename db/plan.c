/* SPDX-License-Identifier: Apache-2.0
 * plan.c - checks query plans for full scans. Test builds only.
 *
 * db/ runs on the loop thread, so the time of a statement that a request can trigger must not grow
 * with the age of the node. The query plan of each statement is checked when it is prepared.
 * Allowed are searches by an index, scans of an index in small_indexes[], and the first rows in the
 * order of an index, without a condition (ORDER BY, LIMIT). Any other access to a growing table,
 * including a sort before a LIMIT, is logged with the words FULL SCAN and fails the test that runs
 * it, unless exempt[] gives a reason. There are no statistics (no ANALYZE), so the plan does not
 * depend on the number of rows.
 */
#include "db/plan.h"

#ifdef TEEPOD_FAILPOINTS

#include <ctype.h>
#include <string.h>

#include "base/array.h"
#include "base/log.h"
#include "base/own.h"
#include "base/strings.h"

/* Other tables have one row per CVM under change, device, NUMA node, resource or OS image. records
 * has four rows per workspace and is read once a minute. */
static const char *const growing[] = {
	"cvms",   "apps",   "revisions",        "history",     "operations",
	"events", "ports",  "operation_counts", "idempotency", "provisions",
	"ledger", "meters", "api_keys",         "cvm_nodes",   "workspaces",
};

/* Partial indexes that are small even if their table is large. Others are as large as the table
 * (operations_finished, ledger_once) or may become so (operations_unsuccessful). */
static const char *const small_indexes[] = {
	"operations_live", "cvms_down",       "cvms_attempts", "cvms_turn",
	"api_keys_open",   "workspaces_live", "cvms_paused",
};

/* Statements, by a part of their text, that may read a whole table. */
static const struct {
	const char *sql, *reason;
} exempt[] = {
	{ "UPDATE capacity SET promised = (SELECT",
	  "recount at start-up and when settings change" },
	{ "UPDATE numa_nodes SET hugepages_promised = h.huge", "the same" },
	{ "SELECT id, uuid, observed, paused FROM cvms WHERE observed <> 'absent' OR",
	  "next to a list of all domains; bounded by slots" },
	{ "UPDATE cvms SET turn = 'drain'", "once per maintenance: it concerns every CVM" },
	{ "FROM cvms GROUP BY 2, 3", "counts all CVMs by their states; bounded by slots" },
	{ "desired = 'running', uuid, name FROM cvms ORDER BY id",
	  "charges of all CVMs, once a minute" },
	{ "FROM meters ORDER BY cvm", "the same" },
	{ "?1 = ?1 AND ?2 IS NULL AND (?3 IS NULL OR instr(c.name",
	  "searches all CVMs by part of a name; bounded by slots" },
	{ "FROM operation_counts WHERE ?2 IS NULL AND ", "five small rows per workspace" },
	{ "FROM operations WHERE state = ?3 ORDER BY id DESC LIMIT",
	  "those that succeeded: nearly every row matches, and LIMIT ends at the last one" },
	{ "FROM provisions WHERE workspace = ?1", "sorts the few apps with one compose hash" },
	{ "FROM events ORDER BY seq LIMIT ?2) WHERE at_ms >= ?1", "the oldest PRUNE_MAX events" },
};

static bool is_exempt(const char *sql)
{
	for (size_t i = 0; i < ARRAY_SIZE(exempt); i++)
		if (strstr(sql, exempt[i].sql))
			return true;
	return false;
}

static bool is_name(char c)
{
	return isalnum((unsigned char)c) || c == '_';
}

/* Does "@word " or "@word AS " end at @at? */
static bool ends_with_word(const char *sql, const char *at, const char *word)
{
	size_t n = strlen(word);

	if (at - sql > 3 && !memcmp(at - 3, " AS", 3))
		at -= 3;
	return (size_t)(at - sql) > n && !memcmp(at - n, word, n) &&
	       !is_name(at[-(ptrdiff_t)n - 1]);
}

/* The growing table that @name, of @n bytes, stands for in @sql; NULL if none. */
static const char *growing_table_of(const char *sql, const char *name, size_t n)
{
	for (size_t i = 0; i < ARRAY_SIZE(growing); i++) {
		if (strlen(growing[i]) == n && !memcmp(growing[i], name, n))
			return growing[i];
		for (const char *at = sql; (at = strstr(at, " ")); at++)
			if (!strncmp(at + 1, name, n) && !is_name(at[1 + n]) &&
			    ends_with_word(sql, at, growing[i]))
				return growing[i];
	}
	return NULL;
}

static bool scans_small_index(const char *detail)
{
	const char *at = strstr(detail, "INDEX ");

	for (size_t i = 0; at && i < ARRAY_SIZE(small_indexes); i++) {
		size_t n = strlen(small_indexes[i]);

		if (!strncmp(at + strlen("INDEX "), small_indexes[i], n) &&
		    !is_name(at[strlen("INDEX ") + n]))
			return true;
	}
	return false;
}

/* "(rowid>?)": all rows from there on. Not open: two bounds, or a range after an equality. */
static bool is_open_range(const char *detail)
{
	const char *at = strrchr(detail, '(');
	size_t n = at ? strcspn(at, "=<>") : 0;

	return at && (at[n] == '<' || at[n] == '>') && !strchr(at + n + 1, '<') &&
	       !strchr(at + n + 1, '>');
}

static bool reads_all(const char *sql, const char *detail)
{
	bool scan = !strncmp(detail, "SCAN ", 5), search = !strncmp(detail, "SEARCH ", 7);

	if (search)
		return is_open_range(detail) &&
		       strncmp(sql, "DELETE", 6) != 0; /* it deletes what it reads */
	if (!scan || scans_small_index(detail))
		return false;
	return strstr(sql, " WHERE ") || !strstr(sql, " LIMIT ") || !strstr(sql, " ORDER BY ");
}

/* Also "... FOR LAST TERM OF ORDER BY": the first terms may be equal in the whole table. */
static bool is_sort(const char *detail)
{
	return strstr(detail, "TEMP B-TREE FOR ") && strstr(detail, "ORDER BY");
}

static const char *growing_table_in(const char *sql, const char *detail)
{
	const char *name = strchr(detail, ' ');

	/* plans of recursive queries have lines of one word: SETUP */
	return name ? growing_table_of(sql, name + 1, strcspn(name + 1, " ")) : NULL;
}

unsigned plan_check(sqlite3 *conn, const char *sql)
{
	auto_free char *explain = xasprintf("EXPLAIN QUERY PLAN %s", sql);
	const char *grows = NULL; /* growing table that the statement reads */
	sqlite3_stmt *st = NULL;
	unsigned full_scans = 0;

	if (is_exempt(sql) ||
	    !strstr("SELECT INSERT UPDATE DELETE", (char[]){ sql[0], sql[1], sql[2], 0 }))
		return 0;
	(void)sqlite3_prepare_v2(conn, explain, -1, &st, NULL);
	while (st && sqlite3_step(st) == SQLITE_ROW) {
		const char *detail = (const char *)sqlite3_column_text(st, 3);
		bool sorts = is_sort(detail) && strstr(sql, " LIMIT ");
		const char *table = growing_table_in(sql, detail);

		grows = table ? table : grows;
		if ((table && reads_all(sql, detail)) || (sorts && grows)) {
			full_scans++;
			log_error("FULL SCAN of %s (%s): %s", grows, detail, sql);
		}
	}
	(void)sqlite3_finalize(st);
	return full_scans;
}

#endif
