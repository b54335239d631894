/* SPDX-License-Identifier: Apache-2.0
 * places.c - which connections there may be, and which of them make room for others.
 *
 * Anyone can open connections, without a key and from many addresses, and say nothing. So a full
 * server closes the connection that can best be spared, and takes the new one: first those without
 * an authenticated request (the longest waiting first), then those between two requests, then those
 * in the middle of one. A connection whose call is in flight is never closed, nor one that has
 * waited for less than GRACE_MS: it needs that long to send its first request. A connection that
 * got an answer without showing a key is spent: it is closed first, without a grace time, even if
 * more requests of it wait. Otherwise one /healthz each 0.5 s would keep any number of places. A
 * connection is spent, too, when its client has closed it and has got all answers: it is there only
 * until the next turn of the loop, and must not refuse a connection that comes in this turn.
 *
 * Root and the daemon's own user have ROOT_PLACES more on unix sockets, which nobody else can take.
 */
#include <assert.h>
#include <limits.h>
#include <unistd.h>

#include "api/http/conn.h"

enum { GRACE_MS = 500, ROOT_PLACES = 64 };

static enum place place_of(const struct conn *c)
{
	if (c->state == CONN_CALL || c->state == CONN_CLOSED)
		return PLACES;
	if (!c->known)
		return PLACE_KEYLESS;
	if (c->state == CONN_LINGER || (c->state == CONN_HEAD && !c->head_started))
		return PLACE_IDLE;
	return PLACE_READING;
}

void conn_place(struct conn *c)
{
	enum place to = place_of(c);

	if (c->place != PLACES)
		TAILQ_REMOVE(&c->s->waiting[c->place], c, waits);
	c->place = to;
	c->waits_since = uv_now(c->s->loop);
	if (to != PLACES && c->spent)
		TAILQ_INSERT_HEAD(&c->s->waiting[to], c, waits);
	else if (to != PLACES)
		TAILQ_INSERT_TAIL(&c->s->waiting[to], c, waits);
}

/* Close one connection that can be spared, of those up to @last, of @peer or (NULL) of anybody. */
static bool make_room(struct server *s, enum place last, const struct peer_key *peer)
{
	uint64_t now = uv_now(s->loop);
	struct conn *c;

	for (int p = 0; p <= (int)last; p++) {
		TAILQ_FOREACH(c, &s->waiting[p], waits)
		{
			/* What it sent is about to be answered; a spent one had its answer. */
			if ((c->resume_queued && !c->spent) || (peer && !peer_equal(peer, &c->peer)))
				continue;
			/* If the oldest keyless connection is still within its grace time, refuse
			 * the new connection; do not evict connections of authenticated callers. */
			if (!c->spent && now - c->waits_since < GRACE_MS)
				return false;
			s->metrics.evicted++;
			conn_destroy(c);
			return true;
		}
	}
	return false;
}

bool places_close_keyless(struct server *s)
{
	return make_room(s, PLACE_KEYLESS, NULL);
}

static bool is_root(const struct conn *c)
{
	return c->is_unix && (c->uid == 0 || c->uid == geteuid());
}

/* How many connections may come from its address; those of a proxy are of all its clients. */
static unsigned share_of(const struct conn *c)
{
	return peer_is_in(&c->address, &c->s->proxies) ? UINT_MAX : c->s->limits.per_peer;
}

bool places_take(struct conn *c)
{
	struct server *s = c->s;
	unsigned most = s->limits.connections;

	c->place = PLACES;
	c->known = is_root(c);
	if (s->n_open >= most && !make_room(s, PLACE_READING, NULL) &&
	    (!c->known || s->n_open >= most + ROOT_PLACES))
		return false;
	if (!c->known && !peer_counts_add(s->peers, &c->peer, share_of(c)) &&
	    !(make_room(s, PLACE_READING, &c->peer) &&
	      peer_counts_add(s->peers, &c->peer, share_of(c))))
		return false;
	c->counted = !c->known;
	s->n_open++;
	return true;
}

void places_leave(struct conn *c)
{
	assert(c->s->n_open);
	c->s->n_open--;
	if (c->counted)
		peer_counts_drop(c->s->peers, &c->peer);
}
