/* SPDX-License-Identifier: Apache-2.0
 * http_fixture.c - a server with real sockets for unit tests.
 */
#include "tests/unit/http_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "api/http/reply.h"
#include "api/http/route.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/lanes.h"
#include "base/own.h"
#include "base/strings.h"

struct http_fixture http;

static int http_authenticate(void *arg, const struct credentials *cred, struct caller *ret,
			     struct err *e)
{
	assert_ptr_equal(arg, &http);
	http.seen = *cred;
	if (cred->cert_cn || cred->api_key)
		(void)snprintf(http.seen_text, sizeof(http.seen_text), "%s",
			       cred->cert_cn ? cred->cert_cn : cred->api_key);
	if (cred->api_key && !strncmp(cred->api_key, "caller-", 7))
		(void)snprintf(ret->name, sizeof(ret->name), "%s", cred->api_key);
	else if (cred->api_key && strcmp(cred->api_key, "reader") && strcmp(cred->api_key, "admin"))
		return err_set(e, ERR_UNAUTHENTICATED, "unknown API key");
	ret->role = cred->api_key && !strcmp(cred->api_key, "reader") ? ROLE_READER : ROLE_ADMIN;
	if (cred->api_key && !strncmp(cred->api_key, "caller-tenant", 13)) {
		ret->role = ROLE_TENANT;
		ret->workspace = 7;
	}
	return 0;
}

void http_count_gone(void *arg)
{
	(void)arg;
	http.gone++;
}

static void http_handle_echo(struct call *c)
{
	struct err e;
	json_t *body = call_json(c, true, &e);
	const char *q = call_query(c, "q", 0);

	http.calls++;
	if (!body) {
		call_reply_err(c, &e);
		return;
	}
	(void)json_object_set_new(body, "path", json_string(c->path));
	(void)json_object_set_new(body, "q", q ? json_string(q) : json_null());
	(void)json_object_set_new(body, "base", json_string(call_base_url(c)));
	(void)json_object_set_new(body, "version", json_integer(c->version));
	call_reply(c, 200, body);
}

static void http_handle_keep(struct call *c)
{
	http.calls++;
	http.kept = c;
}

static void http_handle_watch(struct call *c)
{
	call_on_gone(c, http_count_gone, NULL);
	http_handle_keep(c);
}

static void http_handle_stream(struct call *c)
{
	call_stream_begin(c, 200, "text/plain");
	(void)call_stream_write(c, "first", 5);
	http_handle_watch(c);
}

void http_send(int fd, const char *text)
{
	assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

/* Block the loop for longer than any deadline. Another client sends its request meanwhile. */
static void http_handle_stall(struct call *c)
{
	http_send(http.waiting, GET("/echo"));
	(void)usleep(1500 * 1000);
	call_reply(c, 200, NULL);
}

static void http_handle_big(struct call *c)
{
	enum { N = 4 * 1024 * 1024 };
	auto_free char *text = xmalloc(N);

	memset(text, 'Z', N);
	call_reply_text(c, 200, "text/plain", text, N);
}

/* The server only compares the pointer with NULL. */
struct field_table {
	int unused;
};
static const struct field_table any_body_table;

static const struct route routes[] = {
	{ .method = "GET", .pattern = "/echo", .flags = ROUTE_NO_AUTH, .handle = http_handle_echo },
	{ .method = "GET",
	  .pattern = "/echo/{what}",
	  .flags = ROUTE_NO_AUTH,
	  .handle = http_handle_echo },
	{ .method = "POST",
	  .pattern = "/echo",
	  .flags = ROUTE_NO_AUTH,
	  .body_max = 1000000,
	  .handle = http_handle_echo },
	{ .method = "GET", .pattern = "/keep", .flags = ROUTE_NO_AUTH, .handle = http_handle_keep },
	{ .method = "GET",
	  .pattern = "/watch",
	  .flags = ROUTE_NO_AUTH,
	  .handle = http_handle_watch },
	{ .method = "GET",
	  .pattern = "/follow",
	  .flags = ROUTE_NO_AUTH,
	  .handle = http_handle_stream },
	{ .method = "GET",
	  .pattern = "/stall",
	  .flags = ROUTE_NO_AUTH,
	  .handle = http_handle_stall },
	{ .method = "GET", .pattern = "/big", .flags = ROUTE_NO_AUTH, .handle = http_handle_big },
	{ .method = "GET", .pattern = "/read", .role = ROLE_READER, .handle = http_handle_echo },
	{ .method = "GET",
	  .pattern = "/try",
	  .flags = ROUTE_NO_AUTH | ROUTE_TRY_AUTH,
	  .handle = http_handle_echo },
	{ .method = "POST",
	  .pattern = "/long",
	  .role = ROLE_READER,
	  .body_max = 1000000,
	  .handle = http_handle_echo,
	  .body = &any_body_table },
	{ .method = "POST",
	  .pattern = "/admin",
	  .role = ROLE_ADMIN,
	  .body_max = 100,
	  .handle = http_handle_echo },
	{ 0 },
};

static char *const proxies[] = { "127.0.0.1", "10.0.0.0/8", "2001:db8:1::/48" };

void http_start_behind(const struct server_limits *limits, size_t n_proxies)
{
	static const struct route *const tables[] = { routes, NULL };
	struct server_config cfg = { .loop = &http.loop,
				     .routes = tables,
				     .authenticate = http_authenticate,
				     .arg = &http };
	char bound[256];
	struct err e;

	memset(&http, 0, sizeof(http));
	(void)strcpy(http.dir, "/tmp/teepod-server-XXXXXX");
	assert_non_null(mkdtemp(http.dir));
	(void)snprintf(http.path, sizeof(http.path), "%s/sock", http.dir);
	(void)snprintf(http.cert, sizeof(http.cert), "%s/cert.pem", http.dir);
	(void)snprintf(http.key, sizeof(http.key), "%s/key.pem", http.dir);
	assert_int_equal(uv_loop_init(&http.loop), 0);
	cfg.proxies = proxies;
	cfg.n_proxies = n_proxies;
	if (limits)
		cfg.limits = *limits;
	assert_int_equal(server_new(&cfg, &http.s, &e), 0);
	assert_int_equal(
		server_listen(http.s, &(struct listen_spec){ .address = "127.0.0.1:0" }, bound, &e),
		0);
	http.port = (unsigned)strtoul(strrchr(bound, ':') + 1, NULL, 10);
}

void http_start(const struct server_limits *limits)
{
	http_start_behind(limits, 0);
}

void http_stop(void)
{
	server_free(http.s);
	if (http.kept)
		call_reply(http.kept, 200, NULL);
	assert_int_equal(lanes_close(&http.loop), 0);
	(void)uv_run(&http.loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&http.loop), 0);
	(void)unlink(http.path);
	(void)unlink(http.cert);
	(void)unlink(http.key);
	assert_int_equal(rmdir(http.dir), 0);
}

int http_dial(unsigned port)
{
	struct sockaddr_in in = { .sin_family = AF_INET,
				  .sin_port = htons((uint16_t)port),
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&in, sizeof(in)), 0);
	return fd;
}

void http_run_loop(unsigned ms)
{
	int64_t end = clock_mono_ms() + ms;

	do {
		(void)uv_run(&http.loop, UV_RUN_NOWAIT);
		(void)usleep(500);
	} while (clock_mono_ms() < end);
}

bool http_receive(int fd, struct buf *b, const char *until, unsigned ms)
{
	int64_t end = clock_mono_ms() + ms;

	while (clock_mono_ms() < end) {
		ssize_t n;

		(void)uv_run(&http.loop, UV_RUN_NOWAIT);
		n = recv(fd, buf_reserve(b, 65536), 65536, MSG_DONTWAIT);
		if (n == 0 || (n < 0 && errno != EAGAIN))
			return true;
		if (n > 0)
			b->len += (size_t)n;
		b->data[b->len] = '\0';
		if (until && strstr(b->data, until))
			return false;
		if (n < 0)
			(void)usleep(300);
	}
	return false;
}

char *http_exchange(const char *request)
{
	auto_close int fd = http_dial(http.port);
	auto_buf struct buf b = { 0 };
	auto_free char *copy = xstrdup(request);
	char *head = strstr(copy, "\r\n");
	struct buf out = { 0 };

	assert_non_null(head);
	buf_add(&out, copy, (size_t)(head - copy));
	buf_puts(&out, "\r\nConnection: close");
	buf_puts(&out, head);
	http_send(fd, out.data);
	buf_free(&out);
	assert_true(http_receive(fd, &b, NULL, 5000));
	return buf_take(&b);
}

void assert_status(const char *answer, int status)
{
	char want[32];

	(void)snprintf(want, sizeof(want), "HTTP/1.1 %d ", status);
	if (strncmp(answer, want, strlen(want)) != 0)
		fail_msg("wanted %s, got: %s", want, answer);
}

void assert_has(const char *answer, const char *text)
{
	if (!strstr(answer, text))
		fail_msg("no \"%s\" in: %s", text, answer);
}
