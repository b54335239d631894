/* SPDX-License-Identifier: Apache-2.0
 * conn_pool.c - the deadline timer, the wake-up, and the handle count of one server.
 *
 * The timer runs only while some connection has a deadline, for the nearest one, and never fires
 * more than once a second. Deadlines are therefore up to a second late, which no client can tell
 * from a slow network.
 *
 * libuv closes handles asynchronously: memory that holds a handle must stay until its close
 * callback has run. The pool counts all handles of the server (listeners, connections, timers) and
 * reports when the last one has closed.
 */
#include "api/http/conn_pool.h"

#include <assert.h>

#include "base/lag.h"

enum { TICK_MS = 1000 };

static void on_pool_timer(uv_timer_t *t)
{
	struct conn_pool *p = t->data;

	LAG_SECTION("timer", "connection deadlines");
	p->timer_due = 0;
	p->calls->on_deadline(p);
}

void conn_pool_deadline(struct conn_pool *p, uint64_t due)
{
	uint64_t now = uv_now(p->loop);

	if (p->freeing)
		return;
	if (due < now + TICK_MS)
		due = now + TICK_MS;
	if (p->timer_due && p->timer_due <= due)
		return;
	p->timer_due = due;
	(void)uv_timer_start(&p->timer, on_pool_timer, due - now, 0);
}

static void on_pool_idle(uv_idle_t *idle)
{
	struct conn_pool *p = idle->data;

	p->calls->on_wake(p);
}

void conn_pool_wake(struct conn_pool *p)
{
	if (!p->freeing)
		(void)uv_idle_start(&p->idle, on_pool_idle);
}

void conn_pool_sleep(struct conn_pool *p)
{
	(void)uv_idle_stop(&p->idle);
}

void conn_pool_open(struct conn_pool *p)
{
	assert(p->loop && p->calls && p->metrics && p->proxies);
	p->peers = peer_counts_new();
	LIST_INIT(&p->conns);
	TAILQ_INIT(&p->resume);
	for (int i = 0; i < EVICT_NEVER; i++)
		TAILQ_INIT(&p->evict[i]);
	(void)uv_timer_init(p->loop, &p->timer);
	(void)uv_idle_init(p->loop, &p->idle);
	p->timer.data = p->idle.data = p;
	p->handles = 2;
}

void conn_pool_handle_opened(struct conn_pool *p)
{
	p->handles++;
}

void conn_pool_handle_closed(struct conn_pool *p)
{
	assert(p->handles > 0);
	if (--p->handles == 0)
		p->calls->on_last_handle(p);
}

static void on_pool_handle_closed(uv_handle_t *h)
{
	conn_pool_handle_closed(h->data);
}

void conn_pool_close(struct conn_pool *p)
{
	assert(p->freeing);
	uv_close((uv_handle_t *)&p->timer, on_pool_handle_closed);
	uv_close((uv_handle_t *)&p->idle, on_pool_handle_closed);
}

void conn_pool_release(struct conn_pool *p)
{
	assert(p->handles == 0 && LIST_EMPTY(&p->conns) && p->n_open == 0);
	peer_counts_free(p->peers);
}
