/* SPDX-License-Identifier: Apache-2.0
 * alloc.c - memory allocation that never fails.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"

void *alloc_check(void *p)
{
	if (p)
		return p;
	(void)fputs("teepod: out of memory\n", stderr);
	abort();
}

void *xmalloc(size_t n)
{
	return alloc_check(malloc(n ? n : 1));
}

void *xcalloc(size_t n, size_t size)
{
	return alloc_check(calloc(n ? n : 1, size ? size : 1));
}

void *xrealloc(void *p, size_t n)
{
	return alloc_check(realloc(p, n ? n : 1));
}
