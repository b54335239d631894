/* SPDX-License-Identifier: Apache-2.0
 * buf.h - a growable byte buffer, always followed by a NUL that does not count.
 *
 * Memory exhaustion aborts (see xrealloc in buf.c): on a host daemon a failed small allocation
 * means the kernel's OOM killer is already choosing, and an untested unwind would only lose state
 * more quietly.
 */
#ifndef TEEPOD_BASE_BUF_H
#define TEEPOD_BASE_BUF_H

#include <stdarg.h>
#include <stddef.h>

struct buf {
	char *data; /* owned; NULL while empty */
	size_t len, cap;
};

void *xmalloc(size_t n);
void *xcalloc(size_t n, size_t size);
void *xrealloc(void *p, size_t n);
char *xstrdup(const char *s);
char *xstrndup(const char *s, size_t n);
char *xasprintf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

void buf_add(struct buf *b, const void *data, size_t n);
void buf_puts(struct buf *b, const char *s);
void buf_printf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Make room for @n more bytes and return where they go; commit with b->len += used. */
char *buf_reserve(struct buf *b, size_t n);

/* Drop the first @n bytes. */
void buf_drop(struct buf *b, size_t n);

/* Hand the bytes over; the buffer is empty afterwards. Never NULL. */
char *buf_take(struct buf *b);

void buf_free(struct buf *b);

#define auto_buf __attribute__((cleanup(buf_free)))

#endif
