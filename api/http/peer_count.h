/* SPDX-License-Identifier: Apache-2.0
 * peer_count.h - number of connections of each peer.
 */
#ifndef TEEPOD_API_HTTP_PEER_COUNT_H
#define TEEPOD_API_HTTP_PEER_COUNT_H

#include "api/http/peer.h"

struct peer_counts;
struct peer_counts *peer_counts_new(void);
/* NULL is fine. */
void peer_counts_free(struct peer_counts *p);

/* Count one more connection of @k. False, and nothing is counted, if it has @max already. */
bool peer_counts_add(struct peer_counts *p, const struct peer_key *k, unsigned max);
/* Undo one successful peer_counts_add() of @k. */
void peer_counts_drop(struct peer_counts *p, const struct peer_key *k);

#endif
