/* SPDX-License-Identifier: Apache-2.0
 * peer_count.c - connections by peer: a hash table with one entry for each peer that has some.
 */
#include "api/http/peer_count.h"

#include <assert.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/id.h"

struct peer_count {
	struct peer_count *next;
	struct peer_key key;
	unsigned n;
};

enum { BUCKETS = 512 };

struct peer_counts {
	uint64_t seed;
	struct peer_count *bucket[BUCKETS];
};

struct peer_counts *peer_counts_new(void)
{
	struct peer_counts *p = xcalloc(1, sizeof(*p));

	id_random(&p->seed, sizeof(p->seed));
	return p;
}

void peer_counts_free(struct peer_counts *p)
{
	if (!p)
		return;
	for (unsigned i = 0; i < BUCKETS; i++) {
		while (p->bucket[i]) {
			struct peer_count *gone = p->bucket[i];

			p->bucket[i] = gone->next;
			free(gone);
		}
	}
	free(p);
}

static struct peer_count **peer_count_find(struct peer_counts *p, const struct peer_key *k)
{
	struct peer_count **at = &p->bucket[peer_hash(k, p->seed) % BUCKETS];

	while (*at && !peer_equal(&(*at)->key, k))
		at = &(*at)->next;
	return at;
}

bool peer_counts_add(struct peer_counts *p, const struct peer_key *k, unsigned max)
{
	struct peer_count **at = peer_count_find(p, k);

	if (!*at) {
		*at = xcalloc(1, sizeof(**at));
		(*at)->key = *k;
	} else if ((*at)->n >= max) {
		return false;
	}
	(*at)->n++;
	return true;
}

void peer_counts_drop(struct peer_counts *p, const struct peer_key *k)
{
	struct peer_count **at = peer_count_find(p, k), *c = *at;

	assert(c && c->n);
	if (--c->n)
		return;
	*at = c->next;
	free(c);
}
