/* SPDX-License-Identifier: Apache-2.0
 * request.h - a call with what stands behind it.
 *
 * Until its handler is called a request belongs to its connection; from then on to the handler, who
 * gives it up by answering. The two then only point at each other: whichever ends first clears the
 * other's pointer.
 */
#ifndef TEEPOD_API_HTTP_REQUEST_H
#define TEEPOD_API_HTTP_REQUEST_H

#include "api/http/body_budget.h"
#include "api/http/call.h"
#include "api/http/call_data.h"
#include "api/http/conn.h"
#include "api/http/fields.h"
#include "api/http/reply.h"
#include "api/http/target.h"

struct request {
	struct call call;      /* first: a call pointer is a request pointer */
	struct call_data data; /* call.data points here */
	struct server *s;      /* NULL once the server is gone */
	struct conn *conn;     /* NULL once the client is gone */
	LIST_ENTRY(request) all;
	TAILQ_ENTRY(request) deserted;
	bool deserted_queued, was_deserted;
	bool handed; /* the handler, or an answer being sent, owns it */
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
	int64_t started_us;
	void (*on_gone)(void *arg);
	void *on_gone_arg;
};

static inline struct request *request_of(const struct call *c)
{
	return (struct request *)(uintptr_t)c;
}

struct request *request_new(struct conn *c);
void request_free(struct request *q);

/* The client is gone (or will not be told more): cut the request off its connection; frees it if no
 * handler has it. */
void request_desert(struct request *q);
void request_run_on_gone(struct request *q);

/* Refuse what can not be read on behind: error body, then the connection is closed. */
void request_refuse(struct request *q, int status, const char *text);

/* The last chunk on behalf of a handler that follows something without an end. */
void request_end_stream(struct request *q);

enum dispatch { DISPATCH_ANSWERED, DISPATCH_BODY, DISPATCH_RUN };

/* Everything that can be decided on the head alone: grammar, target, route, caller, role, size. */
enum dispatch dispatch_head(struct request *q, const char *head, size_t n);
/* Is the head at @data, which is complete, one of a route that is served before all others? */
bool dispatch_is_urgent(const struct router *r, const char *head, size_t n);
/* The body is there. May end before the handler was called, which then is called later. */
void dispatch_run(struct request *q);

#endif
