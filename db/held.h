/* SPDX-License-Identifier: Apache-2.0
 * held.h - SQL expressions for what the rows have reserved of each resource.
 *
 * capacity_recount() writes these sums and db_check() compares with them, so both use one text.
 */
#ifndef TEEPOD_DB_HELD_H
#define TEEPOD_DB_HELD_H

/* Sums over all CVMs. A CVM that is being changed counts with the larger of its two states. */
#define HELD(SUM)  "SELECT coalesce(sum(" SUM "), 0) FROM cvms c LEFT JOIN changes x ON x.cvm = c.id"
#define VCPUS_HELD HELD("max(c.given_vcpus, coalesce(x.given_vcpus, 0)) * c.holds_cpu")
#define MEMORY_HELD                                                                           \
	HELD("max(c.given_memory_mib, coalesce(x.given_memory_mib, 0)) * c.holds_cpu * (1 - " \
	     "c.hugepages)")
#define DISK_HELD HELD("max(c.disk_gib, coalesce(x.disk_gib, 0))")

/* The same for each NUMA node: columns node, huge, pinned. In MiB. */
#define NUMA_HELD                                                                                  \
	"SELECT n.node, coalesce(sum(max(a.hugepages_mib, a.other_hugepages_mib) * c.holds_cpu), " \
	"0) AS huge,"                                                                              \
	" coalesce(sum(max(a.pinned_mib, a.other_pinned_mib) * c.holds_cpu), 0) AS pinned FROM "   \
	"numa_nodes n"                                                                             \
	" LEFT JOIN cvm_nodes a ON a.node = n.node LEFT JOIN cvms c ON c.id = a.cvm GROUP BY "     \
	"n.node"

#endif
