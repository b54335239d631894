/* SPDX-License-Identifier: Apache-2.0
 * server.h - the HTTP server: sockets in, calls of handlers out.
 *
 * A request passes TLS, the checks of its head (head.h), authorization (authorize.h), its route
 * (router.h) and its handler. Everything runs on the loop thread. The layers are listed in
 * server.c.
 */
#ifndef TEEPOD_API_HTTP_SERVER_H
#define TEEPOD_API_HTTP_SERVER_H

#include <openssl/types.h>
#include <uv.h>

#include "api/http/limits.h"
#include "api/http/listen_socket.h"

struct buf;
struct call;
struct caller;
struct credentials;
struct route;
struct server;

struct server_config {
	uv_loop_t *loop;
	struct server_limits limits;
	/* Names of this server besides those of loopback, or URLs with them; NULL-terminated,
	 * borrowed. A request to a plain TCP listener is refused if its Host or Origin names
	 * another. NULL: nothing is refused. */
	const char *const *hosts;
	/* NULL-terminated list of tables; each table ends with a row whose method is NULL. */
	const struct route *const *routes;
	/* Fill *ret for the credentials of a request (0), or refuse them (ERR_UNAUTHENTICATED). */
	int (*authenticate)(void *arg, const struct credentials *cred, struct caller *ret,
			    struct err *e);
	/* Call @fn(@fn_arg) when the changes of this turn of the loop are committed. The handler of
	 * a GET and refusals wait for it. NULL: they do not wait. */
	void (*after_commit)(void *arg, void (*fn)(void *fn_arg), void *fn_arg);
	/* Called when the body of a request is complete: 0, or ERR_UNAUTHENTICATED if the caller's
	 * credentials have become invalid since its head arrived. NULL: they do not expire. */
	int (*still_valid)(struct call *c, struct err *e);
	void *arg; /* for authenticate and after_commit; also call.server */
	/* Addresses and networks of trusted proxies; borrowed until server_new() returns. */
	char *const *proxies;
	size_t n_proxies;
};

/* ERR_INVALID if one of the proxies is neither an address nor a network. */
int server_new(const struct server_config *cfg, struct server **ret, struct err *e);

/* Add a listener. *ret_address (may be NULL) gets the address bound: "127.0.0.1:41873", "unix:/x".
 */
int server_listen(struct server *s, const struct listen_spec *spec,
		  char ret_address[LISTEN_ADDRESS_TEXT], struct err *e);

/* New connections of all TLS listeners use @ctx (tls.h), which stays the caller's. Existing ones
 * keep theirs. */
void server_set_tls(struct server *s, SSL_CTX *ctx);

/* Stop listening, close idle connections, end streams, and answer the calls in flight with
 * "Connection: close". Call @done(@arg) when the last connection has closed or after @max_ms. */
void server_drain(struct server *s, unsigned max_ms, void (*done)(void *arg), void *arg);

/* Close everything. The struct is freed when its last handle has closed. NULL is fine. */
void server_free(struct server *s);

/* Append Prometheus text to @out: requests by route, method and status class, durations,
 * connections, event loop. */
void server_metrics(const struct server *s, struct buf *out);

#endif
