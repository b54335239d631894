/* SPDX-License-Identifier: Apache-2.0
 * json_js.c - JSON in the form of JavaScript.
 *
 * Every number is a double in the format of Number::toString (ECMA-262). Only quotes, backslashes
 * and controls below 0x20 are escaped. Keys are sorted by UTF-16 code units. A JavaScript object
 * also lists array-index keys first, in numeric order; RFC 8785, otherwise equal to
 * JSON.stringify(), does not.
 */
#include "base/json_js.h"

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/decimal.h"
#include "base/own.h"

/* Comparison of two struct member, for qsort(). */
typedef int key_order_fn(const void *a, const void *b);

static void put_value(struct buf *b, const json_t *j, key_order_fn *order);

static void put_exponent(struct buf *b, int n)
{
	char text[5] = { 'e', n < 0 ? '-' : '+' };
	unsigned abs = n < 0 ? (unsigned)-n : (unsigned)n;
	size_t len = 2;

	if (abs >= 100)
		text[len++] = (char)('0' + abs / 100);
	if (abs >= 10)
		text[len++] = (char)('0' + abs / 10 % 10);
	text[len++] = (char)('0' + abs % 10);
	buf_add(b, text, len);
}

static void put_number(struct buf *b, double d)
{
	static const char zeros[] = "000000000000000000000";
	char digits[DECIMAL_DIGITS];
	int k, n, exponent;

	if (!isfinite(d)) {
		buf_puts(b, "null");
		return;
	}
	if (d == 0) {
		buf_puts(b, "0");
		return;
	}
	if (d < 0)
		buf_puts(b, "-");
	k = (int)decimal_shortest(fabs(d), digits, &exponent);
	n = exponent + 1;
	if (k <= n && n <= 21) {
		buf_add(b, digits, (size_t)k);
		buf_add(b, zeros, (size_t)(n - k));
	} else if (n > 0 && n < k) {
		buf_add(b, digits, (size_t)n);
		buf_add(b, ".", 1);
		buf_add(b, digits + n, (size_t)(k - n));
	} else if (n > -6 && n <= 0) {
		buf_add(b, "0.", 2);
		buf_add(b, zeros, (size_t)-n);
		buf_add(b, digits, (size_t)k);
	} else {
		buf_add(b, digits, 1);
		buf_add(b, ".", k > 1);
		buf_add(b, digits + 1, (size_t)k - 1);
		put_exponent(b, n - 1);
	}
}

static bool is_plain(unsigned char c)
{
	return c >= 0x20 && c != '"' && c != '\\';
}

static void put_escaped(struct buf *b, unsigned char c)
{
	static const char letter[0x20] = {
		['\b'] = 'b', ['\t'] = 't', ['\n'] = 'n', ['\f'] = 'f', ['\r'] = 'r'
	};
	static const char hex[] = "0123456789abcdef";
	const char text[6] = { '\\', 'u', '0', '0', hex[c >> 4], hex[c & 15] };

	if (c >= 0x20)
		buf_add(b, (char[]){ '\\', (char)c }, 2);
	else if (letter[c])
		buf_add(b, (char[]){ '\\', letter[c] }, 2);
	else
		buf_add(b, text, sizeof(text));
}

static void put_js_string(struct buf *b, const char *s, size_t len)
{
	buf_add(b, "\"", 1);
	for (size_t i = 0, plain = 0; i < len; i++, plain = 0) {
		while (i + plain < len && is_plain((unsigned char)s[i + plain]))
			plain++;
		buf_add(b, s + i, plain);
		i += plain;
		if (i < len)
			put_escaped(b, (unsigned char)s[i]);
	}
	buf_add(b, "\"", 1);
}

/* ------------------------------------------------------------------ key order */

enum { NO_INDEX = UINT32_MAX };

/* An array index of ECMA-262: canonical decimal below 2^32 - 1. */
static uint64_t array_index(const char *key)
{
	uint64_t n = 0;

	if (!*key || strnlen(key, 11) > 10 || (*key == '0' && key[1]))
		return NO_INDEX;
	for (; *key; key++) {
		if (*key < '0' || *key > '9')
			return NO_INDEX;
		n = n * 10 + (uint64_t)(*key - '0');
	}
	return n < NO_INDEX ? n : NO_INDEX;
}

/* Code point at @s, which is valid UTF-8 (checked by jansson); 0 at the NUL. */
static uint32_t js_code_point(const unsigned char *s)
{
	if (s[0] < 0x80)
		return s[0];
	if (s[0] < 0xe0)
		return (uint32_t)(s[0] & 0x1f) << 6 | (s[1] & 0x3f);
	if (s[0] < 0xf0)
		return (uint32_t)(s[0] & 0x0f) << 12 | (uint32_t)(s[1] & 0x3f) << 6 | (s[2] & 0x3f);
	return (uint32_t)(s[0] & 0x07) << 18 | (uint32_t)(s[1] & 0x3f) << 12 |
	       (uint32_t)(s[2] & 0x3f) << 6 | (s[3] & 0x3f);
}

/* In UTF-16, characters above U+FFFF (surrogates, D800..DFFF) sort before U+E000..U+FFFF; otherwise
 * the order is that of code points. */
static int utf16_order(const char *a, const char *b)
{
	size_t i = 0;
	uint32_t x, y;

	while (a[i] && a[i] == b[i])
		i++;
	while (i > 0 && ((unsigned char)a[i] & 0xc0) == 0x80)
		i--;
	x = js_code_point((const unsigned char *)a + i);
	y = js_code_point((const unsigned char *)b + i);
	if ((x > 0xffff) != (y > 0xffff)) {
		uint32_t high_x = x > 0xffff ? 0xd800 + ((x - 0x10000) >> 10) : x;
		uint32_t high_y = y > 0xffff ? 0xd800 + ((y - 0x10000) >> 10) : y;

		return high_x < high_y ? -1 : 1;
	}
	return (x > y) - (x < y);
}

struct member {
	const char *key;
	const json_t *value;
	uint64_t index; /* value of an array index; NO_INDEX for other keys */
};

static int js_order(const void *a, const void *b)
{
	const struct member *x = a, *y = b;

	if (x->index != y->index)
		return x->index < y->index ? -1 : 1;
	return utf16_order(x->key, y->key);
}

static int rfc8785_order(const void *a, const void *b)
{
	return utf16_order(((const struct member *)a)->key, ((const struct member *)b)->key);
}

static void put_object(struct buf *b, const json_t *j, key_order_fn *order)
{
	size_t n = json_object_size(j), i = 0;
	auto_free struct member *members = xcalloc(n ? n : 1, sizeof(*members));
	const char *key;
	json_t *v;

	json_object_foreach((json_t *)j, key, v) members[i++] =
		(struct member){ .key = key, .value = v, .index = array_index(key) };
	qsort(members, n, sizeof(*members), order);
	buf_puts(b, "{");
	for (i = 0; i < n; i++) {
		if (i)
			buf_puts(b, ",");
		put_js_string(b, members[i].key, strlen(members[i].key));
		buf_puts(b, ":");
		put_value(b, members[i].value, order);
	}
	buf_puts(b, "}");
}

static void put_array(struct buf *b, const json_t *j, key_order_fn *order)
{
	size_t i;
	json_t *v;

	buf_puts(b, "[");
	json_array_foreach(j, i, v)
	{
		if (i)
			buf_puts(b, ",");
		put_value(b, v, order);
	}
	buf_puts(b, "]");
}

/* The recursion is as deep as the document, which json_read() limits. */
static void put_value(struct buf *b, const json_t *j, key_order_fn *order)
{
	switch (json_typeof(j)) {
	case JSON_OBJECT:
		put_object(b, j, order);
		break;
	case JSON_ARRAY:
		put_array(b, j, order);
		break;
	case JSON_STRING:
		put_js_string(b, json_string_value(j), json_string_length(j));
		break;
	case JSON_INTEGER:
	case JSON_REAL:
		put_number(b, json_number_value(j));
		break;
	case JSON_TRUE:
		buf_puts(b, "true");
		break;
	case JSON_FALSE:
		buf_puts(b, "false");
		break;
	case JSON_NULL:
		buf_puts(b, "null");
		break;
	}
}

static char *js_text_of(const json_t *j, key_order_fn *order)
{
	struct buf b = { 0 };

	put_value(&b, j, order);
	return buf_take(&b);
}

char *json_js(const json_t *j)
{
	return js_text_of(j, js_order);
}

char *json_jcs(const json_t *j)
{
	return js_text_of(j, rfc8785_order);
}
