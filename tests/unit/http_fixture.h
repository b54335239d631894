/* SPDX-License-Identifier: Apache-2.0
 * http_fixture.h - a server with real sockets for unit tests. Client and loop take turns in one
 * thread: http_run_loop() and http_receive() run the loop.
 *
 *     http_start(NULL);
 *     answer = http_exchange(GET("/echo"));
 *     ...
 *     http_stop();
 *
 * Routes: /echo returns what was received, /keep and /watch leave the call open in http.kept,
 * /follow begins a stream, /stall blocks the loop, /big sends 4 MiB, /read and /admin need a role,
 * /try accepts a key and needs none, /long has a body that is checked.
 */
#ifndef TEEPOD_TESTS_UNIT_HTTP_FIXTURE_H
#define TEEPOD_TESTS_UNIT_HTTP_FIXTURE_H

#include <stdbool.h>
#include <stddef.h>

#include <uv.h>
#include "api/http/call.h"
#include "api/http/server.h"
#include "base/buf.h"

/* The server under test, and what its handlers recorded. */
extern struct http_fixture {
	uv_loop_t loop;
	struct server *s;
	unsigned port;
	char dir[64], path[128], cert[128],
		key[128]; /* path: of a unix socket; none of them exists */
	struct call *kept;
	unsigned gone, calls, drained;
	struct credentials seen; /* of the last authentication */
	char seen_text[64];
	int waiting; /* /stall: the socket on which another client sends meanwhile */
} http;

#define GET(path)      "GET " path " HTTP/1.1\r\nHost: h:1\r\n\r\n"
#define WITH(path, hd) "GET " path " HTTP/1.1\r\nHost: h:1\r\n" hd "\r\n\r\n"

/* @limits NULL: the defaults. */
void http_start(const struct server_limits *limits);
/* Trust the first @n_proxies of 127.0.0.1, 10.0.0.0/8, 2001:db8:1::/48. */
void http_start_behind(const struct server_limits *limits, size_t n_proxies);
void http_stop(void);
void http_run_loop(unsigned ms);

/* A connection to a port of this host. */
int http_dial(unsigned port);
void http_send(int fd, const char *text);
/* Append to @b what arrives until the server closes @fd (true), or until @ms have passed or @until
 * was received (false). */
bool http_receive(int fd, struct buf *b, const char *until, unsigned ms);
/* Send @request on a connection of its own. Returns the whole answer, malloc'd. */
char *http_exchange(const char *request);

/* For call_on_gone(): counts in http.gone. */
void http_count_gone(void *arg);
void assert_status(const char *answer, int status);
void assert_has(const char *answer, const char *text);

#endif
