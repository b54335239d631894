/* SPDX-License-Identifier: Apache-2.0
 * host_measure.h - CPUs, memory and disk space that this process may use.
 */
#ifndef TEEPOD_VMM_HOST_HOST_MEASURE_H
#define TEEPOD_VMM_HOST_HOST_MEASURE_H

#include <stdint.h>

#include "base/err.h"

struct host_measure {
	uint32_t cpus; /* online, allowed for this process, and within its cgroup's quota (rounded
			  up) */
	uint64_t memory_mib; /* of the machine without hugepages, or the lowest limit of its cgroups
			      */
	uint64_t disk_free_bytes; /* available on the file system of @dir */
	uint64_t disk_total_bytes;
};

/* Measure what guests of this process may use, and the file system @dir is on. @root is a
 * prefix of /proc and /sys: "" for the machine itself. Blocks, but only on kernel files. */
int host_measure(const char *root, const char *dir, struct host_measure *ret, struct err *e);

/* [job] Bytes allocated on disk by everything under @dir, on its file system. Free space plus
 * these bytes is what can be reserved in all. 0 if @dir is missing. */
int host_used_bytes(const char *dir, uint64_t *ret, struct err *e);

#endif
