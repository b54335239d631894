/* SPDX-License-Identifier: Apache-2.0
 * log_races_test.c - logs that others write, rotate or lock at the same time.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/fd.h"
#include "base/lanes.h"
#include "base/own.h"
#include "base/strings.h"
#include "tests/unit/log_fixture.h"
#include "vmm/logs/log_reader.h"
#include "vmm/logs/logs.h"

/* ------------------------------------------------------------------ concurrent writers */

enum { GUEST_LINES = 200000, GUEST_LINE = 16 };

/* Append as QEMU does: one descriptor, no lock. Waits for the rotation where the daemon would cut a
 * flood. */
static void write_lines(const char *path, const struct log_limits *l)
{
	auto_close int fd = open(path, O_WRONLY | O_APPEND);
	char line[GUEST_LINE + 16];
	struct stat st;

	for (int i = 0; i < GUEST_LINES; i++) {
		(void)snprintf(line, sizeof(line), "line %010d\n", i);
		if (write(fd, line, GUEST_LINE) != GUEST_LINE)
			_exit(1);
		while (!fstat(fd, &st) && (uint64_t)st.st_size > l->max_bytes + l->max_bytes / 2)
			(void)usleep(100);
	}
	_exit(0);
}

static void rotate_until(const char *stop, const char *dir, const struct log_limits *l)
{
	struct err e;

	while (access(stop, F_OK) != 0)
		if (logs_rotate(dir, l, &e) < 0 &&
		    e.code != ERR_TIMEOUT) /* the other process holds the folder */
			_exit(1);
	_exit(0);
}

static void check_lines(const char *text)
{
	for (int i = 0; i < GUEST_LINES; i++, text += GUEST_LINE) {
		char line[GUEST_LINE + 16];

		(void)snprintf(line, sizeof(line), "line %010d\n", i);
		if (memcmp(text, line, GUEST_LINE) != 0)
			fail_msg("expected line %d, found %.32s", i, text);
	}
	assert_string_equal(text, "");
}

static bool is_running(pid_t pid, int *status)
{
	pid_t ended = waitpid(pid, status, WNOHANG);

	assert_true(ended >= 0);
	return !ended;
}

/* Bytes that a guest appends during a rotation are kept, even if two processes rotate, and a
 * follower receives them once. */
static void what_is_written_while_logs_are_rotated_is_not_lost(void **st)
{
	const struct log_fixture *r = *st;
	const struct log_limits l = { .max_bytes = 64 * 1024,
				      .max_backups = 10000,
				      .keep_boots = 1 };
	auto_free char *path = xasprintf("%s/serial.log", r->dir), *text = NULL;
	auto_free char *stop = xasprintf("%s/stop", r->top);
	int status;

	if (!log_can_collapse(r))
		skip();
	for (int rotators = 1; rotators <= 2; rotators++) {
		auto_buf struct buf received = { 0 };
		struct log_reader *follower = NULL;
		struct err e;
		pid_t pid[3];

		log_begin_boot(r, (unsigned)rotators);
		if (log_reader_open(r->dir, &(struct log_request){ .tail = 0, .follow = true },
				    &follower, &e) < 0)
			fail_msg("%s", e.text);
		for (int i = 0; i <= rotators; i++) {
			pid[i] = fork();
			if (!pid[i] && !i)
				write_lines(path, &l);
			else if (!pid[i])
				rotate_until(stop, r->dir, &l);
		}
		while (is_running(pid[0], &status)) {
			free(take_ptr(&text));
			text = log_drain(follower, 4096, NULL);
			buf_puts(&received, text);
		}
		assert_int_equal(status, 0);
		log_append(stop, "");
		for (int i = 1; i <= rotators; i++) {
			assert_int_equal(waitpid(pid[i], &status, 0), pid[i]);
			assert_int_equal(status, 0);
		}
		assert_int_equal(unlink(stop), 0);
		free(take_ptr(&text));
		text = log_drain(follower, 4096, NULL);
		buf_puts(&received, text);
		check_lines(received.data);
		log_reader_free(follower);
		free(take_ptr(&text));
		text = log_read_all(r, (struct log_request)EVERYTHING, 4096);
		check_lines(log_after_header(text));
		free(take_ptr(&text));
	}
}

/* ------------------------------------------------------------------ foreign locks */

static int locked(const struct log_fixture *r)
{
	auto_free char *path = xasprintf("%s/serial.log", r->dir);
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	assert_int_equal(flock(fd, LOCK_EX), 0);
	return fd;
}

struct reading {
	const struct log_fixture *fixture;
	struct log_request request;
	struct log_reader *reader;
	struct err e;
	int r;
	bool over;
};

static void read_work(void *arg)
{
	struct reading *d = arg;
	enum log_more more = LOG_MORE;
	char piece[64];
	size_t n;

	d->r = log_reader_open(d->fixture->dir, &d->request, &d->reader, &d->e);
	while (!d->r && more != LOG_END)
		d->r = log_reader_read(d->reader, piece, sizeof(piece), &n, &more, &d->e);
}

static void read_over(void *arg, enum job_end end)
{
	struct reading *d = arg;

	d->over = end == JOB_WORKED;
}

static void read_in_a_job(struct reading *d, unsigned ms)
{
	const struct job_calls calls = { .lane = LANE_SHORT,
					 .what = "read",
					 .deadline_ms = ms,
					 .work = read_work,
					 .done = read_over };
	uv_loop_t loop = { 0 };

	assert_int_equal(uv_loop_init(&loop), 0);
	(void)job_start(&loop, &calls, d);
	(void)uv_run(&loop, UV_RUN_DEFAULT);
	assert_int_equal(lanes_close(&loop), 0);
	(void)uv_run(&loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&loop), 0);
	assert_true(d->over);
	log_reader_free(d->reader);
}

static void a_read_waits_for_a_held_lock_no_longer_than_its_deadline(void **st)
{
	const struct log_fixture *r = *st;
	auto_close int lock = -1;
	struct reading tail = { .fixture = r, .request = { .tail = 1 } },
		       all = { .fixture = r, .request = { .tail = -1 } };

	log_begin_boot(r, 1);
	log_guest_writes(r, "one\n");
	lock = locked(r);
	read_in_a_job(&tail, 50);
	assert_int_equal(tail.r, -ERR_TIMEOUT);
	assert_null(tail.reader);
	read_in_a_job(&all, 50);
	assert_int_equal(all.r, -ERR_TIMEOUT);
}

static void a_lock_that_is_held_for_ever_does_not_keep_a_log_from_being_rotated(void **st)
{
	const struct log_fixture *r = *st;
	auto_close int lock = -1;
	auto_free char *text = NULL;

	log_begin_boot(r, 1);
	for (int i = 0; i < 5; i++)
		log_guest_writes(r, "five lines of the guest\n");
	lock = locked(r);
	log_rotate(r);
	assert_true(log_has_file(r, "serial.1.1.log"));
	close(take_fd(&lock));
	text = log_read_all(r, (struct log_request){ .stream = LOG_SERIAL, .tail = 5 }, 4096);
	assert_int_equal(strlen(text), 5 * strlen("five lines of the guest\n"));
}

static void rotate_work(void *arg)
{
	struct err e;

	while (!job_is_cancelled())
		(void)usleep(1000);
	(void)logs_rotate(((const struct log_fixture *)arg)->dir, &log_small, &e);
}

static void rotate_over(void *arg, enum job_end end)
{
	(void)arg;
	assert_int_equal(end, JOB_WORKED);
}

static void rotate_late(void *arg)
{
	(void)arg; /* its deadline cancels it */
}

static void a_rotation_that_is_cancelled_while_it_waits_for_a_lock_is_left_undone(void **st)
{
	const struct job_calls calls = { .lane = LANE_SHORT,
					 .what = "rotate",
					 .deadline_ms = 50,
					 .work = rotate_work,
					 .done = rotate_over,
					 .late = rotate_late };
	struct log_fixture *r = *st;
	auto_close int lock = -1;
	uv_loop_t loop = { 0 };

	log_begin_boot(r, 1);
	for (int i = 0; i < 5; i++)
		log_guest_writes(r, "five lines of the guest\n");
	lock = locked(r);
	assert_int_equal(uv_loop_init(&loop), 0);
	(void)job_start(&loop, &calls, r);
	(void)uv_run(&loop, UV_RUN_DEFAULT);
	assert_int_equal(lanes_close(&loop), 0);
	(void)uv_run(&loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&loop), 0);
	assert_false(log_has_file(r, "serial.1.1.log"));
}

int main(void)
{
	const struct CMUnitTest t[] = {
		WITH_LOGS(what_is_written_while_logs_are_rotated_is_not_lost),
		WITH_LOGS(a_read_waits_for_a_held_lock_no_longer_than_its_deadline),
		WITH_LOGS(a_lock_that_is_held_for_ever_does_not_keep_a_log_from_being_rotated),
		WITH_LOGS(a_rotation_that_is_cancelled_while_it_waits_for_a_lock_is_left_undone),
	};

	return cmocka_run_group_tests_name("log_races", t, NULL, NULL);
}
