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
#include "db/devices.h"
#include "db/numa.h"
#include "db/ports.h"
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

int cvms_set_disk(struct db *db, int64_t id, int64_t gib, int64_t made, struct err *e)
{
	int r = sql_run(db, e, "UPDATE cvms SET disk_gib = ?, disk_made = ? WHERE id = ?", "iii",
			gib, made, id);

	return r < 0 ? r : r == 0 ? -ERR_NOT_FOUND : 0;
}

/* ------------------------------------------------------------------ ports */

static int plan_port(struct db *db, int64_t cvm, const struct port_row *p, struct err *e)
{
	int r = sql_run(
		db, e,
		"INSERT INTO ports (protocol, host_address, host_port, vm_port, other_vm_port, cvm)"
		" VALUES (?1, ?2, ?3, 0, ?4, ?5) ON CONFLICT (protocol, host_port, host_address)"
		" DO UPDATE SET other_vm_port = excluded.other_vm_port WHERE cvm = excluded.cvm",
		"ssddi", p->udp ? "udp" : "tcp", p->host_address, (int)p->host_port,
		(int)p->vm_port, cvm);

	return r ? r
		 : err_set(e, ERR_HOST,
			   "host port %u was given to another CVM while it was looked at",
			   p->host_port);
}

int ports_plan(struct db *db, int64_t cvm, const struct port_row *p, size_t n, int64_t *ret_new,
	       struct err *e)
{
	int r = sql_run(db, e, "UPDATE ports SET other_vm_port = 0 WHERE cvm = ?", "i", cvm);

	for (size_t i = 0; r >= 0 && i < n; i++)
		r = plan_port(db, cvm, &p[i], e);
	if (r < 0)
		return r;
	return sql_int(db, e, 0, ret_new,
		       "SELECT count(*) FROM ports WHERE cvm = ? AND vm_port = 0", "i", cvm);
}

int ports_settle(struct db *db, int64_t cvm, int64_t *ret_gone, struct err *e)
{
	int gone = sql_run(db, e, "DELETE FROM ports WHERE cvm = ? AND vm_port = 0", "i", cvm);
	int r = gone;

	if (r >= 0)
		r = sql_run(db, e,
			    "UPDATE ports SET other_vm_port = vm_port WHERE cvm = ? AND "
			    "other_vm_port <> vm_port",
			    "i", cvm);
	if (r < 0)
		return r;
	*ret_gone = gone;
	return 0;
}

/* ------------------------------------------------------------------ devices */

int devices_plan(struct db *db, int64_t cvm, const struct device_row *d, size_t n, struct err *e)
{
	int r = sql_run(db, e, "UPDATE devices SET part = 'now' WHERE cvm = ?", "i", cvm);

	if (r < 0)
		return r;
	r = 1;
	for (size_t i = 0; r > 0 && i < n; i++)
		r = sql_run(db, e,
			    "UPDATE devices SET part = iif(cvm IS NULL, 'other', 'both'), cvm = ?1 "
			    "WHERE address = ?2"
			    " AND present AND (cvm IS NULL OR cvm = ?1)",
			    "is", cvm, d[i].address);
	return r;
}

int devices_settle(struct db *db, int64_t cvm, struct err *e)
{
	int r = sql_run(
		db, e,
		"UPDATE devices SET cvm = NULL, part = 'both' WHERE cvm = ? AND part = 'other'",
		"i", cvm);

	if (r >= 0)
		r = sql_run(db, e,
			    "UPDATE devices SET part = 'both' WHERE cvm = ? AND part = 'now'", "i",
			    cvm);
	return r < 0 ? r : 0;
}

/* ------------------------------------------------------------------ shares of NUMA nodes */

static int64_t beyond(int64_t wanted, int64_t had)
{
	return wanted > had ? wanted - had : 0;
}

static int plan_share(struct db *db, int64_t cvm, const struct cvm_node_row *row, bool holds,
		      struct err *e)
{
	struct cvm_node_row more = { .node = row->node };
	int64_t huge, pinned;
	int r = sql_int(db, e, 0, &huge,
			"SELECT hugepages_mib FROM cvm_nodes WHERE cvm = ? AND node = ?", "ii", cvm,
			(int64_t)row->node);

	if (!r)
		r = sql_int(db, e, 0, &pinned,
			    "SELECT pinned_mib FROM cvm_nodes WHERE cvm = ? AND node = ?", "ii",
			    cvm, (int64_t)row->node);
	if (r)
		return r;
	more.hugepages_mib = beyond(row->hugepages_mib, huge);
	more.pinned_mib = beyond(row->pinned_mib, pinned);
	r = holds ? numa_promise(db, &more, e) : 1;
	if (r <= 0)
		return r;
	r = sql_run(db, e,
		    "INSERT INTO cvm_nodes (cvm, node, hugepages_mib, pinned_mib, "
		    "other_hugepages_mib, other_pinned_mib)"
		    " VALUES (?1, ?2, 0, 0, ?3, ?4) ON CONFLICT (cvm, node) DO UPDATE SET "
		    "other_hugepages_mib = ?3,"
		    " other_pinned_mib = ?4",
		    "iiii", cvm, (int64_t)row->node, row->hugepages_mib, row->pinned_mib);
	return r < 0 ? r : 1;
}

int numa_plan(struct db *db, int64_t cvm, const struct cvm_node_row *rows, size_t n, bool holds,
	      struct err *e)
{
	int r = sql_run(
		db, e,
		"UPDATE cvm_nodes SET other_hugepages_mib = 0, other_pinned_mib = 0 WHERE cvm = ?",
		"i", cvm);

	if (r < 0)
		return r;
	r = 1;
	for (size_t i = 0; r > 0 && i < n; i++)
		r = plan_share(db, cvm, &rows[i], holds, e);
	return r;
}

int numa_settle(struct db *db, int64_t cvm, bool holds, struct err *e)
{
	int r = holds ? sql_run(db, e,
				"UPDATE numa_nodes SET hugepages_promised = hugepages_promised - "
				"a.huge,"
				" pinned_promised = pinned_promised - a.pinned FROM (SELECT node,"
				" max(0, other_hugepages_mib - hugepages_mib) AS huge,"
				" max(0, other_pinned_mib - pinned_mib) AS pinned FROM cvm_nodes "
				"WHERE cvm = ?) a"
				" WHERE a.node = numa_nodes.node",
				"i", cvm)
		      : 0;

	if (r >= 0)
		r = sql_run(db, e,
			    "DELETE FROM cvm_nodes WHERE cvm = ? AND hugepages_mib = 0 AND "
			    "pinned_mib = 0",
			    "i", cvm);
	if (r >= 0)
		r = sql_run(db, e,
			    "UPDATE cvm_nodes SET other_hugepages_mib = hugepages_mib, "
			    "other_pinned_mib = pinned_mib"
			    " WHERE cvm = ?",
			    "i", cvm);
	return r < 0 ? r : 0;
}
