/* SPDX-License-Identifier: Apache-2.0
 * buf.h - a growable byte buffer, always followed by a NUL that does not count.
 *
 * Allocation never fails: without memory the process aborts. A host daemon that cannot allocate a
 * few bytes is about to be killed by the kernel anyway, and error paths that no test runs would
 * lose state silently.
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

/* Reserve @n more bytes and return their address. The caller adds the bytes it used to b->len. */
char *buf_reserve(struct buf *b, size_t n);

/* Remove the first @n bytes; all if there are fewer. */
void buf_drop(struct buf *b, size_t n);

/* Hand over the bytes, malloc'd and never NULL. The buffer is empty afterwards. */
char *buf_take(struct buf *b);

void buf_free(struct buf *b);

#define auto_buf __attribute__((cleanup(buf_free)))

#endif
