/* SPDX-License-Identifier: Apache-2.0
 * raw_sqlite.c - SQLite alone, as a baseline, with a copy of a node's database as FILE.
 *
 *	raw_sqlite creates FILE COUNT
 *		Insert the rows of a stopped create COUNT times, in one transaction each. Prints
 *		{"us", "cpu_us"}.
 *	raw_sqlite lists FILE ROUNDS LIMIT...
 *		Read the newest LIMIT CVMs, with app and revision. Prints {"p50": [...]}.
 *
 * The newest stopped CVM is the pattern of a create. Each transaction inserts the rows of that CVM
 * into all its tables (app, revision, CVM, operation, two events) with new IDs, and reserves the
 * same capacity. Tables, columns, indices and triggers are those of the file; journal and
 * durability are those of the node (WAL, FULL). No rules are checked and nothing is read back. Some
 * transactions run before the measurement, so that the journal has the size that it has in a node.
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include <sqlite3.h>

#include "tests/bench/tool.h"

enum { COLUMNS_MAX = 64, ROWS_MAX = 16, WARM_UP = 200 };

static sqlite3 *db;

/* One row that every transaction inserts. */
struct pattern {
	sqlite3_stmt *insert;
	const char *table;
	int columns;
	char name[COLUMNS_MAX][32];
	sqlite3_value *value[COLUMNS_MAX];
};

/* The values that differ between transactions. */
struct fresh {
	char uuid[40], op[40], app_id[44], hash[68], name[48];
	sqlite3_int64 app, revision, cvm, cid;
};

static sqlite3_stmt *prepare(const char *sql)
{
	sqlite3_stmt *st;

	if (sqlite3_prepare_v2(db, sql, -1, &st, NULL) != SQLITE_OK)
		die("%s: %s", sql, sqlite3_errmsg(db));
	return st;
}

static void step(sqlite3_stmt *st)
{
	int rc;

	do
		rc = sqlite3_step(st);
	while (rc == SQLITE_ROW);
	if (rc != SQLITE_DONE)
		die("%s: %s", sqlite3_sql(st), sqlite3_errmsg(db));
	(void)sqlite3_reset(st);
}

/* Columns that SQLite numbers itself are not inserted. */
static bool given_by_table(const char *table, const char *column)
{
	return !strcmp(column, "seq") ||
	       (!strcmp(column, "id") && strcmp(table, "operations") != 0);
}

static void take_row(sqlite3_stmt *st, const char *table, struct pattern *p)
{
	char sql[4096], marks[4 * COLUMNS_MAX] = "";
	int n = snprintf(sql, sizeof(sql), "INSERT INTO %s (", table);

	p->table = table;
	for (int i = 0; i < sqlite3_column_count(st); i++) {
		const char *column = sqlite3_column_name(st, i);

		if (given_by_table(table, column))
			continue;
		n += snprintf(sql + n, sizeof(sql) - (size_t)n, "%s%s", p->columns ? ", " : "",
			      column);
		(void)strcat(marks, p->columns ? ", ?" : "?");
		(void)snprintf(p->name[p->columns], sizeof(p->name[0]), "%s", column);
		p->value[p->columns++] = sqlite3_value_dup(sqlite3_column_value(st, i));
	}
	(void)snprintf(sql + n, sizeof(sql) - (size_t)n, ") VALUES (%s)", marks);
	p->insert = prepare(sql);
}

static int take_rows(struct pattern rows[ROWS_MAX])
{
	static const struct {
		const char *table, *sql;
	} from[] = {
		{ "apps", "SELECT * FROM apps WHERE id = (SELECT app FROM cvms WHERE id = ?)" },
		{ "revisions",
		  "SELECT * FROM revisions WHERE id = (SELECT revision FROM cvms WHERE id = ?)" },
		{ "cvms", "SELECT * FROM cvms WHERE id = ?" },
		{ "operations", "SELECT * FROM operations WHERE cvm = ?" },
		{ "events",
		  "SELECT * FROM events WHERE cvm_uuid = (SELECT uuid FROM cvms WHERE id = ?)" },
	};
	sqlite3_stmt *newest =
		prepare("SELECT max(id) FROM cvms WHERE desired = 'stopped' AND boot = 0");
	sqlite3_int64 cvm =
		sqlite3_step(newest) == SQLITE_ROW ? sqlite3_column_int64(newest, 0) : 0;
	int n = 0;

	(void)sqlite3_finalize(newest);
	for (size_t i = 0; i < sizeof(from) / sizeof(from[0]); i++) {
		sqlite3_stmt *st = prepare(from[i].sql);

		(void)sqlite3_bind_int64(st, 1, cvm);
		for (int before = n;; n++) {
			if (sqlite3_step(st) != SQLITE_ROW) {
				if (n == before)
					die("no row of the pattern in %s", from[i].table);
				break;
			}
			if (n == ROWS_MAX)
				die("more than %d rows in the pattern", ROWS_MAX);
			take_row(st, from[i].table, &rows[n]);
		}
		(void)sqlite3_finalize(st);
	}
	return n;
}

static void random_hex(char *out, size_t digits)
{
	unsigned char bytes[32];

	if (getrandom(bytes, sizeof(bytes), 0) != sizeof(bytes))
		die("no random bytes");
	for (size_t i = 0; i < digits; i++)
		(void)snprintf(out + i, 2, "%x", bytes[i / 2] >> (i % 2 * 4) & 15);
}

/* As in a node, operation IDs increase with time. */
static void freshen(struct fresh *f, int number)
{
	random_hex(f->hash, 64);
	(void)snprintf(f->app_id, sizeof(f->app_id), "%.40s", f->hash);
	(void)snprintf(f->uuid, sizeof(f->uuid), "%.8s-%.4s-4%.3s-8%.3s-%.12s", f->hash,
		       f->hash + 8, f->hash + 12, f->hash + 15, f->hash + 18);
	(void)snprintf(f->op, sizeof(f->op), "7fffffff-%04x-7%.3s-8%.3s-%.12s",
		       (unsigned)number & 0xffff, f->hash + 12, f->hash + 15, f->hash + 18);
	(void)snprintf(f->name, sizeof(f->name), "raw-%d-%.6s", number, f->hash);
	f->cid++;
}

static bool bind_fresh(const struct pattern *p, int i, const struct fresh *f)
{
	const struct {
		const char *column, *text;
		sqlite3_int64 number;
	} map[] = {
		{ "uuid", f->uuid, 0 },
		{ "cvm_uuid", f->uuid, 0 },
		{ "app_id", f->app_id, 0 },
		{ "compose_hash", f->hash, 0 },
		{ "cvm_name", f->name, 0 },
		{ "op_id", f->op, 0 },
		{ "app", NULL, f->app },
		{ "cvm", NULL, f->cvm },
		{ "cid", NULL, f->cid },
		{ "revision", NULL, f->revision },
		{ !strcmp(p->table, "operations") ? "id" : "name",
		  !strcmp(p->table, "operations") ? f->op : f->name, 0 },
	};

	for (size_t k = 0; k < sizeof(map) / sizeof(map[0]); k++) {
		if (strcmp(map[k].column, p->name[i]) != 0)
			continue;
		/* An event without an operation keeps its empty op_id. */
		if (!strcmp(p->name[i], "op_id") && !sqlite3_value_bytes(p->value[i]))
			return false;
		if (map[k].text)
			(void)sqlite3_bind_text(p->insert, i + 1, map[k].text, -1,
						SQLITE_TRANSIENT);
		else
			(void)sqlite3_bind_int64(p->insert, i + 1, map[k].number);
		return true;
	}
	return false;
}

static void write_row(struct pattern *p, struct fresh *f)
{
	for (int i = 0; i < p->columns; i++)
		if (!bind_fresh(p, i, f))
			(void)sqlite3_bind_value(p->insert, i + 1, p->value[i]);
	step(p->insert);
	if (!strcmp(p->table, "apps"))
		f->app = sqlite3_last_insert_rowid(db);
	else if (!strcmp(p->table, "revisions"))
		f->revision = sqlite3_last_insert_rowid(db);
	else if (!strcmp(p->table, "cvms"))
		f->cvm = sqlite3_last_insert_rowid(db);
}

static void take_capacity(sqlite3_stmt *st)
{
	static const char *const resources[] = { "slots", "vcpus", "memory_mib", "disk_gib",
						 "cids" };

	for (size_t i = 0; i < sizeof(resources) / sizeof(resources[0]); i++) {
		(void)sqlite3_bind_text(st, 1, resources[i], -1, SQLITE_STATIC);
		step(st);
	}
}

/* The settings of a node's writer, see db/db.c: another size of the log, or counters of allocations
 * that a node does not have, would be a slower baseline. */
static void open_file(const char *path)
{
	static const char settings[] =
		"PRAGMA foreign_keys = ON; PRAGMA journal_mode = WAL;"
		"PRAGMA journal_size_limit = 8388608; PRAGMA wal_autocheckpoint = 1600;"
		"PRAGMA synchronous = FULL;"
		"PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON; PRAGMA temp_store = "
		"MEMORY;";

	(void)sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
	if (sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL) ||
	    sqlite3_exec(db, settings, NULL, NULL, NULL))
		die("%s: %s", path, sqlite3_errmsg(db));
}

static void creates(int count)
{
	static struct pattern rows[ROWS_MAX];
	struct fresh f = { .cid = 1000000000 };
	int64_t began = 0, cpu = 0;
	int n = take_rows(rows);
	sqlite3_stmt *begin = prepare("BEGIN IMMEDIATE"), *commit = prepare("COMMIT");
	sqlite3_stmt *take =
		prepare("UPDATE capacity SET promised = promised + 1 WHERE resource = ?"
			" AND promised + 1 <= total");

	for (int i = -WARM_UP; i < count; i++) {
		if (i == 0) {
			began = now_us();
			cpu = cpu_us();
		}
		freshen(&f, i);
		step(begin);
		take_capacity(take);
		for (int k = 0; k < n; k++)
			write_row(&rows[k], &f);
		step(commit);
	}
	(void)printf("{\"us\": %lld, \"cpu_us\": %lld}\n", (long long)(now_us() - began),
		     (long long)(cpu_us() - cpu));
}

/* ------------------------------------------------------------------ lists */

/* Read every column of @limit rows. Returns the microseconds. */
static int64_t list(sqlite3_stmt *st, int limit)
{
	int64_t began = now_us();
	int rc, rows = 0;

	(void)sqlite3_bind_int(st, 1, limit);
	while ((rc = sqlite3_step(st)) == SQLITE_ROW) {
		for (int i = 0; i < sqlite3_column_count(st); i++)
			if (sqlite3_column_type(st, i) == SQLITE_INTEGER)
				(void)sqlite3_column_int64(st, i);
			else
				(void)sqlite3_column_text(st, i);
		rows++;
	}
	if (rc != SQLITE_DONE || rows != limit)
		die("%d rows of %d: %s", rows, limit, sqlite3_errmsg(db));
	(void)sqlite3_reset(st);
	return now_us() - began;
}

static void lists(int rounds, int n, char **limits)
{
	sqlite3_stmt *st = prepare("SELECT * FROM cvms c JOIN apps a ON a.id = c.app"
				   " JOIN revisions r ON r.id = c.revision"
				   " ORDER BY c.id DESC LIMIT ?");
	int64_t *us = need(calloc((size_t)rounds, sizeof(*us)));

	(void)printf("{\"p50\": [");
	for (int i = 0; i < n; i++) {
		for (int k = 0; k < rounds; k++)
			us[k] = list(st, atoi(limits[i]));
		qsort(us, (size_t)rounds, sizeof(*us), ascending);
		(void)printf("%s%lld", i ? ", " : "", quantile(us, (size_t)rounds, 50));
	}
	(void)printf("]}\n");
	free(us);
}

int main(int argc, char **argv)
{
	const char *what = argc > 3 ? argv[1] : "";

	if (argc > 2)
		open_file(argv[2]);
	if (!strcmp(what, "creates") && argc == 4)
		creates(atoi(argv[3]));
	else if (!strcmp(what, "lists") && argc > 4 && atoi(argv[3]) > 0)
		lists(atoi(argv[3]), argc - 4, argv + 4);
	else
		die("usage: raw_sqlite creates|lists FILE ... (see raw_sqlite.c)");
	return 0;
}
