/* SPDX-License-Identifier: Apache-2.0
 * conn.h - one client connection: bytes, deadlines, and whose turn it is.
 */
#ifndef TEEPOD_API_HTTP_CONN_H
#define TEEPOD_API_HTTP_CONN_H

#include "api/http/head.h"
#include "api/http/server_impl.h"

enum conn_state {
	CONN_HANDSHAKE, /* TLS */
	CONN_HEAD,      /* between requests, or inside a head */
	CONN_BODY,      /* the head was accepted, its body is arriving */
	CONN_CALL,      /* a handler has the call */
	CONN_LINGER,    /* all is said; reading on so that the client can read the last answer */
	CONN_CLOSED,    /* uv_close() is under way */
};

struct conn {
	union stream_handle uv;
	struct server *s;
	LIST_ENTRY(conn) all;
	TAILQ_ENTRY(conn) resume, waits;
	enum conn_state state;
	enum place place;
	uint64_t waits_since; /* uv_now() */
	bool resume_queued, put_off, processing, reading, eof, shut, head_started, head_any;

	bool known;   /* a request of it was authenticated, or it is root's */
	bool spent;   /* answered and not known, or its client has left: the first to make room */
	bool counted; /* among those of its peer */
	bool is_unix;
	unsigned uid, gid; /* unix socket: who is at the other end */
	struct peer_address address;
	struct peer_key peer; /* of address */

	struct tls *tls; /* NULL: plain */
	struct buf in;   /* plain bytes not yet used */
	struct head_scan scan;
	size_t head_len; /* of the head at the beginning of @in, when it is complete; else 0 */
	struct request *req;

	struct buf out; /* bytes for the wire behind those being written */
	struct buf writing;
	uv_write_t write;
	bool write_busy;
	uv_shutdown_t shutdown;

	uint64_t read_at;    /* when something was last read from it */
	uint64_t body_until; /* when the whole body must be there */
	uint64_t due;        /* when the state's patience ends; 0: never */
	uint64_t write_due;  /* when the peer must have taken something; 0: nothing waits */
	uint64_t taken;      /* bytes the kernel took so far, without those of @writing */
	uint64_t taken_then; /* taken() when write_due was set */
};

/* @fd: from accept(2), taken over. */
void conn_accept(struct listener *l, int fd);

/* Send plain bytes, encrypted if need be. May end in conn_destroy(). */
void conn_send(struct conn *c, const void *data, size_t n);

/* Bytes accepted and not yet taken by the kernel. */
size_t conn_backlog(const struct conn *c);

/* The request in flight got its whole answer. @keep: the connection may carry another. */
void conn_answered(struct conn *c, bool keep);

/* Close without ceremony. A call in flight is told that its client is gone. */
void conn_destroy(struct conn *c);

/* Close in order: what is queued is sent, then end-of-file, and the client's last words are read
 * and dropped. */
void conn_linger(struct conn *c);

/* Nothing is in flight: say goodbye and close. */
void conn_close_idle(struct conn *c);

void conn_resume(struct conn *c);
void conn_check_deadlines(struct conn *c, uint64_t now);
void conn_drain(struct conn *c);

/* places.c: may the connection stay? Others may be closed for it. */
bool places_take(struct conn *c);
void places_leave(struct conn *c);
/* Close the connection that has waited the longest without a key; false if there is none. */
bool places_close_keyless(struct server *s);

/* for the files of a connection only */
void conn_check_written(struct conn *c, uint64_t now);
void conn_place(struct conn *c); /* after each change of state */
void conn_flush(struct conn *c);
void conn_set_due(struct conn *c, uint64_t ms);
void conn_queue_resume(struct conn *c);

#endif
