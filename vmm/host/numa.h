/* SPDX-License-Identifier: Apache-2.0
 * numa.h - the host's NUMA nodes: their CPUs, memory and reserved huge pages.
 *
 * Facts only, as of the moment of reading; reservations are made in admit/.
 * Source: Documentation/ABI/stable/sysfs-devices-node and admin-guide/mm/hugetlbpage.rst of the
 * Linux kernel. libnuma reports the same, but only for the machine it runs on.
 */
#ifndef TEEPOD_VMM_HOST_NUMA_H
#define TEEPOD_VMM_HOST_NUMA_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

enum { NUMA_PAGE_SIZES = 4 }; /* x86-64 has two: 2 MiB and 1 GiB */

struct numa_pages {
	uint64_t size_kib;    /* of one page */
	uint64_t total, free; /* pages of that size in the node's pool */
};

struct numa_node {
	unsigned id;
	char *cpulist; /* as the kernel writes it: "0-31,64-95"; "" for a node of memory only */
	unsigned cpus; /* number of CPUs in the list */
	uint64_t memory_mib;
	struct numa_pages pages[NUMA_PAGE_SIZES]; /* ascending by size */
	size_t n_pages;
};

struct numa_host {
	struct numa_node *node; /* ascending by id, at least one */
	size_t n;
};

/* Read /sys/devices/system/node below @root ("" for the machine itself). A kernel without NUMA has
 * one node, 0, with all CPUs and memory. ERR_HOST names the file that is missing or malformed. Free
 * with numa_free(). Blocks, but only on kernel files. */
int numa_read(const char *root, struct numa_host *ret, struct err *e);

void numa_free(struct numa_host *h);

#define auto_numa __attribute__((cleanup(numa_free)))

/* The node with that id, or NULL. */
const struct numa_node *numa_find(const struct numa_host *h, unsigned id);

/* The node's pool of pages of that size, or NULL. */
const struct numa_pages *numa_pages(const struct numa_node *n, uint64_t size_kib);

#endif
