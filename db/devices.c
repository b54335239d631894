/* SPDX-License-Identifier: Apache-2.0
 * devices.c - rows of PCI devices: what discovery found, and for which CVM it is reserved.
 *
 * A device is reserved for at most one CVM: column cvm. It is written by the transaction that
 * writes the CVM's row, and cleared when that row is deleted (ON DELETE SET NULL). Discovery never
 * writes it, and keeps the row of an absent device while it is reserved. Column part says which
 * state of a CVM under change has the device: now, other or both.
 */
#include "db/devices.h"
#include "db/sql.h"

const char *const device_kind_word[DEVICE_KINDS] = {
	[DEVICE_GPU] = "gpu",
	[DEVICE_NVSWITCH] = "nvswitch",
};

#define DEVICE_SELECT                                                                         \
	"SELECT d.address, d.kind, d.product_id, d.description, d.numa_node, d.iommu_group, " \
	"d.driver, d.opened,"                                                                 \
	" d.offered, d.present, d.broken_reason, coalesce(d.cvm, 0), coalesce(c.uuid, ''),"   \
	" coalesce(c.workspace, 0), coalesce(c.observed IN ('running', 'paused'), 0) FROM "   \
	"devices d"                                                                           \
	" LEFT JOIN cvms c ON c.id = d.cvm"

static void read_device_row(struct db *db, sqlite3_stmt *st, void *row)
{
	struct device_row *d = row;

	*d = (struct device_row){
		.kind = (enum device_kind)sql_word(db, st, 1, device_kind_word, DEVICE_KINDS),
		.numa_node = (unsigned)sql_range(db, st, 4, 0, INT32_MAX),
		.iommu_group = sqlite3_column_int(st, 5),
		.opened = sqlite3_column_int(st, 7),
		.offered = sqlite3_column_int(st, 8),
		.present = sqlite3_column_int(st, 9),
		.cvm = sqlite3_column_int64(st, 11),
		.workspace = sqlite3_column_int64(st, 13),
		.cvm_up = sqlite3_column_int(st, 14),
	};
	sql_text(st, 0, d->address, sizeof(d->address));
	sql_text(st, 2, d->product_id, sizeof(d->product_id));
	sql_text(st, 3, d->description, sizeof(d->description));
	sql_text(st, 6, d->driver, sizeof(d->driver));
	sql_text(st, 10, d->broken_reason, sizeof(d->broken_reason));
	sql_text(st, 12, d->cvm_uuid, sizeof(d->cvm_uuid));
}

int devices_begin(struct db *db, struct err *e)
{
	return sql_exec(db, e, "UPDATE devices SET present = 0, opened = 0 WHERE present", "");
}

int devices_put(struct db *db, const struct device_row *d, struct err *e)
{
	return sql_exec(db, e,
			"INSERT INTO devices (address, kind, product_id, description, numa_node, "
			"iommu_group, driver,"
			" opened, offered, present, broken_reason) VALUES (?1, ?2, ?3, ?4, ?5, ?6, "
			"?7, ?8, ?9, ?10, ?11)"
			" ON CONFLICT (address) DO UPDATE SET kind = ?2, product_id = ?3, "
			"description = ?4, numa_node = ?5,"
			" iommu_group = ?6, driver = ?7, opened = ?8 AND cvm IS NULL, offered = "
			"?9, present = ?10,"
			" broken_reason = ?11",
			"ssssddsddds", d->address, device_kind_word[d->kind], d->product_id,
			d->description, (int)d->numa_node, d->iommu_group, d->driver,
			(int)d->opened, (int)d->offered, (int)d->present, d->broken_reason);
}

int devices_end(struct db *db, struct err *e)
{
	return sql_exec(db, e, "DELETE FROM devices WHERE NOT present AND cvm IS NULL", "");
}

int devices_list(struct db *db, struct device_row **ret, size_t *n, struct err *e)
{
	return sql_rows(db, sql_query(db, e, DEVICE_SELECT " ORDER BY d.address", ""),
			read_device_row, ret, n, e);
}

int devices_of(struct db *db, int64_t cvm, struct device_row **ret, size_t *n, struct err *e)
{
	return sql_rows(
		db,
		sql_query(db, e,
			  DEVICE_SELECT
			  " WHERE d.cvm = ? AND d.part <> 'other' ORDER BY d.kind, d.address",
			  "i", cvm),
		read_device_row, ret, n, e);
}

int devices_reserve(struct db *db, const char *address, int64_t cvm, struct err *e)
{
	return sql_run(db, e,
		       "UPDATE devices SET cvm = ?1, part = 'both' WHERE address = ?2 AND cvm IS "
		       "NULL AND present",
		       "is", cvm, address);
}

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
