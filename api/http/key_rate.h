/* SPDX-License-Identifier: Apache-2.0
 * key_rate.h - how many requests a minute an API key may make.
 *
 * A key that was quiet may make a whole minute's requests at once, and then as many as come back to
 * it with time: over any minute at most twice its limit, over a longer time its limit.
 */
#ifndef TEEPOD_API_HTTP_KEY_RATE_H
#define TEEPOD_API_HTTP_KEY_RATE_H

#include <stddef.h>
#include <stdint.h>

struct key_rate;

struct key_rate *key_rate_new(void);
void key_rate_free(struct key_rate *r);

struct key_budget {
	int64_t id, per_minute; /* per_minute > 0 */
};

/* One request at @now_us (monotonic), charged to the budgets @b[n]: the key's own and those of the
 * keys above it, so that making keys makes no requests. 0: go ahead, all are charged; else none is,
 * and the result is after how many seconds to come back. */
unsigned key_rate_take(struct key_rate *r, const struct key_budget *b, size_t n, int64_t now_us);

#endif
