/* SPDX-License-Identifier: Apache-2.0
 * cvm_states.c - columns of the table cvms with the state of a CVM.
 */
#include <assert.h>
#include <string.h>

#include "base/own.h"
#include "db/cvm_states.h"
#include "db/sql.h"

const char *const desired_word[DESIRED_MAX] = {
	[DESIRED_STOPPED] = "stopped",
	[DESIRED_RUNNING] = "running",
	[DESIRED_DELETED] = "deleted",
};

const char *const observed_word[OBSERVED_MAX] = {
	[OBSERVED_ABSENT] = "absent",   [OBSERVED_OFF] = "off",
	[OBSERVED_CRASHED] = "crashed", [OBSERVED_RUNNING] = "running",
	[OBSERVED_PAUSED] = "paused",
};

const char *const paused_word[PAUSED_MAX] = {
	[PAUSED_NOT] = "",
	[PAUSED_NOSPC] = "nospc",
	[PAUSED_IOERROR] = "ioerror",
	[PAUSED_OTHER] = "other",
};

static void read_cvm_seen(struct db *db, sqlite3_stmt *st, void *row)
{
	struct cvm_seen *s = row;

	*s = (struct cvm_seen){
		.id = sqlite3_column_int64(st, 0),
		.observed = (enum observed)sql_word(db, st, 2, observed_word, OBSERVED_MAX),
		.paused = (enum paused)sql_word(db, st, 3, paused_word, PAUSED_MAX)
	};
	sql_text(st, 1, s->uuid, sizeof(s->uuid));
}

int cvms_seen(struct db *db, struct cvm_seen **ret, size_t *n, struct err *e)
{
	return sql_good_rows(
		db,
		sql_query(
			db, e,
			"SELECT id, uuid, observed, paused FROM cvms WHERE observed <> 'absent' OR"
			" desired = 'running'",
			""),
		read_cvm_seen, ret, n, e);
}

int cvms_without_space(struct db *db, struct cvm_seen **ret, size_t *n, struct err *e)
{
	return sql_good_rows(
		db,
		sql_query(db, e,
			  "SELECT id, uuid, observed, paused FROM cvms WHERE paused = 'nospc' AND"
			  " desired = 'running' ORDER BY id",
			  ""),
		read_cvm_seen, ret, n, e);
}

struct state_count {
	enum desired desired;
	enum observed observed;
	int64_t n;
};

static void read_state_count(struct db *db, sqlite3_stmt *st, void *row)
{
	*(struct state_count *)row = (struct state_count){
		.desired = (enum desired)sql_word(db, st, 1, desired_word, DESIRED_MAX),
		.observed = (enum observed)sql_word(db, st, 2, observed_word, OBSERVED_MAX),
		.n = sqlite3_column_int64(st, 3),
	};
}

int cvms_count(struct db *db, int64_t count[DESIRED_MAX][OBSERVED_MAX], struct err *e)
{
	auto_free struct state_count *rows = NULL;
	size_t n = 0;
	int r = sql_good_rows(
		db,
		sql_query(db, e,
			  "SELECT min(id), desired, observed, count(*) FROM cvms GROUP BY 2, 3",
			  ""),
		read_state_count, &rows, &n, e);

	if (r)
		return r;
	memset(count, 0, sizeof(int64_t) * DESIRED_MAX * OBSERVED_MAX);
	for (size_t i = 0; i < n; i++)
		count[rows[i].desired][rows[i].observed] = rows[i].n;
	return 0;
}

int cvms_set_desired(struct db *db, int64_t id, enum desired d, struct err *e)
{
	return sql_exec_one(db, e, "UPDATE cvms SET desired = ? WHERE id = ?", "si",
			    desired_word[d], id);
}

int cvms_set_observed(struct db *db, int64_t id, enum observed o, enum paused p, struct err *e)
{
	assert(p == PAUSED_NOT || o == OBSERVED_PAUSED);
	return sql_exec_one(db, e, "UPDATE cvms SET observed = ?, paused = ? WHERE id = ?", "ssi",
			    observed_word[o], paused_word[p], id);
}

int cvms_set_holds_cpu(struct db *db, int64_t id, bool holds, struct err *e)
{
	return sql_exec_one(db, e, "UPDATE cvms SET holds_cpu = ? WHERE id = ?", "di", (int)holds,
			    id);
}

int cvms_begin_boot(struct db *db, int64_t id, int64_t now_ms, int64_t *ret_boot, struct err *e)
{
	int r = sql_exec_one(db, e,
			     "UPDATE cvms SET boot = boot + 1, started_ms = ?1, "
			     "boot_progress = '', boot_error = '',"
			     " shutdown_progress = '' WHERE id = ?2",
			     "ii", now_ms, id);

	return r ? r : sql_int(db, e, 0, ret_boot, "SELECT boot FROM cvms WHERE id = ?", "i", id);
}

int cvms_set_stopped(struct db *db, int64_t id, int64_t now_ms, struct err *e)
{
	return sql_exec_one(db, e, "UPDATE cvms SET stopped_ms = ? WHERE id = ?", "ii", now_ms, id);
}

int cvms_set_progress(struct db *db, int64_t id, const char *which, const char *text, struct err *e)
{
	const char *sql = NULL;

	if (!strcmp(which, "boot_progress"))
		sql = "UPDATE cvms SET boot_progress = ? WHERE id = ?";
	else if (!strcmp(which, "boot_error"))
		sql = "UPDATE cvms SET boot_error = ? WHERE id = ?";
	else if (!strcmp(which, "shutdown_progress"))
		sql = "UPDATE cvms SET shutdown_progress = ? WHERE id = ?";
	assert(sql);
	return sql_exec_one(db, e, sql, "si", text, id);
}
