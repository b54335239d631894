/* SPDX-License-Identifier: Apache-2.0
 * fields.h - the header fields of one request as strings.
 */
#ifndef TEEPOD_API_HTTP_FIELDS_H
#define TEEPOD_API_HTTP_FIELDS_H

#include "api/http/head.h"

/* Strings are borrowed from the text that fields_cut() changed. */
struct fields {
	unsigned n;
	struct {
		const char *name, *value;
	} v[HEAD_FIELDS];
};

/* End the string that @s covers inside @raw with a NUL. The byte behind it must be one that is no
 * longer needed: a blank, a colon or a CR. Returns the string. */
const char *span_cut(char *raw, struct span s);

/* Cut the fields of @h, whose spans point into @raw, into strings. */
void fields_cut(struct fields *f, char *raw, const struct head *h);

/* Value of the @nth (0 = first) field @name; NULL if there is none. Case is ignored. */
const char *fields_get(const struct fields *f, const char *name, unsigned nth);

#endif
