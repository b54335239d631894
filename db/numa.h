/* SPDX-License-Identifier: Apache-2.0
 * numa.h - rows of NUMA nodes and of the memory reserved on them. The rules for all row functions:
 * db.h.
 */
#ifndef TEEPOD_DB_NUMA_H
#define TEEPOD_DB_NUMA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "db/db.h"

struct numa_row {
	unsigned node;
	char cpus[1024]; /* in the format of the kernel: "0-31,64-95" */
	int64_t vcpus, memory_mib;
	int64_t page_kib;      /* size of the host's default hugepage */
	int64_t hugepages_mib; /* total in hugepages of that size */
	int64_t foreign_mib;   /* part of them used by other programs, at the last discovery */
	bool present;
	int64_t hugepages_promised, pinned_promised; /* MiB */
};

struct cvm_node_row {
	unsigned node;
	int64_t hugepages_mib, pinned_mib; /* one of them is 0 */
};

/* Store what discovery found. @free_mib: MiB of hugepages the kernel reports as free; foreign_mib
 * is computed from it. */
int numa_put(struct db *db, const struct numa_row *row, int64_t free_mib, struct err *e);
/* Call before and after numa_put() of all nodes found, like devices_begin() and devices_end(). */
int numa_begin(struct db *db, struct err *e);
int numa_end(struct db *db, struct err *e);
int numa_list(struct db *db, struct numa_row **ret, size_t *n, struct err *e);
/* Insert @row for @cvm, whose row exists. With @holds (its holds_cpu) also reserve the memory. 1:
 * done; 0: not enough free hugepages. */
int numa_reserve(struct db *db, int64_t cvm, const struct cvm_node_row *row, bool holds,
		 struct err *e);
/* Reserve memory on the node only; the caller writes the CVM's row. 1: reserved; 0: not enough
 * free. */
int numa_reserve_on_node(struct db *db, const struct cvm_node_row *row, struct err *e);
/* Reserve (@hold) or release the memory in the CVM's rows, and keep the rows. 1: done; 0: not
 * enough free. */
int numa_hold(struct db *db, int64_t cvm, bool hold, struct err *e);
/* Memory of @cvm in its present state, by node. */
int numa_of(struct db *db, int64_t cvm, struct cvm_node_row **ret, size_t *n, struct err *e);
/* Set the memory of the second state of @cvm to @rows[n]. With @holds, reserve what it needs beyond
 * the present state. 1: done; 0: not enough free. */
int numa_plan(struct db *db, int64_t cvm, const struct cvm_node_row *rows, size_t n, bool holds,
	      struct err *e);
/* End the change: release what only the second state needed. */
int numa_settle(struct db *db, int64_t cvm, bool holds, struct err *e);

#endif
