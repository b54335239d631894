/* SPDX-License-Identifier: Apache-2.0
 * target.h - a request target in origin form, taken apart.
 */
#ifndef TEEPOD_API_HTTP_TARGET_H
#define TEEPOD_API_HTTP_TARGET_H

#include <stdbool.h>
#include <stddef.h>

enum { TARGET_SEGMENTS = 16, TARGET_PAIRS = 64 };

struct target_pair {
	const char *key, *value;
};

struct target {
	const char *path;  /* decoded, for people: a decoded '/' is no separator */
	const char *query; /* raw text behind '?', "" if none */
	unsigned n;
	const char *segment[TARGET_SEGMENTS]; /* decoded; "/a/b" -> "a", "b"; "/" -> "" */
	char *store;                          /* owned: what the above point into */
};

/* Take @raw (@n bytes starting with '/') apart. NULL, or a static text saying what is wrong with
 * it: bad escapes, %00, control characters in the path, bytes that are not UTF-8 once decoded, "."
 * and ".." segments. A path of more than TARGET_SEGMENTS segments is no error: n is then
 * TARGET_SEGMENTS + 1 and matches nothing. */
const char *target_read(const char *raw, size_t n, struct target *ret);
void target_free(struct target *t);

/* Decode a query that passed target_read() into @pairs; the strings live in *store (malloc'd, owned
 * by the caller). Returns how many there are; those beyond TARGET_PAIRS are left out. */
unsigned target_pairs(const char *query, struct target_pair pairs[TARGET_PAIRS], char **store);

#endif
