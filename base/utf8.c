/* SPDX-License-Identifier: Apache-2.0
 * utf8.c - valid UTF-8 by Unicode 15, section 3.9 (table 3-7), and characters that are unsafe to
 * display.
 *
 * Unsafe are characters that control the terminal or change how other text is read: control
 * characters of both sets (C1 contains CSI, U+009B), line and paragraph separators, characters
 * without width, and characters that change the direction of text.
 */
#include "base/utf8.h"

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/array.h"
#include "base/own.h"

static bool is_continuation(unsigned char c)
{
	return (c & 0xc0) == 0x80;
}

/* Length of the sequence at @p, of at most @left bytes; 0 if it is invalid or cut. */
static size_t sequence_length(const unsigned char *p, size_t left)
{
	if (p[0] < 0x80)
		return 1;
	if (p[0] < 0xc2 || p[0] > 0xf4)
		return 0;
	if (p[0] < 0xe0)
		return left >= 2 && is_continuation(p[1]) ? 2 : 0;
	if (p[0] < 0xf0) {
		if (left < 3 || !is_continuation(p[1]) || !is_continuation(p[2]))
			return 0;
		return (p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) ? 0 : 3;
	}
	if (left < 4 || !is_continuation(p[1]) || !is_continuation(p[2]) || !is_continuation(p[3]))
		return 0;
	return (p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] > 0x8f) ? 0 : 4;
}

size_t utf8_prefix(const char *s, size_t n)
{
	size_t at = 0;

	while (at < n) {
		size_t step = sequence_length((const unsigned char *)s + at, n - at);

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

static uint32_t utf8_code_point(const unsigned char *p, size_t n)
{
	static const unsigned char mask[] = { 0, 0x7f, 0x1f, 0x0f, 0x07 };
	uint32_t c = p[0] & mask[n];

	for (size_t i = 1; i < n; i++)
		c = c << 6 | (p[i] & 0x3f);
	return c;
}

static bool is_control_or_invisible(uint32_t c)
{
	static const struct {
		uint32_t from, to;
	} ranges[] = {
		{ 0x00, 0x1f },     { 0x7f, 0x9f },       { 0xad, 0xad },     { 0x34f, 0x34f },
		{ 0x61c, 0x61c },   { 0x115f, 0x1160 },   { 0x17b4, 0x17b5 }, { 0x180b, 0x180f },
		{ 0x200b, 0x200f }, { 0x2028, 0x202e },   { 0x2060, 0x206f }, { 0x2800, 0x2800 },
		{ 0x3164, 0x3164 }, { 0xfe00, 0xfe0f },   { 0xfeff, 0xfeff }, { 0xffa0, 0xffa0 },
		{ 0xfff9, 0xfffb }, { 0xe0000, 0xe01ef },
	};

	for (size_t i = 0; i < ARRAY_SIZE(ranges); i++)
		if (c >= ranges[i].from && c <= ranges[i].to)
			return true;
	return false;
}

bool utf8_is_plain(const char *s)
{
	size_t left = strlen(s), n;

	for (; left; s += n, left -= n) {
		n = sequence_length((const unsigned char *)s, left);
		if (!n || is_control_or_invisible(utf8_code_point((const unsigned char *)s, n)))
			return false;
	}
	return true;
}

/* Escape the character at @s into @out. Returns its length in @s. */
static size_t show_character(const char *s, size_t left, char out[16])
{
	const unsigned char *p = (const unsigned char *)s;
	size_t n = sequence_length(p, left);
	uint32_t c = n ? utf8_code_point(p, n) : p[0];

	if (!n || (is_control_or_invisible(c) && c < 0x80 && c != '\t'))
		(void)snprintf(out, 16, "\\x%02x", p[0]);
	else if (is_control_or_invisible(c) && c != '\t')
		(void)snprintf(out, 16, "\\u{%x}", c);
	else
		(void)snprintf(out, 16, "%.*s", (int)n, s);
	return n ? n : 1;
}

void utf8_show(const char *s, char *out, size_t size)
{
	size_t left = strlen(s), used = 0, n;
	char piece[16];

	assert(size > 0);
	for (; left; s += n, left -= n) {
		n = show_character(s, left, piece);
		if (used + strlen(piece) >= size)
			break;
		memcpy(out + used, piece, strlen(piece));
		used += strlen(piece);
	}
	out[used] = '\0';
}

int utf8_print(FILE *f, const char *text)
{
	int r = 0;

	while (*text && r >= 0) {
		size_t n = strcspn(text, "\n"), size = 9 * n + 1;
		auto_free char *line = xmalloc(size), *shown = xmalloc(size);

		memcpy(line, text, n);
		line[n] = '\0';
		utf8_show(line, shown, size);
		r = fprintf(f, "%s%s", shown, text[n] ? "\n" : "");
		text += n + (text[n] != '\0');
	}
	return r < 0 ? EOF : 0;
}
