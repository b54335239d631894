/* SPDX-License-Identifier: Apache-2.0
 * capacity.h - capacity of the node: totals and reservations. The rules for all row functions:
 * db.h.
 */
#ifndef TEEPOD_DB_CAPACITY_H
#define TEEPOD_DB_CAPACITY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "db/db.h"

struct capacity_row {
	char resource[16]; /* "vcpus", "memory_mib", "disk_gib", "slots", "cids", "host_ports",
			      "tdx_keyids", "gpus" */
	int64_t total, promised; /* total -1: not configured */
};

int capacity_set_total(struct db *db, const char *resource, int64_t total, struct err *e);
int capacity_get(struct db *db, const char *resource, struct capacity_row *ret, struct err *e);
/* Reserve @amount if reserved + amount <= total. 1: reserved; 0: not enough is free. */
int capacity_reserve_amount(struct db *db, const char *resource, int64_t amount, struct err *e);
/* Reserve @amount of a resource whose total is unknown: without a limit. */
int capacity_add_reserved(struct db *db, const char *resource, int64_t amount, struct err *e);
/* Release @amount of an earlier reservation. */
int capacity_release_amount(struct db *db, const char *resource, int64_t amount, struct err *e);
/* Recompute all reservations from the rows, those of NUMA nodes too. Called at start-up.
 * *ret_changed: a stored value was wrong. */
int capacity_recount(struct db *db, bool *ret_changed, struct err *e);

#endif
