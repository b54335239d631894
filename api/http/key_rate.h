/* SPDX-License-Identifier: Apache-2.0
 * key_rate.h - limit of the requests per minute of an API key.
 *
 * A key that was idle may send the requests of a whole minute at once, and after that one for each
 * interval that has passed. Over any minute it sends at most twice its limit, over a longer time
 * its limit.
 */
#ifndef TEEPOD_API_HTTP_KEY_RATE_H
#define TEEPOD_API_HTTP_KEY_RATE_H

#include <stddef.h>
#include <stdint.h>

struct key_rate;

struct key_rate *key_rate_new(void);
/* NULL is fine. */
void key_rate_free(struct key_rate *r);

struct key_budget {
	int64_t id;         /* row of the key; not 0 */
	int64_t per_minute; /* at least 1 */
};

/* Charge one request at @now_us (monotonic) to all budgets @b[n]: that of the key and those of the
 * keys above it, so that creating keys does not raise the rate. 0: charged; else nothing is
 * charged, and the result is the number of seconds until a request would be accepted. */
unsigned key_rate_take(struct key_rate *r, const struct key_budget *b, size_t n, int64_t now_us);

#endif
