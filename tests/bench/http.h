/* SPDX-License-Identifier: Apache-2.0
 * http.h - as much of an HTTP/1.1 client as a load needs: keep-alive connections on one epoll loop.
 *
 * One request is under way on a connection at a time, and answers carry a Content-Length or have no
 * body. Requests are small enough for the socket's buffer, so writing never waits.
 */
#ifndef TEEPOD_TESTS_BENCH_HTTP_H
#define TEEPOD_TESTS_BENCH_HTTP_H

#include <stddef.h>
#include <stdint.h>

#include "vmm/logs/serial_scan.h"

struct http_conn {
	char host[64]; /* ADDRESS:PORT */
	const char *key;
	int fd;
	size_t index; /* among the connections of the loop */
	char *in;
	size_t n, cap;
	int64_t sent_us;
	/* of the answer */
	int status;
	char *body; /* NUL-terminated, valid until the next request */
	size_t body_len;
	int64_t us;
};

/* @url: http://ADDRESS:PORT. */
void http_open(struct http_conn *c, const char *url, const char *key);
void http_close(struct http_conn *c);

/* @body may be NULL. */
void http_send(struct http_conn *c, const char *method, const char *path, const char *body);

/* @answered for every answer; it may send the next request on that connection. Returns when no
 * request is under way. */
void http_run(struct http_conn *conns, size_t n, void (*answered)(struct http_conn *c, void *arg),
	      void *arg);

/* String value of the first "key":"..." in the body, or of header @key; dies when there is none. */
void http_field(const struct http_conn *c, const char *key, char *out, size_t n);
void http_header(const struct http_conn *c, const char *key, char *out, size_t n);

#endif
