/* SPDX-License-Identifier: Apache-2.0
 * numa.h - rows of NUMA nodes and their hugepages. For the common rules of these functions see
 * db.h.
 */
#ifndef TEEPOD_DB_NUMA_H
#define TEEPOD_DB_NUMA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/id.h"
#include "db/db.h"

struct numa_row {
	unsigned node;
	char cpus[1024]; /* as the kernel lists them: "0-31,64-95" */
	int64_t vcpus, memory_mib;
	int64_t page_kib;      /* the host's default hugepage */
	int64_t hugepages_mib; /* set aside, of that size */
	int64_t foreign_mib;   /* of these in use by others than our CVMs, at the last look */
	bool present;
	int64_t hugepages_promised, pinned_promised; /* MiB */
};

struct cvm_node_row {
	unsigned node;
	int64_t hugepages_mib, pinned_mib; /* one of them is 0 */
};

/* What is there, by discovery; @free_mib of hugepages_mib are free by the kernel's count
 * (foreign_mib follows from it). */
int numa_put(struct db *db, const struct numa_row *row, int64_t free_mib, struct err *e);
int numa_begin(struct db *db, struct err *e);
int numa_end(struct db *db, struct err *e);
int numa_list(struct db *db, struct numa_row **ret, size_t *n, struct err *e);
/* Promise @row to @cvm (whose row is there, and counts while holds_cpu): 1 done, 0 not enough
 * hugepages free. */
int numa_reserve(struct db *db, int64_t cvm, const struct cvm_node_row *row, bool holds,
		 struct err *e);
/* Promise of the node alone, for whoever writes the CVM's row beside it: 1 done, 0 not enough. */
int numa_reserve_on_node(struct db *db, const struct cvm_node_row *row, struct err *e);
/* Promise (@hold) or give back what the CVM's rows say: 1 done, 0 not enough. Rows stay. */
int numa_hold(struct db *db, int64_t cvm, bool hold, struct err *e);
int numa_of(struct db *db, int64_t cvm, struct cvm_node_row **ret, size_t *n, struct err *e);
/* The other state's shares become @rows[n], what they need beyond the present ones is promised if
 * @holds: 1 done, 0 not enough. */
int numa_plan(struct db *db, int64_t cvm, const struct cvm_node_row *rows, size_t n, bool holds,
	      struct err *e);
int numa_settle(struct db *db, int64_t cvm, bool holds, struct err *e);

#endif
