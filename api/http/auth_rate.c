/* SPDX-License-Identifier: Apache-2.0
 * auth_rate.c - count failed authentications by address, in a table of fixed size.
 *
 * A window of one minute starts with the first failure. The count only decides how a wrong key is
 * answered: 401, or 429 above the limit. A correct key is always accepted, because an address may
 * be shared by a company or by all clients of a proxy. This is safe: keys are 192 random bits, and
 * a failure costs one hash and one search by an index.
 *
 * The table has sets of eight slots, chosen by a seeded hash. When a set is full, the slot with the
 * fewest failures is reused, the oldest among equals. So an address at its limit is forgotten only
 * if eight others of the same set are at theirs.
 */
#include "api/http/auth_rate.h"

#include <assert.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/id.h"

enum { SETS = 256, SLOTS = 8, WINDOW_MS = 60000 };

struct auth_slot {
	struct peer_key key;
	unsigned fails; /* 0: free */
	uint64_t since_ms;
};

struct auth_rate {
	uint64_t seed;
	unsigned limit;
	struct auth_slot slot[SETS][SLOTS];
};

struct auth_rate *auth_rate_new(unsigned limit)
{
	struct auth_rate *r = xcalloc(1, sizeof(*r));

	assert(limit > 0);
	r->limit = limit;
	id_random(&r->seed, sizeof(r->seed));
	return r;
}

void auth_rate_free(struct auth_rate *r)
{
	free(r);
}

static bool auth_slot_expired(const struct auth_slot *p, uint64_t now_ms)
{
	return !p->fails || now_ms - p->since_ms >= WINDOW_MS;
}

/* The slot of @k, NULL if it has none or its window has ended. */
static struct auth_slot *auth_slot_find(struct auth_slot *set, const struct peer_key *k,
					uint64_t now_ms)
{
	for (unsigned i = 0; i < SLOTS; i++) {
		if (!auth_slot_expired(&set[i], now_ms) && peer_equal(&set[i].key, k))
			return &set[i];
	}
	return NULL;
}

/* A free slot, else the one to be reused. */
static struct auth_slot *auth_slot_choose(struct auth_slot *set, uint64_t now_ms)
{
	struct auth_slot *best = &set[0];

	for (unsigned i = 0; i < SLOTS; i++) {
		if (auth_slot_expired(&set[i], now_ms))
			return &set[i];
		if (set[i].fails < best->fails ||
		    (set[i].fails == best->fails && set[i].since_ms < best->since_ms))
			best = &set[i];
	}
	return best;
}

unsigned auth_rate_wait(struct auth_rate *r, const struct peer_key *k, uint64_t now_ms)
{
	const struct auth_slot *p =
		auth_slot_find(r->slot[peer_hash(k, r->seed) % SETS], k, now_ms);

	if (!p || p->fails < r->limit)
		return 0;
	return (unsigned)((p->since_ms + WINDOW_MS - now_ms + 999) / 1000);
}

unsigned auth_rate_failed(struct auth_rate *r, const struct peer_key *k, uint64_t now_ms)
{
	struct auth_slot *set = r->slot[peer_hash(k, r->seed) % SETS];
	struct auth_slot *p = auth_slot_find(set, k, now_ms);

	if (!p) {
		p = auth_slot_choose(set, now_ms);
		*p = (struct auth_slot){ .key = *k, .since_ms = now_ms };
	}
	assert(peer_equal(&p->key, k));
	return ++p->fails;
}
