/* SPDX-License-Identifier: Apache-2.0
 * server.c - the server as a whole: listeners, the one timer, draining, the end.
 *
 * The timer is armed only while some connection has a deadline, for the nearest one, and never
 * fires more than once a second: deadlines are therefore up to a second late, which no client can
 * tell from a slow network.
 *
 * The struct is freed when the last of its handles (listeners, connections, timers) has closed.
 */
#include "api/http/server.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "api/http/conn.h"
#include "api/http/request.h"
#include "base/lag.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/own.h"

enum { TICK_MS = 1000, PAUSE_MS = 1000 };

/* ------------------------------------------------------------------ deadlines */

static void on_tick(uv_timer_t *t)
{
	struct server *s = t->data;
	uint64_t now = uv_now(s->loop), next = 0;
	struct conn *c;

	LAG_SECTION("timer", "connection deadlines");
	s->timer_due = 0;
	LIST_FOREACH(c, &s->conns, all)
	{
		conn_check_deadlines(c, now);
		if (c->due && (!next || c->due < next))
			next = c->due;
		if (c->write_due && (!next || c->write_due < next))
			next = c->write_due;
	}
	if (next)
		server_deadline(s, next);
}

void server_deadline(struct server *s, uint64_t due)
{
	uint64_t now = uv_now(s->loop);

	if (s->freeing)
		return;
	if (due < now + TICK_MS)
		due = now + TICK_MS;
	if (s->timer_due && s->timer_due <= due)
		return;
	s->timer_due = due;
	(void)uv_timer_start(&s->timer, on_tick, due - now, 0);
}

/* ------------------------------------------------------------------ next turn */

static void on_idle(uv_idle_t *idle)
{
	struct server *s = idle->data;
	struct request *q;
	struct conn *c;

	while ((q = TAILQ_FIRST(&s->deserted))) {
		TAILQ_REMOVE(&s->deserted, q, deserted);
		q->deserted_queued = false;
		request_run_on_gone(q);
	}
	/* one round: a connection that queues itself again waits for the others */
	s->resuming = true;
	for (unsigned n = s->n_conns; n && (c = TAILQ_FIRST(&s->resume)); n--) {
		TAILQ_REMOVE(&s->resume, c, resume);
		conn_resume(c);
		if (lag_enough())
			break;
	}
	s->resuming = false;
	if (TAILQ_EMPTY(&s->resume) && TAILQ_EMPTY(&s->deserted))
		(void)uv_idle_stop(&s->idle);
}

void server_kick(struct server *s)
{
	if (!s->freeing)
		(void)uv_idle_start(&s->idle, on_idle);
}

/* ------------------------------------------------------------------ life */

static int read_proxies(const struct server_config *cfg, struct peer_networks *ret, struct err *e)
{
	struct peer_networks nets = { .v = xcalloc(cfg->n_proxies, sizeof(*nets.v)) };

	for (; nets.n < cfg->n_proxies; nets.n++) {
		const char *text = cfg->proxies[nets.n];

		if (!peer_network_parse(text, &nets.v[nets.n])) {
			free(nets.v);
			return err_field(e, ERR_INVALID, "trusted_proxies", text,
					 "%s is not an address or network", text);
		}
	}
	*ret = nets;
	return 0;
}

int server_new(const struct server_config *cfg, struct server **ret, struct err *e)
{
	struct peer_networks proxies;
	struct server *s;
	int r = read_proxies(cfg, &proxies, e);

	if (r)
		return r;
	s = xcalloc(1, sizeof(*s));
	s->proxies = proxies;
	s->loop = cfg->loop;
	s->limits = cfg->limits;
	limits_complete(&s->limits);
	s->in_max = s->limits.head_bytes * 2 > SERVER_RX ? s->limits.head_bytes * 2 : SERVER_RX;
	s->authenticate = cfg->authenticate;
	s->read = cfg->read;
	s->still_valid = cfg->still_valid;
	s->arg = cfg->arg;
	s->hosts = cfg->hosts;
	s->router = router_new(cfg->routes);
	http_metrics_init(&s->metrics, router_count(s->router));
	s->auth_rate = auth_rate_new(s->limits.auth_fails);
	s->peers = peer_counts_new();
	LIST_INIT(&s->listeners);
	LIST_INIT(&s->conns);
	for (int p = 0; p < PLACES; p++)
		TAILQ_INIT(&s->waiting[p]);
	LIST_INIT(&s->requests);
	TAILQ_INIT(&s->resume);
	TAILQ_INIT(&s->deserted);
	LIST_INIT(&s->budget.shares);
	body_queue_init(&s->bodies, s->loop, s->limits.body_wait_ms);
	(void)uv_timer_init(s->loop, &s->timer);
	(void)uv_timer_init(s->loop, &s->drain_timer);
	(void)uv_idle_init(s->loop, &s->idle);
	s->timer.data = s->drain_timer.data = s->idle.data = s;
	s->handles = 3;
	/* a peer that hangs up must not end the daemon; libuv writes without MSG_NOSIGNAL */
	(void)signal(SIGPIPE, SIG_IGN);
	*ret = s;
	return 0;
}

static void release(struct server *s)
{
	router_free(s->router);
	auth_rate_free(s->auth_rate);
	peer_counts_free(s->peers);
	free(s->proxies.v);
	buf_free(&s->scratch);
	http_metrics_free(&s->metrics);
	free(s);
}

void server_handle_closed(struct server *s)
{
	if (--s->handles == 0)
		release(s);
}

static void on_handle_closed(uv_handle_t *h)
{
	server_handle_closed(h->data);
}

/* ------------------------------------------------------------------ listeners */

static void on_acceptable(uv_poll_t *poll, int status, int events);

static void watch_listeners(void *arg)
{
	struct server *s = arg;
	struct listener *l;

	LIST_FOREACH(l, &s->listeners, all)
	(void)uv_poll_start(&l->poll, UV_READABLE, on_acceptable);
}

/* No descriptor (or memory) is left. Who waits to be accepted goes on waiting: the kernel would
 * tell of them again at once, in every turn. */
static void pause_listeners(struct server *s, int error)
{
	struct listener *l;

	if (s->accept_timer)
		return;
	log_warn("no connection is accepted for %d ms: %s; open files are limited by RLIMIT_NOFILE "
		 "(LimitNOFILE= of the service)",
		 PAUSE_MS, strerror(error));
	LIST_FOREACH(l, &s->listeners, all)
	(void)uv_poll_stop(&l->poll);
	(void)loop_after(s->loop, PAUSE_MS, watch_listeners, s, &s->accept_timer);
}

/* What is left when the turn has taken long enough is found again in the next one. */
static void on_acceptable(uv_poll_t *poll, int status, int events)
{
	struct listener *l = poll->data;

	(void)status;
	(void)events;
	LAG_SECTION("connection", "accept");
	do {
		int fd = accept4(l->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd >= 0)
			conn_accept(l, fd);
		else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS ||
			 errno == ENOMEM) {
			if (!places_close_keyless(l->s))
				pause_listeners(l->s, errno);
			return;
		} else if (errno != EINTR && errno != ECONNABORTED)
			return;
	} while (!lag_enough());
}

static void listener_release(struct listener *l)
{
	if (l->fd >= 0)
		(void)close(l->fd);
	if (l->path)
		(void)unlink(l->path);
	free(l->path);
	SSL_CTX_free(l->ctx);
	free(l);
}

static void on_listener_closed(uv_handle_t *h)
{
	struct listener *l = h->data;
	struct server *s = l->s;

	listener_release(l);
	server_handle_closed(s);
}

static void close_listeners(struct server *s)
{
	struct listener *l;

	while ((l = LIST_FIRST(&s->listeners))) {
		LIST_REMOVE(l, all);
		uv_close((uv_handle_t *)&l->poll, on_listener_closed);
	}
	loop_after_cancel(&s->accept_timer);
}

static int load_tls(struct listener *l, const struct listen_spec *spec, struct err *e)
{
	if (!spec->tls_cert != !spec->tls_key)
		return err_field(
			e, ERR_INVALID, spec->tls_cert ? "tls_key" : "tls_cert", "",
			"listener %s: a certificate and its key are needed, one of them is missing",
			spec->address);
	if (!spec->tls_cert && (spec->tls_client_ca || spec->tls_client_required))
		return err_field(e, ERR_INVALID, "tls_client_ca", spec->tls_client_ca,
				 "listener %s: client certificates need tls_cert and tls_key",
				 spec->address);
	if (spec->tls_client_required && !spec->tls_client_ca)
		return err_field(
			e, ERR_INVALID, "tls_client_ca", "",
			"listener %s: requiring client certificates needs a CA to check them",
			spec->address);
	if (!spec->tls_cert)
		return 0;
	return tls_context(spec->tls_cert, spec->tls_key, spec->tls_client_ca,
			   spec->tls_client_required, &l->ctx, e);
}

int server_listen(struct server *s, const struct listen_spec *spec, char ret_address[256],
		  struct err *e)
{
	struct listener *l = xcalloc(1, sizeof(*l));
	int r;

	l->s = s;
	l->fd = -1;
	r = load_tls(l, spec, e);
	if (!r)
		r = listener_open(l, spec, e);
	if (!r && uv_poll_init(s->loop, &l->poll, l->fd))
		r = err_set(e, ERR_HOST, "listen on %s: it can not be watched", spec->address);
	if (r) {
		listener_release(l);
		return r;
	}
	l->poll.data = l;
	s->handles++;
	LIST_INSERT_HEAD(&s->listeners, l, all);
	(void)uv_poll_start(&l->poll, UV_READABLE, on_acceptable);
	if (ret_address)
		memcpy(ret_address, l->address, sizeof(l->address));
	return 0;
}

void server_set_tls(struct server *s, SSL_CTX *ctx)
{
	struct listener *l;

	LIST_FOREACH(l, &s->listeners, all)
	{
		if (!l->ctx)
			continue;
		(void)SSL_CTX_up_ref(ctx);
		SSL_CTX_free(l->ctx);
		l->ctx = ctx;
	}
}

/* ------------------------------------------------------------------ the end */

static void on_drain_timer(uv_timer_t *t)
{
	struct server *s = t->data;
	void (*done)(void *) = s->drained;

	s->drained = NULL;
	if (done)
		done(s->drained_arg);
}

void server_conn_closed(struct server *s)
{
	s->n_conns--;
	if (s->n_conns == 0 && s->drained && !s->freeing)
		(void)uv_timer_start(&s->drain_timer, on_drain_timer, 0, 0);
	server_handle_closed(s);
}

void server_drain(struct server *s, unsigned max_ms, void (*done)(void *arg), void *arg)
{
	struct conn *c;

	s->draining = true;
	s->drained = done;
	s->drained_arg = arg;
	close_listeners(s);
	LIST_FOREACH(c, &s->conns, all)
	conn_drain(c);
	(void)uv_timer_start(&s->drain_timer, on_drain_timer, s->n_conns ? max_ms : 0, 0);
}

/* Handlers keep their calls; from now on those lead nowhere. */
static void cut_requests(struct server *s)
{
	struct request *q;

	while ((q = LIST_FIRST(&s->requests))) {
		bool handed = q->handed;

		if (q->conn)
			request_desert(q);
		if (!handed)
			continue;
		LIST_REMOVE(q, all);
		if (q->deserted_queued)
			TAILQ_REMOVE(&s->deserted, q, deserted);
		q->deserted_queued = false;
		body_budget_release(&q->share);
		if (q->data.parsed)
			body_parse_detach(q->data.parsed);
		q->s = NULL;
		q->data.cut = true;
		request_run_on_gone(q);
	}
}

void server_metrics(const struct server *s, struct buf *out)
{
	http_metrics_write(&s->metrics, s->router, s->n_conns, out);
}

void server_free(struct server *s)
{
	struct conn *c;

	if (!s)
		return;
	s->freeing = true;
	s->drained = NULL;
	body_queue_close(&s->bodies);
	close_listeners(s);
	cut_requests(s);
	LIST_FOREACH(c, &s->conns, all)
	conn_destroy(c);
	uv_close((uv_handle_t *)&s->timer, on_handle_closed);
	uv_close((uv_handle_t *)&s->drain_timer, on_handle_closed);
	uv_close((uv_handle_t *)&s->idle, on_handle_closed);
}
