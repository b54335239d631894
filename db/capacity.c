/* SPDX-License-Identifier: Apache-2.0
 * capacity.c - what is promised, next to the rows it is promised to: host ports, CIDs, amounts.
 */
#include "base/own.h"
#include "db/capacity.h"
#include "db/ports.h"
#include "db/sql.h"
#include "db/text.h"

int ports_add(struct db *db, int64_t cvm, const struct port_row *p, struct err *e)
{
	int r = sql_run(
		db, e,
		"INSERT INTO ports (protocol, host_address, host_port, vm_port, other_vm_port, cvm)"
		" VALUES (?1, ?2, ?3, ?4, ?4, ?5)",
		"ssddi", p->udp ? "udp" : "tcp", p->host_address, (int)p->host_port,
		(int)p->vm_port, cvm);

	return r < 0 ? r : 0;
}

static void read_port(struct db *db, sqlite3_stmt *st, void *row)
{
	struct port_row *p = row;

	*p = (struct port_row){ .host_port = (uint16_t)sql_range(db, st, 0, 1, UINT16_MAX),
				.udp = sqlite3_column_int(st, 2),
				.vm_port = (uint16_t)sql_range(db, st, 3, 1, UINT16_MAX) };
	sql_text(st, 1, p->host_address, sizeof(p->host_address));
}

static int collect_ports(struct db *db, sqlite3_stmt *st, struct port_row **ret, size_t *n,
			 struct err *e)
{
	return sql_all(db, st, read_port, sizeof(**ret), false, ret, n, e);
}

int ports_of(struct db *db, int64_t cvm, struct port_row **ret, size_t *n, struct err *e)
{
	return collect_ports(
		db,
		sql_query(
			db, e,
			"SELECT host_port, host_address, protocol = 'udp', vm_port FROM ports"
			" WHERE cvm = ? AND vm_port > 0 ORDER BY protocol, host_port, host_address",
			"i", cvm),
		ret, n, e);
}

int ports_other(struct db *db, int64_t cvm, struct port_row **ret, size_t *n, struct err *e)
{
	return collect_ports(
		db,
		sql_query(
			db, e,
			"SELECT host_port, host_address, protocol = 'udp', other_vm_port FROM ports"
			" WHERE cvm = ? AND other_vm_port > 0 ORDER BY protocol, host_port, "
			"host_address",
			"i", cvm),
		ret, n, e);
}

int ports_holder(struct db *db, int64_t workspace, int64_t but, bool udp, const char *address,
		 uint16_t port, char ret_name[NAME_TEXT], struct err *e)
{
	sqlite3_stmt *st =
		sql_query(db, e,
			  "SELECT iif(c.workspace = ?4, c.name, '') FROM ports p JOIN cvms c ON "
			  "c.id = p.cvm WHERE p.protocol = ?1"
			  " AND p.host_port = ?2 AND (p.host_address = ?3 OR p.host_address IN "
			  "('0.0.0.0', '::')"
			  " OR ?3 IN ('0.0.0.0', '::')) AND p.cvm <> ?5 LIMIT 1",
			  "sdsii", udp ? "udp" : "tcp", (int)port, address, workspace, but);
	int r = st ? sql_next(db, st, e) : -(int)e->code;

	if (r <= 0)
		return r;
	sql_text(st, 0, ret_name, NAME_TEXT);
	r = sql_done(db, st, e);
	return r ? r : 1;
}

int ports_first_free(struct db *db, int64_t but, bool udp, const char *address, uint16_t from,
		     uint16_t to, uint16_t *ret, struct err *e)
{
	/* One walk along the index, however many in a row are taken. */
	sqlite3_stmt *st =
		sql_query(db, e,
			  "SELECT host_port FROM ports WHERE protocol = ?1 AND host_port BETWEEN "
			  "?2 AND ?3 AND"
			  " (host_address = ?4 OR host_address IN ('0.0.0.0', '::') OR ?4 IN "
			  "('0.0.0.0', '::'))"
			  " AND cvm <> ?5 ORDER BY host_port",
			  "sddsi", udp ? "udp" : "tcp", (int)from, (int)to, address, but);
	int64_t port = from;
	int r = st ? sql_next(db, st, e) : -(int)e->code;

	/* Those of several addresses come more than once. */
	while (r > 0 && sqlite3_column_int64(st, 0) <= port) {
		port = sqlite3_column_int64(st, 0) + 1;
		r = sql_next(db, st, e);
	}
	if (r > 0)
		r = sql_done(db, st, e);
	if (r || port > to)
		return r;
	*ret = (uint16_t)port;
	return 1;
}

int cids_taken(struct db *db, uint32_t cid, struct err *e)
{
	int64_t n;
	int r = sql_int(db, e, 0, &n, "SELECT count(*) FROM cvms WHERE cid = ?", "i", (int64_t)cid);

	return r ? r : (int)n;
}

int capacity_set_total(struct db *db, const char *resource, int64_t total, struct err *e)
{
	int r = sql_run(db, e,
			"INSERT INTO capacity (resource, total) VALUES (?1, ?2)"
			" ON CONFLICT (resource) DO UPDATE SET total = ?2",
			"si", resource, total);

	return r < 0 ? r : 0;
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

	return sql_one(db, st, read_capacity, ret, sizeof(*ret), e);
}

int capacity_take(struct db *db, const char *resource, int64_t amount, struct err *e)
{
	return sql_run(db, e,
		       "UPDATE capacity SET promised = promised + ?1 WHERE resource = ?2 AND "
		       "promised + ?1 <= total",
		       "is", amount, resource);
}

int capacity_add(struct db *db, const char *resource, int64_t amount, struct err *e)
{
	int r = sql_run(db, e, "UPDATE capacity SET promised = promised + ?1 WHERE resource = ?2",
			"is", amount, resource);

	return r < 0 ? r : 0;
}

int capacity_give(struct db *db, const char *resource, int64_t amount, struct err *e)
{
	int r = sql_run(db, e, "UPDATE capacity SET promised = promised - ?1 WHERE resource = ?2",
			"is", amount, resource);

	return r < 0 ? r : 0;
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
