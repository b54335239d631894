/* SPDX-License-Identifier: Apache-2.0
 * placement.h - on which NUMA nodes of the host a CVM runs, and its share of each.
 *
 * Pure: values in, values out. With hugepages the guest sees the result as its own NUMA topology.
 * The firmware tables that follow from it are measured. So the nodes are chosen once, at admission,
 * and kept in cvms.numa_nodes; vCPUs and memory of the guest follow from them alone.
 *
 * Rules (those of dstack-vmm, made deterministic, and never giving less than was requested):
 *
 * - nodes: with hugepages or pin_numa, the nodes of the CVM's GPUs (not of NVSwitches), ascending,
 *   at most PLACEMENT_NODES. Without GPUs, the lowest node with CPUs on which the CVM fits, else
 *   the lowest node with CPUs. With neither option: none.
 *
 * - hugepages: vCPUs are rounded up to a multiple of the number of nodes, memory to a multiple of
 *   that many GiB. Each node gives an equal share, in pages of the host's default size.
 *
 * - pin_numa: the vCPUs run only on the CPUs of these nodes.
 */
#ifndef TEEPOD_VMM_ADMIT_PLACEMENT_H
#define TEEPOD_VMM_ADMIT_PLACEMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "db/numa.h"
#include "db/text.h"

struct cvm_row;
struct device_row;

enum {
	PLACEMENT_NODES = 4,
	/* Two sockets that number their CPUs alternately list each one by itself: 512 of them take
	   1,938 bytes. */
	PLACEMENT_CPUSET = 2048,
};

struct placement {
	unsigned vcpus; /* given */
	uint64_t memory_mib;
	/* Without hugepages one implicit cell: no NUMA topology for the guest, memory from anywhere
	 * (page_kib 0). With hugepages one for each node: guest cell i on host_node, ascending. */
	unsigned n_cells;
	struct {
		unsigned host_node;
		uint64_t memory_mib;
		unsigned first_cpu, cpus; /* vCPUs of the guest */
	} cell[PLACEMENT_NODES];
	char cpuset[PLACEMENT_CPUSET]; /* host CPUs of the pinned, in the kernel's form; "" = not
					  pinned */
	uint64_t page_kib;             /* size of the pages that back it; 0 = ordinary ones */
	char numa_nodes[NODES_TEXT];   /* "0,1": for cvms.numa_nodes; "" = bound to none */
};

struct placement_request {
	unsigned vcpus;
	uint64_t memory_mib;
	bool hugepages, pin_numa;
	const struct numa_row *nodes; /* of the host */
	size_t n_nodes;
	const struct device_row *devices; /* given to it; others than GPUs do not count */
	size_t n_devices;
};

/* Choose. ERR_UNAVAILABLE while the host's nodes are not known, ERR_UNSUPPORTED without hugepages
 * of any size, ERR_INCOMPATIBLE when the nodes are too many or cannot share evenly; each names its
 * field. Whether the memory is free is not asked here. */
int placement_choose(const struct placement_request *a, struct placement *ret, struct err *e);

/* The placement of a CVM whose nodes were chosen before (its row's numa_nodes, vcpus and memory as
 * asked). ERR_HOST when the host has lost one of them. */
int placement_of(const struct cvm_row *c, const struct numa_row *nodes, size_t n_nodes,
		 struct placement *ret, struct err *e);

/* What it takes of each node: hugepages, or ordinary memory of the pinned. Returns how many rows.
 */
size_t placement_shares(const struct placement *p, struct cvm_node_row ret[PLACEMENT_NODES]);

/* Hugepages of a node that can still be promised, MiB. */
int64_t numa_free_hugepages(const struct numa_row *n);

#endif
