/* SPDX-License-Identifier: Apache-2.0
 * strings.c - new strings.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/strings.h"

char *xstrdup(const char *s)
{
	return alloc_check(strdup(s));
}

char *xstrndup(const char *s, size_t n)
{
	return alloc_check(strndup(s, n));
}

char *xasprintf(const char *fmt, ...)
{
	va_list ap;
	char *s = NULL;

	va_start(ap, fmt);
	if (vasprintf(&s, fmt, ap) < 0)
		s = NULL;
	va_end(ap);
	return alloc_check(s);
}
