/* SPDX-License-Identifier: Apache-2.0
 * conn_deadline.c - connections whose deadline has passed.
 *
 * After a long turn of the loop the timers run before the sockets. A client whose bytes the loop
 * has not read yet is not late, so it gets UNREAD_MS more. Reading is never put off that long
 * otherwise, so a client gains nothing by sending bit by bit.
 */
#include "api/http/conn_deadline.h"

#include <assert.h>
#include <sys/ioctl.h>

#include "api/http/conn_read.h"
#include "api/http/conn_write.h"

enum { UNREAD_MS = 1000 };

static void conn_time_out(struct conn *c)
{
	c->due = 0;
	switch (c->state) {
	case CONN_HEAD:
		if (c->in.len == 0) {
			conn_close_idle(c);
			break;
		}
		c->pool->metrics->timeouts++;
		conn_refuse(c, 408, "the request head did not arrive in time");
		break;
	case CONN_BODY:
		assert(c->req);
		c->pool->metrics->timeouts++;
		conn_refuse(c, 408, "the request body did not arrive in time");
		break;
	default:
		conn_destroy(c);
	}
}

/* True if the kernel has input of this client that the loop has not read yet. */
static bool conn_has_unread(const struct conn *c, uint64_t now)
{
	uv_os_fd_t fd;
	int n = 0;

	if (c->resume_queued)
		return true;
	return now - c->read_at >= UNREAD_MS && !uv_fileno(&c->uv.handle, &fd) &&
	       !ioctl(fd, FIONREAD, &n) && n > 0;
}

static void conn_check_deadline(struct conn *c, uint64_t now)
{
	conn_check_written(c, now);
	if (!c->due || now < c->due || c->state == CONN_CLOSED)
		return;
	if (conn_is_open(c) && conn_has_unread(c, now))
		conn_set_due(c, UNREAD_MS);
	else
		conn_time_out(c);
}

void conn_check_deadlines(struct conn_pool *p)
{
	uint64_t now = uv_now(p->loop), next = 0;
	struct conn *c;

	LIST_FOREACH(c, &p->conns, all)
	{
		conn_check_deadline(c, now);
		if (c->due && (!next || c->due < next))
			next = c->due;
		if (c->write_due && (!next || c->write_due < next))
			next = c->write_due;
	}
	if (next)
		conn_pool_deadline(p, next);
}
