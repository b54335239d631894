/* SPDX-License-Identifier: Apache-2.0
 * ansi.h - removes terminal control sequences from the text of a guest. Pure.
 */
#ifndef TEEPOD_VMM_LOGS_ANSI_H
#define TEEPOD_VMM_LOGS_ANSI_H

#include <stddef.h>

/* Zero-initialise; lives as long as the stream, so that a sequence may be cut anywhere. */
struct ansi {
	unsigned char state;
	unsigned char held;      /* first byte of a two-byte character whose second one decides */
	unsigned char rest;      /* bytes that a longer character still needs */
	unsigned char low, high; /* range of the next one */
	unsigned short swallowed;
};

/* Copy @n bytes from @in to @out (room for n + 1) without escape sequences and without control
 * characters other than newline and tab. A byte 0x80..0x9f that is not part of a UTF-8 character
 * becomes '?'. Returns how many bytes were kept. */
size_t ansi_strip(struct ansi *a, const char *in, size_t n, char *out);

#endif
