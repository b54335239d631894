/* SPDX-License-Identifier: Apache-2.0
 * request.h - the life of a request between its connection and its handler.
 *
 * A request belongs to its connection until its handler is called, and to the handler from then on.
 * The handler ends it by an answer (reply.h). Connection and request only point at each other:
 * whichever ends first clears the pointer of the other.
 */
#ifndef TEEPOD_API_HTTP_REQUEST_H
#define TEEPOD_API_HTTP_REQUEST_H

#include "api/http/auth_rate.h"
#include "api/http/body_budget.h"
#include "api/http/call.h"
#include "api/http/call_data.h"
#include "api/http/conn.h"
#include "api/http/router.h"
#include "base/buf.h"

LIST_HEAD(request_list, request);
TAILQ_HEAD(request_queue, request);

/* What the requests of one server share. */
struct request_set {
	struct conn_pool *pool;
	/* See struct server_config. */
	int (*authenticate)(void *arg, const struct credentials *cred, struct caller *ret,
			    struct err *e);
	void (*after_commit)(void *arg, void (*fn)(void *fn_arg), void *fn_arg);
	int (*still_valid)(struct call *c, struct err *e);
	void *arg;
	const char *const *hosts;

	struct router *router;
	struct auth_rate *auth_rate;
	uint64_t wrong_key_logged_ms; /* uv_now() of the last warning of wrong keys */
	struct body_budget budget;
	struct body_queue bodies;
	struct request_list all;   /* not yet answered */
	struct request_queue gone; /* their on_gone() is due */
	struct buf scratch;        /* an answer while it is put together */
};

struct request {
	struct call call;        /* first: a call pointer is a request pointer */
	struct call_data data;   /* call.data points here */
	struct request_set *set; /* NULL once the server is gone */
	struct conn *conn;       /* NULL once the client is gone */
	LIST_ENTRY(request) all;
	TAILQ_ENTRY(request) gone;
	bool gone_queued, client_gone;
	bool handed; /* the handler, a job, or an answer being sent owns it */
	bool head_only, keep, expects, must_close;
	int minor;
	unsigned route_index;
	const struct route *route;

	char *raw; /* owned: the head, cut into strings */
	struct target target;
	char id[65];

	uint64_t length; /* Content-Length */
	struct body_share share;
	struct buf body;
	bool streaming, chunked;
	bool finite; /* with streaming: it ends by itself */
	int64_t started_us;
	void (*on_gone)(void *arg);
	void *on_gone_arg;
};

static inline struct request *request_of(const struct call *c)
{
	return (struct request *)(uintptr_t)c;
}

/* The new request is the connection's request in flight. */
struct request *request_new(struct conn *c);
void request_free(struct request *q);

/* The client is gone, or gets no more: separate the request from its connection. Frees it if nobody
 * else owns it. */
void request_client_gone(struct request *q);
void request_set_on_gone(struct request *q, void (*fn)(void *arg), void *arg);

/* Call the on_gone() of all requests whose client has left. */
void request_set_run_gone(struct request_set *set);
/* The server ends: free the requests that nobody else owns, and cut the others off. */
void request_set_cut(struct request_set *set);

#endif
