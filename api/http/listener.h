/* SPDX-License-Identifier: Apache-2.0
 * listener.h - listeners of one server: sockets that are watched, and their certificates.
 */
#ifndef TEEPOD_API_HTTP_LISTENER_H
#define TEEPOD_API_HTTP_LISTENER_H

#include <sys/queue.h>

#include "api/http/conn_pool.h"
#include "api/http/listen_socket.h"
#include "api/http/tls.h"

struct listener;
LIST_HEAD(listener_list, listener);

struct listener_set {
	struct conn_pool *pool; /* of the connections that are accepted */
	struct listener_list all;
	struct loop_timer *pause; /* no listener is watched while it runs */
};

void listener_set_init(struct listener_set *set, struct conn_pool *pool);

/* Add a listener. @ret_address (may be NULL) gets the address bound. */
int listener_add(struct listener_set *set, const struct listen_spec *spec,
		 char ret_address[LISTEN_ADDRESS_TEXT], struct err *e);

/* New connections of all TLS listeners use @ctx, which stays the caller's. */
void listener_set_tls(struct listener_set *set, SSL_CTX *ctx);

/* Stop listening. Their handles close later; the pool counts them. */
void listener_set_close(struct listener_set *set);

#endif
