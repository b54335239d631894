/* SPDX-License-Identifier: Apache-2.0
 * fields.c - header fields as strings, cut inside the text of the head.
 *
 * A parsed head (head.h) consists of spans into the raw text. Handlers want NUL-terminated strings.
 * The byte behind each span is always a delimiter, so a NUL can replace it and nothing is copied.
 */
#include "api/http/fields.h"

#include <assert.h>
#include <strings.h>

const char *span_cut(char *raw, struct span s)
{
	char *p = raw + (s.p - raw);

	p[s.n] = '\0';
	return p;
}

void fields_cut(struct fields *f, char *raw, const struct head *h)
{
	assert(h->n <= HEAD_FIELDS);
	f->n = h->n;
	for (unsigned i = 0; i < h->n; i++) {
		f->v[i].name = span_cut(raw, h->field[i].name);
		f->v[i].value = h->field[i].value.n ? span_cut(raw, h->field[i].value) : "";
	}
}

const char *fields_get(const struct fields *f, const char *name, unsigned nth)
{
	for (unsigned i = 0; i < f->n; i++) {
		if (!strcasecmp(f->v[i].name, name) && nth-- == 0)
			return f->v[i].value;
	}
	return NULL;
}
