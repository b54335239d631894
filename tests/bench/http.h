/* SPDX-License-Identifier: Apache-2.0
 * http.h - a minimal HTTP/1.1 client for load tests: keep-alive connections on one epoll loop.
 *
 * A connection has at most one request in flight. Responses have a Content-Length or no body.
 * Requests fit in the socket's buffer, so that sending never blocks. Any error ends the program.
 */
#ifndef TEEPOD_TESTS_BENCH_HTTP_H
#define TEEPOD_TESTS_BENCH_HTTP_H

#include <stddef.h>
#include <stdint.h>

struct http_conn {
	char host[64]; /* ADDRESS:PORT */
	const char *key;
	int fd;
	size_t index; /* in the array of http_run() */
	char *in;
	size_t n, cap;
	int64_t sent_us;
	/* of the response */
	int status;
	char *body; /* NUL-terminated, valid until the next request */
	size_t body_len;
	int64_t us; /* from request to complete response */
};

/* @url: http://ADDRESS:PORT. */
void http_open(struct http_conn *c, const char *url, const char *key);
void http_close(struct http_conn *c);

/* @body may be NULL. */
void http_send(struct http_conn *c, const char *method, const char *path, const char *body);

/* Call @answered for each response; it may send the next request on that connection. Returns when
 * no request is in flight. */
void http_run(struct http_conn *conns, size_t n, void (*answered)(struct http_conn *c, void *arg),
	      void *arg);

/* The string value of the first "key":"..." in the body, or of header @key. Ends the program if
 * there is none. */
void http_field(const struct http_conn *c, const char *key, char *out, size_t n);
void http_header(const struct http_conn *c, const char *key, char *out, size_t n);

#endif
