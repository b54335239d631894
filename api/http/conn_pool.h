/* SPDX-License-Identifier: Apache-2.0
 * conn_pool.h - what the connections of one server share: limits, queues, and two timers.
 */
#ifndef TEEPOD_API_HTTP_CONN_POOL_H
#define TEEPOD_API_HTTP_CONN_POOL_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include <uv.h>

#include "api/http/http_metrics.h"
#include "api/http/limits.h"
#include "api/http/peer_count.h"

enum { CONN_RX_BYTES = 65536 };

/* Classes of connections that may be closed to make room for others, in the order of closing. */
enum evict_class {
	EVICT_KEYLESS, /* no request of it was authenticated so far, and none is being answered */
	EVICT_IDLE,    /* between two requests */
	EVICT_READING, /* in the middle of a head or body */
	EVICT_NEVER,   /* a call is in flight, or it is closed */
};

struct conn;
struct conn_pool;
struct request;
struct request_set;

LIST_HEAD(conn_list, conn);
TAILQ_HEAD(conn_queue, conn);

/* How a connection and the pool call the layers above them. Set once, before the first
 * connection. */
struct conn_calls {
	void (*client_gone)(struct request *q);    /* the connection ends, its request continues */
	void (*on_deadline)(struct conn_pool *p);  /* conn_pool_deadline() is due */
	void (*on_wake)(struct conn_pool *p);      /* each turn until conn_pool_sleep() */
	void (*on_last_conn)(struct conn_pool *p); /* the last connection has closed */
	void (*on_last_handle)(struct conn_pool *p); /* all is closed: the pool may be freed */
};

struct conn_pool {
	uv_loop_t *loop;
	struct server_limits limits;
	const struct conn_calls *calls;
	struct http_metrics *metrics;
	const struct peer_networks *proxies; /* trusted: exempt from limits.per_peer */
	struct request_set *requests;        /* for the layers above */
	struct peer_counts *peers;

	struct conn_list conns; /* not yet closed */
	struct conn_queue
		evict[EVICT_NEVER]; /* longest waiting first, before them the spent ones */
	struct conn_queue resume;   /* have input that waits for a turn of the loop */
	bool resuming;              /* a connection of @resume is being served */
	unsigned n_conns;           /* in @conns */
	unsigned n_open;            /* admitted and not destroyed: they count */

	uv_timer_t timer;   /* deadlines; runs only while there are some */
	uint64_t timer_due; /* uv_now(); 0: not running */
	uv_idle_t idle;     /* runs only between conn_pool_wake() and conn_pool_sleep() */
	unsigned handles;   /* not yet closed; the pool lives as long as one is */
	bool draining, freeing;
	char rx[CONN_RX_BYTES]; /* the bytes of one read; used up before the next one */
};

/* Set loop, limits (completed), calls, metrics, proxies and requests before. */
void conn_pool_open(struct conn_pool *p);
/* Close the timers; on_last_handle() follows when all connections have closed, too. */
void conn_pool_close(struct conn_pool *p);
/* Free what the pool owns. Only in on_last_handle(). */
void conn_pool_release(struct conn_pool *p);

/* Call on_deadline() at @due (uv_now()), or up to a second later: wake-ups stay a second apart. */
void conn_pool_deadline(struct conn_pool *p, uint64_t due);
/* Call on_wake() from the next turn of the loop on, in each turn, until conn_pool_sleep(). */
void conn_pool_wake(struct conn_pool *p);
void conn_pool_sleep(struct conn_pool *p);

/* Count a libuv handle that keeps the pool alive, and its close callback. */
void conn_pool_handle_opened(struct conn_pool *p);
void conn_pool_handle_closed(struct conn_pool *p);

#endif
