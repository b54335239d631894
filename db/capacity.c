/* SPDX-License-Identifier: Apache-2.0
 * capacity.c - capacity of the node: totals and reservations.
 */
#include "base/array.h"
#include "db/capacity.h"
#include "db/held.h"
#include "db/sql.h"

int capacity_set_total(struct db *db, const char *resource, int64_t total, struct err *e)
{
	return sql_exec(db, e,
			"INSERT INTO capacity (resource, total) VALUES (?1, ?2)"
			" ON CONFLICT (resource) DO UPDATE SET total = ?2",
			"si", resource, total);
}

static void read_capacity(struct db *db, sqlite3_stmt *st, void *row)
{
	struct capacity_row *c = row;

	(void)db;
	*c = (struct capacity_row){ .total = sqlite3_column_int64(st, 1),
				    .promised = sqlite3_column_int64(st, 2) };
	sql_text(st, 0, c->resource, sizeof(c->resource));
}

int capacity_get(struct db *db, const char *resource, struct capacity_row *ret, struct err *e)
{
	sqlite3_stmt *st = sql_query(
		db, e, "SELECT resource, total, promised FROM capacity WHERE resource = ?", "s",
		resource);

	return sql_row(db, st, read_capacity, ret, e);
}

int capacity_reserve_amount(struct db *db, const char *resource, int64_t amount, struct err *e)
{
	return sql_run(db, e,
		       "UPDATE capacity SET promised = promised + ?1 WHERE resource = ?2 AND "
		       "promised + ?1 <= total",
		       "is", amount, resource);
}

int capacity_add_reserved(struct db *db, const char *resource, int64_t amount, struct err *e)
{
	return sql_exec(db, e, "UPDATE capacity SET promised = promised + ?1 WHERE resource = ?2",
			"is", amount, resource);
}

int capacity_release_amount(struct db *db, const char *resource, int64_t amount, struct err *e)
{
	return sql_exec(db, e, "UPDATE capacity SET promised = promised - ?1 WHERE resource = ?2",
			"is", amount, resource);
}

int capacity_recount(struct db *db, bool *ret_changed, struct err *e)
{
	static const char *const sql[] = {
		"UPDATE capacity SET promised = (" VCPUS_HELD
		") WHERE resource = 'vcpus' AND promised <> (" VCPUS_HELD ")",
		"UPDATE capacity SET promised = (" MEMORY_HELD
		") WHERE resource = 'memory_mib' AND promised <> (" MEMORY_HELD ")",
		"UPDATE capacity SET promised = (" DISK_HELD
		") WHERE resource = 'disk_gib' AND promised <> (" DISK_HELD ")",
		"UPDATE capacity SET promised = (SELECT count(*) FROM cvms) WHERE resource IN "
		"('slots', 'cids')"
		" AND promised <> (SELECT count(*) FROM cvms)",
		"UPDATE capacity SET promised = (SELECT count(*) FROM ports) WHERE resource = "
		"'host_ports'"
		" AND promised <> (SELECT count(*) FROM ports)",
		"UPDATE capacity SET promised = (SELECT coalesce(sum(tdx * holds_cpu), 0) FROM "
		"cvms) WHERE resource = 'tdx_keyids'"
		" AND promised <> (SELECT coalesce(sum(tdx * holds_cpu), 0) FROM cvms)",
		"UPDATE numa_nodes SET hugepages_promised = h.huge, pinned_promised = h.pinned "
		"FROM (" NUMA_HELD ") h"
		" WHERE h.node = numa_nodes.node AND (hugepages_promised <> h.huge OR "
		"pinned_promised <> h.pinned)",
	};
	bool changed = false;

	for (size_t i = 0; i < ARRAY_SIZE(sql); i++) {
		int r = sql_run(db, e, sql[i], "");

		if (r < 0)
			return r;
		changed |= r > 0;
	}
	*ret_changed = changed;
	return 0;
}
