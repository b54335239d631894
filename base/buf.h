/* SPDX-License-Identifier: Apache-2.0
 * buf.h - a growable byte buffer, always followed by a NUL that does not count.
 *
 * Without memory the process aborts: see alloc.h.
 */
#ifndef TEEPOD_BASE_BUF_H
#define TEEPOD_BASE_BUF_H

#include <stddef.h>

struct buf {
	char *data; /* owned; NULL while empty */
	size_t len, cap;
};

void buf_add(struct buf *b, const void *data, size_t n);
void buf_puts(struct buf *b, const char *s);
void buf_printf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Reserve @n more bytes and return their address. The caller adds the bytes it used to b->len. */
char *buf_reserve(struct buf *b, size_t n);

/* Remove the first @n bytes; all if there are fewer. */
void buf_drop(struct buf *b, size_t n);

/* Hand over the bytes, malloc'd and never NULL. The buffer is empty afterwards. */
char *buf_take(struct buf *b);

void buf_free(struct buf *b);

#define auto_buf __attribute__((cleanup(buf_free)))

#endif
