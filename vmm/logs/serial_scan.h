/* SPDX-License-Identifier: Apache-2.0
 * serial_scan.h - how far a guest's boot is, from what it writes to its serial console.
 *
 * Only for images whose metadata.json says serial_progress; the lines are "boot.progress: TEXT",
 * "boot.error: TEXT" and "shutdown.progress: TEXT".
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

/* Zero-initialise at every boot. */
struct serial_scan {
	struct ansi ansi;
	bool spoke;
	char head[SERIAL_HEAD]; /* first bytes of the line that is being read */
	size_t len;             /* of that line, may be more than head holds */
	char text[SERIAL_KINDS][SERIAL_TEXT];
	bool told[SERIAL_KINDS], news[SERIAL_KINDS];
	dev_t dev;
	ino_t ino;
	uint64_t at;
	int64_t start; /* position of the file's first byte, -1 = not recorded */
};

/* The next @n bytes of the console. Of each kind only the last line is reported, and only if it
 * says something new: a guest that writes a million of them costs its host one call. */
void serial_scan_feed(struct serial_scan *s, const char *data, size_t n, serial_fn fn, void *arg);

/* [job] Feed what is new in <@dir>/serial.log, at most 64 KiB; *ret_more if there is more. No file
 * yet is no error. */
int serial_scan_file(struct serial_scan *s, const char *dir, serial_fn fn, void *arg,
		     bool *ret_more, struct err *e);

#endif
