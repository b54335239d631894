/* SPDX-License-Identifier: Apache-2.0
 * conn_write.c - output: straight to the kernel if it takes the bytes at once, else queued behind
 * one uv_write().
 *
 * c->writing is being written, c->out waits behind it. A peer that takes less than WRITE_BYTES_MS
 * bytes a millisecond over write_stall_ms, while something waits, is disconnected
 * (conn_check_written()). The length of an answer therefore bounds the time it takes.
 *
 * A connection ends with the last bytes, the TLS close message, end-of-file, and then a short time
 * of reading. If it were closed with unread input, the kernel would send a reset, and a reset can
 * overtake the answer.
 */
#include "api/http/conn_write.h"

#include "base/buf.h"
#include <assert.h>
#include "base/lag.h"

enum { LINGER_MS = 2000, LATE_MS = 5000, WRITE_BYTES_MS = 4 };

size_t conn_backlog(const struct conn *c)
{
	return c->out.len + uv_stream_get_write_queue_size(&c->uv.stream);
}

static uint64_t conn_bytes_taken(const struct conn *c)
{
	return c->taken +
	       (c->write_busy ? c->writing.len - uv_stream_get_write_queue_size(&c->uv.stream) : 0);
}

void conn_check_written(struct conn *c, uint64_t now)
{
	uint64_t ms = c->pool->limits.write_stall_ms, least = ms * WRITE_BYTES_MS;

	if (!c->write_due || now < c->write_due)
		return;
	/* Later than the timer can fire: the loop was blocked and could not write either. */
	if (now - c->write_due < LATE_MS && conn_bytes_taken(c) - c->taken_then < least) {
		c->pool->metrics->timeouts++;
		conn_destroy(c);
		return;
	}
	c->taken_then = conn_bytes_taken(c);
	c->write_due = now + ms;
}

static void on_conn_shutdown(uv_shutdown_t *req, int status)
{
	struct conn *c = req->data;

	if (c->state == CONN_CLOSED)
		return;
	c->shut = true;
	if (status || c->eof)
		conn_destroy(c);
	else
		conn_set_due(c, LINGER_MS);
}

static void conn_shutdown_when_written(struct conn *c)
{
	if (c->state != CONN_LINGER || c->write_busy || c->out.len || c->shutdown.data)
		return;
	c->shutdown.data = c;
	if (uv_shutdown(&c->shutdown, &c->uv.stream, on_conn_shutdown))
		conn_destroy(c);
}

static void on_conn_written(uv_write_t *req, int status)
{
	struct conn *c = req->data;

	LAG_SECTION("connection", "written");
	c->write_busy = false;
	c->write_due = 0;
	c->taken += c->writing.len;
	buf_free(&c->writing);
	if (c->state == CONN_CLOSED)
		return;
	if (status) {
		conn_destroy(c);
		return;
	}
	conn_flush(c);
	if (c->state == CONN_HEAD && !c->write_busy)
		conn_resume_input(c);
}

static void conn_write_queued(struct conn *c)
{
	uv_buf_t b;

	assert(!c->write_busy && c->out.len);
	c->writing = c->out;
	c->out = (struct buf){ 0 };
	b = uv_buf_init(c->writing.data, (unsigned)c->writing.len);
	c->write.data = c;
	if (uv_write(&c->write, &c->uv.stream, &b, 1, on_conn_written)) {
		conn_destroy(c);
		return;
	}
	c->write_busy = true;
	c->taken_then = conn_bytes_taken(c);
	c->write_due = uv_now(c->pool->loop) + c->pool->limits.write_stall_ms;
	conn_pool_deadline(c->pool, c->write_due);
}

/* Bytes the kernel took at once, or -1 after conn_destroy(). */
static ssize_t conn_try_write(struct conn *c, const void *data, size_t n)
{
	uv_buf_t b = uv_buf_init((char *)(uintptr_t)data, (unsigned)n);
	int r = uv_try_write(&c->uv.stream, &b, 1);

	if (r == UV_EAGAIN)
		return 0;
	if (r < 0)
		conn_destroy(c);
	else
		c->taken += (uint64_t)r;
	return r;
}

void conn_flush(struct conn *c)
{
	ssize_t n;

	if (c->state == CONN_CLOSED || c->write_busy)
		return;
	if (c->out.len) {
		n = conn_try_write(c, c->out.data, c->out.len);
		if (n < 0)
			return;
		buf_drop(&c->out, (size_t)n);
	}
	if (c->out.len)
		conn_write_queued(c);
	else
		buf_free(&c->out);
	conn_shutdown_when_written(c);
}

static void conn_send_plain(struct conn *c, const char *data, size_t n)
{
	if (!c->write_busy && c->out.len == 0) {
		ssize_t sent = conn_try_write(c, data, n);

		if (sent < 0)
			return;
		data += sent;
		n -= (size_t)sent;
	}
	if (n == 0)
		return;
	buf_add(&c->out, data, n);
	if (!c->write_busy)
		conn_write_queued(c);
}

void conn_send(struct conn *c, const void *data, size_t n)
{
	if (c->state == CONN_CLOSED || n == 0)
		return;
	if (!c->tls)
		conn_send_plain(c, data, n);
	else if (tls_write(c->tls, data, n))
		conn_flush(c);
	else
		conn_destroy(c);
}

void conn_linger(struct conn *c)
{
	if (c->state == CONN_LINGER || c->state == CONN_CLOSED)
		return;
	conn_set_state(c, CONN_LINGER);
	conn_requeue(c);
	c->due = 0;
	if (c->req)
		c->pool->calls->client_gone(c->req);
	buf_free(&c->in);
	if (c->tls)
		tls_bye(c->tls);
	conn_flush(c);
}

void conn_answered(struct conn *c, bool keep)
{
	assert(c->state == CONN_CALL);
	c->req = NULL;
	c->spent = !c->known;
	if (!keep) {
		conn_linger(c);
		return;
	}
	conn_set_state(c, CONN_HEAD);
	c->scan = (struct head_scan){ 0 };
	c->head_started = c->head_any = false;
	conn_requeue(c);
	conn_set_due(c, c->pool->limits.keepalive_ms);
	if (!c->processing)
		conn_resume_input(c);
}

void conn_close_idle(struct conn *c)
{
	assert(!c->req);
	/* the last answer may not be sent yet */
	if (conn_backlog(c)) {
		conn_linger(c);
		return;
	}
	if (c->tls)
		tls_bye(c->tls);
	conn_flush(c);
	conn_destroy(c);
}
