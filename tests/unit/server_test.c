/* SPDX-License-Identifier: Apache-2.0
 * server_test.c - the HTTP server: listeners, requests, streams, clients that leave, draining.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <jansson.h>

#include "api/http/reply.h"
#include "base/array.h"
#include "base/buf.h"
#include "base/fd.h"
#include "base/own.h"
#include "tests/unit/http_fixture.h"

static void call_has_path_query_version_and_base_url(void **st)
{
	auto_free char *a = NULL, *b = NULL;

	(void)st;
	http_start(NULL);
	a = http_exchange(WITH("/echo/a%20b?x=1&q=%C3%A4+b",
			       "X-Phala-Version: 2025-10-28\r\nX-Request-Id: my-1"));
	assert_status(a, 200);
	assert_has(a, "\"path\":\"/echo/a b\"");
	assert_has(a, "\"q\":\"\xc3\xa4 b\"");
	assert_has(a, "\"base\":\"http://h:1\"");
	assert_has(a, "\"version\":25");
	assert_has(a, "X-Request-Id: my-1\r\n");
	assert_has(a, "Content-Type: application/json\r\n");
	b = http_exchange(WITH("/echo", "X-Request-Id: not/good"));
	assert_has(b, "\"version\":26");
	assert_null(strstr(b, "not/good"));
	http_stop();
}

static void bodies_arrive_whole_and_duplicate_keys_are_refused(void **st)
{
	auto_close int fd = -1;
	auto_free char *bad = NULL;
	auto_buf struct buf b = { 0 };

	(void)st;
	http_start(NULL);
	fd = http_dial(http.port);
	http_send(fd, "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 7\r\nExpect: "
		      "100-continue\r\n\r\n");
	assert_false(http_receive(fd, &b, "\r\n\r\n", 2000));
	assert_string_equal(b.data, "HTTP/1.1 100 Continue\r\n\r\n");
	http_send(fd, "{\"a\"");
	http_run_loop(20);
	assert_int_equal(http.calls, 0);
	http_send(fd, ":1}");
	assert_false(http_receive(fd, &b, "\"a\":1", 2000));
	bad = http_exchange(
		"POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 13\r\n\r\n{\"a\":1,\"a\":2}");
	assert_status(bad, 400);
	assert_has(bad, "ERR-02-008");
	http_stop();
}

static void body_that_is_too_large_is_refused_before_it_is_sent(void **st)
{
	auto_close int fd = -1;
	auto_buf struct buf b = { 0 };

	(void)st;
	http_start(NULL);
	fd = http_dial(http.port);
	http_send(fd, "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 1000001\r\nExpect: "
		      "100-continue\r\n\r\n");
	assert_true(http_receive(fd, &b, NULL, 5000));
	assert_status(b.data, 413);
	assert_has(b.data, "Connection: close\r\n");
	http_stop();
}

static void pipelined_calls_are_answered_in_order_one_at_a_time(void **st)
{
	auto_close int fd = -1;
	auto_buf struct buf b = { 0 };

	(void)st;
	http_start(NULL);
	fd = http_dial(http.port);
	http_send(fd, GET("/keep") GET("/echo/second") GET("/echo/third"));
	assert_false(http_receive(fd, &b, "HTTP", 50));
	assert_int_equal(http.calls, 1);
	call_reply_text(take_ptr(&http.kept), 200, "text/plain", "first", 5);
	assert_int_equal(http.calls, 1);
	assert_false(http_receive(fd, &b, "third", 2000));
	assert_int_equal(http.calls, 3);
	assert_true(strstr(b.data, "first") < strstr(b.data, "second"));
	assert_true(strstr(b.data, "second") < strstr(b.data, "third"));
	http_stop();
}

static void unread_answers_stop_the_next_request(void **st)
{
	auto_close int fd = -1;
	size_t want = 20 * (4UL * 1024 * 1024), got = 0;
	struct buf metrics = { 0 };

	(void)st;
	http_start(NULL);
	fd = http_dial(http.port);
	for (int i = 0; i < 20; i++)
		http_send(fd, GET("/big"));
	http_run_loop(300);
	server_metrics(http.s, &metrics);
	assert_null(strstr(metrics.data, "code=\"2xx\"} 5"));
	buf_free(&metrics);
	while (got < want) {
		struct buf b = { 0 };

		assert_false(http_receive(fd, &b, NULL, 20));
		for (size_t i = 0; i < b.len; i++)
			got += b.data[i] == 'Z';
		buf_free(&b);
	}
	assert_int_equal(got, want);
	http_stop();
}

static void unix_socket_passes_the_user_id_of_the_peer(void **st)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	auto_close int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), stale = -1;
	auto_buf struct buf b = { 0 };
	struct listen_spec spec = { .unix_mode = 0620 };
	char address[160];
	struct stat stat_buf;
	struct err e;

	(void)st;
	http_start(NULL);
	(void)snprintf(address, sizeof(address), "unix:%s", http.path);
	(void)snprintf(sun.sun_path, sizeof(sun.sun_path), "%.100s", http.path);
	/* a stale socket at the path is replaced */
	stale = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(stale, (struct sockaddr *)&sun, sizeof(sun)), 0);
	spec.address = address;
	assert_int_equal(server_listen(http.s, &spec, NULL, &e), 0);
	assert_int_equal(lstat(http.path, &stat_buf), 0);
	assert_int_equal(stat_buf.st_mode & 0777, 0620);
	/* a socket with a listener is not */
	assert_int_equal(server_listen(http.s, &spec, NULL, &e), -ERR_INVALID);
	assert_has(e.text, "another process listens");
	assert_int_equal(connect(fd, (struct sockaddr *)&sun, sizeof(sun)), 0);
	http_send(fd, GET("/read"));
	assert_false(http_receive(fd, &b, "version", 2000));
	assert_status(b.data, 200);
	assert_true(http.seen.has_peer);
	assert_int_equal(http.seen.uid, getuid());
	http_stop();
	assert_int_equal(access(http.path, F_OK), -1);
}

static void plain_http_is_limited_to_loopback(void **st)
{
	static const char *const bad[] = { "0.0.0.0:0",       "[::]:0",       "192.0.2.1:80",
					   "localhost:80",    "127.0.0.1",    ":80",
					   "127.0.0.1:70000", "127.0.0.1:8x", "unix:relative",
					   "fd:0x",           "fd:0" };
	struct err e;

	(void)st;
	http_start(NULL);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		char got[256] = "untouched";

		assert_true(server_listen(http.s, &(struct listen_spec){ .address = bad[i] }, got,
					  &e) < 0);
		assert_string_equal(got, "untouched");
	}
	assert_int_equal(
		server_listen(http.s, &(struct listen_spec){ .address = "0.0.0.0:0" }, NULL, &e),
		-ERR_INVALID);
	assert_has(e.text, "only loopback");
	http_stop();
}

static void inherited_descriptors_are_accepted(void **st)
{
	struct sockaddr_in in = { .sin_family = AF_INET,
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	char address[16], bound[256];
	auto_free char *a = NULL;
	struct err e;

	(void)st;
	http_start(NULL);
	assert_int_equal(bind(fd, (struct sockaddr *)&in, sizeof(in)), 0);
	(void)snprintf(address, sizeof(address), "fd:%d", fd);
	assert_int_equal(
		server_listen(http.s, &(struct listen_spec){ .address = address }, NULL, &e),
		-ERR_INVALID);
	assert_int_equal(listen(fd, 5), 0);
	assert_int_equal(
		server_listen(http.s, &(struct listen_spec){ .address = address }, bound, &e), 0);
	http.port = (unsigned)strtoul(strrchr(bound, ':') + 1, NULL, 10);
	a = http_exchange(GET("/echo"));
	assert_status(a, 200);
	http_stop();
}

static void on_gone_is_called_when_the_client_disconnects(void **st)
{
	int fd, other;

	(void)st;
	http_start(NULL);
	fd = http_dial(http.port);
	http_send(fd, GET("/watch"));
	http_run_loop(30);
	assert_int_equal(http.gone, 0);
	(void)close(fd);
	http_run_loop(50);
	assert_int_equal(http.gone, 1);
	/* the call is valid until answered; the answer is dropped */
	assert_string_equal(http.kept->path, "/watch");
	call_reply(take_ptr(&http.kept), 200, json_object());
	other = http_dial(http.port);
	http_send(other, GET("/keep"));
	http_run_loop(30);
	(void)close(other);
	http_run_loop(30);
	assert_int_equal(http.gone, 1);
	call_on_gone(http.kept, http_count_gone, NULL);
	http_run_loop(30);
	http_stop();
}

static void disconnect_between_two_refusals_is_harmless(void **st)
{
	auto_free char *a = NULL;

	(void)st;
	http_start(NULL);
	for (int i = 0; i < 10; i++) {
		int fd = http_dial(http.port);

		/* the first answer meets a closed socket, so the second write finds the connection
		 * reset */
		http_send(fd, GET("/nope") GET("/nope") "GET / HTTP/3\r\n\r\n");
		(void)close(fd);
		http_run_loop(5);
	}
	a = http_exchange(GET("/echo"));
	assert_status(a, 200);
	http_stop();
}

static void stream_is_chunked_and_ends(void **st)
{
	auto_close int fd = -1;
	auto_buf struct buf b = { 0 };

	(void)st;
	http_start(NULL);
	fd = http_dial(http.port);
	http_send(fd, GET("/follow"));
	assert_false(http_receive(fd, &b, "first", 2000));
	assert_true(call_stream_write(http.kept, "second", 6));
	call_stream_end(take_ptr(&http.kept));
	http_send(fd, GET("/echo/next"));
	assert_false(http_receive(fd, &b, "/echo/next", 2000));
	assert_has(b.data, "Transfer-Encoding: chunked\r\n");
	assert_has(b.data, "\r\n\r\n5\r\nfirst\r\n6\r\nsecond\r\n0\r\n\r\nHTTP/1.1 200 OK");
	assert_int_equal(http.gone, 0);
	http_stop();
}

static void head_of_a_stream_has_no_body_and_frees_the_connection(void **st)
{
	auto_close int fd = -1;
	auto_buf struct buf b = { 0 };

	(void)st;
	http_start(NULL);
	fd = http_dial(http.port);
	http_send(fd, "HEAD /follow HTTP/1.1\r\nHost: h\r\n\r\n");
	http_run_loop(50);
	assert_int_equal(http.gone, 1);
	call_stream_end(take_ptr(&http.kept));
	http_send(fd, GET("/echo/next"));
	assert_false(http_receive(fd, &b, "/echo/next", 2000));
	assert_null(strstr(b.data, "first"));
	http_stop();
}

static void slow_follower_is_disconnected(void **st)
{
	static char part[65536];
	auto_close int fd = -1;
	unsigned i = 0;

	(void)st;
	http_start(NULL);
	fd = http_dial(http.port);
	http_send(fd, GET("/follow"));
	http_run_loop(30);
	while (i < 1000 && call_stream_write(http.kept, part, sizeof(part)))
		i++;
	assert_true(i > 16 && i < 1000);
	assert_int_equal(call_stream_backlog(http.kept), 0);
	http_run_loop(30);
	assert_int_equal(http.gone, 1);
	call_stream_end(take_ptr(&http.kept));
	http_stop();
}

static void an_aborted_stream_closes_without_its_last_chunk(void **st)
{
	auto_close int fd = -1;
	auto_buf struct buf b = { 0 };

	(void)st;
	http_start(NULL);
	fd = http_dial(http.port);
	http_send(fd, GET("/follow"));
	assert_false(http_receive(fd, &b, "first", 2000));
	call_on_gone(http.kept, NULL, NULL);
	call_stream_abort(take_ptr(&http.kept));
	assert_true(http_receive(fd, &b, NULL, 2000));
	assert_has(b.data, "\r\n\r\n5\r\nfirst\r\n");
	assert_null(strstr(b.data, "\r\n0\r\n"));
	http_stop();
}

static void count_drained(void *arg)
{
	(void)arg;
	http.drained++;
}

static void drain_answers_calls_in_flight_and_closes(void **st)
{
	auto_close int busy = -1, idle = -1, following = -1;
	auto_buf struct buf b = { 0 }, c = { 0 }, d = { 0 };
	struct call *in_flight, *stream;

	(void)st;
	http_start(NULL);
	busy = http_dial(http.port);
	http_send(busy, GET("/keep"));
	http_run_loop(30);
	in_flight = http.kept;
	following = http_dial(http.port);
	http_send(following, GET("/follow"));
	http_run_loop(30);
	stream = take_ptr(&http.kept);
	idle = http_dial(http.port);
	http_run_loop(30);
	server_drain(http.s, 5000, count_drained, NULL);
	assert_true(http_receive(idle, &b, NULL, 2000));
	assert_true(http_receive(following, &c, NULL, 2000));
	assert_has(c.data, "first\r\n0\r\n\r\n");
	assert_int_equal(http.gone, 1);
	(void)close(take_fd(&following));
	assert_false(call_stream_write(stream, "x", 1));
	call_stream_end(stream);
	http_run_loop(30);
	assert_int_equal(http.drained, 0);
	call_reply(in_flight, 200, json_object());
	assert_true(http_receive(busy, &d, NULL, 2000));
	assert_status(d.data, 200);
	assert_has(d.data, "Connection: close\r\n");
	(void)close(take_fd(&busy));
	http_run_loop(50);
	assert_int_equal(http.drained, 1);
	http_stop();
}

static void drain_waits_for_a_stream_that_ends_by_itself(void **st)
{
	auto_close int fd = -1;
	auto_buf struct buf b = { 0 };

	(void)st;
	http_start(NULL);
	fd = http_dial(http.port);
	http_send(fd, GET("/follow"));
	assert_false(http_receive(fd, &b, "first", 2000));
	call_stream_is_finite(http.kept);
	server_drain(http.s, 5000, count_drained, NULL);
	http_run_loop(30);
	assert_int_equal(http.drained + http.gone, 0);
	assert_true(call_stream_write(http.kept, "second", 6));
	call_stream_end(take_ptr(&http.kept));
	assert_true(http_receive(fd, &b, NULL, 2000));
	assert_has(b.data, "first\r\n6\r\nsecond\r\n0\r\n\r\n");
	(void)close(take_fd(&fd));
	http_run_loop(50);
	assert_int_equal(http.drained, 1);
	http_stop();
}

static void drain_ends_after_its_time_limit(void **st)
{
	auto_close int busy = -1;

	(void)st;
	http_start(NULL);
	busy = http_dial(http.port);
	http_send(busy, GET("/watch"));
	http_run_loop(30);
	server_drain(http.s, 50, count_drained, NULL);
	http_run_loop(20);
	assert_int_equal(http.drained, 0);
	http_run_loop(100);
	assert_int_equal(http.drained, 1);
	http_stop();
	assert_int_equal(http.gone, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(call_has_path_query_version_and_base_url),
		cmocka_unit_test(bodies_arrive_whole_and_duplicate_keys_are_refused),
		cmocka_unit_test(body_that_is_too_large_is_refused_before_it_is_sent),
		cmocka_unit_test(pipelined_calls_are_answered_in_order_one_at_a_time),
		cmocka_unit_test(unread_answers_stop_the_next_request),
		cmocka_unit_test(unix_socket_passes_the_user_id_of_the_peer),
		cmocka_unit_test(plain_http_is_limited_to_loopback),
		cmocka_unit_test(inherited_descriptors_are_accepted),
		cmocka_unit_test(on_gone_is_called_when_the_client_disconnects),
		cmocka_unit_test(disconnect_between_two_refusals_is_harmless),
		cmocka_unit_test(stream_is_chunked_and_ends),
		cmocka_unit_test(head_of_a_stream_has_no_body_and_frees_the_connection),
		cmocka_unit_test(slow_follower_is_disconnected),
		cmocka_unit_test(an_aborted_stream_closes_without_its_last_chunk),
		cmocka_unit_test(drain_answers_calls_in_flight_and_closes),
		cmocka_unit_test(drain_waits_for_a_stream_that_ends_by_itself),
		cmocka_unit_test(drain_ends_after_its_time_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
