/* SPDX-License-Identifier: Apache-2.0
 * ports.c - rows of port forwards, and which host ports and CIDs are in use.
 */
#include "db/ports.h"
#include "db/sql.h"
#include "db/text.h"

int ports_add(struct db *db, int64_t cvm, const struct port_row *p, struct err *e)
{
	return sql_exec(
		db, e,
		"INSERT INTO ports (protocol, host_address, host_port, vm_port, other_vm_port, cvm)"
		" VALUES (?1, ?2, ?3, ?4, ?4, ?5)",
		"ssddi", p->udp ? "udp" : "tcp", p->host_address, (int)p->host_port,
		(int)p->vm_port, cvm);
}

static void read_port(struct db *db, sqlite3_stmt *st, void *row)
{
	struct port_row *p = row;

	*p = (struct port_row){ .host_port = (uint16_t)sql_range(db, st, 0, 1, UINT16_MAX),
				.udp = sqlite3_column_int(st, 2),
				.vm_port = (uint16_t)sql_range(db, st, 3, 1, UINT16_MAX) };
	sql_text(st, 1, p->host_address, sizeof(p->host_address));
}

int ports_of(struct db *db, int64_t cvm, struct port_row **ret, size_t *n, struct err *e)
{
	return sql_rows(
		db,
		sql_query(
			db, e,
			"SELECT host_port, host_address, protocol = 'udp', vm_port FROM ports"
			" WHERE cvm = ? AND vm_port > 0 ORDER BY protocol, host_port, host_address",
			"i", cvm),
		read_port, ret, n, e);
}

int ports_other(struct db *db, int64_t cvm, struct port_row **ret, size_t *n, struct err *e)
{
	return sql_rows(
		db,
		sql_query(
			db, e,
			"SELECT host_port, host_address, protocol = 'udp', other_vm_port FROM ports"
			" WHERE cvm = ? AND other_vm_port > 0 ORDER BY protocol, host_port, "
			"host_address",
			"i", cvm),
		read_port, ret, n, e);
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
	int r = sql_next(db, st, e);

	if (r <= 0)
		return r;
	sql_text(st, 0, ret_name, NAME_TEXT);
	r = sql_done(db, st, e);
	return r ? r : 1;
}

int ports_first_free(struct db *db, int64_t but, bool udp, const char *address, uint16_t from,
		     uint16_t to, uint16_t *ret, struct err *e)
{
	/* One walk along the index, no matter how many ports in a row are in use. */
	sqlite3_stmt *st =
		sql_query(db, e,
			  "SELECT host_port FROM ports WHERE protocol = ?1 AND host_port BETWEEN "
			  "?2 AND ?3 AND"
			  " (host_address = ?4 OR host_address IN ('0.0.0.0', '::') OR ?4 IN "
			  "('0.0.0.0', '::'))"
			  " AND cvm <> ?5 ORDER BY host_port",
			  "sddsi", udp ? "udp" : "tcp", (int)from, (int)to, address, but);
	int64_t port = from;
	int r = sql_next(db, st, e);

	/* A port that is used on several addresses appears more than once. */
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

int cids_in_use(struct db *db, uint32_t cid, struct err *e)
{
	int64_t n;
	int r = sql_int(db, e, 0, &n, "SELECT count(*) FROM cvms WHERE cid = ?", "i", (int64_t)cid);

	return r ? r : (int)n;
}

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
		 : err_set(e, ERR_HOST, "host port %u was reserved for another CVM in the meantime",
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
