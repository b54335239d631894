/* SPDX-License-Identifier: Apache-2.0
 * ledger.h - rows of billing: meters, ledger, billing clock. The rules for all row functions: db.h.
 *
 * A meter is the open interval of one CVM. Closing it appends a row to the ledger. Rows of the
 * ledger never change (triggers refuse it). The balance of a workspace is the sum of its ledger,
 * maintained by a trigger in the same transaction; open intervals are not part of it.
 */
#ifndef TEEPOD_DB_LEDGER_H
#define TEEPOD_DB_LEDGER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/id.h"
#include "db/text.h"

struct db;
struct err;

/* What the price of a CVM depends on. */
struct cvm_size {
	int64_t id, workspace, vcpus, memory_mib, disk_gib, gpus;
	bool up, wanted; /* observed running or paused; desired running */
	char uuid[UUID_TEXT], name[NAME_TEXT];
};
/* CVMs of @workspace (0 = all), ordered by id; only CVM @id unless it is 0. */
int cvms_sizes(struct db *db, int64_t workspace, int64_t id, struct cvm_size **ret, size_t *n,
	       struct err *e);

/* One row: metered time at the last checkpoint. now_ms 0: no checkpoint yet. */
struct meter_clock {
	int64_t now_ms, boot_ms;
	char boot_id[UUID_TEXT];
};
int billing_clock_get(struct db *db, struct meter_clock *ret, struct err *e);
int billing_clock_put(struct db *db, const struct meter_clock *c, struct err *e);

struct meter_row {
	int64_t cvm, workspace, from_ms;
	int64_t rate; /* micro-units per hour */
	int64_t rest; /* remainder of earlier intervals: see meter_charge() */
	char cvm_uuid[UUID_TEXT], cvm_name[NAME_TEXT];
};
int meters_get(struct db *db, int64_t cvm, struct meter_row *ret, struct err *e);
int meters_put(struct db *db, const struct meter_row *row, struct err *e);
int meters_remove(struct db *db, int64_t cvm, struct err *e);
/* Meters of @workspace (0 = all). */
int meters_list(struct db *db, int64_t workspace, struct meter_row **ret, size_t *n, struct err *e);

struct ledger_row {
	int64_t id, workspace;
	bool credit;
	int64_t amount;  /* micro-units: charges are negative */
	int64_t balance; /* after this row */
	int64_t at_ms;   /* wall clock when it was written */
	/* charges: */
	int64_t from_ms, to_ms, rate; /* metered time */
	char cvm_uuid[UUID_TEXT], cvm_name[NAME_TEXT];
	/* credits: */
	char caller[WHO_TEXT], note[201];
};
/* Append. Fills @row->id and @row->balance. */
int ledger_add(struct db *db, struct ledger_row *row, struct err *e);
/* Newest first. */
int ledger_list(struct db *db, int64_t workspace, int64_t offset, int64_t limit,
		struct ledger_row **ret, size_t *n, int64_t *ret_total, struct err *e);

#endif
