/* SPDX-License-Identifier: Apache-2.0
 * alloc.h - memory allocation that never fails.
 *
 * Without memory the process aborts. A host daemon that cannot allocate a few bytes is about to be
 * killed by the kernel anyway, and error paths that no test runs would lose state silently.
 *
 * More than a third of the sources include this header: all that allocate. It must therefore stay
 * as small as it is.
 */
#ifndef TEEPOD_BASE_ALLOC_H
#define TEEPOD_BASE_ALLOC_H

#include <stddef.h>

void *xmalloc(size_t n);
/* Zeroed. */
void *xcalloc(size_t n, size_t size);
void *xrealloc(void *p, size_t n);

/* @p; aborts if it is NULL. */
void *alloc_check(void *p);

#endif
