/* SPDX-License-Identifier: Apache-2.0
 * conn_limit.c - admission of connections, and eviction when the limits are reached.
 *
 * Anyone can open connections without a key, from many addresses, and send nothing. A full
 * server therefore closes one connection and admits the new one. Connections without an
 * authenticated request are closed first, then those between two requests, then those in the
 * middle of a request; within each class the one that has waited longest is closed. A
 * connection whose call is in flight is never closed, nor one that has waited for less than
 * GRACE_MS, the time that a client needs to send its first request.
 *
 * A connection that got an answer without authentication is "spent". It is closed first and
 * without a grace time, even if more of its requests wait. Otherwise a client could keep any number
 * of connections by one GET /healthz each 0.5 s. A connection is spent, too, when its client has
 * closed it and has received all answers: it exists only until the next turn of the loop, and must
 * not cause a new connection of this turn to be refused.
 *
 * Root and the daemon's own user may have ROOT_EXTRA connections more on unix sockets.
 */
#include "api/http/conn_limit.h"

#include <assert.h>
#include <limits.h>
#include <unistd.h>

enum { GRACE_MS = 500, ROOT_EXTRA = 64 };

/* Close one connection of the classes up to @last, of @peer or (NULL) of anyone. */
static bool conn_evict(struct conn_pool *p, enum evict_class last, const struct peer_key *peer)
{
	uint64_t now = uv_now(p->loop);
	struct conn *c;

	assert(last < EVICT_NEVER);
	for (int i = 0; i <= (int)last; i++) {
		TAILQ_FOREACH(c, &p->evict[i], evict)
		{
			/* Its request will be answered soon. A spent connection has its answer
			 * already. */
			if ((c->resume_queued && !c->spent) ||
			    (peer && !peer_equal(peer, &c->peer)))
				continue;
			/* If the oldest keyless connection is still within its grace time, refuse
			 * the new connection; do not evict connections of authenticated callers. */
			if (!c->spent && now - c->waits_since < GRACE_MS)
				return false;
			p->metrics->evicted++;
			conn_destroy(c);
			return true;
		}
	}
	return false;
}

bool conn_limit_evict_keyless(struct conn_pool *p)
{
	return conn_evict(p, EVICT_KEYLESS, NULL);
}

static bool is_root(const struct conn *c)
{
	return c->is_unix && (c->uid == 0 || c->uid == geteuid());
}

/* Limit of the connections of this peer. A trusted proxy has no limit: its connections belong
 * to all its clients. */
static unsigned peer_limit(const struct conn *c)
{
	return peer_is_in(&c->address, c->pool->proxies) ? UINT_MAX : c->pool->limits.per_peer;
}

bool conn_limit_admit(struct conn *c)
{
	struct conn_pool *p = c->pool;
	unsigned most = p->limits.connections;

	c->evict_class = EVICT_NEVER;
	c->known = is_root(c);
	if (p->n_open >= most && !conn_evict(p, EVICT_READING, NULL) &&
	    (!c->known || p->n_open >= most + ROOT_EXTRA))
		return false;
	if (!c->known && !peer_counts_add(p->peers, &c->peer, peer_limit(c)) &&
	    !(conn_evict(p, EVICT_READING, &c->peer) &&
	      peer_counts_add(p->peers, &c->peer, peer_limit(c))))
		return false;
	c->counted = !c->known;
	p->n_open++;
	return true;
}
