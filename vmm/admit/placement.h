/* SPDX-License-Identifier: Apache-2.0
 * placement.h - the NUMA nodes of the host on which a CVM runs, and its share of each. Pure.
 *
 * With hugepages the guest sees the result as its own NUMA topology, and the firmware tables that
 * describe it are measured. So the nodes are chosen once, at admission, and kept in
 * cvms.numa_nodes; vCPUs and memory of the guest follow from them alone.
 *
 * Rules (those of dstack-vmm, made deterministic; a CVM never gets less than it requested):
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
	/* If two sockets number their CPUs alternately, the list names each CPU: 512 CPUs take
	 * 1,938 bytes. */
	PLACEMENT_CPUSET = 2048,
};

struct placement {
	unsigned vcpus; /* given */
	uint64_t memory_mib;
	/* Without hugepages (page_kib 0) one implicit cell: the guest has no NUMA topology, its
	 * memory may be on any node. With hugepages one cell per node, ascending by host_node. */
	unsigned n_cells;
	struct {
		unsigned host_node;
		uint64_t memory_mib;
		unsigned first_cpu, cpus; /* vCPUs of the guest */
	} cell[PLACEMENT_NODES];
	char cpuset[PLACEMENT_CPUSET]; /* host CPUs, in the kernel's list form; "" = not pinned */
	uint64_t page_kib;             /* size of its hugepages; 0 = ordinary memory */
	char numa_nodes[NODES_TEXT];   /* "0,1", for cvms.numa_nodes; "" = not bound to a node */
};

struct placement_request {
	unsigned vcpus;
	uint64_t memory_mib;
	bool hugepages, pin_numa;
	const struct numa_row *nodes; /* of the host */
	size_t n_nodes;
	const struct device_row *devices; /* attached devices; only GPUs count */
	size_t n_devices;
};

/* Choose a placement. Does not check that the memory is free. ERR_UNAVAILABLE: the host's nodes are
 * not known yet. ERR_UNSUPPORTED: the host has no hugepages. ERR_INCOMPATIBLE: too many nodes, or
 * the memory cannot be divided evenly among them. Each error names its field. */
int placement_choose(const struct placement_request *a, struct placement *ret, struct err *e);

/* The placement of a CVM whose nodes were chosen before, from its row (numa_nodes, requested vCPUs
 * and memory). ERR_HOST if the host no longer has one of the nodes. */
int placement_of(const struct cvm_row *c, const struct numa_row *nodes, size_t n_nodes,
		 struct placement *ret, struct err *e);

/* The share of each node: hugepages, or ordinary memory of a pinned CVM. Returns the number of
 * rows.
 */
size_t placement_shares(const struct placement *p, struct cvm_node_row ret[PLACEMENT_NODES]);

/* Hugepages of a node that can still be reserved, MiB. */
int64_t numa_free_hugepages(const struct numa_row *n);

#endif
