/* SPDX-License-Identifier: Apache-2.0
 * server.h - listeners and connections: sockets in, calls out.
 *
 * uv stream -> (TLS by memory BIOs) -> head lint -> llhttp -> authenticate -> route -> handler.
 */
#ifndef TEEPOD_API_HTTP_SERVER_H
#define TEEPOD_API_HTTP_SERVER_H

#include <uv.h>

#include "api/http/call.h"
#include "api/http/caller.h"
#include "api/http/limits.h"
#include "api/http/listen_socket.h"
#include "api/http/tls.h"

struct route;
struct server;

struct server_config {
	uv_loop_t *loop;
	struct server_limits limits;
	/* Names of this server besides those of loopback, or URLs with them; NULL ends. Borrowed. A
	 * request to a plain TCP listener that names another in Host or Origin is refused. NULL:
	 * none is. */
	const char *const *hosts;
	const struct route *const
		*routes; /* NULL-terminated list of tables; each table ends with method NULL */
	/* Fill *ret for the credentials found (0), or refuse them (ERR_UNAUTHENTICATED). */
	int (*authenticate)(void *arg, const struct credentials *cred, struct caller *ret,
			    struct err *e);
	/* Call @fn(@fn_arg) when what can be read is committed: the handler of a GET, or a refusal;
	 * NULL: at once. */
	void (*after_commit)(void *arg, void (*fn)(void *fn_arg), void *fn_arg);
	/* Asked when the body of a request has come: 0, or ERR_UNAUTHENTICATED if the caller's
	 * credential has ended since the head came. NULL: it never ends. */
	int (*still_valid)(struct call *c, struct err *e);
	void *arg; /* for authenticate and read, and call.server */
	/* Addresses and networks of trusted proxies; borrowed until server_new() returns. */
	char *const *proxies;
	size_t n_proxies;
};

/* ERR_INVALID if one of the proxies is no network. */
int server_new(const struct server_config *cfg, struct server **ret, struct err *e);

/* Add a listener. *ret_address (may be NULL) gets the address bound, e.g. "127.0.0.1:41873" or
 * "unix:/x". */
int server_listen(struct server *s, const struct listen_spec *spec,
		  char ret_address[LISTEN_ADDRESS_TEXT], struct err *e);

/* New connections of all TLS listeners use @ctx (tls.h), which stays the caller's. Old ones keep
 * theirs. */
void server_set_tls(struct server *s, SSL_CTX *ctx);

/* Stop accepting, close idle connections, "Connection: close" on what is still to be answered, end
 * streams; @done(@arg) when the last connection is closed or after @max_ms. */
void server_drain(struct server *s, unsigned max_ms, void (*done)(void *arg), void *arg);

/* Close everything; the struct is freed when the last handle has closed. NULL is fine. */
void server_free(struct server *s);

/* Prometheus text of requests by route, method and status class, durations, open connections.
 * Appends to @out. */
struct buf;
void server_metrics(const struct server *s, struct buf *out);

#endif
