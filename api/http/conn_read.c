/* SPDX-License-Identifier: Apache-2.0
 * conn_read.c - input of a connection: from bytes to requests.
 *
 * The loop pushes bytes (on_conn_read()). They are decrypted if need be, appended to c->in, and
 * used up by conn_process(): one request at a time, the next one only after the answer to the one
 * before. A handler may answer inside its call; conn_process() then goes on. If it answers later,
 * what waits in c->in is processed from the loop, not from inside call_reply(): a handler is never
 * called by its own answer.
 *
 * Reading goes on while a call is in flight, because only end-of-file shows that a client has left.
 * It stops when conn_in_max() bytes of later requests wait, or when the client does not read its
 * answers. End-of-file itself ends only a call with call_on_gone(), or a stream: a client may
 * shut down its sending side and still wait for the answer.
 *
 * A turn of the loop that has taken long enough (lag_enough()) reads no more bodies, and leaves
 * further requests to the next turns. These serve them in the order of their arrival, at least one
 * a turn. Heads are read all the same, because a probe of the node's health is answered at once
 * (conn_put_off()).
 */
#include "api/http/conn_read.h"

#include <assert.h>
#include <string.h>

#include "api/http/conn_write.h"
#include "api/http/dispatch.h"
#include "api/http/reply.h"
#include "base/buf.h"
#include "base/lag.h"
#include "base/strings.h"

enum {
	BACKLOG_MARK = 256 * 1024, /* bytes of unread answers that stop the next request */
	KEYLESS_MARK = 16 * 1024,  /* the same without an authenticated request */
	KEYLESS_RX = 16 * 1024,    /* bytes of one read of those */
	PROBE_RX = 4096,           /* bytes of one read of a head that may be a health probe */
	BODY_BYTES_MS = 8,         /* the slowest body: bytes a millisecond */
};

static bool conn_blocked(const struct conn *c)
{
	size_t mark = c->known ? BACKLOG_MARK : KEYLESS_MARK;

	return c->state == CONN_CALL || (c->state == CONN_HEAD && conn_backlog(c) > mark);
}

/* Plain bytes of later requests that may wait. A connection without an authenticated request gets
 * room for one head, and one more byte that shows that a head is too large: anyone may open
 * connections. */
static size_t conn_in_max(const struct conn *c)
{
	size_t head = c->pool->limits.head_bytes;

	if (!c->known)
		return head + 1;
	return head * 2 > CONN_RX_BYTES ? head * 2 : CONN_RX_BYTES;
}

/* ------------------------------------------------------------------ requests */

void conn_refuse(struct conn *c, int status, const char *text)
{
	if (!c->req)
		(void)request_new(c);
	conn_set_state(c, CONN_CALL);
	reply_refuse(c->req, status, text);
}

/* The deadline of the next byte, but no later than that of the whole body. */
static void conn_set_body_due(struct conn *c)
{
	uint64_t now = uv_now(c->pool->loop), idle = c->pool->limits.body_idle_ms;
	uint64_t left = c->body_until > now ? c->body_until - now : 1;

	conn_set_due(c, left < idle ? left : idle);
}

static void conn_run_request(struct conn *c)
{
	assert(c->state == CONN_CALL);
	conn_requeue(c);
	c->due = 0;
	dispatch_run(c->req);
}

/* True if the complete request must wait for a later turn of the loop: this turn has taken
 * long, or other requests wait already. A health probe never waits. */
static bool conn_put_off(struct conn *c)
{
	struct conn_pool *p = c->pool;

	if (p->resuming || (TAILQ_EMPTY(&p->resume) && !lag_enough()))
		return false;
	c->put_off = c->state != CONN_HEAD ||
		     !dispatch_is_urgent(p->requests->router, c->in.data, c->head_len);
	return c->put_off;
}

static void conn_take_head(struct conn *c)
{
	size_t n = c->head_len;
	enum dispatch_result d;
	struct request *q = request_new(c);

	conn_set_state(c, CONN_CALL);
	c->due = 0;
	c->head_len = 0;
	/* c->in may move while the call is in flight, so the request keeps a copy */
	q->raw = xstrndup(c->in.data, n);
	buf_drop(&c->in, n);
	d = dispatch_head(q, q->raw, n);
	if (d == DISPATCH_RUN) {
		conn_run_request(c);
	} else if (d == DISPATCH_BODY) {
		conn_set_state(c, CONN_BODY);
		conn_requeue(c);
		c->body_until =
			uv_now(c->pool->loop) + c->pool->limits.body_ms + q->length / BODY_BYTES_MS;
		conn_set_body_due(c);
		if (q->expects && c->in.len == 0)
			conn_send(c, "HTTP/1.1 100 Continue\r\n\r\n", 25);
	}
}

/* Each step returns true if it made progress. */
static bool conn_step_head(struct conn *c)
{
	struct head_fault fault;
	int r;

	/* RFC 9112 2.2: one empty line before a request is ignored */
	if (!c->head_any && c->in.len >= 2 && !memcmp(c->in.data, "\r\n", 2)) {
		buf_drop(&c->in, 2);
		c->scan = (struct head_scan){ 0 };
		c->head_any = true;
	}
	if (c->in.len == 0)
		return false;
	r = c->head_len ? 1
			: head_scan(&c->scan, c->in.data, c->in.len, c->pool->limits.head_bytes,
				    &c->head_len, &fault);
	if (r < 0) {
		conn_refuse(c, fault.status, fault.text);
	} else if (r > 0) {
		if (conn_put_off(c))
			return false;
		conn_take_head(c);
	} else if (!c->head_started) {
		c->head_started = true;
		conn_requeue(c);
		conn_set_due(c, c->pool->limits.head_ms);
	}
	return r != 0;
}

static bool conn_step_body(struct conn *c)
{
	struct request *q = c->req;
	uint64_t missing = q->length - q->body.len;
	size_t n = c->in.len < missing ? c->in.len : (size_t)missing;

	buf_add(&q->body, c->in.data, n);
	buf_drop(&c->in, n);
	if (n < missing) {
		if (n)
			conn_set_body_due(c);
		return false;
	}
	if (conn_put_off(c))
		return false;
	conn_set_state(c, CONN_CALL);
	conn_run_request(c);
	return true;
}

static void conn_process(struct conn *c)
{
	bool go = true, later = false;

	c->processing = true;
	c->put_off = false;
	while (go && !later) {
		if (c->state == CONN_HEAD && !conn_blocked(c))
			go = conn_step_head(c);
		else if (c->state == CONN_BODY)
			go = conn_step_body(c);
		else
			go = false;
		later = go && lag_enough();
	}
	c->processing = false;
	if (c->in.len == 0)
		buf_free(&c->in);
	if (later || c->put_off)
		conn_queue_resume(c);
}

/* ------------------------------------------------------------------ reading */

static void on_conn_alloc(uv_handle_t *h, size_t hint, uv_buf_t *buf)
{
	struct conn *c = h->data;
	unsigned n = c->known ? CONN_RX_BYTES : KEYLESS_RX;

	(void)hint;
	/* With 0 bytes (UV_ENOBUFS), the input stays in the kernel until the next turn. */
	if (lag_enough())
		n = c->state == CONN_HEAD ? PROBE_RX : 0;
	*buf = uv_buf_init(c->pool->rx, n);
}

static void on_conn_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf);

void conn_regulate(struct conn *c)
{
	bool want = c->state != CONN_CLOSED && !c->eof &&
		    ((!conn_blocked(c) && !c->resume_queued) ||
		     (c->in.len < conn_in_max(c) && !(c->tls && tls_held_back(c->tls))));

	if (want == c->reading)
		return;
	c->reading = want;
	if (!want)
		(void)uv_read_stop(&c->uv.stream);
	else if (uv_read_start(&c->uv.stream, on_conn_alloc, on_conn_read))
		conn_destroy(c);
}

static void conn_feed_tls(struct conn *c, const void *data, size_t n)
{
	enum tls_result r;

	do {
		r = tls_feed(c->tls, data, n, &c->in, conn_in_max(c));
		n = 0;
		conn_flush(c);
		if (c->state == CONN_HANDSHAKE && tls_ready(c->tls)) {
			conn_set_state(c, CONN_HEAD);
			conn_set_due(c, c->pool->limits.head_ms);
		}
		if (r == TLS_CLOSED)
			c->eof = true;
		if (conn_is_open(c))
			conn_process(c);
	} while (r == TLS_FULL && conn_is_open(c) && !c->resume_queued &&
		 c->in.len < conn_in_max(c));
	if (r == TLS_FAILED && conn_is_open(c)) {
		if (c->req && c->req->handed)
			conn_destroy(c);
		else
			conn_linger(c);
	}
}

static void conn_feed(struct conn *c, const void *data, size_t n)
{
	if (c->tls) {
		conn_feed_tls(c, data, n);
	} else {
		buf_add(&c->in, data, n);
		conn_process(c);
	}
}

/* No more input will arrive. Input that is here already is served first. */
static void conn_at_eof(struct conn *c)
{
	c->eof = true;
	if (c->resume_queued && conn_is_open(c))
		return;
	switch (c->state) {
	case CONN_CALL:
		assert(c->req);
		if (!c->req->finite && (c->req->streaming || c->req->on_gone))
			conn_destroy(c);
		break;
	case CONN_LINGER:
		if (c->shut)
			conn_destroy(c);
		break;
	case CONN_CLOSED:
		break;
	case CONN_HEAD:
		/* requests may wait until earlier answers are sent */
		if (c->in.len && conn_blocked(c))
			break;
		/* The client has left; answers may still be on their way. */
		c->spent = c->spent || !conn_backlog(c);
		conn_linger(c);
		break;
	default:
		conn_destroy(c);
	}
}

static void on_conn_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
	struct conn *c = stream->data;

	if (n == UV_ENOBUFS)
		return;
	LAG_SECTION("connection", "read");
	c->read_at = uv_now(c->pool->loop);
	if (n == UV_EOF) {
		conn_at_eof(c);
	} else if (n < 0) {
		conn_destroy(c);
		return;
	} else if (n > 0 && conn_is_open(c)) {
		conn_feed(c, buf->base, (size_t)n);
		if (c->eof && conn_is_open(c))
			conn_at_eof(c);
	}
	conn_regulate(c);
}

void conn_resume(struct conn *c)
{
	LAG_SECTION("connection", "resume");
	assert(!c->resume_queued);
	if (conn_is_open(c))
		conn_feed(c, NULL, 0);
	if (c->eof && conn_is_open(c) && !c->resume_queued)
		conn_at_eof(c);
	conn_regulate(c);
}
