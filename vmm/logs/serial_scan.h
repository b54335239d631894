/* SPDX-License-Identifier: Apache-2.0
 * serial_scan.h - finds boot progress in what a guest writes to its serial console.
 *
 * Only for images whose metadata.json has serial_progress. The guest writes lines
 * "boot.progress: TEXT", "boot.error: TEXT" and "shutdown.progress: TEXT".
 */
#ifndef TEEPOD_VMM_LOGS_SERIAL_SCAN_H
#define TEEPOD_VMM_LOGS_SERIAL_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "vmm/logs/ansi.h"

enum serial_kind {
	SERIAL_FIRST_BYTE,
	SERIAL_BOOT_PROGRESS,
	SERIAL_BOOT_ERROR,
	SERIAL_SHUTDOWN_PROGRESS,
	SERIAL_KINDS
};

enum { SERIAL_TEXT = 121, SERIAL_LINE_MAX = 4096, SERIAL_HEAD = 256 };

/* @text: printable UTF-8, at most 120 bytes; "" with SERIAL_FIRST_BYTE. */
typedef void (*serial_fn)(void *arg, enum serial_kind kind, const char *text);

/* Zero-initialise at every boot. Used by one thread at a time. */
struct serial_scan {
	struct ansi ansi;
	bool spoke;
	char head[SERIAL_HEAD]; /* first bytes of the current line */
	size_t len;             /* length of that line, may be more than head holds */
	char text[SERIAL_KINDS][SERIAL_TEXT];
	bool reported[SERIAL_KINDS], changed[SERIAL_KINDS];
	dev_t dev;
	ino_t ino;
	uint64_t at;
	int64_t start; /* position of the first byte of the file; -1 = not recorded */
};

/* Process the next @n bytes of the console. Of each kind only the last line is reported, and only
 * if its text is new: a guest that writes a million of them causes one call. */
void serial_scan_feed(struct serial_scan *s, const char *data, size_t n, serial_fn fn, void *arg);

/* [job] Process at most 64 KiB of what is new in <@dir>/serial.log. *ret_more: there is more. It is
 * no error if the file does not exist yet. */
int serial_scan_file(struct serial_scan *s, const char *dir, serial_fn fn, void *arg,
		     bool *ret_more, struct err *e);

#endif
