/* SPDX-License-Identifier: Apache-2.0
 * json_text.c - write compact JSON text, in runs instead of single characters.
 *
 * The strings of jansson are always valid UTF-8, so only quotes, backslashes and control characters
 * need escapes.
 */
#include "api/http/json_text.h"
#include "base/buf.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

static const bool special[256] = {
	[0] = 1,  [1] = 1,  [2] = 1,  [3] = 1,  [4] = 1,  [5] = 1,   [6] = 1,    [7] = 1,  [8] = 1,
	[9] = 1,  [10] = 1, [11] = 1, [12] = 1, [13] = 1, [14] = 1,  [15] = 1,   [16] = 1, [17] = 1,
	[18] = 1, [19] = 1, [20] = 1, [21] = 1, [22] = 1, [23] = 1,  [24] = 1,   [25] = 1, [26] = 1,
	[27] = 1, [28] = 1, [29] = 1, [30] = 1, [31] = 1, ['"'] = 1, ['\\'] = 1,
};

static void json_write_escaped(unsigned char c, struct buf *out)
{
	static const char *const names[256] = {
		['"'] = "\\\"", ['\\'] = "\\\\", ['\b'] = "\\b", ['\f'] = "\\f",
		['\n'] = "\\n", ['\r'] = "\\r",  ['\t'] = "\\t",
	};

	static const char hex[] = "0123456789ABCDEF";

	if (names[c])
		buf_add(out, names[c], 2);
	else
		buf_add(out, (char[]){ '\\', 'u', '0', '0', hex[c >> 4], hex[c & 15] }, 6);
}

static size_t plain_prefix(const char *s, size_t n)
{
	size_t i = 0;

	while (i < n && !special[(unsigned char)s[i]])
		i++;
	return i;
}

void json_write_string(const char *s, size_t n, struct buf *out)
{
	char *to = buf_reserve(out, n + 3);
	size_t run = plain_prefix(s, n);

	*to = '"';
	memcpy(to + 1, s, run);
	out->len += run + 1;
	while (run < n) {
		json_write_escaped((unsigned char)s[run], out);
		s += run + 1;
		n -= run + 1;
		run = plain_prefix(s, n);
		buf_add(out, s, run);
	}
	buf_add(out, "\"", 1);
}

void json_write_integer(json_int_t v, struct buf *out)
{
	unsigned long long left = v < 0 ? 0ULL - (unsigned long long)v : (unsigned long long)v;
	char text[24];
	size_t at = sizeof(text);

	do {
		text[--at] = (char)('0' + left % 10);
		left /= 10;
	} while (left);
	if (v < 0)
		text[--at] = '-';
	buf_add(out, text + at, sizeof(text) - at);
}

static void json_write_object(const json_t *j, struct buf *out)
{
	const char *key, *comma = "{";
	json_t *v;

	json_object_foreach((json_t *)(uintptr_t)j, key, v)
	{
		buf_add(out, comma, 1);
		json_write_string(key, strlen(key), out);
		buf_add(out, ":", 1);
		json_write(v, out);
		comma = ",";
	}
	buf_puts(out, *comma == '{' ? "{}" : "}");
}

static void json_write_array(const json_t *j, struct buf *out)
{
	const char *comma = "[";
	size_t i;
	json_t *v;

	json_array_foreach(j, i, v)
	{
		buf_add(out, comma, 1);
		json_write(v, out);
		comma = ",";
	}
	buf_puts(out, *comma == '[' ? "[]" : "]");
}

static void json_write_real(const json_t *j, struct buf *out)
{
	char *text = json_dumps(j, JSON_ENCODE_ANY);

	buf_puts(out, text ? text : "null");
	free(text);
}

void json_write(const json_t *j, struct buf *out)
{
	if (!j) {
		buf_add(out, "null", 4);
		return;
	}
	switch (json_typeof(j)) {
	case JSON_OBJECT:
		json_write_object(j, out);
		return;
	case JSON_ARRAY:
		json_write_array(j, out);
		return;
	case JSON_STRING:
		json_write_string(json_string_value(j), json_string_length(j), out);
		return;
	case JSON_INTEGER:
		json_write_integer(json_integer_value(j), out);
		return;
	case JSON_REAL:
		json_write_real(j, out);
		return;
	case JSON_TRUE:
		buf_add(out, "true", 4);
		return;
	case JSON_FALSE:
		buf_add(out, "false", 5);
		return;
	case JSON_NULL:
		buf_add(out, "null", 4);
		return;
	}
}
