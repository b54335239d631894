/* SPDX-License-Identifier: Apache-2.0
 * request.c - the life of a request, from its first byte to its answer.
 *
 * on_gone() is never called from inside another function of its handler (a write that fails, or
 * call_on_gone() itself): it is queued and called from the loop.
 */
#include "api/http/request.h"

#include <assert.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/clock.h"

struct request *request_new(struct conn *c)
{
	struct request_set *set = c->pool->requests;
	struct request *q = xcalloc(1, sizeof(*q));
	struct call *call = &q->call;

	assert(!c->req);
	q->set = set;
	q->conn = c;
	q->data.tls = c->tls != NULL;
	q->started_us = clock_mono_us();
	q->route_index = router_count(set->router);
	call->method = call->path = call->query = call->body = "";
	call->request_id = q->id;
	call->version = 26;
	call->server = set->arg;
	call->data = &q->data;
	LIST_INSERT_HEAD(&set->all, q, all);
	c->req = q;
	return q;
}

void request_free(struct request *q)
{
	assert(!q->conn || q->conn->req != q);
	if (q->set) {
		LIST_REMOVE(q, all);
		if (q->gone_queued)
			TAILQ_REMOVE(&q->set->gone, q, gone);
	}
	body_budget_release(&q->share);
	call_data_free(&q->data);
	target_free(&q->target);
	buf_free(&q->body);
	free(q->raw);
	free(q);
}

/* ------------------------------------------------------------------ clients that leave */

static void request_queue_gone(struct request *q)
{
	if (!q->on_gone || !q->client_gone || q->gone_queued || !q->set)
		return;
	q->gone_queued = true;
	TAILQ_INSERT_TAIL(&q->set->gone, q, gone);
	conn_pool_wake(q->set->pool);
}

void request_client_gone(struct request *q)
{
	assert(q->conn && q->conn->req == q);
	q->conn->req = NULL;
	q->conn = NULL;
	if (!q->handed) {
		request_free(q);
		return;
	}
	q->client_gone = true;
	request_queue_gone(q);
}

void request_set_on_gone(struct request *q, void (*fn)(void *arg), void *arg)
{
	q->on_gone = fn;
	q->on_gone_arg = arg;
	request_queue_gone(q);
}

static void request_run_gone(struct request *q)
{
	void (*fn)(void *) = q->on_gone;

	q->on_gone = NULL;
	if (fn)
		fn(q->on_gone_arg);
}

void request_set_run_gone(struct request_set *set)
{
	struct request *q;

	while ((q = TAILQ_FIRST(&set->gone))) {
		TAILQ_REMOVE(&set->gone, q, gone);
		q->gone_queued = false;
		request_run_gone(q);
	}
}

/* Handlers keep their calls, which can only be answered with an error from now on. */
static void request_cut(struct request *q)
{
	LIST_REMOVE(q, all);
	if (q->gone_queued)
		TAILQ_REMOVE(&q->set->gone, q, gone);
	q->gone_queued = false;
	body_budget_release(&q->share);
	if (q->data.parsed)
		body_parse_detach(q->data.parsed);
	q->set = NULL;
	q->data.cut = true;
	request_run_gone(q);
}

void request_set_cut(struct request_set *set)
{
	struct request *q;

	while ((q = LIST_FIRST(&set->all))) {
		/* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): request_free() has unlinked it */
		bool handed = q->handed;

		assert(q->set == set && (handed || q->conn));
		if (q->conn)
			request_client_gone(q);
		if (handed)
			request_cut(q);
	}
}
