/* SPDX-License-Identifier: Apache-2.0
 * auth_rate.c - failed authentications by address, in a table that never grows.
 *
 * A minute is counted from the first failure. Once the limit is reached every attempt has to wait until that minute is over,
 * the right key included: otherwise the answer to the eleventh guess would still tell whether it was right.
 *
 * The table has sets of eight places, chosen by a seeded hash. When a set is full the oldest minute in it makes room: whoever
 * owns enough addresses to push others out has those addresses to guess from anyway, and keys are 256 random bits.
 */
#include "api/auth_rate.h"

#include <stdlib.h>

#include "base/buf.h"
#include "base/id.h"

enum { SETS = 256, PLACES = 8, WINDOW_MS = 60000 };

struct place {
	struct peer_key key;
	unsigned fails; /* 0: free */
	uint64_t since_ms;
};

struct auth_rate {
	uint64_t seed;
	unsigned limit;
	struct place place[SETS][PLACES];
};

struct auth_rate *auth_rate_new(unsigned limit)
{
	struct auth_rate *r = xcalloc(1, sizeof(*r));

	r->limit = limit;
	id_random(&r->seed, sizeof(r->seed));
	return r;
}

void auth_rate_free(struct auth_rate *r)
{
	free(r);
}

/* The place of @k if its minute still runs. */
static struct place *find(struct place *set, const struct peer_key *k, uint64_t now_ms)
{
	for (unsigned i = 0; i < PLACES; i++) {
		if (set[i].fails && now_ms - set[i].since_ms < WINDOW_MS && peer_equal(&set[i].key, k))
			return &set[i];
	}
	return NULL;
}

static struct place *oldest(struct place *set)
{
	struct place *best = &set[0];

	for (unsigned i = 0; i < PLACES; i++) {
		if (!set[i].fails)
			return &set[i];
		if (set[i].since_ms < best->since_ms)
			best = &set[i];
	}
	return best;
}

unsigned auth_rate_wait(struct auth_rate *r, const struct peer_key *k, uint64_t now_ms)
{
	const struct place *p = find(r->place[peer_hash(k, r->seed) % SETS], k, now_ms);

	if (!p || p->fails < r->limit)
		return 0;
	return (unsigned)((p->since_ms + WINDOW_MS - now_ms + 999) / 1000);
}

void auth_rate_failed(struct auth_rate *r, const struct peer_key *k, uint64_t now_ms)
{
	struct place *set = r->place[peer_hash(k, r->seed) % SETS];
	struct place *p = find(set, k, now_ms);

	if (!p) {
		p = oldest(set);
		*p = (struct place){ .key = *k, .since_ms = now_ms };
	}
	p->fails++;
}
