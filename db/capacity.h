/* SPDX-License-Identifier: Apache-2.0
 * capacity.h - capacity of the node: totals and reservations. For the common rules of these
 * functions see db.h.
 */
#ifndef TEEPOD_DB_CAPACITY_H
#define TEEPOD_DB_CAPACITY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/id.h"
#include "db/db.h"

struct capacity_row {
	char resource[16]; /* "vcpus", "memory_mib", "disk_gib", "slots", "cids", "host_ports",
			      "tdx_keyids", "gpus" */
	int64_t total, promised; /* total -1: not configured */
};

int capacity_set_total(struct db *db, const char *resource, int64_t total, struct err *e);
int capacity_get(struct db *db, const char *resource, struct capacity_row *ret, struct err *e);
/* Promise @amount if promised + amount <= total: 1 done, 0 not enough. */
int capacity_reserve_amount(struct db *db, const char *resource, int64_t amount, struct err *e);
/* Promise @amount whatever the total: of a resource whose total is not known. */
int capacity_add_reserved(struct db *db, const char *resource, int64_t amount, struct err *e);
int capacity_release_amount(struct db *db, const char *resource, int64_t amount, struct err *e);
/* Set promised from the rows (start-up), of NUMA nodes too; *ret_changed says whether it differed.
 */
int capacity_recount(struct db *db, bool *ret_changed, struct err *e);

#endif
