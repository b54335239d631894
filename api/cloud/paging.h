/* SPDX-License-Identifier: Apache-2.0
 * paging.h - the parameters ?page= and ?page_size=, and their echo in the answer.
 */
#ifndef TEEPOD_API_CLOUD_PAGING_H
#define TEEPOD_API_CLOUD_PAGING_H

#include <stdint.h>
#include <jansson.h>
#include "base/err.h"

struct call;

struct page {
	int64_t page, size; /* page counts from 1 */
};

/* Read ?page= and ?page_size=: 1..@max, @def if absent. ERR_INVALID names the parameter. */
int page_read(struct call *c, int64_t def, int64_t max, struct page *ret, struct err *e);

/* Number of rows before the page. */
int64_t page_offset(const struct page *p);

/* Add page, page_size, total and pages to @body. */
void page_put(json_t *body, const struct page *p, int64_t total);

/* Answer @c with page @p of a list: @items (stolen), and the members of page_put(). */
void page_reply(struct call *c, json_t *items, const struct page *p, int64_t total);

#endif
