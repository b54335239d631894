/* SPDX-License-Identifier: Apache-2.0
 * dispatch.c - from a complete head to the call of the handler.
 *
 * Everything that can be refused is refused before a byte of the body is read: an unknown path, a
 * missing key, an insufficient role, a body that is too large. "100 Continue" is sent only after
 * that.
 */
#include "api/http/dispatch.h"

#include <assert.h>
#include <string.h>

#include "api/http/authorize.h"
#include "api/http/envelope.h"
#include "api/http/reply.h"
#include "base/id.h"
#include "base/lag.h"
#include "base/own.h"
#include "base/strings.h"

enum { REQUEST_ID_MAX = 64 };

/* ------------------------------------------------------------------ head */

static void choose_request_id(struct request *q)
{
	static const char allowed[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
	const char *given = call_header(&q->call, "X-Request-Id");
	size_t n = given ? strlen(given) : 0;

	if (n == 0 || n > REQUEST_ID_MAX || strspn(given, allowed) != n)
		id_uuid7(q->id);
	else
		memcpy(q->id, given, n + 1);
}

/* Host and port by which the client reached this server: the field Host, else the address of the
 * socket. */
static void find_authority(struct request *q, struct span host)
{
	struct sockaddr_storage ss = { 0 };
	char *out = q->data.authority;
	int n = sizeof(ss);

	if (host.n && host.n < sizeof(q->data.authority))
		memcpy(out, host.p, host.n);
	else if (q->conn->is_unix ||
		 uv_tcp_getsockname(&q->conn->uv.tcp, (struct sockaddr *)&ss, &n))
		memcpy(out, "localhost", sizeof("localhost"));
	else
		(void)peer_text((struct sockaddr *)&ss, out);
}

/* Fill the call from the head. The strings of the call point into q->raw and q->target. */
static void dispatch_fill_call(struct request *q, const struct head *h)
{
	struct span host = head_find(h, "host"), connection = head_find(h, "connection");
	const char *version;

	q->minor = h->minor;
	q->length = h->length;
	q->keep = h->minor > 0 && !head_has_token(connection, "close");
	q->expects = h->minor > 0 && head_find(h, "expect").p;
	find_authority(q, host);
	fields_cut(&q->data.fields, q->raw, h);
	q->call.method = span_cut(q->raw, h->method);
	choose_request_id(q);
	q->head_only = !strcmp(q->call.method, "HEAD");
	q->call.path = q->target.path;
	q->call.query = q->target.query;
	version = call_header(&q->call, "X-Phala-Version");
	q->call.version = version && !strcmp(version, "2025-10-28") ? 25 : 26;
}

/* Everything that the route requires of the head, and the reservation for the body. */
static int dispatch_admit(struct request *q, struct err *e)
{
	int r = authorize(q, e);

	if (r < 0)
		return r;
	if (q->length <= q->route->body_max)
		return body_budget_reserve(&q->set->budget, &q->share, &q->call.caller, q->length,
					   e);
	return err_set(e, ERR_TOO_LARGE, "the body has %llu bytes; this path accepts at most %zu",
		       (unsigned long long)q->length, q->route->body_max);
}

/* ------------------------------------------------------------------ route */

static void refuse_method(struct request *q, unsigned allowed)
{
	char allow[ROUTER_ALLOW_TEXT];
	auto_free char *text = NULL;

	call_add_header(&q->call, "Allow", router_allow(allowed, allow));
	text = xasprintf("method %s is not allowed for this path; allowed: %s", q->call.method,
			 allow);
	call_reply(&q->call, 405, envelope_plain(text, q->id));
}

static bool find_route(struct request *q)
{
	struct router_match m;
	struct err e;

	router_match(q->set->router, q->call.method, &q->target, &m);
	if (!m.route && m.allow) {
		refuse_method(q, m.allow);
		return false;
	}
	if (!m.route) {
		(void)err_set(&e, ERR_NOT_FOUND, "path %.200s does not exist", q->call.path);
		call_reply_err(&q->call, &e);
		return false;
	}
	q->route = m.route;
	q->route_index = m.index;
	q->call.route = m.route->pattern;
	memcpy(q->call.param, m.param, sizeof(m.param));
	return true;
}

bool dispatch_is_urgent(const struct router *r, const char *head, size_t n)
{
	const char *sp = memchr(head, ' ', n), *path = sp ? sp + 1 : head + n;
	size_t len = 0;

	while (path + len < head + n && !strchr(" ?\r", path[len]))
		len++;
	for (unsigned i = 0; i < router_count(r); i++) {
		const struct route *route = router_route(r, i);

		if ((route->flags & ROUTE_URGENT) && strlen(route->pattern) == len &&
		    !memcmp(route->pattern, path, len))
			return true;
	}
	return false;
}

enum dispatch_result dispatch_head(struct request *q, const char *head, size_t n)
{
	struct head_fault fault;
	struct head h;
	const char *bad;
	struct err e;

	if (head_parse(head, n, &h, &fault)) {
		reply_refuse(q, fault.status, fault.text);
		return DISPATCH_ANSWERED;
	}
	bad = target_read(h.target.p, h.target.n, &q->target);
	if (bad) {
		reply_refuse(q, 400, bad);
		return DISPATCH_ANSWERED;
	}
	dispatch_fill_call(q, &h);
	if (!authorize_origin(q) || !find_route(q))
		return DISPATCH_ANSWERED;
	if (dispatch_admit(q, &e)) {
		call_reply_err(&q->call, &e);
		return DISPATCH_ANSWERED;
	}
	return q->length ? DISPATCH_BODY : DISPATCH_RUN;
}

/* ------------------------------------------------------------------ handler */

static void dispatch_handle_now(void *arg)
{
	struct request *q = arg;
	struct err e;

	assert(q->handed);
	if (!q->set) { /* the server is gone */
		request_free(q);
		return;
	}
	LAG_SECTION(q->route->method, q->route->pattern);
	/* The body may have taken hours to arrive, so the credential is checked again. */
	if (q->length && q->set->still_valid && q->set->still_valid(&q->call, &e)) {
		call_reply_err(&q->call, &e);
		return;
	}
	q->route->handle(&q->call);
}

/* Requests of one turn share a transaction. The handler of a GET runs after its commit: otherwise
 * it could report what a failed commit or a crash then takes back. */
static void dispatch_handle(struct request *q)
{
	q->handed = true;
	if (q->set->after_commit && !strcmp(q->route->method, "GET"))
		q->set->after_commit(q->set->arg, dispatch_handle_now, q);
	else
		dispatch_handle_now(q);
}

static void dispatch_refuse_busy(struct request *q)
{
	struct err e;

	(void)err_set(&e, ERR_UNAVAILABLE, "the node is too busy to read the request body");
	q->handed = true;
	call_reply_err(&q->call, &e);
}

static void on_body_event(void *arg, enum body_event event)
{
	struct request *q = arg;

	switch (event) {
	case BODY_TAKEN:
		q->handed = true;
		break;
	case BODY_PARSED:
		dispatch_handle(q);
		break;
	case BODY_REFUSED:
		dispatch_refuse_busy(q);
		break;
	}
}

static void dispatch_parse_body(struct request *q)
{
	const struct body_spec spec = { .text = q->body.data,
					.len = q->body.len,
					.caller = &q->call.caller,
					.wants_canonical =
						call_header(&q->call, "Idempotency-Key") != NULL,
					.on_event = on_body_event,
					.arg = q };

	assert(!q->handed && !q->data.parsed);
	q->data.parsed = body_parse_start(&q->set->bodies, &spec);
	if (!q->data.parsed)
		dispatch_refuse_busy(q);
}

void dispatch_run(struct request *q)
{
	assert(q->route && q->body.len == q->length);
	if (q->body.len) {
		q->call.body = q->body.data;
		q->call.body_len = q->body.len;
	}
	if (q->route->body && q->body.len > BODY_LONG_BYTES)
		dispatch_parse_body(q);
	else
		dispatch_handle(q);
}
