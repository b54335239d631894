/* SPDX-License-Identifier: Apache-2.0
 * logs.h - what a CVM said, kept by boot and bounded by size.
 *
 * @dir is always the CVM's log folder. It holds two streams, each a live file and numbered
 * segments:
 *
 *     serial.log                live serial console, appended to by QEMU
 *     serial.<boot>.<seg>.log   what was rotated away, boots and segments counted from 1
 *     qemu.<boot>.<seg>.log     QEMU's own output; its live file is libvirt's domain log, wherever
 * that is boots.json                boot numbers, when they began, and where libvirt's log is
 *
 * Which boot the live files belong to is said by boots.json alone, never by text a guest could
 * write.
 */
#ifndef TEEPOD_VMM_LOGS_LOGS_H
#define TEEPOD_VMM_LOGS_LOGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"

enum log_stream { LOG_SERIAL, LOG_QEMU, LOG_STREAMS };

struct log_limits {
	uint64_t max_bytes;   /* of a live file before it is rotated; 0 = never. No segment is over
				 twice that */
	unsigned max_backups; /* segments of each stream kept for a boot */
	unsigned keep_boots;  /* boots kept, the current one among them */
};

/* Channel words of the API: "serial"; "stdout" and "stderr", which libvirt keeps as one stream. -1
 * for another. */
int log_stream_from_channel(const char *channel);

/* [job] Before boot number @boot starts: put away what earlier boots wrote, begin a fresh
 * serial.log, forget old boots.
 * @qemu_log: libvirt's log of the domain, NULL for qemu.log in @dir. Calling again for the same
 * boot changes nothing. */
int logs_boot_begin(const char *dir, unsigned boot, const char *qemu_log,
		    const struct log_limits *l, struct err *e);

/* [job] QEMU opens serial.log by itself: let its group @gid through the folder, and into that file
 * to append. */
int logs_open_to(const char *dir, gid_t gid, struct err *e);

/* [job] Rotate live files that are over max_bytes: the copied bytes are taken out of the file,
 * whose writer appends and stays connected. Nothing is lost where the file system can do that (see
 * logs.c). What waits for the lock of a log is left undone when the job is cancelled. */
int logs_rotate(const char *dir, const struct log_limits *l, struct err *e);

struct log_boot {
	unsigned boot;
	bool current;
	int64_t began_ms;   /* 0 = unknown */
	int64_t written_ms; /* last write to either stream */
	uint64_t serial_bytes, qemu_bytes;
};

/* [job] Boots that can be read, newest first. *ret malloc'd. A folder that is not there yet has
 * none. */
int logs_list(const char *dir, struct log_boot **ret, size_t *ret_n, struct err *e);

/* ------------------------------------------------------------------ reading [job]
 * ERR_TIMEOUT when the job's deadline passes or the job is cancelled. */

struct log_reader;

struct log_ask {
	enum log_stream stream;
	unsigned boot; /* 0 = the current one */
	int64_t tail;  /* last lines to begin with; -1 = from the beginning */
	bool follow;   /* wait for more, until the next boot begins */
	bool strip;    /* without escape sequences and control characters */
};

enum log_more {
	LOG_MORE,  /* call again now (no bytes may have come: all of them were stripped) */
	LOG_QUIET, /* following, nothing new: call again later */
	LOG_END,   /* over; log_reader_reason() says why */
};

enum { LOG_SLICE = 64 * 1024, LOG_TAIL_BYTES = 8 * 1024 * 1024 };

/* ERR_NOT_FOUND for a boot that is not kept, ERR_UNSUPPORTED for a log of libvirt that this process
 * may not read. At most LOG_TAIL_BYTES are searched for the tail. */
int log_reader_open(const char *dir, const struct log_ask *ask, struct log_reader **ret,
		    struct err *e);

/* Next bytes in order, at most LOG_SLICE and at most @n (>= 2). Where bytes were removed before
 * they could be read, a line
 * "===== teepod: N bytes skipped: ... =====" stands for them. */
int log_reader_read(struct log_reader *r, char *buf, size_t n, size_t *ret_n,
		    enum log_more *ret_more, struct err *e);

unsigned log_reader_boot(const struct log_reader *r);
/* "" until LOG_END; then "end of log" or "boot 3 began". */
const char *log_reader_reason(const struct log_reader *r);
void log_reader_free(struct log_reader *r);

#endif
