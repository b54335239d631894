/* SPDX-License-Identifier: Apache-2.0
 * process_test.c - sockets from systemd, messages to systemd, signals.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/buf.h"
#include "base/fd.h"
#include "base/file.h"
#include "base/own.h"
#include "base/strings.h"
#include "daemon/config.h"
#include "daemon/notify.h"
#include "daemon/config_settings.h"
#include "daemon/signals.h"
#include "daemon/sockets.h"

static char dir[64];

static int set_up(void **state)
{
	(void)state;
	strcpy(dir, "/tmp/teepod-process-XXXXXX");
	return mkdtemp(dir) ? 0 : -1;
}

static int tear_down(void **state)
{
	struct err e;

	(void)state;
	return file_remove_tree(dir, &e);
}

static int bound(int type, const char *name)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	(void)snprintf(a.sun_path, sizeof(a.sun_path), "%s/%s", dir, name);
	assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	return fd;
}

/* ------------------------------------------------------------------ sockets */

/* Pass @n descriptors like systemd: from 3 on. restore_fds() restores those that were there before.
 */
static int saved[2];

static void pass_fds(const int *fds, int n)
{
	auto_free char *pid = xasprintf("%d", getpid()), *count = xasprintf("%d", n);

	for (int i = 0; i < n; i++) {
		saved[i] = fcntl(3 + i, F_DUPFD_CLOEXEC, 20);
		assert_int_equal(dup2(fds[i], 3 + i), 3 + i);
	}
	setenv("LISTEN_PID", pid, 1);
	setenv("LISTEN_FDS", count, 1);
}

static void restore_fds(int n)
{
	for (int i = 0; i < n; i++) {
		close(3 + i);
		if (saved[i] >= 0) {
			dup2(saved[i], 3 + i);
			close(saved[i]);
		}
	}
}

static void a_socket_from_systemd_replaces_the_configured_address(void **state)
{
	auto_free char *path = xasprintf("unix:%s/a.sock", dir);
	char tcp[] = "127.0.0.1:0";
	char *v[] = { tcp, path };
	struct config_list configured = { v, 2 }, plan;
	auto_buf struct buf errors = { 0 };
	struct options o = { .dev_dir = dir };
	struct config *c;
	struct err e;
	int fd = bound(SOCK_STREAM, "a.sock"), high = fcntl(fd, F_DUPFD_CLOEXEC, 30);

	(void)state;
	close(fd);
	assert_int_equal(listen(high, 1), 0);
	pass_fds(&high, 1);
	assert_int_equal(sockets_plan(&configured, &plan, &e), 0);
	assert_int_equal(plan.n, 2);
	assert_string_equal(plan.v[0], "fd:3");
	assert_string_equal(plan.v[1], "127.0.0.1:0");
	assert_true(fcntl(3, F_GETFD) & FD_CLOEXEC);
	assert_null(getenv("LISTEN_FDS"));

	assert_int_equal(config_load(&o, &c, &errors), 0);
	free(c->api.tls_cert);
	c->api.tls_cert = xstrdup("/c");
	assert_null(settings_listen(c, "fd:3").tls_cert);
	assert_null(settings_listen(c, path).tls_cert);
	assert_int_equal(settings_listen(c, path).unix_mode, 0660);
	assert_string_equal(settings_listen(c, tcp).tls_cert, "/c");
	config_free(c);
	config_list_free(&plan);
	restore_fds(1);
	close(high);
}

static void without_systemd_the_configured_addresses_are_used(void **state)
{
	char tcp[] = "127.0.0.1:0", *v[] = { tcp };
	struct config_list configured = { v, 1 }, plan;
	struct err e;

	(void)state;
	unsetenv("LISTEN_FDS");
	assert_int_equal(sockets_plan(&configured, &plan, &e), 0);
	assert_int_equal(plan.n, 1);
	assert_string_equal(plan.v[0], tcp);
	config_list_free(&plan);
}

static void a_descriptor_that_does_not_listen_is_rejected(void **state)
{
	struct config_list configured = { 0 }, plan = { .n = 77 };
	struct err e;
	int fd = bound(SOCK_DGRAM, "b.sock"), high = fcntl(fd, F_DUPFD_CLOEXEC, 30);

	(void)state;
	close(fd);
	pass_fds(&high, 1);
	assert_int_equal(sockets_plan(&configured, &plan, &e), -ERR_INVALID);
	assert_int_equal(plan.n, 77);
	restore_fds(1);
	close(high);
}

/* ------------------------------------------------------------------ messages */

static int listen_for_messages(void)
{
	auto_free char *path = xasprintf("%s/notify", dir);

	setenv("NOTIFY_SOCKET", path, 1);
	return bound(SOCK_DGRAM, "notify");
}

static void expect_message(int fd, const char *want)
{
	char got[512];
	ssize_t n = recv(fd, got, sizeof(got) - 1, 0);

	assert_true(n >= 0);
	got[n] = '\0';
	if (strncmp(got, want, strlen(want)) != 0)
		fail_msg("got: %s", got);
}

static void every_change_is_reported_to_systemd(void **state)
{
	auto_close int fd = listen_for_messages();

	(void)state;
	notify_ready();
	expect_message(fd, "READY=1\nSTATUS=Serving");
	notify_reloading();
	expect_message(fd, "RELOADING=1\nMONOTONIC_USEC=");
	notify_stopping(30000);
	expect_message(fd, "STOPPING=1\nEXTEND_TIMEOUT_USEC=30000000\n");
	unsetenv("NOTIFY_SOCKET");
	notify_ready();
}

/* uv_run() returns when only unreferenced handles are left: this timer keeps the loop running. */
static void nothing(uv_timer_t *t)
{
	(void)t;
}

static void run_for(uv_loop_t *loop, uint64_t ms)
{
	uv_timer_t t;

	uv_timer_init(loop, &t);
	uv_timer_start(&t, nothing, ms, 0);
	uv_run(loop, UV_RUN_DEFAULT);
	uv_close((uv_handle_t *)&t, NULL);
	uv_run(loop, UV_RUN_DEFAULT);
}

static void watchdog_is_fed_twice_per_interval_and_does_not_keep_the_loop_alive(void **state)
{
	auto_close int fd = listen_for_messages();
	auto_free char *pid = xasprintf("%d", getpid());
	struct watchdog *w;
	char got[64];
	uv_loop_t loop;
	unsigned fed = 0;

	(void)state;
	setenv("WATCHDOG_PID", pid, 1);
	setenv("WATCHDOG_USEC", "40000", 1);
	uv_loop_init(&loop);
	w = watchdog_open(&loop);
	assert_non_null(w);
	assert_int_equal(uv_loop_alive(&loop), 0);
	run_for(&loop, 210);
	while (recv(fd, got, sizeof(got), 0) > 0)
		fed += !strncmp(got, "WATCHDOG=1", 10);
	assert_in_range(fed, 7, 11);
	watchdog_close(w);
	uv_run(&loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&loop), 0);

	unsetenv("WATCHDOG_USEC");
	uv_loop_init(&loop);
	assert_null(watchdog_open(&loop));
	watchdog_close(NULL);
	assert_int_equal(uv_loop_close(&loop), 0);
	unsetenv("NOTIFY_SOCKET");
}

/* ------------------------------------------------------------------ signals */

struct signal_counts {
	unsigned reloads, stops;
	int last;
};

static void on_reload(void *arg)
{
	((struct signal_counts *)arg)->reloads++;
}

static void on_stop(void *arg, int signum, unsigned nth)
{
	struct signal_counts *h = arg;

	h->stops = nth;
	h->last = signum;
}

static void signals_become_callbacks_and_stops_are_counted(void **state)
{
	struct signal_counts h = { 0 };
	struct signal_calls calls = { .reload = on_reload, .stop = on_stop, .arg = &h };
	struct signals *s;
	int pipe_fds[2];
	uv_loop_t loop;
	struct err e;

	(void)state;
	uv_loop_init(&loop);
	assert_int_equal(signals_open(&loop, &calls, &s, &e), 0);
	raise(SIGHUP);
	raise(SIGTERM);
	raise(SIGINT);
	run_for(&loop, 20);
	assert_int_equal(h.reloads, 1);
	assert_int_equal(h.stops, 2);
	assert_int_equal(h.last, SIGINT);

	assert_int_equal(pipe2(pipe_fds, O_CLOEXEC), 0);
	close(pipe_fds[0]);
	assert_int_equal(write(pipe_fds[1], "x", 1), -1);
	assert_int_equal(errno, EPIPE);
	close(pipe_fds[1]);

	signals_close(s);
	signals_close(NULL);
	uv_run(&loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&loop), 0);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest t[] = {
		T(a_socket_from_systemd_replaces_the_configured_address),
		T(without_systemd_the_configured_addresses_are_used),
		T(a_descriptor_that_does_not_listen_is_rejected),
		T(every_change_is_reported_to_systemd),
		T(watchdog_is_fed_twice_per_interval_and_does_not_keep_the_loop_alive),
		T(signals_become_callbacks_and_stops_are_counted),
	};

	return cmocka_run_group_tests_name("process", t, NULL, NULL);
}
