/* SPDX-License-Identifier: Apache-2.0
 * target.h - parse a request target in origin form: path segments and query.
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
	const char *path;  /* decoded, for people; use segment[] to compare: a decoded '/' is no
			      separator */
	const char *query; /* raw text behind '?', "" if none */
	unsigned n;
	const char *segment[TARGET_SEGMENTS]; /* decoded; "/a/b" -> "a", "b"; "/" -> "" */
	char *store;                          /* owned: what the above point into */
};

/* Parse @raw (@n bytes). NULL, or a static text that names the fault; *ret is untouched then.
 * Faults: no '/' at the beginning, bad escapes, %00, control characters in the path, bytes that are
 * not UTF-8 once decoded, "." and ".." segments. A path of more than TARGET_SEGMENTS segments is no
 * fault: n is TARGET_SEGMENTS + 1, and no route matches it. */
const char *target_read(const char *raw, size_t n, struct target *ret);
void target_free(struct target *t);

/* Decode a query that passed target_read() into @pairs, whose strings point into *store (malloc'd,
 * owned by the caller). Returns the number of pairs; those beyond TARGET_PAIRS are left out. */
unsigned target_pairs(const char *query, struct target_pair pairs[TARGET_PAIRS], char **store);

#endif
