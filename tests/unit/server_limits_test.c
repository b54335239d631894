/* SPDX-License-Identifier: Apache-2.0
 * server_limits_test.c - the HTTP server: deadlines, limits of connections, queue of long bodies.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <unistd.h>

#include "api/http/reply.h"
#include "api/http/server_impl.h"
#include "base/buf.h"
#include "base/fd.h"
#include "base/own.h"
#include "tests/unit/http_fixture.h"

static void slow_heads_slow_bodies_and_idle_connections_time_out(void **st)
{
	auto_close int head = -1, body = -1, idle = -1;
	auto_buf struct buf b = { 0 }, c = { 0 }, d = { 0 };

	(void)st;
	http_start(&(struct server_limits){
		.head_ms = 100, .body_idle_ms = 100, .keepalive_ms = 100 });
	head = http_dial(http.port);
	body = http_dial(http.port);
	idle = http_dial(http.port);
	http_send(head, "GET /echo HTTP/1.1\r\n");
	http_send(body, "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\n{");
	http_send(idle, GET("/echo"));
	assert_true(http_receive(head, &b, NULL, 5000));
	assert_status(b.data, 408);
	assert_true(http_receive(body, &c, NULL, 5000));
	assert_status(c.data, 408);
	assert_true(http_receive(idle, &d, NULL, 5000));
	assert_status(d.data, 200);
	http_stop();
}

static void whole_body_has_a_deadline(void **st)
{
	auto_buf struct buf b = { 0 };
	auto_close int fd = -1;
	unsigned sent = 0;

	(void)st;
	http_start(&(struct server_limits){ .body_idle_ms = 5000, .body_ms = 1000 });
	fd = http_dial(http.port);
	http_send(fd, "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 900\r\n\r\n{");
	while (!strstr(b.data ? b.data : "", "408") && sent++ < 800) {
		(void)send(fd, " ", 1, MSG_NOSIGNAL);
		(void)http_receive(fd, &b, "408", 10);
	}
	assert_status(b.data, 408);
	http_stop();
}

static void request_that_waits_while_the_loop_is_blocked_is_answered(void **st)
{
	auto_close int fd = -1;
	auto_buf struct buf b = { 0 };

	(void)st;
	http_start(&(struct server_limits){ .head_ms = 100, .keepalive_ms = 100 });
	http.waiting = http_dial(http.port);
	fd = http_dial(http.port);
	http_run_loop(20);
	http_send(fd, GET("/stall"));
	(void)http_receive(http.waiting, &b, "\"path\":\"/echo\"", 3000);
	assert_has(b.data ? b.data : "closed", "\"path\":\"/echo\"");
	(void)close(http.waiting);
	http_stop();
}

static void unread_answer_times_out(void **st)
{
	auto_close int fd = -1;
	struct buf b = { 0 };

	(void)st;
	http_start(&(struct server_limits){ .write_stall_ms = 100 });
	fd = http_dial(http.port);
	http_send(fd, GET("/big"));
	http_run_loop(3200);
	server_metrics(http.s, &b);
	assert_has(b.data, "teepod_http_connections 0\n");
	assert_has(b.data, "teepod_http_timeouts_total 1\n");
	buf_free(&b);
	http_stop();
}

static void no_timer_runs_without_connections(void **st)
{
	auto_close int fd = -1;
	auto_buf struct buf b = { 0 };

	(void)st;
	http_start(NULL);
	http_run_loop(1);
	assert_int_equal(uv_backend_timeout(&http.loop), -1);
	fd = http_dial(http.port);
	http_send(fd, GET("/follow"));
	assert_false(http_receive(fd, &b, "first", 2000));
	assert_true(uv_backend_timeout(&http.loop) >= 900);
	(void)close(take_fd(&fd));
	http_run_loop(50);
	call_stream_end(take_ptr(&http.kept));
	http_run_loop(1);
	assert_true(uv_backend_timeout(&http.loop) == -1 || uv_backend_timeout(&http.loop) >= 900);
	http_stop();
}

static void connections_of_one_address_are_limited(void **st)
{
	auto_close int a = -1, b = -1, c = -1;
	auto_buf struct buf x = { 0 }, y = { 0 };

	(void)st;
	http_start(&(struct server_limits){ .per_peer = 2 });
	a = http_dial(http.port);
	b = http_dial(http.port);
	http_run_loop(30);
	c = http_dial(http.port);
	assert_true(http_receive(c, &x, NULL, 2000));
	assert_int_equal(x.len, 0);
	(void)close(take_fd(&a));
	http_run_loop(50);
	(void)close(take_fd(&c));
	c = http_dial(http.port);
	http_send(c, GET("/echo"));
	assert_false(http_receive(c, &y, "version", 2000));
	http_stop();
}

static void a_proxy_may_have_more_connections_than_other_peers(void **st)
{
	auto_close int a = -1, b = -1;

	(void)st;
	http_start_behind(&(struct server_limits){ .per_peer = 1 }, 1);
	a = http_dial(http.port);
	b = http_dial(http.port);
	http_send(a, GET("/echo"));
	http_send(b, GET("/echo"));
	for (unsigned i = 0; i < 100 && http.calls < 2; i++)
		http_run_loop(20);
	assert_int_equal(http.calls, 2);
	http_stop();
}

enum { LONG_BODY = 70000 };

/* A request of the caller number @caller whose body is parsed beside the loop. */
static int send_long_body_as(const char *caller)
{
	auto_buf struct buf b = { 0 };
	int fd = http_dial(http.port);

	buf_printf(&b,
		   "POST /long HTTP/1.1\r\nHost: h\r\nX-API-Key: caller-%s\r\nConnection: close\r\n"
		   "Content-Length: %d\r\n\r\n{\"x\":\"%0*d\"}",
		   caller, LONG_BODY, LONG_BODY - 8, 0);
	http_send(fd, b.data);
	return fd;
}

static int send_long_body(unsigned caller)
{
	char name[16];

	(void)snprintf(name, sizeof(name), "%u", caller);
	return send_long_body_as(name);
}

static unsigned waiting_bodies(void)
{
	const struct body_parse *b;
	unsigned n = 0;

	TAILQ_FOREACH(b, &http.s->requests.bodies.waiting, entry)
	n++;
	return n;
}

static void assert_answer(int fd, int status, const char *text)
{
	auto_buf struct buf b = { 0 };

	assert_true(http_receive(fd, &b, NULL, 5000));
	assert_status(b.data, status);
	assert_has(b.data, text);
	close(fd);
}

/* WAIT_CALLER_MAX and WAIT_MAX of api/http/body_parse.c. */
enum { OWN_BODIES = 64, ALL_BODIES = 128 };

static void too_many_long_bodies_are_refused(void **st)
{
	int fd[ALL_BODIES];

	(void)st;
	http_start(NULL);
	http.s->requests.bodies.parsing = true; /* as if a job were running */
	for (unsigned i = 0; i < ALL_BODIES; i++) {
		fd[i] = send_long_body(i / OWN_BODIES);
		while (waiting_bodies() < i + 1)
			http_run_loop(0);
		if (i == OWN_BODIES - 1)
			assert_answer(send_long_body(0), 503, "Retry-After: ");
	}
	assert_answer(send_long_body(8), 503, "Retry-After: ");
	assert_int_equal(waiting_bodies(), ALL_BODIES);
	(void)setsockopt(fd[ALL_BODIES - 1], SOL_SOCKET, SO_LINGER,
			 &(struct linger){ .l_onoff = 1 }, sizeof(struct linger));
	close(fd[ALL_BODIES -
		 1]); /* by a reset: after a mere end-of-file the client may still wait */
	while (waiting_bodies() == ALL_BODIES)
		http_run_loop(0);
	http.s->requests.bodies.parsing = false;
	assert_answer(send_long_body(8), 200, "/long");
	for (unsigned i = 0; i < ALL_BODIES - 1; i++)
		assert_answer(fd[i], 200, "/long");
	assert_int_equal(http.calls, ALL_BODIES);
	http_stop();
}

/* As in body_parse.c. */
enum { WORKSPACE_BODIES = 96 };

static void long_bodies_of_one_workspace_leave_room_for_others(void **st)
{
	static const char *const key[] = { "tenant-a", "tenant-b", "tenant-c" };
	int fd[WORKSPACE_BODIES + 2];
	unsigned n = 0;

	(void)st;
	http_start(NULL);
	http.s->requests.bodies.parsing = true; /* as if a job were under way */
	for (unsigned i = 0; i < WORKSPACE_BODIES + 2; i++) {
		/* The last two: operators do not belong to this workspace. */
		fd[n++] = i < WORKSPACE_BODIES ? send_long_body_as(key[i % 2]) : send_long_body(i);
		while (waiting_bodies() < n)
			http_run_loop(0);
		if (i == WORKSPACE_BODIES - 1)
			assert_answer(send_long_body_as(key[2]), 503, "Retry-After: ");
	}
	http.s->requests.bodies.parsing = false;
	assert_answer(send_long_body(0), 200, "/long");
	for (unsigned i = 0; i < n; i++)
		assert_answer(fd[i], 200, "/long");
	http_stop();
}

static void long_body_that_waits_too_long_is_refused(void **st)
{
	(void)st;
	http_start(&(struct server_limits){ .body_wait_ms = 50 });
	http.s->requests.bodies.parsing = true; /* as if a job hung */
	assert_answer(send_long_body(0), 503, "Retry-After: ");
	assert_int_equal(http.calls, 0);
	http_stop();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(slow_heads_slow_bodies_and_idle_connections_time_out),
		cmocka_unit_test(whole_body_has_a_deadline),
		cmocka_unit_test(request_that_waits_while_the_loop_is_blocked_is_answered),
		cmocka_unit_test(unread_answer_times_out),
		cmocka_unit_test(no_timer_runs_without_connections),
		cmocka_unit_test(connections_of_one_address_are_limited),
		cmocka_unit_test(a_proxy_may_have_more_connections_than_other_peers),
		cmocka_unit_test(too_many_long_bodies_are_refused),
		cmocka_unit_test(long_bodies_of_one_workspace_leave_room_for_others),
		cmocka_unit_test(long_body_that_waits_too_long_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
