/* SPDX-License-Identifier: Apache-2.0
 * log_reader.h - reads one stream of a CVM's logs, by boot, and follows it across rotations.
 *
 * All functions are for jobs. ERR_TIMEOUT if the deadline of the job passes, or if it is cancelled.
 */
#ifndef TEEPOD_VMM_LOGS_LOG_READER_H
#define TEEPOD_VMM_LOGS_LOG_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "vmm/logs/log_stream.h"

struct log_reader;

struct log_request {
	enum log_stream stream;
	unsigned boot; /* 0 = the current one */
	int64_t tail;  /* start with that many last lines; -1 = from the beginning */
	bool follow;   /* wait for more until the next boot begins */
	bool strip;    /* remove escape sequences and control characters */
};

enum log_more {
	LOG_MORE,  /* call again now; perhaps there were no bytes because all were stripped */
	LOG_QUIET, /* following, and no new bytes: call again later */
	LOG_END,   /* the end; see log_reader_reason() */
};

enum {
	LOG_SLICE = 64 * 1024,            /* bytes of one read at most */
	LOG_TAIL_BYTES = 8 * 1024 * 1024, /* bytes that are searched for the tail at most */
};

/* @dir: log folder of the CVM. ERR_NOT_FOUND: no such boot is stored. ERR_UNSUPPORTED: this process
 * may not read the log of libvirt. */
int log_reader_open(const char *dir, const struct log_request *request, struct log_reader **ret,
		    struct err *e);

/* Read the next bytes, in order: at most LOG_SLICE and at most @n, which is 2 or more. A line
 * "===== teepod: N bytes skipped: ... =====" replaces bytes that were removed before they could be
 * read. */
int log_reader_read(struct log_reader *r, char *buf, size_t n, size_t *ret_n,
		    enum log_more *ret_more, struct err *e);

/* The boot that is read. */
unsigned log_reader_boot(const struct log_reader *r);
/* "" before LOG_END, then "end of log" or "boot 3 began". */
const char *log_reader_reason(const struct log_reader *r);
/* @r may be NULL. */
void log_reader_free(struct log_reader *r);

#endif
