/* SPDX-License-Identifier: Apache-2.0
 * strings.h - new strings, malloc'd and never NULL. Without memory the process aborts: see alloc.h.
 */
#ifndef TEEPOD_BASE_STRINGS_H
#define TEEPOD_BASE_STRINGS_H

#include <stddef.h>

char *xstrdup(const char *s);
/* At most the first @n bytes. */
char *xstrndup(const char *s, size_t n);
char *xasprintf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif
