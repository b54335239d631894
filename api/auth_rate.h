/* SPDX-License-Identifier: Apache-2.0
 * auth_rate.h - too many failed authentications from one address: wait.
 */
#ifndef TEEPOD_API_AUTH_RATE_H
#define TEEPOD_API_AUTH_RATE_H

#include <stdint.h>

#include "api/peer.h"

struct auth_rate;

/* @limit failures a minute are answered as such. */
struct auth_rate *auth_rate_new(unsigned limit);
void auth_rate_free(struct auth_rate *r);

/* Seconds (1..60) until @k may try again, 0 if it may now. @now_ms: any monotonic clock. */
unsigned auth_rate_wait(struct auth_rate *r, const struct peer_key *k, uint64_t now_ms);

void auth_rate_failed(struct auth_rate *r, const struct peer_key *k, uint64_t now_ms);

#endif
