/* SPDX-License-Identifier: Apache-2.0
 * log_folder.h - internal to logs/: file names, boots.json and locks of a log folder. For jobs.
 */
#ifndef TEEPOD_VMM_LOGS_LOG_FOLDER_H
#define TEEPOD_VMM_LOGS_LOG_FOLDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "vmm/logs/log_stream.h"

enum { LOG_BOOTS_KNOWN = 256 };

/* Content of boots.json. */
struct log_boots {
	struct {
		unsigned boot;
		int64_t began_ms;
	} v[LOG_BOOTS_KNOWN]; /* oldest first; the last one is current */
	size_t n;
	char qemu_log[512]; /* "" = qemu.log in the folder */
};

struct log_segment {
	enum log_stream stream;
	unsigned boot, seg;
	uint64_t bytes;
	int64_t written_ms;
};

/* Number of the current boot; 0 before the first. */
unsigned log_boots_current(const struct log_boots *b);

/* Without boots.json the list is empty. */
int log_boots_read(int dirfd, struct log_boots *ret, struct err *e);
int log_boots_write(const char *dir, const struct log_boots *b, struct err *e);

/* All segments, ordered by stream, boot, segment. *ret malloc'd. */
int log_segments(int dirfd, struct log_segment **ret, size_t *ret_n, struct err *e);

enum { LOG_NAME = 64 };
void log_segment_name(enum log_stream s, unsigned boot, unsigned seg, char out[LOG_NAME]);

/* Name of the live file of @s: a name in the folder, or an absolute path. */
const char *log_live_name(const struct log_boots *b, enum log_stream s);

/* True if the result @fd of log_open_file() means that only root may open libvirt's log of QEMU.
 * That log is not rotated here, because libvirt limits its size. */
bool log_is_unreadable(enum log_stream s, int fd);

/* Position of the first byte of @fd in all bytes of its stream. It is an extended attribute of the
 * file, so a rename moves both at once. -1: not recorded, because an earlier release wrote the file
 * or the file system has no attributes. log_start_set() returns 0 or -errno. */
int64_t log_start(int fd);
int log_start_set(int fd, uint64_t start);

/* openat() of a regular file. Follows no links and never blocks. Returns the descriptor or -errno.
 */
int log_open_file(int dirfd, const char *name, int flags);

/* [job] flock(@fd, @how). Waits at most @max_ms, and not beyond the deadline of the job.
 * ERR_TIMEOUT: another process holds the lock. ERR_CANCELLED: the job was cancelled meanwhile. */
int log_lock(int fd, int how, int max_ms, struct err *e);

#endif
