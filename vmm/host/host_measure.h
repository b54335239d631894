/* SPDX-License-Identifier: Apache-2.0
 * host_measure.h - how much machine there is: processors, memory, disk.
 */
#ifndef TEEPOD_VMM_HOST_HOST_MEASURE_H
#define TEEPOD_VMM_HOST_HOST_MEASURE_H

#include <stdint.h>

#include "base/err.h"

struct host_measure {
	uint32_t cpus; /* online, allowed to us, and paid for by our cgroup's quota (rounded up) */
	uint64_t memory_mib; /* of the machine without hugepages, or of the tightest cgroup around
				us */
	uint64_t disk_free_bytes; /* left to us on the file system of the folder asked for */
	uint64_t disk_total_bytes;
};

/* Measure what guests of this process may use, and the file system @dir is on. @root is put before
 * /proc and /sys: "" for the machine itself. Blocking, but only on kernel files. */
int host_measure(const char *root, const char *dir, struct host_measure *ret, struct err *e);

/* [job] Bytes allocated on disk by everything under @dir, on its file system. Free space plus what
 * our own disks already take is what may be promised in all. A missing @dir holds 0. */
int host_used_bytes(const char *dir, uint64_t *ret, struct err *e);

#endif
