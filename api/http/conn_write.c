/* SPDX-License-Identifier: Apache-2.0
 * conn_write.c - the way out: straight to the kernel when it takes it, queued behind one uv_write()
 * when not.
 *
 * c->writing is being written, c->out waits behind it. Whoever takes less than WRITE_BYTES_MS a
 * millisecond over write_stall_ms, while something waits, is disconnected (conn_check_written): so
 * an answer ends in a time that its length bounds.
 *
 * The end of a connection is: last bytes, TLS goodbye, end-of-file, and then reading on for a
 * moment. Closing with unread input would make the kernel send a reset, and a reset can overtake
 * the answer on its way into the client's hands.
 */
#include <stdlib.h>

#include "api/http/conn.h"
#include "api/http/request.h"
#include "base/lag.h"

enum { LINGER_MS = 2000, LATE_MS = 5000, WRITE_BYTES_MS = 4 };

size_t conn_backlog(const struct conn *c)
{
	return c->out.len + uv_stream_get_write_queue_size(&c->uv.stream);
}

static uint64_t taken(const struct conn *c)
{
	return c->taken +
	       (c->write_busy ? c->writing.len - uv_stream_get_write_queue_size(&c->uv.stream) : 0);
}

/* Something has waited for write_stall_ms since the last time: has the peer taken enough of it? */
void conn_check_written(struct conn *c, uint64_t now)
{
	uint64_t ms = c->s->limits.write_stall_ms, least = ms * WRITE_BYTES_MS;

	if (!c->write_due || now < c->write_due)
		return;
	/* Later than the timer can be: the loop was held, and could not write. */
	if (now - c->write_due < LATE_MS && taken(c) - c->taken_then < least) {
		c->s->metrics.timeouts++;
		conn_destroy(c);
		return;
	}
	c->taken_then = taken(c);
	c->write_due = now + ms;
}

static void on_shutdown(uv_shutdown_t *req, int status)
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

static void shut_when_written(struct conn *c)
{
	if (c->state != CONN_LINGER || c->write_busy || c->out.len || c->shutdown.data)
		return;
	c->shutdown.data = c;
	if (uv_shutdown(&c->shutdown, &c->uv.stream, on_shutdown))
		conn_destroy(c);
}

static void on_written(uv_write_t *req, int status)
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
		conn_queue_resume(c);
}

static void queue(struct conn *c)
{
	uv_buf_t b;

	c->writing = c->out;
	c->out = (struct buf){ 0 };
	b = uv_buf_init(c->writing.data, (unsigned)c->writing.len);
	c->write.data = c;
	if (uv_write(&c->write, &c->uv.stream, &b, 1, on_written)) {
		conn_destroy(c);
		return;
	}
	c->write_busy = true;
	c->taken_then = taken(c);
	c->write_due = uv_now(c->s->loop) + c->s->limits.write_stall_ms;
	server_deadline(c->s, c->write_due);
}

/* Bytes the kernel took at once, or -1 after conn_destroy(). */
static ssize_t try_now(struct conn *c, const void *data, size_t n)
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
		n = try_now(c, c->out.data, c->out.len);
		if (n < 0)
			return;
		buf_drop(&c->out, (size_t)n);
	}
	if (c->out.len)
		queue(c);
	else
		buf_free(&c->out);
	shut_when_written(c);
}

static void send_plain(struct conn *c, const char *data, size_t n)
{
	if (!c->write_busy && c->out.len == 0) {
		ssize_t sent = try_now(c, data, n);

		if (sent < 0)
			return;
		data += sent;
		n -= (size_t)sent;
	}
	if (n == 0)
		return;
	buf_add(&c->out, data, n);
	if (!c->write_busy)
		queue(c);
}

void conn_send(struct conn *c, const void *data, size_t n)
{
	if (c->state == CONN_CLOSED || n == 0)
		return;
	if (!c->tls)
		send_plain(c, data, n);
	else if (tls_write(c->tls, data, n))
		conn_flush(c);
	else
		conn_destroy(c);
}

void conn_linger(struct conn *c)
{
	if (c->state == CONN_LINGER || c->state == CONN_CLOSED)
		return;
	c->state = CONN_LINGER;
	conn_place(c);
	c->due = 0;
	if (c->req)
		request_desert(c->req);
	buf_free(&c->in);
	if (c->tls)
		tls_bye(c->tls);
	conn_flush(c);
}

void conn_close_idle(struct conn *c)
{
	/* the last answer may still be on its way */
	if (conn_backlog(c)) {
		conn_linger(c);
		return;
	}
	if (c->tls)
		tls_bye(c->tls);
	conn_flush(c);
	conn_destroy(c);
}
