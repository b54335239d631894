/* SPDX-License-Identifier: Apache-2.0
 * kernel_file.h - small files of /proc, /sys and /dev, below a root.
 *
 * @root is a prefix of the path: "" for the machine itself, a folder for the trees of tests. All
 * functions block, but only on kernel files. A missing and an unreadable file give the same result;
 * the caller continues without it.
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

/* Uses stat(2): in a control group that denies a device (DevicePolicy= of the unit), access(2)
 * fails for it, even with F_OK. */
bool kernel_exists(const char *root, const char *path);

/* The text after "NAME:" or "NAME  :" at the start of a line of @text, as in /proc/cpuinfo and
 * /proc/meminfo. It extends to the end of @text, not of the line. NULL if no line begins with
 * @name, or @text is NULL. */
const char *kernel_line(const char *text, const char *name);

/* Parse a list of ranges as the kernel writes it ("0-3,8"; "" is empty) and call @fn (may be NULL)
 * for each range, in order. False if @list is malformed or has a number above 65,535. */
bool kernel_ranges(const char *list, void (*fn)(void *arg, unsigned from, unsigned to), void *arg);

#endif
