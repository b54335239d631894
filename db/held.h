/* SPDX-License-Identifier: Apache-2.0
 * held.h - SQL text: what the rows hold of each resource.
 */
#ifndef TEEPOD_DB_HELD_H
#define TEEPOD_DB_HELD_H

/* What the rows of CVMs hold: a CVM under change the larger of its two states. Written by
 * capacity_recount(), restated by db_check(). */
#define HELD(SUM)  "SELECT coalesce(sum(" SUM "), 0) FROM cvms c LEFT JOIN changes x ON x.cvm = c.id"
#define VCPUS_HELD HELD("max(c.given_vcpus, coalesce(x.given_vcpus, 0)) * c.holds_cpu")
#define MEMORY_HELD                                                                           \
	HELD("max(c.given_memory_mib, coalesce(x.given_memory_mib, 0)) * c.holds_cpu * (1 - " \
	     "c.hugepages)")
#define DISK_HELD HELD("max(c.disk_gib, coalesce(x.disk_gib, 0))")

/* The same of each NUMA node (node, huge, pinned). */
#define NUMA_HELD                                                                                  \
	"SELECT n.node, coalesce(sum(max(a.hugepages_mib, a.other_hugepages_mib) * c.holds_cpu), " \
	"0) AS huge,"                                                                              \
	" coalesce(sum(max(a.pinned_mib, a.other_pinned_mib) * c.holds_cpu), 0) AS pinned FROM "   \
	"numa_nodes n"                                                                             \
	" LEFT JOIN cvm_nodes a ON a.node = n.node LEFT JOIN cvms c ON c.id = a.cvm GROUP BY "     \
	"n.node"

#endif
