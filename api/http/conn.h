/* SPDX-License-Identifier: Apache-2.0
 * conn.h - one client connection: its state, its deadlines and its end.
 *
 * Input is read by conn_read.c, output is written by conn_write.c.
 */
#ifndef TEEPOD_API_HTTP_CONN_H
#define TEEPOD_API_HTTP_CONN_H

#include "api/http/conn_pool.h"
#include "api/http/head.h"
#include "api/http/tls.h"
#include "base/buf.h"

enum conn_state {
	CONN_HANDSHAKE, /* TLS handshake */
	CONN_HEAD,      /* between requests, or inside a head */
	CONN_BODY,      /* the head was accepted, its body is arriving */
	CONN_CALL,      /* a request is being answered */
	CONN_LINGER,    /* the last answer was sent; reading on so that the client can read it */
	CONN_CLOSED,    /* uv_close() was called */
	CONN_STATES,
};

union stream_handle {
	uv_handle_t handle;
	uv_stream_t stream;
	uv_tcp_t tcp;
	uv_pipe_t pipe;
};

struct conn {
	union stream_handle uv;
	struct conn_pool *pool;
	LIST_ENTRY(conn) all;
	TAILQ_ENTRY(conn) resume, evict;
	enum conn_state state;
	enum evict_class evict_class; /* the queue of pool->evict it is in */
	uint64_t waits_since;         /* uv_now() of the last conn_requeue() */
	bool resume_queued;           /* in pool->resume */
	bool put_off;    /* its request waits for a later turn because this one took long */
	bool processing; /* conn_read.c is using up c->in */
	bool reading, eof, shut;
	bool head_started, head_any; /* part of a head has arrived; an empty line was skipped */

	bool known;   /* a request of it was authenticated, or root is at the other end */
	bool spent;   /* answered without authentication, or its client has left: evicted first */
	bool counted; /* in pool->peers */
	bool is_unix;
	unsigned uid, gid; /* unix socket: of the peer */
	struct peer_address address;
	struct peer_key peer; /* of address, or of uid */

	struct tls *tls; /* owned; NULL: plain */
	struct buf in;   /* plain bytes not yet used */
	struct head_scan scan;
	size_t head_len;     /* of the complete head at the beginning of @in, else 0 */
	struct request *req; /* in flight, else NULL */

	struct buf out; /* bytes for the wire behind those being written */
	struct buf writing;
	uv_write_t write;
	bool write_busy; /* @write is under way */
	uv_shutdown_t shutdown;

	uint64_t read_at;    /* uv_now() of the last read */
	uint64_t body_until; /* when the whole body must have arrived */
	uint64_t due;        /* deadline of the state; 0: none */
	uint64_t write_due;  /* when the peer must have taken enough; 0: nothing waits */
	uint64_t taken;      /* bytes the kernel took so far, without those of @writing */
	uint64_t taken_then; /* bytes taken when write_due was set */
};

/* Still serving requests: neither lingering nor closed. */
bool conn_is_open(const struct conn *c);

void conn_set_state(struct conn *c, enum conn_state state);
/* Set the deadline of the state to @ms from now; 0: none. */
void conn_set_due(struct conn *c, uint64_t ms);
/* Put the connection at the end of the eviction queue of its state. */
void conn_requeue(struct conn *c);
/* Serve it in a later turn of the loop: always, or only if input may wait that no read will
 * report. */
void conn_queue_resume(struct conn *c);
void conn_resume_input(struct conn *c);
/* Take the first connection out of p->resume; NULL if there is none. */
struct conn *conn_pop_resume(struct conn_pool *p);

/* Close at once. Its request in flight continues without a client. */
void conn_destroy(struct conn *c);

#endif
