/* SPDX-License-Identifier: Apache-2.0
 * server.c - the server as a whole: start, draining, end.
 *
 * The layers below call each other only downwards:
 *
 *	listener -> conn_accept -> conn_read -> dispatch -> authorize -> reply -> conn_write -> conn
 *
 * What a lower layer reports upwards (a deadline is due, the last connection has closed) goes
 * through the callbacks in pool_calls.
 *
 * The struct is freed when the last of its handles (listeners, connections, timers) has closed.
 */
#include "api/http/server.h"

#include <assert.h>
#include <signal.h>
#include <stdlib.h>

#include "api/http/conn_deadline.h"
#include "api/http/conn_read.h"
#include "api/http/conn_write.h"
#include "api/http/reply.h"
#include "api/http/server_impl.h"
#include "base/alloc.h"
#include "base/buf.h"
#include "base/lag.h"
#include "base/loop.h"

static struct server *server_of(struct conn_pool *p)
{
	return (struct server *)(uintptr_t)p;
}

/* ------------------------------------------------------------------ callbacks of the pool */

/* Serve each queued connection once. A connection that queues itself again waits for the
 * others. */
static void server_resume_conns(struct conn_pool *p)
{
	struct conn *c;

	p->resuming = true;
	for (unsigned n = p->n_conns; n && (c = conn_pop_resume(p)); n--) {
		conn_resume(c);
		if (lag_enough())
			break;
	}
	p->resuming = false;
}

static void on_server_wake(struct conn_pool *p)
{
	struct server *s = server_of(p);

	request_set_run_gone(&s->requests);
	server_resume_conns(p);
	if (TAILQ_EMPTY(&p->resume) && TAILQ_EMPTY(&s->requests.gone))
		conn_pool_sleep(p);
}

static void on_drain_timer(uv_timer_t *t)
{
	struct server *s = t->data;
	void (*done)(void *) = s->drained;

	s->drained = NULL;
	if (done)
		done(s->drained_arg);
}

static void on_server_last_conn(struct conn_pool *p)
{
	struct server *s = server_of(p);

	if (s->drained && !p->freeing)
		(void)uv_timer_start(&s->drain_timer, on_drain_timer, 0, 0);
}

static void on_server_last_handle(struct conn_pool *p)
{
	struct server *s = server_of(p);

	assert(p->freeing && LIST_EMPTY(&s->requests.all));
	conn_pool_release(p);
	router_free(s->requests.router);
	auth_rate_free(s->requests.auth_rate);
	buf_free(&s->requests.scratch);
	http_metrics_free(&s->metrics);
	free(s->proxies.v);
	free(s);
}

static const struct conn_calls pool_calls = {
	.client_gone = request_client_gone,
	.on_deadline = conn_check_deadlines,
	.on_wake = on_server_wake,
	.on_last_conn = on_server_last_conn,
	.on_last_handle = on_server_last_handle,
};

/* ------------------------------------------------------------------ start */

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

static void open_requests(struct request_set *set, struct conn_pool *p,
			  const struct server_config *cfg)
{
	*set = (struct request_set){ .pool = p,
				     .authenticate = cfg->authenticate,
				     .after_commit = cfg->after_commit,
				     .still_valid = cfg->still_valid,
				     .arg = cfg->arg,
				     .hosts = cfg->hosts };
	set->router = router_new(cfg->routes);
	set->auth_rate = auth_rate_new(p->limits.auth_fails);
	body_queue_init(&set->bodies, p->loop, p->limits.body_wait_ms);
	LIST_INIT(&set->budget.shares);
	LIST_INIT(&set->all);
	TAILQ_INIT(&set->gone);
}

int server_new(const struct server_config *cfg, struct server **ret, struct err *e)
{
	struct peer_networks proxies;
	struct server *s;
	int r = read_proxies(cfg, &proxies, e);

	if (r)
		return r;
	assert_loop_thread();
	assert(cfg->loop && cfg->routes && cfg->authenticate);
	s = xcalloc(1, sizeof(*s));
	s->proxies = proxies;
	s->pool.loop = cfg->loop;
	s->pool.limits = cfg->limits;
	limits_complete(&s->pool.limits);
	s->pool.calls = &pool_calls;
	s->pool.metrics = &s->metrics;
	s->pool.proxies = &s->proxies;
	s->pool.requests = &s->requests;
	conn_pool_open(&s->pool);
	open_requests(&s->requests, &s->pool, cfg);
	listener_set_init(&s->listeners, &s->pool);
	http_metrics_init(&s->metrics, router_count(s->requests.router));
	(void)uv_timer_init(cfg->loop, &s->drain_timer);
	s->drain_timer.data = s;
	conn_pool_handle_opened(&s->pool);
	/* A write to a peer that has hung up must not end the daemon; libuv does not set
	 * MSG_NOSIGNAL. */
	(void)signal(SIGPIPE, SIG_IGN);
	*ret = s;
	return 0;
}

int server_listen(struct server *s, const struct listen_spec *spec,
		  char ret_address[LISTEN_ADDRESS_TEXT], struct err *e)
{
	return listener_add(&s->listeners, spec, ret_address, e);
}

void server_set_tls(struct server *s, SSL_CTX *ctx)
{
	listener_set_tls(&s->listeners, ctx);
}

void server_metrics(const struct server *s, struct buf *out)
{
	http_metrics_write(&s->metrics, s->requests.router, s->pool.n_conns, out);
}

/* ------------------------------------------------------------------ end */

static void drain_conn(struct conn *c)
{
	if (c->state == CONN_HANDSHAKE)
		conn_destroy(c);
	else if (c->state == CONN_HEAD && c->in.len == 0)
		conn_close_idle(c);
	else if (c->state == CONN_CALL && c->req->streaming && !c->req->finite)
		reply_end_stream(c->req);
}

void server_drain(struct server *s, unsigned max_ms, void (*done)(void *arg), void *arg)
{
	struct conn *c;

	assert_loop_thread();
	s->pool.draining = true;
	s->drained = done;
	s->drained_arg = arg;
	listener_set_close(&s->listeners);
	LIST_FOREACH(c, &s->pool.conns, all)
	drain_conn(c);
	(void)uv_timer_start(&s->drain_timer, on_drain_timer, s->pool.n_conns ? max_ms : 0, 0);
}

static void on_drain_timer_closed(uv_handle_t *h)
{
	struct server *s = h->data;

	conn_pool_handle_closed(&s->pool);
}

void server_free(struct server *s)
{
	struct conn *c;

	if (!s)
		return;
	assert_loop_thread();
	s->pool.freeing = true;
	s->drained = NULL;
	body_queue_close(&s->requests.bodies);
	listener_set_close(&s->listeners);
	request_set_cut(&s->requests);
	LIST_FOREACH(c, &s->pool.conns, all)
	conn_destroy(c);
	conn_pool_close(&s->pool);
	uv_close((uv_handle_t *)&s->drain_timer, on_drain_timer_closed);
}
