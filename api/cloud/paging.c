/* SPDX-License-Identifier: Apache-2.0
 * paging.c - the parameters ?page= and ?page_size=, and their echo in the answer.
 */
#include "api/cloud/paging.h"

#include <assert.h>

#include "api/http/call.h"
#include "api/http/reply.h"

int page_read(struct call *c, int64_t def, int64_t max, struct page *ret, struct err *e)
{
	struct page p = { 1, def };
	int r = call_query_int(c, "page", 1, 1000000, 1, &p.page, e);

	if (!r)
		r = call_query_int(c, "page_size", 1, max, def, &p.size, e);
	if (!r)
		*ret = p;
	return r;
}

int64_t page_offset(const struct page *p)
{
	assert(p->page > 0 && p->size > 0);
	return (p->page - 1) * p->size;
}

/* Number of pages that @total rows fill. */
static int64_t page_count(const struct page *p, int64_t total)
{
	assert(p->size > 0 && total >= 0);
	return (total + p->size - 1) / p->size;
}

void page_put(json_t *body, const struct page *p, int64_t total)
{
	json_object_set_new(body, "page", json_integer(p->page));
	json_object_set_new(body, "page_size", json_integer(p->size));
	json_object_set_new(body, "total", json_integer(total));
	json_object_set_new(body, "pages", json_integer(page_count(p, total)));
}

void page_reply(struct call *c, json_t *items, const struct page *p, int64_t total)
{
	json_t *body = json_pack("{s:o}", "items", items);

	assert(json_is_array(items) && json_array_size(items) <= (size_t)p->size);

	page_put(body, p, total);
	call_reply(c, 200, body);
}
