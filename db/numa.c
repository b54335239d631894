/* SPDX-License-Identifier: Apache-2.0
 * numa.c - rows of the host's NUMA nodes, and of their memory reserved for CVMs.
 *
 * The reserved memory of a node always equals the sum of cvm_nodes over the CVMs with holds_cpu:
 * the transaction that changes the CVM's row must change the reservation, too (db_check() compares
 * them). Hugepages have a limit. Pinned memory in ordinary pages is only counted, so that placement
 * can prefer other nodes.
 */
#include <stdlib.h>

#include "base/own.h"
#include "db/numa.h"
#include "db/sql.h"

int numa_begin(struct db *db, struct err *e)
{
	return sql_exec(db, e,
			"UPDATE numa_nodes SET present = 0, hugepages_mib = 0, foreign_mib = 0 "
			"WHERE present",
			"");
}

/* Hugepages that are neither free nor reserved for a CVM that runs or has a running operation
 * belong to other programs. */
int numa_put(struct db *db, const struct numa_row *n, int64_t free_mib, struct err *e)
{
	return sql_exec(
		db, e,
		"INSERT INTO numa_nodes (node, cpus, vcpus, memory_mib, page_kib, hugepages_mib, "
		"foreign_mib, present)"
		" VALUES (?1, ?2, ?3, ?4, ?5, ?6, max(0, ?6 - ?7 - (SELECT "
		"coalesce(sum(a.hugepages_mib), 0)"
		" FROM cvm_nodes a JOIN cvms c ON c.id = a.cvm WHERE a.node = ?1 AND (c.observed "
		"IN ('running', 'paused')"
		" OR EXISTS (SELECT 1 FROM operations o WHERE o.cvm = c.id AND o.state = "
		"'running')))), 1)"
		" ON CONFLICT (node) DO UPDATE SET cpus = excluded.cpus, vcpus = excluded.vcpus,"
		" memory_mib = excluded.memory_mib, page_kib = excluded.page_kib, hugepages_mib = "
		"excluded.hugepages_mib,"
		" foreign_mib = excluded.foreign_mib, present = 1",
		"isiiiii", (int64_t)n->node, n->cpus, n->vcpus, n->memory_mib, n->page_kib,
		n->hugepages_mib, free_mib);
}

int numa_end(struct db *db, struct err *e)
{
	return sql_exec(
		db, e,
		"DELETE FROM numa_nodes WHERE NOT present AND NOT EXISTS (SELECT 1 FROM cvm_nodes a"
		" WHERE a.node = numa_nodes.node)",
		"");
}

static void read_numa_row(struct db *db, sqlite3_stmt *st, void *row)
{
	struct numa_row *n = row;

	*n = (struct numa_row){
		.node = (unsigned)sql_range(db, st, 0, 0, INT32_MAX),
		.vcpus = sqlite3_column_int64(st, 2),
		.memory_mib = sqlite3_column_int64(st, 3),
		.page_kib = sqlite3_column_int64(st, 4),
		.hugepages_mib = sqlite3_column_int64(st, 5),
		.foreign_mib = sqlite3_column_int64(st, 6),
		.present = sqlite3_column_int(st, 7),
		.hugepages_promised = sqlite3_column_int64(st, 8),
		.pinned_promised = sqlite3_column_int64(st, 9),
	};
	sql_text(st, 1, n->cpus, sizeof(n->cpus));
}

int numa_list(struct db *db, struct numa_row **ret, size_t *n, struct err *e)
{
	sqlite3_stmt *st =
		sql_query(db, e,
			  "SELECT node, cpus, vcpus, memory_mib, page_kib, hugepages_mib, "
			  "foreign_mib, present,"
			  " hugepages_promised, pinned_promised FROM numa_nodes ORDER BY node",
			  "");

	return sql_rows(db, st, read_numa_row, ret, n, e);
}

static void read_cvm_node_row(struct db *db, sqlite3_stmt *st, void *row)
{
	struct cvm_node_row *s = row;

	*s = (struct cvm_node_row){ .node = (unsigned)sql_range(db, st, 0, 0, INT32_MAX),
				    .hugepages_mib = sqlite3_column_int64(st, 1),
				    .pinned_mib = sqlite3_column_int64(st, 2) };
}

int numa_of(struct db *db, int64_t cvm, struct cvm_node_row **ret, size_t *n, struct err *e)
{
	sqlite3_stmt *st = sql_query(db, e,
				     "SELECT node, hugepages_mib, pinned_mib FROM cvm_nodes WHERE "
				     "cvm = ? AND (hugepages_mib > 0 OR pinned_mib > 0)"
				     " ORDER BY node",
				     "i", cvm);

	return sql_rows(db, st, read_cvm_node_row, ret, n, e);
}

int numa_reserve_on_node(struct db *db, const struct cvm_node_row *row, struct err *e)
{
	return sql_run(db, e,
		       "UPDATE numa_nodes SET hugepages_promised = hugepages_promised + ?2,"
		       " pinned_promised = pinned_promised + ?3 WHERE node = ?1 AND"
		       " (?2 = 0 OR hugepages_promised + ?2 <= hugepages_mib - foreign_mib)",
		       "iii", (int64_t)row->node, row->hugepages_mib, row->pinned_mib);
}

int numa_reserve(struct db *db, int64_t cvm, const struct cvm_node_row *row, bool holds,
		 struct err *e)
{
	int r = holds ? numa_reserve_on_node(db, row, e) : 1;

	if (r <= 0)
		return r;
	r = sql_run(db, e,
		    "INSERT INTO cvm_nodes (cvm, node, hugepages_mib, pinned_mib, "
		    "other_hugepages_mib, other_pinned_mib)"
		    " VALUES (?1, ?2, ?3, ?4, ?3, ?4)",
		    "iiii", cvm, (int64_t)row->node, row->hugepages_mib, row->pinned_mib);
	return r < 0 ? r : 1;
}

static int release_on_node(struct db *db, const struct cvm_node_row *row, struct err *e)
{
	int r = sql_run(db, e,
			"UPDATE numa_nodes SET hugepages_promised = hugepages_promised - ?2,"
			" pinned_promised = pinned_promised - ?3 WHERE node = ?1",
			"iii", (int64_t)row->node, row->hugepages_mib, row->pinned_mib);

	return r < 0 ? r : 1;
}

int numa_hold(struct db *db, int64_t cvm, bool hold, struct err *e)
{
	auto_free struct cvm_node_row *rows = NULL;
	size_t n = 0;
	int r = numa_of(db, cvm, &rows, &n, e);

	if (r)
		return r;
	r = 1;
	for (size_t i = 0; r > 0 && i < n; i++)
		r = hold ? numa_reserve_on_node(db, &rows[i], e) : release_on_node(db, &rows[i], e);
	return r;
}

static int64_t excess(int64_t wanted, int64_t had)
{
	return wanted > had ? wanted - had : 0;
}

static int plan_on_node(struct db *db, int64_t cvm, const struct cvm_node_row *row, bool holds,
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
	more.hugepages_mib = excess(row->hugepages_mib, huge);
	more.pinned_mib = excess(row->pinned_mib, pinned);
	r = holds ? numa_reserve_on_node(db, &more, e) : 1;
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
		r = plan_on_node(db, cvm, &rows[i], holds, e);
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
