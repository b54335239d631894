/* SPDX-License-Identifier: Apache-2.0
 * server_impl.h - the struct behind server.h, for server.c and for tests of the server.
 */
#ifndef TEEPOD_API_HTTP_SERVER_IMPL_H
#define TEEPOD_API_HTTP_SERVER_IMPL_H

#include "api/http/listener.h"
#include "api/http/request.h"

struct server {
	struct conn_pool pool; /* first: pool callbacks cast it back */
	struct request_set requests;
	struct listener_set listeners;
	struct http_metrics metrics;
	struct peer_networks proxies; /* owned */
	uv_timer_t drain_timer;
	void (*drained)(void *arg); /* NULL: not draining, or done() was called */
	void *drained_arg;
};

#endif
