/* SPDX-License-Identifier: Apache-2.0
 * http.c - an HTTP/1.1 client with keep-alive connections on one epoll loop; see http.h.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/bench/http.h"
#include "tests/bench/tool.h"

enum { SILENCE_MS = 60000 };

void http_open(struct http_conn *c, const char *url, const char *key)
{
	struct sockaddr_in a = { .sin_family = AF_INET };
	char address[32];
	unsigned port;
	int on = 1;

	*c = (struct http_conn){ .key = key };
	if (sscanf(url, "http://%31[0-9.]:%u", address, &port) != 2 ||
	    inet_pton(AF_INET, address, &a.sin_addr) != 1)
		die("%s is not http://ADDRESS:PORT", url);
	(void)snprintf(c->host, sizeof(c->host), "%s:%u", address, port);
	a.sin_port = htons((uint16_t)port);
	c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&a, sizeof(a)))
		die("connect to %s: %s", c->host, strerror(errno));
	(void)setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

void http_close(struct http_conn *c)
{
	(void)close(c->fd);
	free(c->in);
	*c = (struct http_conn){ .fd = -1 };
}

void http_send(struct http_conn *c, const char *method, const char *path, const char *body)
{
	char text[8192];
	int n = snprintf(
		text, sizeof(text),
		"%s %s HTTP/1.1\r\nHost: %s\r\nX-API-Key: %s\r\nContent-Type: application/json\r\n"
		"Content-Length: %zu\r\n\r\n%s",
		method, path, c->host, c->key, body ? strlen(body) : 0, body ? body : "");

	if (n >= (int)sizeof(text))
		die("request too long");
	c->n = 0;
	c->sent_us = now_us();
	if (send(c->fd, text, (size_t)n, MSG_NOSIGNAL) != n)
		die("send to %s: %s", c->host, strerror(errno));
}

static const char *find_header(const struct http_conn *c, const char *key)
{
	size_t len = strlen(key);

	for (const char *p = strstr(c->in, "\r\n"); p && p + 2 < c->body; p = strstr(p + 2, "\r\n"))
		if (!strncasecmp(p + 2, key, len) && p[2 + len] == ':')
			return p + 2 + len + 1 + strspn(p + 2 + len + 1, " ");
	return NULL;
}

/* A chunked body is not decoded: only its end matters here. */
static bool complete_chunks(struct http_conn *c)
{
	static const char last[] = "\r\n0\r\n\r\n";
	size_t n = sizeof(last) - 1;

	c->body_len = c->n - (size_t)(c->body - c->in);
	return c->body_len > n && !memcmp(c->in + c->n - n, last, n);
}

/* Parse the head. True if the response is complete. */
static bool complete(struct http_conn *c)
{
	char *end = c->n ? strstr(c->in, "\r\n\r\n") : NULL;
	const char *length;

	if (!end)
		return false;
	if (sscanf(c->in, "HTTP/1.1 %d", &c->status) != 1)
		die("%s does not speak HTTP/1.1", c->host);
	c->body = end + 4;
	if (find_header(c, "Transfer-Encoding"))
		return complete_chunks(c);
	length = find_header(c, "Content-Length");
	if (!length && c->status != 204)
		die("response %d without Content-Length", c->status);
	c->body_len = length ? strtoul(length, NULL, 10) : 0;
	return c->n >= (size_t)(c->body - c->in) + c->body_len;
}

static bool receive(struct http_conn *c)
{
	ssize_t got;

	if (c->cap - c->n < 65536) {
		c->cap += 262144;
		c->in = need(realloc(c->in, c->cap + 1));
	}
	got = recv(c->fd, c->in + c->n, c->cap - c->n, MSG_DONTWAIT);
	if (got < 0 && errno == EAGAIN)
		return false;
	if (got <= 0)
		die("%s closed the connection: %s", c->host, got ? strerror(errno) : "no response");
	c->n += (size_t)got;
	c->in[c->n] = 0;
	if (!complete(c))
		return false;
	c->us = now_us() - c->sent_us;
	return true;
}

static int watch_all(struct http_conn *conns, size_t n)
{
	int ep = epoll_create1(EPOLL_CLOEXEC);

	for (size_t i = 0; i < n; i++) {
		struct epoll_event ev = { .events = EPOLLIN, .data.ptr = &conns[i] };

		conns[i].index = i;
		if (epoll_ctl(ep, EPOLL_CTL_ADD, conns[i].fd, &ev))
			die("epoll: %s", strerror(errno));
	}
	return ep;
}

void http_run(struct http_conn *conns, size_t n, void (*answered)(struct http_conn *c, void *arg),
	      void *arg)
{
	int ep = watch_all(conns, n);
	size_t under_way = 0;

	for (size_t i = 0; i < n; i++)
		under_way += conns[i].sent_us != 0;
	while (under_way) {
		struct epoll_event ev[64];
		int got = epoll_wait(ep, ev, 64, SILENCE_MS);

		if (got == 0)
			die("no response for %d seconds", SILENCE_MS / 1000);
		for (int i = 0; i < got; i++) {
			struct http_conn *c = ev[i].data.ptr;

			if (!receive(c))
				continue;
			c->sent_us = 0;
			answered(c, arg);
			under_way -= c->sent_us == 0;
		}
	}
	(void)close(ep);
}

static void copy_until(const char *from, const char *stops, const char *key, char *out, size_t n)
{
	size_t len = from ? strcspn(from, stops) : 0;

	if (!len || len >= n)
		die("response without %s", key);
	memcpy(out, from, len);
	out[len] = 0;
}

void http_field(const struct http_conn *c, const char *key, char *out, size_t n)
{
	char quoted[64];
	const char *p;

	(void)snprintf(quoted, sizeof(quoted), "\"%s\":\"", key);
	p = strstr(c->body, quoted);
	copy_until(p ? p + strlen(quoted) : NULL, "\"", key, out, n);
}

void http_header(const struct http_conn *c, const char *key, char *out, size_t n)
{
	copy_until(find_header(c, key), "\r", key, out, n);
}
