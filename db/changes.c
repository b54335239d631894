/* SPDX-License-Identifier: Apache-2.0
 * changes.c - rows of changes in progress.
 *
 * During a change a CVM has two states: the present one (its row) and a second one (its row in
 * changes), which is the next state or, once the change is applied, the previous one. Everything
 * that one of the two needs stays reserved: ports_plan(), devices_plan() and numa_plan() reserve
 * what only the second state needs, changes_swap() exchanges the states, and the *_settle()
 * functions release what the present state does not need. Each runs inside a turn, so a CVM is
 * always in one of them.
 */
#include <assert.h>

#include "db/changes.h"
#include "db/cvms.h"
#include "db/sql.h"

/* ------------------------------------------------------------------ rows */

int changes_insert(struct db *db, const struct change_row *c, struct err *e)
{
	return sql_exec(db, e,
			"INSERT INTO changes (op, cvm, applied, changed, revision, image, "
			"instance_type, vcpus, memory_mib,"
			" disk_gib, given_vcpus, given_memory_mib, numa_nodes, gpu_attach, listed, "
			"encrypted_env, user_config)"
			" VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
			"sidsiisiiiiissdbs", c->op, c->cvm, (int)c->applied, c->changed,
			c->revision, c->image, c->instance_type, c->vcpus, c->memory_mib,
			c->disk_gib, c->given_vcpus, c->given_memory_mib, c->numa_nodes,
			c->gpu_attach, (int)c->listed, (const void *)c->blobs.encrypted_env,
			c->blobs.encrypted_env_len, c->blobs.user_config);
}

static void read_change(struct db *db, sqlite3_stmt *st, void *row)
{
	struct change_row *c = row;

	*c = (struct change_row){
		.cvm = sqlite3_column_int64(st, 1),
		.applied = sqlite3_column_int(st, 2),
		.revision = sqlite3_column_int64(st, 4),
		.image = sqlite3_column_int64(st, 5),
		.vcpus = sqlite3_column_int64(st, 7),
		.memory_mib = sqlite3_column_int64(st, 8),
		.disk_gib = sqlite3_column_int64(st, 9),
		.given_vcpus = sqlite3_column_int64(st, 10),
		.given_memory_mib = sqlite3_column_int64(st, 11),
		.listed = sqlite3_column_int(st, 14),
	};
	sql_text(st, 0, c->op, sizeof(c->op));
	sql_json(db, st, 3, c->changed, sizeof(c->changed));
	sql_text(st, 6, c->instance_type, sizeof(c->instance_type));
	sql_numbers(db, st, 12, c->numa_nodes, sizeof(c->numa_nodes));
	sql_text(st, 13, c->gpu_attach, sizeof(c->gpu_attach));
	c->blobs.encrypted_env = sql_blob_dup(st, 15, &c->blobs.encrypted_env_len);
	c->blobs.user_config = sql_text_dup(st, 16);
}

#define STATE_COLUMNS                                                                \
	"revision, image, instance_type, vcpus, memory_mib, disk_gib, given_vcpus, " \
	"given_memory_mib, numa_nodes,"                                              \
	" gpu_attach, listed, encrypted_env, user_config"

static void free_change(void *row)
{
	cvm_blobs_free(&((struct change_row *)row)->blobs);
}

int changes_get(struct db *db, const char *op, struct change_row *ret, struct err *e)
{
	sqlite3_stmt *st = sql_query(db, e,
				     "SELECT op, cvm, applied, changed, " STATE_COLUMNS
				     " FROM changes WHERE op = ?",
				     "s", op);

	return sql_one(db, st, read_change, free_change, ret, sizeof(*ret), e);
}

int changes_remove(struct db *db, const char *op, struct err *e)
{
	return sql_exec(db, e, "DELETE FROM changes WHERE op = ?", "s", op);
}

/* ------------------------------------------------------------------ exchanging the states */

/* The present state of the CVM, in the form of the other state. */
static int present_state(struct db *db, const struct change_row *c, struct change_row *ret,
			 struct err *e)
{
	sqlite3_stmt *st =
		sql_query(db, e, "SELECT ?1, id, ?2, ?3, " STATE_COLUMNS " FROM cvms WHERE id = ?4",
			  "sdsi", c->op, (int)!c->applied, c->changed, c->cvm);

	return sql_one(db, st, read_change, free_change, ret, sizeof(*ret), e);
}

static int update_cvm_state(struct db *db, const struct change_row *c, struct err *e)
{
	return sql_exec_one(
		db, e,
		"UPDATE cvms SET revision = ?, image = ?, instance_type = ?, vcpus = ?, "
		"memory_mib = ?, given_vcpus = ?,"
		" given_memory_mib = ?, numa_nodes = ?, gpu_attach = ?, listed = ?, "
		"encrypted_env = ?, user_config = ?"
		" WHERE id = ?",
		"iisiiiissdbsi", c->revision, c->image, c->instance_type, c->vcpus, c->memory_mib,
		c->given_vcpus, c->given_memory_mib, c->numa_nodes, c->gpu_attach, (int)c->listed,
		(const void *)c->blobs.encrypted_env, c->blobs.encrypted_env_len,
		c->blobs.user_config, c->cvm);
}

static int swap_reservations(struct db *db, int64_t cvm, struct err *e)
{
	int r = sql_run(
		db, e,
		"UPDATE ports SET vm_port = other_vm_port, other_vm_port = vm_port WHERE cvm = ?",
		"i", cvm);

	if (r >= 0)
		r = sql_run(db, e,
			    "UPDATE devices SET part = CASE part WHEN 'now' THEN 'other' WHEN "
			    "'other' THEN 'now'"
			    " ELSE part END WHERE cvm = ?",
			    "i", cvm);
	if (r >= 0)
		r = sql_run(db, e,
			    "UPDATE cvm_nodes SET hugepages_mib = other_hugepages_mib, "
			    "other_hugepages_mib = hugepages_mib,"
			    " pinned_mib = other_pinned_mib, other_pinned_mib = pinned_mib WHERE "
			    "cvm = ?",
			    "i", cvm);
	return r < 0 ? r : 0;
}

int changes_swap(struct db *db, struct change_row *c, struct err *e)
{
	struct change_row was;
	int r = present_state(db, c, &was, e);

	if (r)
		return r;
	assert(was.cvm == c->cvm && was.applied != c->applied);
	was.disk_gib = c->disk_gib;
	r = update_cvm_state(db, c, e);
	if (!r)
		r = changes_remove(db, c->op, e);
	if (!r)
		r = changes_insert(db, &was, e);
	if (!r)
		r = swap_reservations(db, c->cvm, e);
	if (r) {
		cvm_blobs_free(&was.blobs);
		return r;
	}
	cvm_blobs_free(&c->blobs);
	*c = was;
	return 0;
}
