/* SPDX-License-Identifier: Apache-2.0
 * disk.h - the qcow2 disk of a CVM. Every function blocks: call it from a job.
 */
#ifndef TEEPOD_VMM_GUEST_DISK_H
#define TEEPOD_VMM_GUEST_DISK_H

#include <stdint.h>

struct err;

/* Create an empty disk of @gib GiB at @path. Nothing else may be there. */
int disk_create(const char *path, int64_t gib, struct err *e);
/* Check that the disk at @path is a regular qcow2 file of @min_gib to @max_gib GiB. ERR_HOST with
 * the field "disk" if it is missing or is not such a file; ERR_HOST with the field "disk_size" if
 * it is intact but larger. Other errors have no field and say nothing about the disk. */
int disk_check(const char *path, int64_t min_gib, int64_t max_gib, struct err *e);
/* Grow the disk to @gib GiB; nothing if it has that size. No QEMU may have it open. */
int disk_grow(const char *path, int64_t gib, struct err *e);

#endif
