/* SPDX-License-Identifier: Apache-2.0
 * server_test.c - the server with real sockets: client and loop take turns in one thread.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include <cmocka.h>

#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "api/cloud/asks.h"
#include "api/http/reply.h"
#include "api/http/server.h"
#include "api/http/server_impl.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/lanes.h"
#include "base/own.h"

/* ------------------------------------------------------------------ a small world */

static struct world {
	uv_loop_t loop;
	struct server *s;
	unsigned port;
	char dir[64], path[128], cert[128], key[128];
	struct call *kept;
	unsigned gone, calls, drained;
	struct credentials seen;
	char seen_text[64];
	int waiting;
} w;

static int authenticate(void *arg, const struct credentials *cred, struct caller *ret,
			struct err *e)
{
	assert_ptr_equal(arg, &w);
	w.seen = *cred;
	if (cred->cert_cn || cred->api_key)
		(void)snprintf(w.seen_text, sizeof(w.seen_text), "%s",
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

static void on_gone(void *arg)
{
	(void)arg;
	w.gone++;
}

static void say(struct call *c)
{
	struct err e;
	json_t *body = call_json(c, true, &e);
	const char *q = call_query(c, "q", 0);

	w.calls++;
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

static void keep(struct call *c)
{
	w.calls++;
	w.kept = c;
}

static void keep_and_watch(struct call *c)
{
	call_on_gone(c, on_gone, NULL);
	keep(c);
}

static void follow(struct call *c)
{
	call_stream_begin(c, 200, "text/plain");
	(void)call_stream_write(c, "first", 5);
	keep_and_watch(c);
}

#define GET(path)      "GET " path " HTTP/1.1\r\nHost: h:1\r\n\r\n"
#define WITH(path, hd) "GET " path " HTTP/1.1\r\nHost: h:1\r\n" hd "\r\n\r\n"

static void put(int fd, const char *text)
{
	assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

/* The loop stands still for longer than any deadline; another client sends its request meanwhile.
 */
static void stall(struct call *c)
{
	put(w.waiting, GET("/say"));
	(void)usleep(1500 * 1000);
	call_reply(c, 200, NULL);
}

static void big(struct call *c)
{
	enum { N = 4 * 1024 * 1024 };
	auto_free char *text = xmalloc(N);

	memset(text, 'Z', N);
	call_reply_text(c, 200, "text/plain", text, N);
}

static const struct route routes[] = {
	{ .method = "GET", .pattern = "/say", .flags = ROUTE_NO_AUTH, .handle = say },
	{ .method = "GET", .pattern = "/say/{what}", .flags = ROUTE_NO_AUTH, .handle = say },
	{ .method = "POST",
	  .pattern = "/say",
	  .flags = ROUTE_NO_AUTH,
	  .body_max = 1000000,
	  .handle = say },
	{ .method = "GET", .pattern = "/keep", .flags = ROUTE_NO_AUTH, .handle = keep },
	{ .method = "GET", .pattern = "/watch", .flags = ROUTE_NO_AUTH, .handle = keep_and_watch },
	{ .method = "GET", .pattern = "/follow", .flags = ROUTE_NO_AUTH, .handle = follow },
	{ .method = "GET", .pattern = "/stall", .flags = ROUTE_NO_AUTH, .handle = stall },
	{ .method = "GET", .pattern = "/big", .flags = ROUTE_NO_AUTH, .handle = big },
	{ .method = "GET", .pattern = "/read", .role = ROLE_READER, .handle = say },
	{ .method = "GET",
	  .pattern = "/try",
	  .flags = ROUTE_NO_AUTH | ROUTE_TRY_AUTH,
	  .handle = say },
	{ .method = "POST",
	  .pattern = "/long",
	  .role = ROLE_READER,
	  .body_max = 1000000,
	  .handle = say,
	  .body = &image_ask_table },
	{ .method = "POST",
	  .pattern = "/admin",
	  .role = ROLE_ADMIN,
	  .body_max = 100,
	  .handle = say },
	{ 0 },
};

static char *const proxies[] = { "127.0.0.1", "10.0.0.0/8", "2001:db8:1::/48" };

static void start_behind(const struct server_limits *limits, size_t n_proxies)
{
	static const struct route *const tables[] = { routes, NULL };
	struct server_config cfg = {
		.loop = &w.loop, .routes = tables, .authenticate = authenticate, .arg = &w
	};
	char bound[256];
	struct err e;

	memset(&w, 0, sizeof(w));
	(void)strcpy(w.dir, "/tmp/teepod-server-XXXXXX");
	assert_non_null(mkdtemp(w.dir));
	(void)snprintf(w.path, sizeof(w.path), "%s/sock", w.dir);
	(void)snprintf(w.cert, sizeof(w.cert), "%s/cert.pem", w.dir);
	(void)snprintf(w.key, sizeof(w.key), "%s/key.pem", w.dir);
	assert_int_equal(uv_loop_init(&w.loop), 0);
	cfg.proxies = proxies;
	cfg.n_proxies = n_proxies;
	if (limits)
		cfg.limits = *limits;
	assert_int_equal(server_new(&cfg, &w.s, &e), 0);
	assert_int_equal(
		server_listen(w.s, &(struct listen_spec){ .address = "127.0.0.1:0" }, bound, &e),
		0);
	w.port = (unsigned)strtoul(strrchr(bound, ':') + 1, NULL, 10);
}

static void start(const struct server_limits *limits)
{
	start_behind(limits, 0);
}

static void stop(void)
{
	server_free(w.s);
	if (w.kept)
		call_reply(w.kept, 200, NULL);
	assert_int_equal(lanes_close(&w.loop), 0);
	(void)uv_run(&w.loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&w.loop), 0);
	(void)unlink(w.path);
	(void)unlink(w.cert);
	(void)unlink(w.key);
	assert_int_equal(rmdir(w.dir), 0);
}

static int dial(unsigned port)
{
	struct sockaddr_in in = { .sin_family = AF_INET,
				  .sin_port = htons((uint16_t)port),
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&in, sizeof(in)), 0);
	return fd;
}

static void turn(unsigned ms)
{
	int64_t end = clock_mono_ms() + ms;

	do {
		(void)uv_run(&w.loop, UV_RUN_NOWAIT);
		(void)usleep(500);
	} while (clock_mono_ms() < end);
}

/* What arrives until @fd is closed by the server (true), or @ms have passed or @until was seen
 * (false). */
static bool get(int fd, struct buf *b, const char *until, unsigned ms)
{
	int64_t end = clock_mono_ms() + ms;

	while (clock_mono_ms() < end) {
		ssize_t n;

		(void)uv_run(&w.loop, UV_RUN_NOWAIT);
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

/* One exchange on a connection of its own; the whole answer, malloc'd. */
static char *ask(const char *request)
{
	auto_close int fd = dial(w.port);
	auto_buf struct buf b = { 0 };
	auto_free char *copy = xstrdup(request);
	char *head = strstr(copy, "\r\n");
	struct buf out = { 0 };

	assert_non_null(head);
	buf_add(&out, copy, (size_t)(head - copy));
	buf_puts(&out, "\r\nConnection: close");
	buf_puts(&out, head);
	put(fd, out.data);
	buf_free(&out);
	assert_true(get(fd, &b, NULL, 5000));
	return buf_take(&b);
}

static void assert_status(const char *answer, int status)
{
	char want[32];

	(void)snprintf(want, sizeof(want), "HTTP/1.1 %d ", status);
	if (strncmp(answer, want, strlen(want)) != 0)
		fail_msg("wanted %s, got: %s", want, answer);
}

static void assert_has(const char *answer, const char *text)
{
	if (!strstr(answer, text))
		fail_msg("no \"%s\" in: %s", text, answer);
}

/* ------------------------------------------------------------------ requests */

static void call_shows_what_was_sent(void **st)
{
	auto_free char *a = NULL, *b = NULL;

	(void)st;
	start(NULL);
	a = ask(WITH("/say/a%20b?x=1&q=%C3%A4+b",
		     "X-Phala-Version: 2025-10-28\r\nX-Request-Id: my-1"));
	assert_status(a, 200);
	assert_has(a, "\"path\":\"/say/a b\"");
	assert_has(a, "\"q\":\"\xc3\xa4 b\"");
	assert_has(a, "\"base\":\"http://h:1\"");
	assert_has(a, "\"version\":25");
	assert_has(a, "X-Request-Id: my-1\r\n");
	assert_has(a, "Content-Type: application/json\r\n");
	b = ask(WITH("/say", "X-Request-Id: not/good"));
	assert_has(b, "\"version\":26");
	assert_null(strstr(b, "not/good"));
	stop();
}

static void bodies_arrive_whole_and_duplicate_keys_are_refused(void **st)
{
	auto_close int fd = -1;
	auto_free char *bad = NULL;
	auto_buf struct buf b = { 0 };

	(void)st;
	start(NULL);
	fd = dial(w.port);
	put(fd,
	    "POST /say HTTP/1.1\r\nHost: h\r\nContent-Length: 7\r\nExpect: 100-continue\r\n\r\n");
	assert_false(get(fd, &b, "\r\n\r\n", 2000));
	assert_string_equal(b.data, "HTTP/1.1 100 Continue\r\n\r\n");
	put(fd, "{\"a\"");
	turn(20);
	assert_int_equal(w.calls, 0);
	put(fd, ":1}");
	assert_false(get(fd, &b, "\"a\":1", 2000));
	bad = ask("POST /say HTTP/1.1\r\nHost: h\r\nContent-Length: 13\r\n\r\n{\"a\":1,\"a\":2}");
	assert_status(bad, 400);
	assert_has(bad, "ERR-02-008");
	stop();
}

static void too_large_a_body_is_refused_before_it_is_sent(void **st)
{
	auto_close int fd = -1;
	auto_buf struct buf b = { 0 };

	(void)st;
	start(NULL);
	fd = dial(w.port);
	put(fd, "POST /say HTTP/1.1\r\nHost: h\r\nContent-Length: 1000001\r\nExpect: "
		"100-continue\r\n\r\n");
	assert_true(get(fd, &b, NULL, 5000));
	assert_status(b.data, 413);
	assert_has(b.data, "Connection: close\r\n");
	stop();
}

static void pipelined_calls_are_answered_in_order_one_at_a_time(void **st)
{
	auto_close int fd = -1;
	auto_buf struct buf b = { 0 };

	(void)st;
	start(NULL);
	fd = dial(w.port);
	put(fd, GET("/keep") GET("/say/second") GET("/say/third"));
	assert_false(get(fd, &b, "HTTP", 50));
	assert_int_equal(w.calls, 1);
	call_reply_text(take_ptr(&w.kept), 200, "text/plain", "first", 5);
	assert_int_equal(w.calls, 1);
	assert_false(get(fd, &b, "third", 2000));
	assert_int_equal(w.calls, 3);
	assert_true(strstr(b.data, "first") < strstr(b.data, "second"));
	assert_true(strstr(b.data, "second") < strstr(b.data, "third"));
	stop();
}

static void unread_answers_stop_the_next_request(void **st)
{
	auto_close int fd = -1;
	size_t want = 20 * (4UL * 1024 * 1024), got = 0;
	struct buf metrics = { 0 };

	(void)st;
	start(NULL);
	fd = dial(w.port);
	for (int i = 0; i < 20; i++)
		put(fd, GET("/big"));
	turn(300);
	server_metrics(w.s, &metrics);
	assert_null(strstr(metrics.data, "code=\"2xx\"} 5"));
	buf_free(&metrics);
	while (got < want) {
		struct buf b = { 0 };

		assert_false(get(fd, &b, NULL, 20));
		for (size_t i = 0; i < b.len; i++)
			got += b.data[i] == 'Z';
		buf_free(&b);
	}
	assert_int_equal(got, want);
	stop();
}

/* ------------------------------------------------------------------ who may */

static void roles_and_keys(void **st)
{
	auto_free char *none = NULL, *wrong = NULL, *low = NULL, *ok = NULL, *bearer = NULL;

	(void)st;
	start(NULL);
	none = ask(GET("/read"));
	assert_status(none, 401);
	assert_has(none, "\"detail\":");
	wrong = ask(WITH("/read", "X-API-Key: guess"));
	assert_status(wrong, 401);
	low = ask("POST /admin HTTP/1.1\r\nHost: h\r\nX-API-Key: reader\r\nContent-Length: "
		  "2\r\n\r\n{}");
	assert_status(low, 403);
	assert_has(low, "needs the role admin");
	ok = ask("POST /admin HTTP/1.1\r\nHost: h\r\nX-API-Key: admin\r\nContent-Length: "
		 "2\r\n\r\n{}");
	assert_status(ok, 200);
	bearer = ask(WITH("/read", "authorization: bearer reader"));
	assert_status(bearer, 200);
	assert_string_equal(w.seen_text, "reader");
	stop();
}

static void expect(int status, const char *request)
{
	auto_free char *a = ask(request);

	assert_status(a, status);
	if (status == 429)
		assert_has(a, "Retry-After: ");
}

static void wrong_keys_are_slowed_and_nobody_else(void **st)
{
	(void)st;
	start(&(struct server_limits){ .auth_fails = 3 });
	for (int i = 0; i < 3; i++)
		expect(401, WITH("/read", "X-API-Key: guess"));
	expect(429, WITH("/read", "X-API-Key: guess"));
	expect(200, WITH("/read", "X-API-Key: reader"));
	expect(401, GET("/read"));
	expect(200, GET("/say"));
	expect(429, WITH("/try", "X-API-Key: guess"));
	expect(200, WITH("/try?token=t", "X-API-Key: guess"));
	expect(200, WITH("/try", "X-API-Key: reader"));
	expect(200, GET("/try"));
	stop();
}

static void a_request_without_a_key_is_no_try(void **st)
{
	(void)st;
	start(&(struct server_limits){ .auth_fails = 1 });
	for (int i = 0; i < 5; i++) {
		expect(401, GET("/read"));
		expect(401, WITH("/read", "X-API-Key:"));
		expect(401, WITH("/read", "Authorization: Basic eDp5"));
	}
	expect(200, WITH("/read", "X-API-Key:\r\nAuthorization: Bearer reader"));
	expect(401, WITH("/read", "X-API-Key: guess"));
	expect(429, WITH("/read", "X-API-Key: guess"));
	stop();
}

/* A wrong key with these header lines: its answer says by which address it is counted. */
static void assert_counted_by(const char *address, const char *lines)
{
	auto_free char *request =
		xasprintf("GET /read HTTP/1.1\r\nHost: h\r\nX-API-Key: guess\r\n%s\r\n", lines);
	auto_free char *want = xasprintf("from this address, %s\"", address), *first = ask(request),
		       *second = ask(request);

	(void)first; /* 401, or 429 after an earlier one from there */
	assert_status(second, 429);
	if (!strstr(second, want))
		fail_msg("%s is counted by another address than %s: %s", lines, address, second);
}

static void wrong_keys_behind_a_proxy_are_counted_by_client(void **st)
{
	static const struct {
		const char *client, *lines;
	} is[] = {
		{ "192.0.2.1", "X-Forwarded-For: 192.0.2.1\r\n" },
		{ "192.0.2.2",
		  "X-Forwarded-For: 198.51.100.1, 192.0.2.2\r\n" }, /* what it wrote itself */
		{ "192.0.2.3",
		  "X-Forwarded-For: 198.51.100.1, 192.0.2.3 , 10.1.2.3,127.0.0.1\r\n" },
		{ "192.0.2.4", "X-Forwarded-For: 198.51.100.1\r\nX-Forwarded-For: 192.0.2.4\r\n" },
		{ "192.0.2.5", "X-Forwarded-For: 192.0.2.5\r\nX-Forwarded-For: ,10.1.2.3,\r\n" },
		{ "192.0.2.6", "x-forwarded-for: nonsense, 192.0.2.6:4711\r\n" },
		{ "192.0.2.7", "X-Forwarded-For: ::ffff:192.0.2.7\r\n" },
		{ "2001:db8::1", "X-Forwarded-For: 2001:db8::1\r\n" },
		{ "2001:db8:0:1::1", "X-Forwarded-For: [2001:db8:0:1::1]:80, 2001:db8:1::5\r\n" },
		{ "10.9.9.9", "X-Forwarded-For: 10.9.9.9, 10.1.2.3\r\n" }, /* all are trusted */
		{ "192.0.2.8", "Forwarded: for=192.0.2.8\r\n" },
		{ "192.0.2.9",
		  "Forwarded: for=_hidden, For=\"192.0.2.9:80\";proto=https;by=10.0.0.1\r\n" },
		{ "2001:db8:0:2::1", "Forwarded: proto=http ; for=\"[2001:db8:0:2::1]:80\"\r\n" },
		{ "192.0.2.10", "Forwarded: for=192.0.2.10\r\nX-Forwarded-For: 192.0.2.10\r\n" },
	};

	(void)st;
	start_behind(&(struct server_limits){ .auth_fails = 1 }, 3);
	for (size_t i = 0; i < sizeof(is) / sizeof(is[0]); i++)
		assert_counted_by(is[i].client, is[i].lines);
	expect(200, WITH("/read", "X-API-Key: reader\r\nX-Forwarded-For: 192.0.2.1"));
	stop();
}

static void what_a_proxy_says_badly_is_counted_by_the_proxy(void **st)
{
	static const char *const bad[] = {
		"",
		"X-Forwarded-For:\r\n",
		"X-Forwarded-For: unknown\r\n",
		"X-Forwarded-For: 192.0.2.1, unknown\r\n",
		"X-Forwarded-For: 192.0.2.1 192.0.2.2\r\n",
		"X-Forwarded-For: 192.0.2.1:\r\n",
		"X-Forwarded-For: 192.0.2.1:x\r\n",
		"X-Forwarded-For: [192.0.2.1]\r\n",
		"X-Forwarded-For: [2001:db8::1\r\n",
		"X-Forwarded-For: [2001:db8::1]x\r\n",
		"X-Forwarded-For: \"192.0.2.1\"\r\n",
		"X-Forwarded-For: "
		"1922222222222222222222222222222222222222222222222222222222222.0.2.1\r\n",
		"Forwarded: 192.0.2.1\r\n",
		"Forwarded: for\r\n",
		"Forwarded: for=\r\n",
		"Forwarded: for=\"\r\n",
		"Forwarded: for=unknown\r\n",
		"Forwarded: proto=https\r\n",
		"Forwarded: for=192.0.2.1;for=192.0.2.2\r\n",
		"Forwarded: for=192.0.2.1\r\nX-Forwarded-For: 192.0.2.2\r\n",
		"Forwarded: for=_x\r\nX-Forwarded-For: 192.0.2.2\r\n",
	};

	(void)st;
	start_behind(&(struct server_limits){ .auth_fails = 1 }, 3);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_counted_by("127.0.0.1", bad[i]);
	stop();
}

static void what_others_than_proxies_say_is_ignored(void **st)
{
	(void)st;
	start(&(struct server_limits){ .auth_fails = 1 });
	assert_counted_by("127.0.0.1", "X-Forwarded-For: 192.0.2.1\r\n");
	assert_counted_by("127.0.0.1", "Forwarded: for=192.0.2.1\r\n");
	stop();
}

static void a_proxy_may_have_more_connections_than_others(void **st)
{
	auto_close int a = -1, b = -1;

	(void)st;
	start_behind(&(struct server_limits){ .per_peer = 1 }, 1);
	a = dial(w.port);
	b = dial(w.port);
	put(a, GET("/say"));
	put(b, GET("/say"));
	for (unsigned i = 0; i < 100 && w.calls < 2; i++)
		turn(20);
	assert_int_equal(w.calls, 2);
	stop();
}

static void unix_socket_tells_who_is_there(void **st)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	auto_close int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), stale = -1;
	auto_buf struct buf b = { 0 };
	struct listen_spec spec = { .unix_mode = 0620 };
	char address[160];
	struct stat stat_buf;
	struct err e;

	(void)st;
	start(NULL);
	(void)snprintf(address, sizeof(address), "unix:%s", w.path);
	(void)snprintf(sun.sun_path, sizeof(sun.sun_path), "%.100s", w.path);
	/* a socket nobody listens at any more is in the way */
	stale = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(stale, (struct sockaddr *)&sun, sizeof(sun)), 0);
	spec.address = address;
	assert_int_equal(server_listen(w.s, &spec, NULL, &e), 0);
	assert_int_equal(lstat(w.path, &stat_buf), 0);
	assert_int_equal(stat_buf.st_mode & 0777, 0620);
	/* a living one is not */
	assert_int_equal(server_listen(w.s, &spec, NULL, &e), -ERR_INVALID);
	assert_has(e.text, "another process answers");
	assert_int_equal(connect(fd, (struct sockaddr *)&sun, sizeof(sun)), 0);
	put(fd, GET("/read"));
	assert_false(get(fd, &b, "version", 2000));
	assert_status(b.data, 200);
	assert_true(w.seen.has_peer);
	assert_int_equal(w.seen.uid, getuid());
	stop();
	assert_int_equal(access(w.path, F_OK), -1);
}

static void plain_http_is_for_loopback_only(void **st)
{
	static const char *const bad[] = { "0.0.0.0:0",       "[::]:0",       "192.0.2.1:80",
					   "localhost:80",    "127.0.0.1",    ":80",
					   "127.0.0.1:70000", "127.0.0.1:8x", "unix:relative",
					   "fd:0x",           "fd:0" };
	struct err e;

	(void)st;
	start(NULL);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		char got[256] = "untouched";

		assert_true(server_listen(w.s, &(struct listen_spec){ .address = bad[i] }, got,
					  &e) < 0);
		assert_string_equal(got, "untouched");
	}
	assert_int_equal(
		server_listen(w.s, &(struct listen_spec){ .address = "0.0.0.0:0" }, NULL, &e),
		-ERR_INVALID);
	assert_has(e.text, "only loopback");
	stop();
}

static void descriptors_are_adopted(void **st)
{
	struct sockaddr_in in = { .sin_family = AF_INET,
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	char address[16], bound[256];
	auto_free char *a = NULL;
	struct err e;

	(void)st;
	start(NULL);
	assert_int_equal(bind(fd, (struct sockaddr *)&in, sizeof(in)), 0);
	(void)snprintf(address, sizeof(address), "fd:%d", fd);
	assert_int_equal(server_listen(w.s, &(struct listen_spec){ .address = address }, NULL, &e),
			 -ERR_INVALID);
	assert_int_equal(listen(fd, 5), 0);
	assert_int_equal(server_listen(w.s, &(struct listen_spec){ .address = address }, bound, &e),
			 0);
	w.port = (unsigned)strtoul(strrchr(bound, ':') + 1, NULL, 10);
	a = ask(GET("/say"));
	assert_status(a, 200);
	stop();
}

/* ------------------------------------------------------------------ clients that leave, or stall
 */

static void departed_client_is_told_to_whoever_asked(void **st)
{
	int fd, other;

	(void)st;
	start(NULL);
	fd = dial(w.port);
	put(fd, GET("/watch"));
	turn(30);
	assert_int_equal(w.gone, 0);
	(void)close(fd);
	turn(50);
	assert_int_equal(w.gone, 1);
	/* the call is valid until answered; the answer is dropped */
	assert_string_equal(w.kept->path, "/watch");
	call_reply(take_ptr(&w.kept), 200, json_object());
	other = dial(w.port);
	put(other, GET("/keep"));
	turn(30);
	(void)close(other);
	turn(30);
	assert_int_equal(w.gone, 1);
	call_on_gone(w.kept, on_gone, NULL);
	turn(30);
	stop();
}

static void client_that_leaves_between_two_refusals_harms_nobody(void **st)
{
	auto_free char *a = NULL;

	(void)st;
	start(NULL);
	for (int i = 0; i < 10; i++) {
		int fd = dial(w.port);

		/* the first answer meets a closed socket, so the second write finds the connection
		 * reset */
		put(fd, GET("/nope") GET("/nope") "GET / HTTP/3\r\n\r\n");
		(void)close(fd);
		turn(5);
	}
	a = ask(GET("/say"));
	assert_status(a, 200);
	stop();
}

static void stream_is_chunked_and_ends(void **st)
{
	auto_close int fd = -1;
	auto_buf struct buf b = { 0 };

	(void)st;
	start(NULL);
	fd = dial(w.port);
	put(fd, GET("/follow"));
	assert_false(get(fd, &b, "first", 2000));
	assert_true(call_stream_write(w.kept, "second", 6));
	call_stream_end(take_ptr(&w.kept));
	put(fd, GET("/say/next"));
	assert_false(get(fd, &b, "/say/next", 2000));
	assert_has(b.data, "Transfer-Encoding: chunked\r\n");
	assert_has(b.data, "\r\n\r\n5\r\nfirst\r\n6\r\nsecond\r\n0\r\n\r\nHTTP/1.1 200 OK");
	assert_int_equal(w.gone, 0);
	stop();
}

static void head_of_a_stream_has_no_body_and_frees_the_connection(void **st)
{
	auto_close int fd = -1;
	auto_buf struct buf b = { 0 };

	(void)st;
	start(NULL);
	fd = dial(w.port);
	put(fd, "HEAD /follow HTTP/1.1\r\nHost: h\r\n\r\n");
	turn(50);
	assert_int_equal(w.gone, 1);
	call_stream_end(take_ptr(&w.kept));
	put(fd, GET("/say/next"));
	assert_false(get(fd, &b, "/say/next", 2000));
	assert_null(strstr(b.data, "first"));
	stop();
}

static void slow_follower_is_disconnected(void **st)
{
	static char part[65536];
	auto_close int fd = -1;
	unsigned i = 0;

	(void)st;
	start(NULL);
	fd = dial(w.port);
	put(fd, GET("/follow"));
	turn(30);
	while (i < 1000 && call_stream_write(w.kept, part, sizeof(part)))
		i++;
	assert_true(i > 16 && i < 1000);
	assert_int_equal(call_stream_backlog(w.kept), 0);
	turn(30);
	assert_int_equal(w.gone, 1);
	call_stream_end(take_ptr(&w.kept));
	stop();
}

static void slow_heads_bodies_and_idlers_time_out(void **st)
{
	auto_close int head = -1, body = -1, idle = -1;
	auto_buf struct buf b = { 0 }, c = { 0 }, d = { 0 };

	(void)st;
	start(&(struct server_limits){ .head_ms = 100, .body_idle_ms = 100, .keepalive_ms = 100 });
	head = dial(w.port);
	body = dial(w.port);
	idle = dial(w.port);
	put(head, "GET /say HTTP/1.1\r\n");
	put(body, "POST /say HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\n{");
	put(idle, GET("/say"));
	assert_true(get(head, &b, NULL, 5000));
	assert_status(b.data, 408);
	assert_true(get(body, &c, NULL, 5000));
	assert_status(c.data, 408);
	assert_true(get(idle, &d, NULL, 5000));
	assert_status(d.data, 200);
	stop();
}

static void body_has_a_deadline_in_total(void **st)
{
	auto_buf struct buf b = { 0 };
	auto_close int fd = -1;
	unsigned sent = 0;

	(void)st;
	start(&(struct server_limits){ .body_idle_ms = 5000, .body_ms = 1000 });
	fd = dial(w.port);
	put(fd, "POST /say HTTP/1.1\r\nHost: h\r\nContent-Length: 900\r\n\r\n{");
	while (!strstr(b.data ? b.data : "", "408") && sent++ < 800) {
		(void)send(fd, " ", 1, MSG_NOSIGNAL);
		(void)get(fd, &b, "408", 10);
	}
	assert_status(b.data, 408);
	stop();
}

static void who_waits_through_a_stall_is_answered(void **st)
{
	auto_close int fd = -1;
	auto_buf struct buf b = { 0 };

	(void)st;
	start(&(struct server_limits){ .head_ms = 100, .keepalive_ms = 100 });
	w.waiting = dial(w.port);
	fd = dial(w.port);
	turn(20);
	put(fd, GET("/stall"));
	(void)get(w.waiting, &b, "\"path\":\"/say\"", 3000);
	assert_has(b.data ? b.data : "closed", "\"path\":\"/say\"");
	(void)close(w.waiting);
	stop();
}

static void unread_answer_times_out(void **st)
{
	auto_close int fd = -1;
	struct buf b = { 0 };

	(void)st;
	start(&(struct server_limits){ .write_stall_ms = 100 });
	fd = dial(w.port);
	put(fd, GET("/big"));
	turn(3200);
	server_metrics(w.s, &b);
	assert_has(b.data, "teepod_http_connections 0\n");
	assert_has(b.data, "teepod_http_timeouts_total 1\n");
	buf_free(&b);
	stop();
}

static void no_timer_runs_without_connections(void **st)
{
	auto_close int fd = -1;
	auto_buf struct buf b = { 0 };

	(void)st;
	start(NULL);
	turn(1);
	assert_int_equal(uv_backend_timeout(&w.loop), -1);
	fd = dial(w.port);
	put(fd, GET("/follow"));
	assert_false(get(fd, &b, "first", 2000));
	assert_true(uv_backend_timeout(&w.loop) >= 900);
	(void)close(take_fd(&fd));
	turn(50);
	call_stream_end(take_ptr(&w.kept));
	turn(1);
	assert_true(uv_backend_timeout(&w.loop) == -1 || uv_backend_timeout(&w.loop) >= 900);
	stop();
}

static void one_address_has_its_share_of_connections(void **st)
{
	auto_close int a = -1, b = -1, c = -1;
	auto_buf struct buf x = { 0 }, y = { 0 };

	(void)st;
	start(&(struct server_limits){ .per_peer = 2 });
	a = dial(w.port);
	b = dial(w.port);
	turn(30);
	c = dial(w.port);
	assert_true(get(c, &x, NULL, 2000));
	assert_int_equal(x.len, 0);
	(void)close(take_fd(&a));
	turn(50);
	(void)close(take_fd(&c));
	c = dial(w.port);
	put(c, GET("/say"));
	assert_false(get(c, &y, "version", 2000));
	stop();
}

/* ------------------------------------------------------------------ draining */

static void on_drained(void *arg)
{
	(void)arg;
	w.drained++;
}

static void drain_answers_what_is_in_flight_and_closes(void **st)
{
	auto_close int busy = -1, idle = -1, following = -1;
	auto_buf struct buf b = { 0 }, c = { 0 }, d = { 0 };
	struct call *in_flight, *stream;

	(void)st;
	start(NULL);
	busy = dial(w.port);
	put(busy, GET("/keep"));
	turn(30);
	in_flight = w.kept;
	following = dial(w.port);
	put(following, GET("/follow"));
	turn(30);
	stream = take_ptr(&w.kept);
	idle = dial(w.port);
	turn(30);
	server_drain(w.s, 5000, on_drained, NULL);
	assert_true(get(idle, &b, NULL, 2000));
	assert_true(get(following, &c, NULL, 2000));
	assert_has(c.data, "first\r\n0\r\n\r\n");
	assert_int_equal(w.gone, 1);
	(void)close(take_fd(&following));
	assert_false(call_stream_write(stream, "x", 1));
	call_stream_end(stream);
	turn(30);
	assert_int_equal(w.drained, 0);
	call_reply(in_flight, 200, json_object());
	assert_true(get(busy, &d, NULL, 2000));
	assert_status(d.data, 200);
	assert_has(d.data, "Connection: close\r\n");
	(void)close(take_fd(&busy));
	turn(50);
	assert_int_equal(w.drained, 1);
	stop();
}

static void drain_gives_up_after_its_time(void **st)
{
	auto_close int busy = -1;

	(void)st;
	start(NULL);
	busy = dial(w.port);
	put(busy, GET("/watch"));
	turn(30);
	server_drain(w.s, 50, on_drained, NULL);
	turn(20);
	assert_int_equal(w.drained, 0);
	turn(100);
	assert_int_equal(w.drained, 1);
	stop();
	assert_int_equal(w.gone, 1);
}

/* ------------------------------------------------------------------ TLS */

static EVP_PKEY *make_cert(const char *cn)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *x = X509_new();
	X509_NAME *name = X509_get_subject_name(x);
	FILE *f;

	(void)X509_set_version(x, 2);
	(void)ASN1_INTEGER_set(X509_get_serialNumber(x), 1);
	(void)X509_gmtime_adj(X509_getm_notBefore(x), -60);
	(void)X509_gmtime_adj(X509_getm_notAfter(x), 3600);
	(void)X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, (const unsigned char *)cn, -1,
					 -1, 0);
	(void)X509_set_issuer_name(x, name);
	(void)X509_set_pubkey(x, key);
	assert_true(X509_sign(x, key, EVP_sha256()) > 0);
	f = fopen(w.cert, "we");
	assert_int_equal(PEM_write_X509(f, x), 1);
	(void)fclose(f);
	f = fopen(w.key, "we");
	assert_int_equal(PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL), 1);
	(void)fclose(f);
	X509_free(x);
	return key;
}

static unsigned listen_tls(bool client_ca, bool required)
{
	struct listen_spec spec = { .address = "127.0.0.1:0",
				    .tls_cert = w.cert,
				    .tls_key = w.key,
				    .tls_client_ca = client_ca ? w.cert : NULL,
				    .tls_client_required = required };
	char bound[256];
	struct err e;

	assert_int_equal(server_listen(w.s, &spec, bound, &e), 0);
	return (unsigned)strtoul(strrchr(bound, ':') + 1, NULL, 10);
}

static bool wants(SSL *ssl, int r)
{
	int why = SSL_get_error(ssl, r);

	return why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE;
}

/* A request over TLS; the answer into @b. False if the connection broke first. */
static bool ask_tls(unsigned port, SSL_CTX *ctx, const char *request, struct buf *b, char *cert_cn)
{
	int fd = dial(port), r = 0;
	SSL *ssl = SSL_new(ctx);
	int64_t end = clock_mono_ms() + 5000;
	bool sent = false, ok = true;

	(void)fcntl(fd, F_SETFL, O_NONBLOCK);
	(void)SSL_set_fd(ssl, fd);
	SSL_set_connect_state(ssl);
	while (clock_mono_ms() < end && !(b->len && strstr(b->data, "\r\n\r\n"))) {
		(void)uv_run(&w.loop, UV_RUN_NOWAIT);
		if (!sent)
			r = SSL_write(ssl, request, (int)strlen(request));
		sent |= r > 0;
		if (sent) {
			r = SSL_read(ssl, buf_reserve(b, 16384), 16384);
			b->len += r > 0 ? (size_t)r : 0;
			buf_add(b, "", 0);
		}
		ok = r > 0 || wants(ssl, r);
		if (!ok)
			break;
	}
	if (ok && cert_cn)
		(void)X509_NAME_get_text_by_NID(
			X509_get_subject_name(SSL_get0_peer_certificate(ssl)), NID_commonName,
			cert_cn, 64);
	SSL_free(ssl);
	(void)close(fd);
	return ok && b->len;
}

static void tls_answers_and_reloads_its_certificate(void **st)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method()), *fresh = NULL;
	auto_buf struct buf a = { 0 }, b = { 0 };
	char cn[64] = "";
	unsigned port;
	struct err e;

	(void)st;
	start(NULL);
	EVP_PKEY_free(make_cert("one"));
	port = listen_tls(false, false);
	assert_true(ask_tls(port, ctx, GET("/say"), &a, cn));
	assert_status(a.data, 200);
	assert_has(a.data, "https://h:1");
	assert_string_equal(cn, "one");
	EVP_PKEY_free(make_cert("two"));
	assert_int_equal(tls_context(w.cert, w.key, NULL, false, &fresh, &e), 0);
	server_set_tls(w.s, fresh);
	SSL_CTX_free(fresh);
	assert_true(ask_tls(port, ctx, GET("/say"), &b, cn));
	assert_string_equal(cn, "two");
	(void)unlink(w.key);
	assert_int_equal(tls_context(w.cert, w.key, NULL, false, &fresh, &e), -ERR_INVALID);
	assert_has(e.text, w.key);
	SSL_CTX_free(ctx);
	stop();
}

static void tls_below_1_2_and_foreign_alpn_are_refused(void **st)
{
	SSL_CTX *old = SSL_CTX_new(TLS_client_method()), *h2 = SSL_CTX_new(TLS_client_method());
	auto_buf struct buf a = { 0 };
	unsigned port;

	(void)st;
	start(NULL);
	EVP_PKEY_free(make_cert("one"));
	port = listen_tls(false, false);
	SSL_CTX_set_security_level(old, 0);
	(void)SSL_CTX_set_min_proto_version(old, TLS1_VERSION);
	(void)SSL_CTX_set_max_proto_version(old, TLS1_1_VERSION);
	assert_false(ask_tls(port, old, GET("/say"), &a, NULL));
	(void)SSL_CTX_set_alpn_protos(h2, (const unsigned char *)"\x02h2", 3);
	assert_false(ask_tls(port, h2, GET("/say"), &a, NULL));
	(void)SSL_CTX_set_alpn_protos(h2, (const unsigned char *)"\x02h2\x08http/1.1", 12);
	assert_true(ask_tls(port, h2, GET("/say"), &a, NULL));
	SSL_CTX_free(old);
	SSL_CTX_free(h2);
	stop();
}

static void client_certificate_names_the_caller(void **st)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	auto_buf struct buf a = { 0 }, b = { 0 }, c = { 0 };
	unsigned optional, required;

	(void)st;
	start(NULL);
	EVP_PKEY_free(make_cert("alice"));
	optional = listen_tls(true, false);
	required = listen_tls(true, true);
	assert_true(ask_tls(optional, ctx, GET("/read"), &a, NULL));
	assert_status(a.data, 401);
	assert_false(ask_tls(required, ctx, GET("/say"), &b, NULL));
	assert_int_equal(SSL_CTX_use_certificate_chain_file(ctx, w.cert), 1);
	assert_int_equal(SSL_CTX_use_PrivateKey_file(ctx, w.key, SSL_FILETYPE_PEM), 1);
	assert_true(ask_tls(required, ctx, GET("/read"), &c, NULL));
	assert_status(c.data, 200);
	assert_string_equal(w.seen_text, "alice");
	SSL_CTX_free(ctx);
	stop();
}

static void half_configured_tls_is_refused(void **st)
{
	struct err e;

	(void)st;
	start(NULL);
	assert_int_equal(
		server_listen(w.s,
			      &(struct listen_spec){ .address = "127.0.0.1:0", .tls_cert = "/x" },
			      NULL, &e),
		-ERR_INVALID);
	assert_string_equal(e.field, "tls_key");
	assert_int_equal(server_listen(w.s,
				       &(struct listen_spec){ .address = "127.0.0.1:0",
							      .tls_cert = "/nonexistent",
							      .tls_key = "/nonexistent" },
				       NULL, &e),
			 -ERR_INVALID);
	assert_has(e.text, "/nonexistent");
	stop();
}

/* ------------------------------------------------------------------ long bodies */

enum { LONG_BODY = 70000 };

/* A request of the caller @caller whose body is parsed beside the loop. */
static int dial_long_as(const char *caller)
{
	auto_buf struct buf b = { 0 };
	int fd = dial(w.port);

	buf_printf(&b,
		   "POST /long HTTP/1.1\r\nHost: h\r\nX-API-Key: caller-%s\r\nConnection: close\r\n"
		   "Content-Length: %d\r\n\r\n{\"x\":\"%0*d\"}",
		   caller, LONG_BODY, LONG_BODY - 8, 0);
	put(fd, b.data);
	return fd;
}

static int dial_long(unsigned caller)
{
	char name[16];

	(void)snprintf(name, sizeof(name), "%u", caller);
	return dial_long_as(name);
}

static unsigned waiting(void)
{
	const struct body_parse *b;
	unsigned n = 0;

	TAILQ_FOREACH(b, &w.s->requests.bodies.waiting, entry)
	n++;
	return n;
}

static void assert_answer(int fd, int status, const char *text)
{
	auto_buf struct buf b = { 0 };

	assert_true(get(fd, &b, NULL, 5000));
	assert_status(b.data, status);
	assert_has(b.data, text);
	close(fd);
}

/* As in api/http/body_parse.c: how many of one caller wait, and in all. */
enum { OWN_BODIES = 64, ALL_BODIES = 128 };

static void long_bodies_that_are_too_many_are_refused(void **st)
{
	int fd[ALL_BODIES];

	(void)st;
	start(NULL);
	w.s->requests.bodies.parsing = true; /* as if a job were under way */
	for (unsigned i = 0; i < ALL_BODIES; i++) {
		fd[i] = dial_long(i / OWN_BODIES);
		while (waiting() < i + 1)
			turn(0);
		if (i == OWN_BODIES - 1)
			assert_answer(dial_long(0), 503, "Retry-After: ");
	}
	assert_answer(dial_long(8), 503, "Retry-After: ");
	assert_int_equal(waiting(), ALL_BODIES);
	(void)setsockopt(fd[ALL_BODIES - 1], SOL_SOCKET, SO_LINGER,
			 &(struct linger){ .l_onoff = 1 }, sizeof(struct linger));
	close(fd[ALL_BODIES -
		 1]); /* by a reset: a client that only has no more to send waits for its answer */
	while (waiting() == ALL_BODIES)
		turn(0);
	w.s->requests.bodies.parsing = false;
	assert_answer(dial_long(8), 200, "/long");
	for (unsigned i = 0; i < ALL_BODIES - 1; i++)
		assert_answer(fd[i], 200, "/long");
	assert_int_equal(w.calls, ALL_BODIES);
	stop();
}

/* As in api/body.c. */
enum { WORKSPACE_BODIES = 96 };

static void long_bodies_of_one_workspace_leave_room_for_others(void **st)
{
	static const char *const key[] = { "tenant-a", "tenant-b", "tenant-c" };
	int fd[WORKSPACE_BODIES + 2];
	unsigned n = 0;

	(void)st;
	start(NULL);
	w.s->parsing = true; /* as if a job were under way */
	for (unsigned i = 0; i < WORKSPACE_BODIES + 2; i++) {
		/* The last two: operators are not of this workspace. */
		fd[n++] = i < WORKSPACE_BODIES ? dial_long_as(key[i % 2]) : dial_long(i);
		while (waiting() < n)
			turn(0);
		if (i == WORKSPACE_BODIES - 1)
			assert_answer(dial_long_as(key[2]), 503, "Retry-After: ");
	}
	w.s->parsing = false;
	assert_answer(dial_long(0), 200, "/long");
	for (unsigned i = 0; i < n; i++)
		assert_answer(fd[i], 200, "/long");
	stop();
}

static void long_body_that_waits_too_long_is_refused(void **st)
{
	(void)st;
	start(&(struct server_limits){ .body_wait_ms = 50 });
	w.s->requests.bodies.parsing = true; /* as if a job hung */
	assert_answer(dial_long(0), 503, "Retry-After: ");
	assert_int_equal(w.calls, 0);
	stop();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(call_shows_what_was_sent),
		cmocka_unit_test(bodies_arrive_whole_and_duplicate_keys_are_refused),
		cmocka_unit_test(too_large_a_body_is_refused_before_it_is_sent),
		cmocka_unit_test(pipelined_calls_are_answered_in_order_one_at_a_time),
		cmocka_unit_test(unread_answers_stop_the_next_request),
		cmocka_unit_test(roles_and_keys),
		cmocka_unit_test(wrong_keys_are_slowed_and_nobody_else),
		cmocka_unit_test(a_request_without_a_key_is_no_try),
		cmocka_unit_test(wrong_keys_behind_a_proxy_are_counted_by_client),
		cmocka_unit_test(what_a_proxy_says_badly_is_counted_by_the_proxy),
		cmocka_unit_test(what_others_than_proxies_say_is_ignored),
		cmocka_unit_test(a_proxy_may_have_more_connections_than_others),
		cmocka_unit_test(unix_socket_tells_who_is_there),
		cmocka_unit_test(plain_http_is_for_loopback_only),
		cmocka_unit_test(descriptors_are_adopted),
		cmocka_unit_test(departed_client_is_told_to_whoever_asked),
		cmocka_unit_test(client_that_leaves_between_two_refusals_harms_nobody),
		cmocka_unit_test(stream_is_chunked_and_ends),
		cmocka_unit_test(head_of_a_stream_has_no_body_and_frees_the_connection),
		cmocka_unit_test(slow_follower_is_disconnected),
		cmocka_unit_test(slow_heads_bodies_and_idlers_time_out),
		cmocka_unit_test(body_has_a_deadline_in_total),
		cmocka_unit_test(who_waits_through_a_stall_is_answered),
		cmocka_unit_test(unread_answer_times_out),
		cmocka_unit_test(no_timer_runs_without_connections),
		cmocka_unit_test(one_address_has_its_share_of_connections),
		cmocka_unit_test(drain_answers_what_is_in_flight_and_closes),
		cmocka_unit_test(drain_gives_up_after_its_time),
		cmocka_unit_test(tls_answers_and_reloads_its_certificate),
		cmocka_unit_test(tls_below_1_2_and_foreign_alpn_are_refused),
		cmocka_unit_test(client_certificate_names_the_caller),
		cmocka_unit_test(half_configured_tls_is_refused),
		cmocka_unit_test(long_bodies_that_are_too_many_are_refused),
		cmocka_unit_test(long_bodies_of_one_workspace_leave_room_for_others),
		cmocka_unit_test(long_body_that_waits_too_long_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
