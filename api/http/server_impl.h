/* SPDX-License-Identifier: Apache-2.0
 * server_impl.h - what the files behind server.h share about the server as a whole.
 */
#ifndef TEEPOD_API_HTTP_SERVER_IMPL_H
#define TEEPOD_API_HTTP_SERVER_IMPL_H

#include <sys/queue.h>

#include "api/http/auth_rate.h"
#include "api/http/body_budget.h"
#include "api/http/body_parse.h"
#include "api/http/http_metrics.h"
#include "api/http/peer.h"
#include "api/http/peer_count.h"
#include "api/http/router.h"
#include "api/http/server.h"
#include "api/http/tls.h"
#include "base/buf.h"

enum { SERVER_RX = 65536 };

union stream_handle {
	uv_handle_t handle;
	uv_stream_t stream;
	uv_tcp_t tcp;
	uv_pipe_t pipe;
};

struct listener {
	uv_poll_t poll;
	int fd;     /* owned; -1: none */
	char *path; /* owned; of a unix socket that was made here */
	struct server *s;
	LIST_ENTRY(listener) all;
	bool is_unix;
	SSL_CTX *ctx; /* NULL: plain */
	char address[256];
};

/* Connections that may be closed to make room for others, in the order in which they are. */
enum place {
	PLACE_KEYLESS, /* no request of it was authenticated so far, and none is being answered */
	PLACE_IDLE,    /* between two requests */
	PLACE_READING, /* in the middle of a head or body */
	PLACES,        /* none of them: a call is in flight */
};

struct conn;
struct request;
LIST_HEAD(listener_list, listener);
LIST_HEAD(conn_list, conn);
LIST_HEAD(request_list, request);
TAILQ_HEAD(conn_queue, conn);
TAILQ_HEAD(request_queue, request);

struct server {
	uv_loop_t *loop;
	struct server_limits limits;
	size_t in_max; /* plain bytes a connection with a key may have waiting */
	int (*authenticate)(void *arg, const struct credentials *cred, struct caller *ret,
			    struct err *e);
	void (*read)(void *arg, void (*fn)(void *fn_arg), void *fn_arg);
	int (*still_valid)(struct call *c, struct err *e);
	void *arg;
	const char *const *hosts;
	struct router *router;
	struct auth_rate *auth_rate;
	struct peer_counts *peers;
	struct peer_networks proxies;
	uint64_t guess_logged_ms; /* uv_now() */

	struct listener_list listeners;
	struct conn_list conns;
	struct conn_queue waiting[PLACES]; /* longest waiting first, before them the spent ones */
	struct request_list requests;      /* all not yet answered */
	struct conn_queue resume; /* have input waiting, and their call was answered elsewhere */
	struct request_queue deserted; /* whose on_gone is due */
	struct body_budget budget;
	struct body_queue bodies;
	struct loop_timer *accept_timer; /* no listener is watched until it fires */
	bool resuming;                   /* what waits in @resume has its turn */

	uv_timer_t timer;   /* deadlines; runs only while there are some */
	uint64_t timer_due; /* 0: not running */
	uv_idle_t idle;     /* runs only while resume or deserted hold something */
	uv_timer_t drain_timer;
	void (*drained)(void *arg);
	void *drained_arg;
	bool draining, freeing;
	unsigned handles; /* not yet closed; the struct lives as long as one is */

	struct http_metrics metrics;
	unsigned n_conns;   /* not yet closed */
	unsigned n_open;    /* those that conn_destroy() has not ended: they take a place */
	struct buf scratch; /* an answer being put together */
	char rx[SERVER_RX]; /* what a read brings; handed on before the next one */
};

/* @due: uv_now() value at which something has to be looked at. Wake-ups stay a second apart. */
void server_deadline(struct server *s, uint64_t due);
/* Look at resume and deserted in the next turn of the loop. */
void server_kick(struct server *s);
void server_handle_closed(struct server *s);
void server_conn_closed(struct server *s);

/* listen.c */
/* A listening descriptor, which does not block. */
int listener_open(struct listener *l, const struct listen_spec *spec, struct err *e);

#endif
