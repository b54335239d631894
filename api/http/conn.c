/* SPDX-License-Identifier: Apache-2.0
 * conn.c - a connection from accept to close.
 *
 * States are those of enum conn_state. Input is pushed by the loop (on_read), decrypted if need be,
 * appended to c->in and used up by process(): one request at a time, the next one only after the
 * answer to the one before. A handler may answer inside its call (process() then simply goes on) or
 * at any later time; then what waits in c->in is taken up from the loop, not from inside
 * call_reply(), so that a handler never finds itself called by its own answer.
 *
 * Reading goes on while a call is in flight, because end-of-file is how one learns that a client
 * has left; it stops when in_max() bytes of later requests wait, and when answers pile up unread.
 * End-of-file itself does not cancel a call that did not ask for it: clients may shut down their
 * sending side and still wait for the answer.
 *
 * A turn of the loop that has taken long enough (lag_enough()) reads no more bodies, and leaves
 * further requests to the next turns, where they are served in the order in which they came, at
 * least one a turn. Heads are read all the same: one that asks for the node's health is answered at
 * once (put_off()).
 *
 * Deadlines are kept as numbers in the connection; one timer of the server looks at all of them.
 */
#include "api/http/conn.h"

#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "api/http/request.h"
#include "base/lag.h"

enum {
	BACKLOG_MARK = 256 * 1024, /* unread answers that stop the next request */
	KEYLESS_MARK = 16 * 1024,  /* the same, without an authenticated request so far */
	KEYLESS_RX = 16 * 1024,    /* read of those */
	PROBE_RX = 4096,           /* read of a head that may be a probe of the node's health */
	UNREAD_MS = 1000,          /* bytes that wait longer with the kernel: the loop was held */
	BODY_BYTES_MS = 8,         /* how slow a body may be: bytes a millisecond */
	KEEPALIVE_PROBE_S = 60,
};

static bool is_open(const struct conn *c)
{
	return c->state != CONN_LINGER && c->state != CONN_CLOSED;
}

void conn_set_due(struct conn *c, uint64_t ms)
{
	c->due = ms ? uv_now(c->s->loop) + ms : 0;
	if (c->due)
		server_deadline(c->s, c->due);
}

static bool blocked(const struct conn *c)
{
	size_t mark = c->known ? BACKLOG_MARK : KEYLESS_MARK;

	return c->state == CONN_CALL || (c->state == CONN_HEAD && conn_backlog(c) > mark);
}

/* Plain bytes of later requests that may wait. Anybody may open connections: without an
 * authenticated request there is room for one head, and one byte that shows that a head is too
 * large. */
static size_t in_max(const struct conn *c)
{
	return c->known ? c->s->in_max : c->s->limits.head_bytes + 1;
}

/* ------------------------------------------------------------------ requests */

static void refuse(struct conn *c, int status, const char *text)
{
	if (!c->req)
		c->req = request_new(c);
	c->state = CONN_CALL;
	request_refuse(c->req, status, text);
}

/* Between two bytes of a body, but no later than the whole must be there. */
static void set_body_due(struct conn *c)
{
	uint64_t now = uv_now(c->s->loop), idle = c->s->limits.body_idle_ms;
	uint64_t left = c->body_until > now ? c->body_until - now : 1;

	conn_set_due(c, left < idle ? left : idle);
}

static void run(struct conn *c)
{
	c->state = CONN_CALL;
	conn_place(c);
	c->due = 0;
	dispatch_run(c->req);
}

/* Should the request that is there wait for its turn? One after the other while they are many; a
 * probe of the node's health is never put off, so that reading its head is all that it waits for.
 */
static bool put_off(struct conn *c)
{
	struct server *s = c->s;

	if (s->resuming || (TAILQ_EMPTY(&s->resume) && !lag_enough()))
		return false;
	c->put_off =
		c->state != CONN_HEAD || !dispatch_is_urgent(s->router, c->in.data, c->head_len);
	return c->put_off;
}

static void take_head(struct conn *c)
{
	size_t n = c->head_len;
	enum dispatch d;

	c->req = request_new(c);
	c->state = CONN_CALL;
	c->due = 0;
	c->head_len = 0;
	/* the buffer may move while the call is in flight: the request keeps a copy */
	c->req->raw = xstrndup(c->in.data, n);
	buf_drop(&c->in, n);
	d = dispatch_head(c->req, c->req->raw, n);
	if (d == DISPATCH_RUN) {
		run(c);
	} else if (d == DISPATCH_BODY) {
		c->state = CONN_BODY;
		conn_place(c);
		c->body_until =
			uv_now(c->s->loop) + c->s->limits.body_ms + c->req->length / BODY_BYTES_MS;
		set_body_due(c);
		if (c->req->expects && c->in.len == 0)
			conn_send(c, "HTTP/1.1 100 Continue\r\n\r\n", 25);
	}
}

/* True if it got anywhere. */
static bool step_head(struct conn *c)
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
			: head_scan(&c->scan, c->in.data, c->in.len, c->s->limits.head_bytes,
				    &c->head_len, &fault);
	if (r < 0) {
		refuse(c, fault.status, fault.text);
	} else if (r > 0) {
		if (put_off(c))
			return false;
		take_head(c);
	} else if (!c->head_started) {
		c->head_started = true;
		conn_place(c);
		conn_set_due(c, c->s->limits.head_ms);
	}
	return r != 0;
}

static bool step_body(struct conn *c)
{
	struct request *q = c->req;
	uint64_t missing = q->length - q->body.len;
	size_t n = c->in.len < missing ? c->in.len : (size_t)missing;

	buf_add(&q->body, c->in.data, n);
	buf_drop(&c->in, n);
	if (n < missing) {
		if (n)
			set_body_due(c);
		return false;
	}
	if (put_off(c))
		return false;
	run(c);
	return true;
}

static void queue_resume(struct conn *c)
{
	if (c->resume_queued || c->state == CONN_CLOSED)
		return;
	c->resume_queued = true;
	TAILQ_INSERT_TAIL(&c->s->resume, c, resume);
	server_kick(c->s);
}

static void process(struct conn *c)
{
	bool go = true, later = false;

	c->processing = true;
	c->put_off = false;
	while (go && !later) {
		if (c->state == CONN_HEAD && !blocked(c))
			go = step_head(c);
		else if (c->state == CONN_BODY)
			go = step_body(c);
		else
			go = false;
		later = go && lag_enough();
	}
	c->processing = false;
	if (c->in.len == 0)
		buf_free(&c->in);
	if (later || c->put_off)
		queue_resume(c);
}

/* ------------------------------------------------------------------ reading */

static void on_alloc(uv_handle_t *h, size_t hint, uv_buf_t *buf)
{
	struct conn *c = h->data;
	unsigned n = c->known ? SERVER_RX : KEYLESS_RX;

	(void)hint;
	/* None (UV_ENOBUFS) leaves the bytes with the kernel until the next turn. */
	if (lag_enough())
		n = c->state == CONN_HEAD ? PROBE_RX : 0;
	*buf = uv_buf_init(c->s->rx, n);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf);

/* Read exactly when there is room for what may come. */
static void regulate(struct conn *c)
{
	bool want = c->state != CONN_CLOSED && !c->eof &&
		    ((!blocked(c) && !c->resume_queued) ||
		     (c->in.len < in_max(c) && !(c->tls && tls_held_back(c->tls))));

	if (want == c->reading)
		return;
	c->reading = want;
	if (!want)
		(void)uv_read_stop(&c->uv.stream);
	else if (uv_read_start(&c->uv.stream, on_alloc, on_read))
		conn_destroy(c);
}

static void feed_tls(struct conn *c, const void *data, size_t n)
{
	enum tls_result r;

	do {
		r = tls_feed(c->tls, data, n, &c->in, in_max(c));
		n = 0;
		conn_flush(c);
		if (c->state == CONN_HANDSHAKE && tls_ready(c->tls)) {
			c->state = CONN_HEAD;
			conn_set_due(c, c->s->limits.head_ms);
		}
		if (r == TLS_CLOSED)
			c->eof = true;
		if (is_open(c))
			process(c);
	} while (r == TLS_FULL && is_open(c) && !c->resume_queued && c->in.len < in_max(c));
	if (r == TLS_FAILED && is_open(c)) {
		if (c->req && c->req->handed)
			conn_destroy(c);
		else
			conn_linger(c);
	}
}

static void feed(struct conn *c, const void *data, size_t n)
{
	if (c->tls) {
		feed_tls(c, data, n);
	} else {
		buf_add(&c->in, data, n);
		process(c);
	}
}

/* No more input will come. */
static void at_eof(struct conn *c)
{
	c->eof = true;
	if (c->resume_queued && is_open(c))
		return; /* what came before it first */
	switch (c->state) {
	case CONN_CALL:
		if (c->req->streaming || c->req->on_gone)
			conn_destroy(c);
		break;
	case CONN_LINGER:
		if (c->shut)
			conn_destroy(c);
		break;
	case CONN_CLOSED:
		break;
	case CONN_HEAD:
		/* requests may wait for the answers before them to be taken */
		if (c->in.len && blocked(c))
			break;
		/* Its client has left; answers may still be on their way. */
		c->spent = c->spent || !conn_backlog(c);
		conn_linger(c);
		break;
	default:
		conn_destroy(c);
	}
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
	struct conn *c = stream->data;

	if (n == UV_ENOBUFS)
		return;
	LAG_SECTION("connection", "read");
	c->read_at = uv_now(c->s->loop);
	if (n == UV_EOF) {
		at_eof(c);
	} else if (n < 0) {
		conn_destroy(c);
		return;
	} else if (n > 0 && is_open(c)) {
		feed(c, buf->base, (size_t)n);
		if (c->eof && is_open(c))
			at_eof(c);
	}
	regulate(c);
}

/* ------------------------------------------------------------------ one after the other */

void conn_answered(struct conn *c, bool keep)
{
	c->req = NULL;
	c->spent = !c->known;
	if (!keep) {
		conn_linger(c);
		return;
	}
	c->state = CONN_HEAD;
	c->scan = (struct head_scan){ 0 };
	c->head_started = c->head_any = false;
	conn_place(c);
	conn_set_due(c, c->s->limits.keepalive_ms);
	if (!c->processing)
		conn_queue_resume(c);
}

void conn_queue_resume(struct conn *c)
{
	bool held = c->tls && tls_held_back(c->tls);

	if (c->in.len || held || !c->reading || c->eof)
		queue_resume(c);
}

void conn_resume(struct conn *c)
{
	LAG_SECTION("connection", "resume");
	c->resume_queued = false;
	if (is_open(c))
		feed(c, NULL, 0);
	if (c->eof && is_open(c) && !c->resume_queued)
		at_eof(c);
	regulate(c);
}

/* ------------------------------------------------------------------ deadlines */

static void out_of_patience(struct conn *c)
{
	c->due = 0;
	switch (c->state) {
	case CONN_HEAD:
		if (c->in.len == 0) {
			conn_close_idle(c);
			break;
		}
		c->s->metrics.timeouts++;
		refuse(c, 408, "the request head took too long");
		break;
	case CONN_BODY:
		c->s->metrics.timeouts++;
		refuse(c, 408, "the request body stopped coming");
		break;
	default:
		conn_destroy(c);
	}
}

/* Has it sent what the loop has not come to read? After a stall of the loop the timers run before
 * the sockets. Reading is never put off for that long otherwise, so sending bit by bit gains
 * nothing. */
static bool waits_for_us(const struct conn *c, uint64_t now)
{
	uv_os_fd_t fd;
	int n = 0;

	if (c->resume_queued)
		return true;
	return now - c->read_at >= UNREAD_MS && !uv_fileno(&c->uv.handle, &fd) &&
	       !ioctl(fd, FIONREAD, &n) && n > 0;
}

void conn_check_deadlines(struct conn *c, uint64_t now)
{
	conn_check_written(c, now);
	if (!c->due || now < c->due || c->state == CONN_CLOSED)
		return;
	if (is_open(c) && waits_for_us(c, now))
		conn_set_due(c, UNREAD_MS);
	else
		out_of_patience(c);
}

void conn_drain(struct conn *c)
{
	if (c->state == CONN_HANDSHAKE)
		conn_destroy(c);
	else if (c->state == CONN_HEAD && c->in.len == 0)
		conn_close_idle(c);
	else if (c->state == CONN_CALL && c->req->streaming)
		request_end_stream(c->req);
}

/* ------------------------------------------------------------------ life */

static void on_closed(uv_handle_t *h)
{
	struct conn *c = h->data;
	struct server *s = c->s;

	LIST_REMOVE(c, all);
	tls_free(c->tls);
	buf_free(&c->in);
	buf_free(&c->out);
	buf_free(&c->writing);
	free(c);
	server_conn_closed(s);
}

void conn_destroy(struct conn *c)
{
	if (c->state == CONN_CLOSED)
		return;
	c->state = CONN_CLOSED;
	conn_place(c);
	places_leave(c);
	c->due = c->write_due = 0;
	c->reading = false;
	if (c->resume_queued)
		TAILQ_REMOVE(&c->s->resume, c, resume);
	c->resume_queued = false;
	if (c->req)
		request_desert(c->req);
	uv_close(&c->uv.handle, on_closed);
}

static bool know_unix_peer(struct conn *c)
{
	struct ucred cred;
	socklen_t n = sizeof(cred);
	uv_os_fd_t fd;

	if (uv_fileno(&c->uv.handle, &fd) || getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &n))
		return false;
	c->uid = cred.uid;
	c->gid = cred.gid;
	c->peer = peer_key_of_uid(cred.uid);
	return true;
}

static bool know_tcp_peer(struct conn *c)
{
	struct sockaddr_storage ss = { 0 };
	int n = sizeof(ss);

	if (uv_tcp_getpeername(&c->uv.tcp, (struct sockaddr *)&ss, &n))
		return false;
	c->address = peer_address_of((struct sockaddr *)&ss);
	c->peer = peer_key_of(&c->address);
	(void)uv_tcp_nodelay(&c->uv.tcp, 1);
	/* a follower may be silent for hours: the kernel finds out whether the client still exists,
	 * without a timer here */
	(void)uv_tcp_keepalive(&c->uv.tcp, 1, KEEPALIVE_PROBE_S);
	return true;
}

static void on_refused_closed(uv_handle_t *h)
{
	struct conn *c = h->data;
	struct server *s = c->s;

	free(c);
	server_handle_closed(s);
}

static bool open_socket(struct conn *c, int fd)
{
	if (c->is_unix ? uv_pipe_open(&c->uv.pipe, fd) : uv_tcp_open(&c->uv.tcp, fd)) {
		(void)close(fd);
		return false;
	}
	return c->is_unix ? know_unix_peer(c) : know_tcp_peer(c);
}

void conn_accept(struct listener *l, int fd)
{
	struct server *s = l->s;
	struct conn *c = xcalloc(1, sizeof(*c));

	c->s = s;
	c->is_unix = l->is_unix;
	if (l->is_unix)
		(void)uv_pipe_init(s->loop, &c->uv.pipe, 0);
	else
		(void)uv_tcp_init(s->loop, &c->uv.tcp);
	c->uv.handle.data = c;
	s->handles++;
	if (!open_socket(c, fd) || !places_take(c)) {
		s->metrics.refused++;
		uv_close(&c->uv.handle, on_refused_closed);
		return;
	}
	s->metrics.accepted++;
	s->n_conns++;
	LIST_INSERT_HEAD(&s->conns, c, all);
	if (l->ctx)
		c->tls = tls_new(l->ctx, &c->out);
	c->state = c->tls ? CONN_HANDSHAKE : CONN_HEAD;
	c->head_started = true;
	conn_place(c);
	conn_set_due(c, c->tls ? s->limits.handshake_ms : s->limits.head_ms);
	regulate(c);
}
