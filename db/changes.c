/* SPDX-License-Identifier: Apache-2.0
 * changes.c - rows of changes under way, and what a CVM holds in only one of its two states.
 *
 * While a CVM is changed it has a present state (its row) and another one (its row in changes):
 * what it will be, or, once the change is applied, what it was. Whatever one of the two needs is
 * held: plan() reserves what only the other one needs, swap() makes the other one the present, any
 * number of times, and settle() gives back what the present one does not need. Each is part of a
 * turn, so there is no instant at which a CVM is neither.
 */
#include <string.h>

#include "base/buf.h"
#include "base/own.h"
#include "db/changes.h"
#include "db/cvms.h"
#include "db/sql.h"

/* ------------------------------------------------------------------ the row */

int changes_insert(struct db *db, const struct change_row *c, struct err *e)
{
	int r = sql_run(db, e,
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

	return r < 0 ? r : 0;
}

static void read_blobs(sqlite3_stmt *st, int col, struct cvm_blobs *b)
{
	int n = sqlite3_column_bytes(st, col);

	*b = (struct cvm_blobs){ .user_config = sql_text_dup(st, col + 1) };
	if (n <= 0)
		return;
	b->encrypted_env = xmalloc((size_t)n);
	b->encrypted_env_len = (size_t)n;
	memcpy(b->encrypted_env, sqlite3_column_blob(st, col), (size_t)n);
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
	read_blobs(st, 15, &c->blobs);
}

#define STATE_COLUMNS                                                                \
	"revision, image, instance_type, vcpus, memory_mib, disk_gib, given_vcpus, " \
	"given_memory_mib, numa_nodes,"                                              \
	" gpu_attach, listed, encrypted_env, user_config"

static int first_change(struct db *db, sqlite3_stmt *st, struct change_row *ret, struct err *e)
{
	int r = st ? sql_next(db, st, e) : -(int)e->code;
	struct change_row c;

	if (r <= 0)
		return r ? r : -ERR_NOT_FOUND;
	read_change(db, st, &c);
	r = sql_done(db, st, e);
	if (r)
		cvm_blobs_free(&c.blobs);
	else
		*ret = c;
	return r;
}

int changes_get(struct db *db, const char *op, struct change_row *ret, struct err *e)
{
	return first_change(db,
			    sql_query(db, e,
				      "SELECT op, cvm, applied, changed, " STATE_COLUMNS
				      " FROM changes WHERE op = ?",
				      "s", op),
			    ret, e);
}

int changes_remove(struct db *db, const char *op, struct err *e)
{
	int r = sql_run(db, e, "DELETE FROM changes WHERE op = ?", "s", op);

	return r < 0 ? r : 0;
}

/* ------------------------------------------------------------------ swapping the states */

/* What the CVM is now, in the form of the other state. */
static int present_state(struct db *db, const struct change_row *c, struct change_row *ret,
			 struct err *e)
{
	return first_change(
		db,
		sql_query(db, e, "SELECT ?1, id, ?2, ?3, " STATE_COLUMNS " FROM cvms WHERE id = ?4",
			  "sdsi", c->op, (int)!c->applied, c->changed, c->cvm),
		ret, e);
}

static int write_cvm(struct db *db, const struct change_row *c, struct err *e)
{
	int r = sql_run(db, e,
			"UPDATE cvms SET revision = ?, image = ?, instance_type = ?, vcpus = ?, "
			"memory_mib = ?, given_vcpus = ?,"
			" given_memory_mib = ?, numa_nodes = ?, gpu_attach = ?, listed = ?, "
			"encrypted_env = ?, user_config = ?"
			" WHERE id = ?",
			"iisiiiissdbsi", c->revision, c->image, c->instance_type, c->vcpus,
			c->memory_mib, c->given_vcpus, c->given_memory_mib, c->numa_nodes,
			c->gpu_attach, (int)c->listed, (const void *)c->blobs.encrypted_env,
			c->blobs.encrypted_env_len, c->blobs.user_config, c->cvm);

	return r < 0 ? r : r == 0 ? -ERR_NOT_FOUND : 0;
}

static int swap_held(struct db *db, int64_t cvm, struct err *e)
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
	was.disk_gib = c->disk_gib;
	r = write_cvm(db, c, e);
	if (!r)
		r = changes_remove(db, c->op, e);
	if (!r)
		r = changes_insert(db, &was, e);
	if (!r)
		r = swap_held(db, c->cvm, e);
	if (r) {
		cvm_blobs_free(&was.blobs);
		return r;
	}
	cvm_blobs_free(&c->blobs);
	*c = was;
	return 0;
}
