/* SPDX-License-Identifier: Apache-2.0
 * key_rate.c - the request rate of API keys, with one number for each key.
 *
 * This is the generic cell rate algorithm of ATM traffic control (ITU-T I.371). The number is the
 * time at which all requests of the key would be paid for at the pace of its limit. A request moves
 * it on by one interval (a minute divided by the limit), and is refused while it is more than a
 * minute ahead.
 *
 * A key whose time has passed is equal to a new one. Such keys are dropped when the table would
 * grow, so the table holds at most twice the keys that were used lately.
 */
#include "api/http/key_rate.h"

#include <assert.h>
#include <stdlib.h>

#include "base/alloc.h"

enum { MINUTE_US = 60 * 1000 * 1000, FIRST = 64 };

struct key_slot {
	int64_t id; /* 0: free */
	int64_t paid_us;
};

struct key_rate {
	struct key_slot *slot; /* open addressing, a power of two */
	size_t n, used;        /* slots; those with an id */
};

struct key_rate *key_rate_new(void)
{
	struct key_rate *r = xcalloc(1, sizeof(*r));

	r->n = FIRST;
	r->slot = xcalloc(r->n, sizeof(*r->slot));
	return r;
}

void key_rate_free(struct key_rate *r)
{
	if (!r)
		return;
	free(r->slot);
	free(r);
}

/* The slot of @id, or the free one that it would get. One slot is always free.
 * Row numbers are dense, so their low bits are a good hash. */
static struct key_slot *key_slot_find(struct key_slot *table, size_t n, int64_t id)
{
	size_t i = (size_t)id & (n - 1);

	while (table[i].id && table[i].id != id)
		i = (i + 1) & (n - 1);
	return &table[i];
}

static void key_rate_rehash(struct key_rate *r, int64_t now_us)
{
	struct key_slot *old = r->slot;
	size_t n = r->n, busy = 0;

	for (size_t i = 0; i < n; i++)
		busy += old[i].id && old[i].paid_us > now_us;
	r->n = busy * 4 > n ? n * 2 : n;
	r->slot = xcalloc(r->n, sizeof(*r->slot));
	assert(busy < r->n && (r->n & (r->n - 1)) == 0);
	r->used = busy;
	for (size_t i = 0; i < n; i++) {
		if (old[i].id && old[i].paid_us > now_us)
			*key_slot_find(r->slot, r->n, old[i].id) = old[i];
	}
	free(old);
}

static int64_t key_rate_interval(const struct key_budget *b)
{
	return MINUTE_US / b->per_minute > 0 ? MINUTE_US / b->per_minute : 1;
}

/* The paid_us of the key after one more request. */
static int64_t key_rate_paid_with(const struct key_rate *r, const struct key_budget *b,
				  int64_t now_us)
{
	const struct key_slot *s = key_slot_find(r->slot, r->n, b->id);

	return (s->id && s->paid_us > now_us ? s->paid_us : now_us) + key_rate_interval(b);
}

static void key_rate_charge(struct key_rate *r, const struct key_budget *b, int64_t now_us)
{
	int64_t paid_us = key_rate_paid_with(r, b, now_us);
	struct key_slot *s;

	if (r->used * 2 >= r->n)
		key_rate_rehash(r, now_us);
	s = key_slot_find(r->slot, r->n, b->id);
	r->used += !s->id;
	*s = (struct key_slot){ b->id, paid_us };
}

unsigned key_rate_take(struct key_rate *r, const struct key_budget *b, size_t n, int64_t now_us)
{
	int64_t ahead_us = 0;

	for (size_t i = 0; i < n; i++) {
		int64_t ahead = key_rate_paid_with(r, &b[i], now_us) - now_us;

		ahead_us = ahead > ahead_us ? ahead : ahead_us;
	}
	if (ahead_us > MINUTE_US)
		return (unsigned)((ahead_us - MINUTE_US + 999999) / 1000000);
	for (size_t i = 0; i < n; i++)
		key_rate_charge(r, &b[i], now_us);
	return 0;
}
