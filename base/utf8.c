/* SPDX-License-Identifier: Apache-2.0
 * utf8.c - well-formed UTF-8 by the table of Unicode 15, section 3.9 (table 3-7).
 */
#include "base/utf8.h"

#include <stdbool.h>
#include <string.h>

static bool tail(unsigned char c)
{
	return (c & 0xc0) == 0x80;
}

/* Bytes of the sequence starting at @p with @left bytes to go; 0 if it is malformed or cut. */
static size_t sequence(const unsigned char *p, size_t left)
{
	if (p[0] < 0x80)
		return 1;
	if (p[0] < 0xc2 || p[0] > 0xf4)
		return 0;
	if (p[0] < 0xe0)
		return left >= 2 && tail(p[1]) ? 2 : 0;
	if (p[0] < 0xf0) {
		if (left < 3 || !tail(p[1]) || !tail(p[2]))
			return 0;
		return (p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) ? 0 : 3;
	}
	if (left < 4 || !tail(p[1]) || !tail(p[2]) || !tail(p[3]))
		return 0;
	return (p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] > 0x8f) ? 0 : 4;
}

size_t utf8_prefix(const char *s, size_t n)
{
	size_t at = 0;

	while (at < n) {
		size_t step = sequence((const unsigned char *)s + at, n - at);

		if (!step)
			return at;
		at += step;
	}
	return at;
}

void utf8_repair(char *s)
{
	size_t n = strlen(s), at = 0;

	while ((at += utf8_prefix(s + at, n - at)) < n)
		s[at] = '?';
}
