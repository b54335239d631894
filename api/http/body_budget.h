/* SPDX-License-Identifier: Apache-2.0
 * body_budget.h - limit of the memory for long request bodies.
 */
#ifndef TEEPOD_API_HTTP_BODY_BUDGET_H
#define TEEPOD_API_HTTP_BODY_BUDGET_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "api/http/caller.h"
#include "base/err.h"

enum { BODY_LONG_BYTES = 4096 }; /* longer bodies are counted here and parsed by a job */

/* The reservation of one request; zeroed: none. */
struct body_share {
	struct body_budget *budget; /* NULL: nothing is reserved */
	const struct caller *caller;
	uint64_t bytes;
	LIST_ENTRY(body_share) all;
};

LIST_HEAD(body_share_list, body_share);

struct body_budget {
	uint64_t held; /* sum of the bytes of all shares */
	struct body_share_list shares;
};

/* Reserve @length bytes for a body of @caller, which must outlive the share. Bodies of at most
 * BODY_LONG_BYTES need no reservation. ERR_UNAVAILABLE, and nothing is reserved, if the caller, its
 * workspace, or all callers together would exceed their limit. */
int body_budget_reserve(struct body_budget *b, struct body_share *s, const struct caller *caller,
			uint64_t length, struct err *e);

/* Give the reservation back; nothing happens if there is none. */
void body_budget_release(struct body_share *s);

/* True if both structs describe the same caller. */
bool caller_equal(const struct caller *a, const struct caller *b);

#endif
