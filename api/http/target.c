/* SPDX-License-Identifier: Apache-2.0
 * target.c - percent-decoding, done once and strictly.
 *
 * The path is split before it is decoded, so "%2F" stays inside its segment. A request can
 * therefore not reach another route than the one that a proxy in front has seen.
 */
#include "api/http/target.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/utf8.h"

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* Decode @n bytes into @out and append a NUL. @plus: '+' is a blank. Returns the new length, or -1
 * for a bad escape or %00. */
static long percent_decode(const char *in, size_t n, char *out, bool plus)
{
	size_t len = 0;

	for (size_t i = 0; i < n; i++) {
		char c = in[i];

		if (c == '%') {
			int hi = i + 2 < n ? hex_digit(in[i + 1]) : -1;
			int lo = i + 2 < n ? hex_digit(in[i + 2]) : -1;

			if (hi < 0 || lo < 0)
				return -1;
			c = (char)(hi << 4 | lo);
			if (!c)
				return -1;
			i += 2;
		} else if (c == '+' && plus) {
			c = ' ';
		}
		out[len++] = c;
	}
	out[len] = '\0';
	return (long)len;
}

static const char *target_decode_segment(const char *raw, size_t n, char *out, size_t *ret_len)
{
	long len = percent_decode(raw, n, out, false);

	if (len < 0)
		return "bad percent-escape in the path";
	if (utf8_prefix(out, (size_t)len) != (size_t)len)
		return "the path is not UTF-8";
	for (long i = 0; i < len; i++) {
		if ((unsigned char)out[i] < 0x20 || out[i] == 0x7f)
			return "control character in the path";
	}
	if (!strcmp(out, ".") || !strcmp(out, ".."))
		return "\".\" and \"..\" are not allowed in the path";
	*ret_len = (size_t)len;
	return NULL;
}

static const char *target_check_query(const char *query, char *scratch)
{
	long len = percent_decode(query, strlen(query), scratch, true);

	if (len < 0)
		return "bad percent-escape in the query";
	return utf8_prefix(scratch, (size_t)len) == (size_t)len ? NULL : "the query is not UTF-8";
}

static const char *target_split(const char *raw, size_t n, char *seg, char *path,
				struct target *ret)
{
	const char *at = raw, *end = raw + n;

	ret->path = path;
	while (at < end) {
		const char *next = memchr(at + 1, '/', (size_t)(end - at - 1));
		size_t len = 0;
		const char *fault;

		if (!next)
			next = end;
		fault = target_decode_segment(at + 1, (size_t)(next - at - 1), seg, &len);
		if (fault)
			return fault;
		*path++ = '/';
		memcpy(path, seg, len);
		path += len;
		if (ret->n < TARGET_SEGMENTS)
			ret->segment[ret->n] = seg;
		if (ret->n <= TARGET_SEGMENTS)
			ret->n++;
		seg += len + 1;
		at = next;
	}
	*path = '\0';
	return NULL;
}

const char *target_read(const char *raw, size_t n, struct target *ret)
{
	const char *mark = memchr(raw, '?', n);
	size_t path_n = mark ? (size_t)(mark - raw) : n, query_n = mark ? n - path_n - 1 : 0;
	struct target t = { 0 };
	const char *fault;
	char *query;

	if (path_n == 0 || raw[0] != '/')
		return "the request target must start with '/'";
	/* segments with their NULs, the path, the query, and space to decode the query */
	t.store = xmalloc(2 * (path_n + 2) + 2 * (query_n + 1));
	query = t.store + 2 * (path_n + 2);
	if (mark)
		memcpy(query, mark + 1, query_n);
	query[query_n] = '\0';
	t.query = query;
	fault = target_split(raw, path_n, t.store, t.store + path_n + 2, &t);
	if (!fault && query_n)
		fault = target_check_query(query, query + query_n + 1);
	if (fault) {
		target_free(&t);
		return fault;
	}
	*ret = t;
	return NULL;
}

void target_free(struct target *t)
{
	free(t->store);
	*t = (struct target){ 0 };
}

unsigned target_pairs(const char *query, struct target_pair pairs[TARGET_PAIRS], char **store)
{
	char *out = *store = xmalloc(strlen(query) + 2);
	unsigned n = 0;

	while (*query && n < TARGET_PAIRS) {
		size_t len = strcspn(query, "&");
		const char *eq = memchr(query, '=', len);
		size_t key = eq ? (size_t)(eq - query) : len;

		if (len) {
			pairs[n].key = out;
			out += percent_decode(query, key, out, true) + 1;
			pairs[n].value = eq ? out : "";
			if (eq)
				out += percent_decode(eq + 1, len - key - 1, out, true) + 1;
			n++;
		}
		query += len + (query[len] == '&');
	}
	return n;
}
