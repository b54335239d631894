/* SPDX-License-Identifier: Apache-2.0
 * kernel_file.h - small files of /proc, /sys and /dev, below a root.
 *
 * @root is put before the path: "" for the machine itself, a folder for trees made up by tests. All
 * of it is blocking, but only on kernel files. "Not there" and "not readable" are both no answer:
 * who asks goes on with what is left.
 */
#ifndef TEEPOD_VMM_HOST_KERNEL_FILE_H
#define TEEPOD_VMM_HOST_KERNEL_FILE_H

#include <stdbool.h>
#include <stdint.h>

#include "vmm/logs/serial_scan.h"

/* Content of @root@path without white space at its end, malloc'd; NULL if it cannot be read or is
 * over 4 MiB (/proc/cpuinfo takes 1.5 KiB for each CPU). */
char *kernel_text(const char *root, const char *path);

/* The decimal number the file consists of. False, *ret untouched, if it is anything else. */
bool kernel_number(const char *root, const char *path, uint64_t *ret);

/* By stat(2): a control group that closes a device (DevicePolicy= of the unit) lets access(2) fail
 * for it, even with F_OK. */
bool kernel_exists(const char *root, const char *path);

/* What stands behind "NAME:" or "NAME  :" at the start of a line of @text, as in /proc/cpuinfo and
 * /proc/meminfo; up to the end of
 * @text, not of the line. NULL if no line starts so, or @text is NULL. */
const char *kernel_line(const char *text, const char *name);

/* A list of ranges as the kernel writes them ("0-3,8"; "" is none) calls @fn for each range, in its
 * order. False if @list is anything else, up to a bound of 65,535; @fn may be NULL. */
bool kernel_ranges(const char *list, void (*fn)(void *arg, unsigned from, unsigned to), void *arg);

#endif
