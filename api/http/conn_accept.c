/* SPDX-License-Identifier: Apache-2.0
 * conn_accept.c - from an accepted socket to a connection.
 *
 * A new connection counts as one in the middle of a head: it must send its first request within
 * head_ms, and with TLS finish its handshake within handshake_ms.
 */
#include "api/http/conn_accept.h"

#include <assert.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "api/http/conn_limit.h"
#include "api/http/conn_read.h"
#include "base/alloc.h"

enum { KEEPALIVE_PROBE_S = 60 };

static bool conn_find_unix_peer(struct conn *c)
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

static bool conn_find_tcp_peer(struct conn *c)
{
	struct sockaddr_storage ss = { 0 };
	int n = sizeof(ss);

	if (uv_tcp_getpeername(&c->uv.tcp, (struct sockaddr *)&ss, &n))
		return false;
	c->address = peer_address_of((struct sockaddr *)&ss);
	c->peer = peer_key_of(&c->address);
	(void)uv_tcp_nodelay(&c->uv.tcp, 1);
	/* A client that follows a stream may be silent for hours. The kernel finds out whether it
	 * still exists. */
	(void)uv_tcp_keepalive(&c->uv.tcp, 1, KEEPALIVE_PROBE_S);
	return true;
}

static void on_refused_conn_closed(uv_handle_t *h)
{
	struct conn *c = h->data;
	struct conn_pool *p = c->pool;

	free(c);
	conn_pool_handle_closed(p);
}

static bool conn_open_socket(struct conn *c, int fd)
{
	if (c->is_unix ? uv_pipe_open(&c->uv.pipe, fd) : uv_tcp_open(&c->uv.tcp, fd)) {
		(void)close(fd);
		return false;
	}
	return c->is_unix ? conn_find_unix_peer(c) : conn_find_tcp_peer(c);
}

void conn_accept(struct conn_pool *p, int fd, bool is_unix, SSL_CTX *ctx)
{
	struct conn *c = xcalloc(1, sizeof(*c));

	assert(fd >= 0 && !p->freeing);
	c->pool = p;
	c->is_unix = is_unix;
	if (is_unix)
		(void)uv_pipe_init(p->loop, &c->uv.pipe, 0);
	else
		(void)uv_tcp_init(p->loop, &c->uv.tcp);
	c->uv.handle.data = c;
	conn_pool_handle_opened(p);
	if (!conn_open_socket(c, fd) || !conn_limit_admit(c)) {
		p->metrics->refused++;
		uv_close(&c->uv.handle, on_refused_conn_closed);
		return;
	}
	p->metrics->accepted++;
	p->n_conns++;
	LIST_INSERT_HEAD(&p->conns, c, all);
	if (ctx)
		c->tls = tls_new(ctx, &c->out);
	else
		conn_set_state(c, CONN_HEAD);
	c->head_started = true;
	conn_requeue(c);
	conn_set_due(c, ctx ? p->limits.handshake_ms : p->limits.head_ms);
	conn_regulate(c);
}
