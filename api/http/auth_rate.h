/* SPDX-License-Identifier: Apache-2.0
 * auth_rate.h - number of wrong API keys from one address within a minute.
 */
#ifndef TEEPOD_API_HTTP_AUTH_RATE_H
#define TEEPOD_API_HTTP_AUTH_RATE_H

#include <stdint.h>

#include "api/http/peer.h"

struct auth_rate;

/* @limit: failures a minute after which auth_rate_wait() is not 0; at least 1. */
struct auth_rate *auth_rate_new(unsigned limit);
/* NULL is fine. */
void auth_rate_free(struct auth_rate *r);

/* Seconds (1..60) until the count of @k starts again; 0 if @k is below the limit. @now_ms: any
 * monotonic clock. */
unsigned auth_rate_wait(struct auth_rate *r, const struct peer_key *k, uint64_t now_ms);

/* Count one more failure of @k. Returns the count within its minute. */
unsigned auth_rate_failed(struct auth_rate *r, const struct peer_key *k, uint64_t now_ms);

#endif
