/* SPDX-License-Identifier: Apache-2.0
 * reply.c - answers: whole ones, errors, and streams.
 *
 * An answer is put together in one buffer, which all requests share, and usually leaves with one
 * write(2). The answer frees the request; a connection that was destroyed while sending is noticed
 * by q->conn, which is NULL then.
 */
#include "api/http/reply.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "api/http/conn_write.h"
#include <jansson.h>
#include "api/http/envelope.h"
#include "api/http/json_text.h"
#include "api/http/request.h"
#include "base/alloc.h"
#include "base/array.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/id.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/own.h"

enum {
	STREAM_BACKLOG_MAX = 1024 * 1024,
	SCRATCH_KEPT = 256 * 1024,
};

static const char type_json[] = "application/json";

static const char *status_reason(int status)
{
	static const struct {
		int status;
		const char *text;
	} known[] = {
		{ 200, "OK" },
		{ 201, "Created" },
		{ 202, "Accepted" },
		{ 204, "No Content" },
		{ 304, "Not Modified" },
		{ 400, "Bad Request" },
		{ 401, "Unauthorized" },
		{ 403, "Forbidden" },
		{ 404, "Not Found" },
		{ 405, "Method Not Allowed" },
		{ 408, "Request Timeout" },
		{ 409, "Conflict" },
		{ 411, "Length Required" },
		{ 412, "Precondition Failed" },
		{ 413, "Content Too Large" },
		{ 414, "URI Too Long" },
		{ 417, "Expectation Failed" },
		{ 421, "Misdirected Request" },
		{ 422, "Unprocessable Content" },
		{ 429, "Too Many Requests" },
		{ 431, "Request Header Fields Too Large" },
		{ 500, "Internal Server Error" },
		{ 501, "Not Implemented" },
		{ 503, "Service Unavailable" },
		{ 504, "Gateway Timeout" },
		{ 505, "HTTP Version Not Supported" },
		{ 507, "Insufficient Storage" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
		if (known[i].status == status)
			return known[i].text;
	}
	return "Status";
}

/* True if another request may follow on this connection. The rest of an unread body would be
 * parsed as a request, so it is dropped. If it has not arrived yet, the connection is closed. */
static bool reply_keeps_conn(struct request *q)
{
	struct buf *in = &q->conn->in;
	uint64_t unread = q->length - q->body.len;

	if (q->must_close || !q->keep || q->set->pool->draining)
		return false;
	if (unread > in->len)
		return false;
	buf_drop(in, (size_t)unread);
	return true;
}

static void reply_put_head(struct request *q, struct buf *out, int status, const char *type)
{
	if (!q->id[0])
		id_uuid7(q->id);
	buf_printf(out, "HTTP/1.1 %d %s\r\nX-Request-Id: %s\r\n", status, status_reason(status),
		   q->id);
	if (type)
		buf_printf(out, "Content-Type: %s\r\nX-Content-Type-Options: nosniff\r\n", type);
	buf_add(out, q->data.extra.data, q->data.extra.len);
	if (!q->keep)
		buf_puts(out, "Connection: close\r\n");
}

static void reply_count(struct request *q, int status)
{
	int64_t us = clock_mono_us() - q->started_us;
	struct log_about about = { .req = q->id };

	http_metrics_count(q->set->pool->metrics, q->route_index, status, us);
	log_write(LOG_LEVEL_DEBUG, &about, "%s %s: %d in %lld us", q->call.method, q->call.path,
		  status, (long long)us);
}

static struct buf *reply_buffer(struct request_set *set)
{
	if (set->scratch.cap > SCRATCH_KEPT)
		buf_free(&set->scratch);
	set->scratch.len = 0;
	return &set->scratch;
}

static void reply_now(struct request *q, int status, const char *type, const char *body, size_t n)
{
	bool bodyless = status == 204 || status == 304;

	assert(!q->streaming && (q->set || !q->conn));
	/* A refusal has no handler. While it is being sent, the request must not be freed with its
	 * connection. */
	q->handed = true;
	if (q->conn) {
		struct buf *out = reply_buffer(q->set);

		q->keep = reply_keeps_conn(q);
		reply_put_head(q, out, status, bodyless ? NULL : type);
		if (!bodyless)
			buf_printf(out, "Content-Length: %zu\r\n", n);
		buf_puts(out, "\r\n");
		if (!bodyless && !q->head_only)
			buf_add(out, body, n);
		reply_count(q, status);
		conn_send(q->conn, out->data, out->len);
	}
	/* sending may have destroyed the connection */
	if (q->conn)
		conn_answered(q->conn, q->keep);
	request_free(q);
}

struct held_reply {
	struct request *q;
	int status;
	const char *type;
	size_t n;
	char body[];
};

static void reply_held(void *arg)
{
	auto_free struct held_reply *h = arg;

	reply_now(h->q, h->status, h->type, h->body, h->n);
}

/* Handlers send a successful answer after the commit. A refusal may depend on what another request
 * of the same turn wrote, so it is held until that commit. */
static void reply_send(struct request *q, int status, const char *type, const char *body, size_t n)
{
	struct held_reply *h;

	assert_loop_thread();
	if (status < 400 || !q->handed || !q->set || !q->set->after_commit) {
		reply_now(q, status, type, body, n);
		return;
	}
	h = xmalloc(sizeof(*h) + n);
	*h = (struct held_reply){ .q = q, .status = status, .type = type, .n = n };
	memcpy(h->body, body, n);
	q->on_gone = NULL; /* the handler no longer owns the request */
	q->set->after_commit(q->set->arg, reply_held, h);
}

void call_reply_text(struct call *c, int status, const char *content_type, const char *text,
		     size_t len)
{
	reply_send(request_of(c), status, content_type, text, len);
}

void call_reply(struct call *c, int status, json_t *body)
{
	auto_buf struct buf text = { 0 };

	if (body && request_of(c)->conn)
		json_write(body, &text);
	json_decref(body);
	reply_send(request_of(c), status, type_json, text.data ? text.data : "", text.len);
}

static bool reply_has_field(const struct request *q, const char *name)
{
	return q->data.extra.len && strcasestr(q->data.extra.data, name) != NULL;
}

void call_reply_err(struct call *c, const struct err *e)
{
	struct request *q = request_of(c);
	int status = envelope_status(e);
	unsigned wait = envelope_retry_after(e);

	if (!q->id[0])
		id_uuid7(q->id);
	if (wait && !reply_has_field(q, "Retry-After:"))
		buf_printf(&q->data.extra, "Retry-After: %u\r\n", wait);
	if (status == 401)
		buf_puts(&q->data.extra, "WWW-Authenticate: Bearer\r\n");
	if (status == 413 || status == 429)
		q->must_close = true;
	if (status >= 500 && status != 501 && status != 503) {
		struct log_about about = { .req = q->id };

		log_write(LOG_LEVEL_ERROR, &about, "%s %s: %s", c->method, c->path, e->text);
	}
	call_reply(c, status, envelope_for(c->caller.role, c->request_id, e));
}

void reply_refuse(struct request *q, int status, const char *text)
{
	id_uuid7(q->id);
	q->must_close = true;
	call_reply(&q->call, status, envelope_plain(text, q->id));
}

/* ------------------------------------------------------------------ streams */

void call_stream_begin(struct call *c, int status, const char *content_type)
{
	struct request *q = request_of(c);
	struct buf *out;

	assert_loop_thread();
	assert(!q->streaming);
	q->streaming = true;
	if (!q->conn)
		return;
	out = reply_buffer(q->set);
	q->keep = reply_keeps_conn(q) && q->minor > 0;
	q->chunked = q->minor > 0;
	reply_put_head(q, out, status, content_type);
	buf_puts(out, "Cache-Control: no-store\r\n");
	buf_puts(out, q->chunked ? "Transfer-Encoding: chunked\r\n\r\n" : "\r\n");
	reply_count(q, status);
	conn_send(q->conn, out->data, out->len);
	/* The answer to HEAD is complete. The handler sees a client that went away. */
	if (q->head_only && q->conn) {
		struct conn *conn = q->conn;

		request_client_gone(q);
		conn_answered(conn, q->keep);
	}
}

bool call_stream_write(struct call *c, const void *data, size_t n)
{
	struct request *q = request_of(c);
	struct buf *out;

	assert_loop_thread();
	assert(q->streaming);
	if (!q->conn)
		return false;
	if (n == 0)
		return true;
	out = reply_buffer(q->set);
	if (q->chunked)
		buf_printf(out, "%zx\r\n", n);
	buf_add(out, data, n);
	if (q->chunked)
		buf_puts(out, "\r\n");
	conn_send(q->conn, out->data, out->len);
	if (q->conn && conn_backlog(q->conn) > STREAM_BACKLOG_MAX)
		conn_destroy(q->conn);
	return q->conn != NULL;
}

static void stream_put_last_chunk(struct request *q)
{
	if (q->conn && q->chunked)
		conn_send(q->conn, "0\r\n\r\n", 5);
}

void call_stream_end(struct call *c)
{
	struct request *q = request_of(c);

	assert_loop_thread();
	assert(q->streaming);
	stream_put_last_chunk(q);
	if (q->conn)
		conn_answered(q->conn, q->keep && !q->set->pool->draining);
	request_free(q);
}

void call_stream_abort(struct call *c)
{
	struct request *q = request_of(c);

	assert_loop_thread();
	assert(q->streaming && !q->on_gone);
	if (q->conn)
		conn_destroy(q->conn);
	request_free(q);
}

void call_stream_is_finite(struct call *c)
{
	assert(request_of(c)->streaming);
	request_of(c)->finite = true;
}

void reply_end_stream(struct request *q)
{
	struct conn *conn = q->conn;

	stream_put_last_chunk(q);
	if (!q->conn)
		return;
	request_client_gone(q);
	conn_answered(conn, false);
}

size_t call_stream_backlog(const struct call *c)
{
	const struct request *q = request_of(c);

	return q->conn ? conn_backlog(q->conn) : 0;
}

void call_on_gone(struct call *c, void (*fn)(void *arg), void *arg)
{
	assert_loop_thread();
	request_set_on_gone(request_of(c), fn, arg);
}
