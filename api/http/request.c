/* SPDX-License-Identifier: Apache-2.0
 * request.c - the life of a request, from its first byte to its answer or its client's departure.
 *
 * on_gone is never called from inside another function of the handler (a write that fails,
 * call_on_gone() itself): it is queued and called from the loop.
 */
#include "api/http/request.h"

#include <assert.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/id.h"

struct request *request_new(struct conn *c)
{
	struct request *q = xcalloc(1, sizeof(*q));
	struct call *call = &q->call;

	q->s = c->s;
	q->conn = c;
	q->data.tls = c->tls != NULL;
	q->started_us = clock_mono_us();
	q->route_index = router_count(c->s->router);
	call->method = call->path = call->query = call->body = "";
	call->request_id = q->id;
	call->version = 26;
	call->server = c->s->arg;
	call->data = &q->data;
	LIST_INSERT_HEAD(&c->s->requests, q, all);
	return q;
}

void request_free(struct request *q)
{
	if (q->s) {
		LIST_REMOVE(q, all);
		if (q->deserted_queued)
			TAILQ_REMOVE(&q->s->deserted, q, deserted);
	}
	body_budget_release(&q->share);
	call_data_free(&q->data);
	target_free(&q->target);
	buf_free(&q->body);
	free(q->raw);
	free(q);
}

static void queue_on_gone(struct request *q)
{
	if (!q->on_gone || !q->was_deserted || q->deserted_queued || !q->s)
		return;
	q->deserted_queued = true;
	TAILQ_INSERT_TAIL(&q->s->deserted, q, deserted);
	server_kick(q->s);
}

void request_desert(struct request *q)
{
	assert(q->conn);
	q->conn->req = NULL;
	q->conn = NULL;
	if (!q->handed) {
		request_free(q);
		return;
	}
	q->was_deserted = true;
	queue_on_gone(q);
}

void request_run_on_gone(struct request *q)
{
	void (*fn)(void *) = q->on_gone;

	q->on_gone = NULL;
	if (fn)
		fn(q->on_gone_arg);
}

void call_on_gone(struct call *c, void (*fn)(void *arg), void *arg)
{
	struct request *q = request_of(c);

	q->on_gone = fn;
	q->on_gone_arg = arg;
	queue_on_gone(q);
}
