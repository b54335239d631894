/* SPDX-License-Identifier: Apache-2.0
 * logs.h - the logs of a CVM: stored by boot, bounded by size.
 *
 * @dir is always the log folder of a CVM. It holds two streams, each a live file and numbered
 * segments:
 *
 *	serial.log		    the live serial console, appended to by QEMU
 *	serial.<boot>.<seg>.log	    rotated parts of it; boots and segments are counted from 1
 *	qemu.<boot>.<seg>.log	    QEMU's own output; its live file is libvirt's domain log
 *	boots.json		    numbers and start times of boots, and the path of libvirt's log
 *
 * Only boots.json says which boot the live files belong to: the guest could write any text.
 *
 * Reading: log_reader.h.
 */
#ifndef TEEPOD_VMM_LOGS_LOGS_H
#define TEEPOD_VMM_LOGS_LOGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"

struct log_limits {
	/* Size of a live file from which it is rotated; 0 = never. No segment is larger than twice
	 * that. */
	uint64_t max_bytes;
	unsigned max_backups; /* segments that are kept of each stream and boot */
	unsigned keep_boots;  /* boots that are kept, including the current one */
};

/* [job] Call before boot number @boot starts. Moves the live files of the previous boot to
 * segments, creates a new serial.log, and removes old boots. @qemu_log: libvirt's log of the
 * domain; NULL: qemu.log in @dir. A second call for the same boot changes nothing. */
int logs_boot_begin(const char *dir, unsigned boot, const char *qemu_log,
		    const struct log_limits *l, struct err *e);

/* [job] QEMU opens serial.log itself: let its group @gid enter the folder and write to the file. */
int logs_open_to(const char *dir, gid_t gid, struct err *e);

/* [job] Rotate live files that are larger than max_bytes: copy bytes to a segment and remove them
 * from the front of the file, which its writer keeps open. No byte is lost if the file system can
 * collapse a range: see logs.c. If the job is cancelled while a log is locked by others, that log
 * is not rotated. */
int logs_rotate(const char *dir, const struct log_limits *l, struct err *e);

struct log_boot {
	unsigned boot;
	bool current;
	int64_t began_ms;   /* 0 = unknown */
	int64_t written_ms; /* last write to one of the streams */
	uint64_t serial_bytes, qemu_bytes;
};

/* [job] List the boots that can be read, newest first. *ret is malloc'd. No folder: no boots. */
int logs_list(const char *dir, struct log_boot **ret, size_t *ret_n, struct err *e);

#endif
