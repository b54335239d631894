/* SPDX-License-Identifier: Apache-2.0
 * router.c - find the route of a path and a method.
 *
 * The route tables are compiled once into segments and sorted so that the first match is the most
 * specific one: "/cvms/provision" sorts before "/cvms/{id}". A path is compared with one pattern
 * after the other. Some sixty memcmp() of short strings take less than a microsecond, so a search
 * tree is not worth its code.
 */
#include "api/http/router.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/array.h"

struct route_segment {
	const char *text; /* NULL: a parameter */
	size_t n;
};

struct route_entry {
	const struct route *route;
	unsigned method; /* bit */
	unsigned n;
	struct route_segment segment[TARGET_SEGMENTS];
};

struct router {
	unsigned n;
	struct route_entry entry[];
};

static const char *const method_name[] = { "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE" };

enum { METHOD_GET = 1, METHOD_HEAD = 2 };

static unsigned method_bit_of(const char *method)
{
	for (unsigned i = 0; i < ARRAY_SIZE(method_name); i++) {
		if (!strcmp(method_name[i], method))
			return 1U << i;
	}
	return 0;
}

static void route_compile(struct route_entry *to, const struct route *route)
{
	const char *at = route->pattern;
	unsigned params = 0;

	to->route = route;
	to->method = method_bit_of(route->method);
	assert(to->method && to->method != METHOD_HEAD && at[0] == '/' && route->handle);
	while (*at) {
		size_t n = strcspn(at + 1, "/");
		bool param = at[1] == '{';

		params += param;
		assert(to->n < TARGET_SEGMENTS && params <= CALL_PARAMS &&
		       (!param || at[n] == '}'));
		to->segment[to->n++] = param ? (struct route_segment){ NULL, 0 }
					     : (struct route_segment){ at + 1, n };
		at += n + 1;
	}
}

/* Literals before parameters, segment by segment; then by length, text and method, so that
 * duplicates are neighbours. */
static int route_compare(const void *pa, const void *pb)
{
	const struct route_entry *a = pa, *b = pb;

	for (unsigned i = 0; i < a->n && i < b->n; i++) {
		const struct route_segment *x = &a->segment[i], *y = &b->segment[i];
		size_t n = x->n < y->n ? x->n : y->n;
		int d;

		if (!x->text || !y->text) {
			if (x->text || y->text)
				return x->text ? -1 : 1;
			continue;
		}
		d = memcmp(x->text, y->text, n);
		if (d || x->n != y->n)
			return d ? d : (x->n < y->n ? -1 : 1);
	}
	if (a->n != b->n)
		return a->n < b->n ? -1 : 1;
	return (int)a->method - (int)b->method;
}

struct router *router_new(const struct route *const *tables)
{
	struct router *r;
	unsigned n = 0;

	for (const struct route *const *t = tables; *t; t++) {
		for (const struct route *route = *t; route->method; route++)
			n++;
	}
	r = xcalloc(1, sizeof(*r) + n * sizeof(r->entry[0]));
	for (; *tables; tables++) {
		for (const struct route *route = *tables; route->method; route++)
			route_compile(&r->entry[r->n++], route);
	}
	qsort(r->entry, r->n, sizeof(r->entry[0]), route_compare);
	for (unsigned i = 1; i < r->n; i++)
		assert(route_compare(&r->entry[i - 1], &r->entry[i]) != 0);
	return r;
}

void router_free(struct router *r)
{
	free(r);
}

static bool route_matches(const struct route_entry *e, const struct target *t,
			  const char *param[CALL_PARAMS])
{
	unsigned params = 0;

	if (e->n != t->n)
		return false;
	for (unsigned i = 0; i < t->n; i++) {
		const struct route_segment *s = &e->segment[i];
		size_t n = strlen(t->segment[i]);

		if (s->text) {
			if (n != s->n || memcmp(t->segment[i], s->text, n) != 0)
				return false;
		} else if (n == 0) {
			return false;
		} else {
			param[params++] = t->segment[i];
		}
	}
	while (params < CALL_PARAMS)
		param[params++] = NULL;
	return true;
}

void router_match(const struct router *r, const char *method, const struct target *t,
		  struct router_match *ret)
{
	unsigned bit = method_bit_of(method);

	*ret = (struct router_match){ 0 };
	if (bit == METHOD_HEAD)
		bit = METHOD_GET;
	for (unsigned i = 0; i < r->n; i++) {
		const struct route_entry *e = &r->entry[i];
		const char *param[CALL_PARAMS];

		if (!route_matches(e, t, param))
			continue;
		ret->allow |= e->method | (e->method == METHOD_GET ? METHOD_HEAD : 0U);
		if (e->method != bit)
			continue;
		ret->route = e->route;
		ret->index = i;
		memcpy(ret->param, param, sizeof(param));
		return;
	}
}

char *router_allow(unsigned allow, char out[ROUTER_ALLOW_TEXT])
{
	out[0] = '\0';
	for (unsigned i = 0; i < ARRAY_SIZE(method_name); i++) {
		if (!(allow & 1U << i))
			continue;
		if (out[0])
			strcat(out, ", ");
		strcat(out, method_name[i]);
	}
	return out;
}

unsigned router_count(const struct router *r)
{
	return r->n;
}

const struct route *router_route(const struct router *r, unsigned index)
{
	assert(index < r->n);
	return r->entry[index].route;
}
