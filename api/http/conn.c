/* SPDX-License-Identifier: Apache-2.0
 * conn.c - states, queues and the end of a connection.
 *
 * What must always hold:
 * - A connection is in the eviction queue of its evict_class, or in none with EVICT_NEVER.
 * - It is in pool->resume exactly while resume_queued.
 * - With CONN_CALL and before its answer it has a request, which points back to it. Whichever of
 * the two ends first clears the pointer of the other.
 * - After conn_destroy() the struct lives until libuv has closed its handle, and does nothing.
 *
 * Deadlines are numbers in the connection; one timer of the pool watches all of them.
 */
#include "api/http/conn.h"

#include <assert.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/loop.h"

/* Bit @to of element @from: the state may change from @from to @to. */
static const unsigned conn_next_states[CONN_STATES] = {
	[CONN_HANDSHAKE] = 1U << CONN_HEAD | 1U << CONN_LINGER | 1U << CONN_CLOSED,
	[CONN_HEAD] = 1U << CONN_CALL | 1U << CONN_LINGER | 1U << CONN_CLOSED,
	[CONN_BODY] = 1U << CONN_CALL | 1U << CONN_LINGER | 1U << CONN_CLOSED,
	[CONN_CALL] = 1U << CONN_BODY | 1U << CONN_HEAD | 1U << CONN_LINGER | 1U << CONN_CLOSED,
	[CONN_LINGER] = 1U << CONN_CLOSED,
};

bool conn_is_open(const struct conn *c)
{
	return c->state != CONN_LINGER && c->state != CONN_CLOSED;
}

void conn_set_state(struct conn *c, enum conn_state state)
{
	assert(conn_next_states[c->state] & 1U << state);
	c->state = state;
}

void conn_set_due(struct conn *c, uint64_t ms)
{
	c->due = ms ? uv_now(c->pool->loop) + ms : 0;
	if (c->due)
		conn_pool_deadline(c->pool, c->due);
}

/* ------------------------------------------------------------------ queues */

static enum evict_class conn_evict_class(const struct conn *c)
{
	if (c->state == CONN_CALL || c->state == CONN_CLOSED)
		return EVICT_NEVER;
	if (!c->known)
		return EVICT_KEYLESS;
	if (c->state == CONN_LINGER || (c->state == CONN_HEAD && !c->head_started))
		return EVICT_IDLE;
	return EVICT_READING;
}

void conn_requeue(struct conn *c)
{
	enum evict_class to = conn_evict_class(c);

	if (c->evict_class != EVICT_NEVER)
		TAILQ_REMOVE(&c->pool->evict[c->evict_class], c, evict);
	c->evict_class = to;
	c->waits_since = uv_now(c->pool->loop);
	if (to != EVICT_NEVER && c->spent)
		TAILQ_INSERT_HEAD(&c->pool->evict[to], c, evict);
	else if (to != EVICT_NEVER)
		TAILQ_INSERT_TAIL(&c->pool->evict[to], c, evict);
}

void conn_queue_resume(struct conn *c)
{
	if (c->resume_queued || c->state == CONN_CLOSED)
		return;
	c->resume_queued = true;
	TAILQ_INSERT_TAIL(&c->pool->resume, c, resume);
	conn_pool_wake(c->pool);
}

void conn_resume_input(struct conn *c)
{
	bool held = c->tls && tls_held_back(c->tls);

	if (c->in.len || held || !c->reading || c->eof)
		conn_queue_resume(c);
}

struct conn *conn_pop_resume(struct conn_pool *p)
{
	struct conn *c = TAILQ_FIRST(&p->resume);

	if (!c)
		return NULL;
	assert(c->resume_queued && c->state != CONN_CLOSED);
	TAILQ_REMOVE(&p->resume, c, resume);
	c->resume_queued = false;
	return c;
}

/* ------------------------------------------------------------------ end */

static void on_conn_handle_closed(uv_handle_t *h)
{
	struct conn *c = h->data;
	struct conn_pool *p = c->pool;

	assert(c->state == CONN_CLOSED && !c->req && !c->resume_queued);
	LIST_REMOVE(c, all);
	tls_free(c->tls);
	buf_free(&c->in);
	buf_free(&c->out);
	buf_free(&c->writing);
	free(c);
	assert(p->n_conns > 0);
	if (--p->n_conns == 0)
		p->calls->on_last_conn(p);
	conn_pool_handle_closed(p);
}

void conn_destroy(struct conn *c)
{
	struct conn_pool *p = c->pool;

	assert_loop_thread();
	if (c->state == CONN_CLOSED)
		return;
	conn_set_state(c, CONN_CLOSED);
	conn_requeue(c);
	assert(p->n_open > 0);
	p->n_open--;
	if (c->counted)
		peer_counts_drop(p->peers, &c->peer);
	c->due = c->write_due = 0;
	c->reading = false;
	if (c->resume_queued)
		TAILQ_REMOVE(&p->resume, c, resume);
	c->resume_queued = false;
	if (c->req)
		p->calls->client_gone(c->req);
	uv_close(&c->uv.handle, on_conn_handle_closed);
}
