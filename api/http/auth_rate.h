/* SPDX-License-Identifier: Apache-2.0
 * auth_rate.h - how many API keys from one address were wrong within a minute.
 */
#ifndef TEEPOD_API_HTTP_AUTH_RATE_H
#define TEEPOD_API_HTTP_AUTH_RATE_H

#include <stdint.h>

#include "api/http/peer.h"

struct auth_rate;

/* After @limit failures a minute there is a wait. */
struct auth_rate *auth_rate_new(unsigned limit);
void auth_rate_free(struct auth_rate *r);

/* Seconds (1..60) until failures of @k are counted anew, 0 if it has not reached the limit.
 * @now_ms: any monotonic clock. */
unsigned auth_rate_wait(struct auth_rate *r, const struct peer_key *k, uint64_t now_ms);

/* One more failure of @k; how many that makes within its minute. */
unsigned auth_rate_failed(struct auth_rate *r, const struct peer_key *k, uint64_t now_ms);

#endif
