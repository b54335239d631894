/* SPDX-License-Identifier: Apache-2.0
 * listener.c - accept connections.
 *
 * Sockets are watched with uv_poll_t and accepted here. uv_listen() accepts in a loop of its own,
 * which never ends while accept(2) returns EMFILE (libuv 1.44): without a free descriptor the whole
 * daemon would hang.
 *
 * Without a free descriptor a connection without a key is closed first. If there is none, no
 * listener is watched for PAUSE_MS: the kernel would report the waiting clients again at once, in
 * every turn of the loop.
 */
#include "api/http/listener.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "api/http/conn_accept.h"
#include "api/http/conn_limit.h"
#include "base/alloc.h"
#include "base/lag.h"
#include "base/log.h"
#include "base/loop.h"

enum { PAUSE_MS = 1000 };

struct listener {
	uv_poll_t poll;
	struct listen_socket socket;
	struct listener_set *set;
	struct conn_pool *pool;
	LIST_ENTRY(listener) all;
	SSL_CTX *ctx; /* owned; NULL: plain */
};

void listener_set_init(struct listener_set *set, struct conn_pool *pool)
{
	*set = (struct listener_set){ .pool = pool };
	LIST_INIT(&set->all);
}

/* ------------------------------------------------------------------ accept */

static void on_acceptable(uv_poll_t *poll, int status, int events);

static void watch_listeners(void *arg)
{
	struct listener_set *set = arg;
	struct listener *l;

	LIST_FOREACH(l, &set->all, all)
	(void)uv_poll_start(&l->poll, UV_READABLE, on_acceptable);
}

static void pause_listeners(struct listener_set *set, int error)
{
	struct listener *l;

	if (set->pause)
		return;
	log_warn("no connection is accepted for %d ms: %s; open files are limited by RLIMIT_NOFILE "
		 "(LimitNOFILE= of the service)",
		 PAUSE_MS, strerror(error));
	LIST_FOREACH(l, &set->all, all)
	(void)uv_poll_stop(&l->poll);
	(void)loop_after(set->pool->loop, PAUSE_MS, watch_listeners, set, &set->pause);
}

/* If this turn has taken long enough, the remaining clients are accepted in the next one. */
static void on_acceptable(uv_poll_t *poll, int status, int events)
{
	struct listener *l = poll->data;

	(void)status;
	(void)events;
	LAG_SECTION("connection", "accept");
	do {
		int fd = accept4(l->socket.fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd >= 0)
			conn_accept(l->pool, fd, l->socket.is_unix, l->ctx);
		else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS ||
			 errno == ENOMEM) {
			if (!conn_limit_evict_keyless(l->pool))
				pause_listeners(l->set, errno);
			return;
		} else if (errno != EINTR && errno != ECONNABORTED)
			return;
	} while (!lag_enough());
}

/* ------------------------------------------------------------------ open and close */

static int listener_load_tls(struct listener *l, const struct listen_spec *spec, struct err *e)
{
	if (!spec->tls_cert != !spec->tls_key)
		return err_field(e, ERR_INVALID, spec->tls_cert ? "tls_key" : "tls_cert", "",
				 "listener %s: tls_cert and tls_key are both required; one of them "
				 "is missing",
				 spec->address);
	if (!spec->tls_cert && (spec->tls_client_ca || spec->tls_client_required))
		return err_field(e, ERR_INVALID, "tls_client_ca", spec->tls_client_ca,
				 "listener %s: client certificates require tls_cert and tls_key",
				 spec->address);
	if (spec->tls_client_required && !spec->tls_client_ca)
		return err_field(e, ERR_INVALID, "tls_client_ca", "",
				 "listener %s: required client certificates need tls_client_ca to "
				 "verify them",
				 spec->address);
	if (!spec->tls_cert)
		return 0;
	return tls_context(spec->tls_cert, spec->tls_key, spec->tls_client_ca,
			   spec->tls_client_required, &l->ctx, e);
}

static void listener_free(struct listener *l)
{
	listen_socket_close(&l->socket);
	SSL_CTX_free(l->ctx);
	free(l);
}

static void on_listener_closed(uv_handle_t *h)
{
	struct listener *l = h->data;
	struct conn_pool *p = l->pool;

	listener_free(l);
	conn_pool_handle_closed(p);
}

int listener_add(struct listener_set *set, const struct listen_spec *spec,
		 char ret_address[LISTEN_ADDRESS_TEXT], struct err *e)
{
	struct listener *l = xcalloc(1, sizeof(*l));
	int r;

	l->set = set;
	l->pool = set->pool;
	l->socket.fd = -1;
	r = listener_load_tls(l, spec, e);
	if (!r)
		r = listen_socket_open(&l->socket, spec, e);
	if (!r && uv_poll_init(l->pool->loop, &l->poll, l->socket.fd))
		r = err_set(e, ERR_HOST, "listen on %s: it cannot be watched", spec->address);
	if (r) {
		listener_free(l);
		return r;
	}
	assert(!l->pool->draining);
	l->poll.data = l;
	conn_pool_handle_opened(l->pool);
	LIST_INSERT_HEAD(&set->all, l, all);
	(void)uv_poll_start(&l->poll, UV_READABLE, on_acceptable);
	if (ret_address)
		memcpy(ret_address, l->socket.address, sizeof(l->socket.address));
	return 0;
}

void listener_set_tls(struct listener_set *set, SSL_CTX *ctx)
{
	struct listener *l = NULL;

	LIST_FOREACH(l, &set->all, all)
	{
		if (!l->ctx)
			continue;
		(void)SSL_CTX_up_ref(ctx);
		SSL_CTX_free(l->ctx);
		l->ctx = ctx;
	}
}

void listener_set_close(struct listener_set *set)
{
	struct listener *l;

	while ((l = LIST_FIRST(&set->all))) {
		LIST_REMOVE(l, all);
		uv_close((uv_handle_t *)&l->poll, on_listener_closed);
	}
	loop_after_cancel(&set->pause);
}
