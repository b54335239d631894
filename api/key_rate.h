/* SPDX-License-Identifier: Apache-2.0
 * key_rate.h - how many requests a minute an API key may make.
 *
 * A key that was quiet may make a whole minute's requests at once, and then as many as come back to it with time: over any minute at
 * most twice its limit, over a longer time its limit.
 */
#ifndef TEEPOD_API_KEY_RATE_H
#define TEEPOD_API_KEY_RATE_H

#include <stdint.h>

struct key_rate;

struct key_rate *key_rate_new(void);
void key_rate_free(struct key_rate *r);

/* One request of key @id at @now_us (monotonic). 0: go ahead, it is counted; else after how many seconds to come back. @per_minute 0: no
 * limit. */
unsigned key_rate_take(struct key_rate *r, int64_t id, int64_t per_minute, int64_t now_us);

#endif
