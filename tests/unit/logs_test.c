/* SPDX-License-Identifier: Apache-2.0
 * logs_test.c - logs of guests: no byte is lost or repeated, sizes are bounded, contents are not
 * trusted.
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
#include "base/array.h"
#include "base/buf.h"
#include "base/fd.h"
#include "base/file.h"
#include "base/lanes.h"
#include "base/own.h"
#include "base/strings.h"
#include "vmm/logs/ansi.h"
#include "vmm/logs/log_reader.h"
#include "vmm/logs/logs.h"
#include "vmm/logs/serial_scan.h"
#include "vmm/virt/xml_out.h"

struct log_fixture {
	char top[64];
	char *dir, *qemu; /* log folder, libvirt's log */
};

static const struct log_limits small = { .max_bytes = 100, .max_backups = 3, .keep_boots = 2 };

static int setup(void **st)
{
	struct log_fixture *r = xcalloc(1, sizeof(*r));

	strcpy(r->top, "/tmp/logs-test-XXXXXX");
	assert_non_null(mkdtemp(r->top));
	r->dir = xasprintf("%s/logs", r->top);
	r->qemu = xasprintf("%s/libvirt.log", r->top);
	*st = r;
	return 0;
}

static int teardown(void **st)
{
	struct log_fixture *r = *st;
	struct err e;

	assert_int_equal(file_remove_tree(r->top, &e), 0);
	free(r->dir);
	free(r->qemu);
	free(r);
	return 0;
}

static void append(const char *path, const char *text)
{
	auto_close int fd = open(path, O_WRONLY | O_APPEND | O_CREAT, 0640);

	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
}

static void guest_writes(const struct log_fixture *r, const char *text)
{
	auto_free char *path = xasprintf("%s/serial.log", r->dir);

	append(path, text);
}

static void begin(const struct log_fixture *r, unsigned boot)
{
	struct err e;

	assert_int_equal(logs_boot_begin(r->dir, boot, r->qemu, &small, &e), 0);
}

static void rotate(const struct log_fixture *r)
{
	struct err e;

	if (logs_rotate(r->dir, &small, &e) < 0)
		fail_msg("%s", e.text);
}

static bool there(const struct log_fixture *r, const char *name)
{
	auto_free char *path = xasprintf("%s/%s", r->dir, name);

	return access(path, F_OK) == 0;
}

/* Read until the reader has no more, @slice bytes at a time; the caller frees. */
static char *drain(struct log_reader *lr, size_t slice, enum log_more *last)
{
	struct buf b = { 0 };
	char piece[4096];
	enum log_more more = LOG_MORE;
	struct err e;
	size_t n;

	buf_puts(&b, "");
	while (more == LOG_MORE) {
		if (log_reader_read(lr, piece, slice, &n, &more, &e) < 0)
			fail_msg("%s", e.text);
		buf_add(&b, piece, n);
	}
	if (last)
		*last = more;
	return buf_take(&b);
}

static char *read_all(const struct log_fixture *r, struct log_request request, size_t slice)
{
	struct log_reader *lr = NULL;
	struct err e;
	char *text;

	if (log_reader_open(r->dir, &request, &lr, &e) < 0)
		fail_msg("%s", e.text);
	text = drain(lr, slice, NULL);
	log_reader_free(lr);
	return text;
}

/* The text after the daemon's header line. */
static const char *after_header(const char *text)
{
	assert_memory_equal(text, "===== boot ", 11);
	return strchr(text, '\n') + 1;
}

#define EVERYTHING                               \
	{                                        \
		.stream = LOG_SERIAL, .tail = -1 \
	}

static void a_boot_begins_with_its_header_and_keeps_the_log_of_the_last_one(void **st)
{
	const struct log_fixture *r = *st;
	auto_free char *old = NULL, *new = NULL;

	begin(r, 1);
	guest_writes(r, "one\n");
	begin(r, 2);
	guest_writes(r, "two\n");
	old = read_all(r, (struct log_request){ .stream = LOG_SERIAL, .boot = 1, .tail = -1 },
		       4096);
	new = read_all(r, (struct log_request)EVERYTHING, 4096);
	assert_memory_equal(old, "===== boot 1 @ 20", 17);
	assert_string_equal(after_header(old), "one\n");
	assert_memory_equal(new, "===== boot 2 @ 20", 17);
	assert_string_equal(after_header(new), "two\n");
}

static void beginning_the_same_boot_again_changes_nothing(void **st)
{
	const struct log_fixture *r = *st;
	auto_free char *text = NULL;
	struct err e;

	begin(r, 1);
	guest_writes(r, "still here\n");
	begin(r, 1);
	text = read_all(r, (struct log_request)EVERYTHING, 4096);
	assert_string_equal(after_header(text), "still here\n");
	assert_false(there(r, "serial.1.1.log"));
	begin(r, 2);
	assert_int_equal(logs_boot_begin(r->dir, 1, NULL, &small, &e), -ERR_INVALID);
}

static void the_live_file_is_not_readable_by_others(void **st)
{
	const struct log_fixture *r = *st;
	auto_free char *path = xasprintf("%s/serial.log", r->dir);
	struct stat s;

	begin(r, 1);
	assert_int_equal(stat(path, &s), 0);
	assert_int_equal(s.st_mode & 0777 & ~0640u, 0);
}

static void only_the_newest_boots_are_kept(void **st)
{
	const struct log_fixture *r = *st;
	auto_free struct log_boot *v = NULL;
	struct log_reader *lr = NULL;
	struct err e;
	size_t n;

	for (unsigned boot = 1; boot <= 4; boot++) {
		begin(r, boot);
		guest_writes(r, "hello\n");
		append(r->qemu, "qemu\n");
	}
	assert_int_equal(logs_list(r->dir, &v, &n, &e), 0);
	assert_int_equal(n, 2);
	assert_int_equal(v[0].boot, 4);
	assert_true(v[0].current && !v[1].current);
	assert_int_equal(v[1].boot, 3);
	assert_true(v[1].began_ms > 0 && v[1].written_ms > 0);
	assert_true(v[1].serial_bytes > 6);
	assert_int_equal(v[1].qemu_bytes, 5);
	assert_int_equal(v[0].qemu_bytes, 5);
	assert_int_equal(log_reader_open(r->dir, &(struct log_request){ .boot = 2 }, &lr, &e),
			 -ERR_NOT_FOUND);
	assert_null(lr);
	assert_string_equal(e.field, "boot");
	assert_string_equal(e.hint, "boots 3 to 4 have logs");
}

static void a_live_file_over_its_bound_becomes_a_segment(void **st)
{
	const struct log_fixture *r = *st;
	auto_buf struct buf all = { 0 };
	auto_free char *text = NULL;

	begin(r, 1);
	for (int i = 0; i < 20; i++) {
		auto_free char *line = xasprintf("line %02d of the guest\n", i);

		guest_writes(r, line);
		buf_puts(&all, line);
		if (i == 8)
			assert_false(there(r, "serial.1.3.log"));
		rotate(r);
	}
	assert_false(there(r, "serial.1.1.log"));
	assert_true(there(r, "serial.1.2.log") && there(r, "serial.1.3.log") &&
		    there(r, "serial.1.4.log"));
	text = read_all(r, (struct log_request)EVERYTHING, 37);
	assert_true(strlen(text) < all.len);
	assert_string_equal(text, all.data + all.len - strlen(text));
}

static void only_the_last_bytes_of_a_flood_are_kept(void **st)
{
	const struct log_fixture *r = *st;
	auto_free char *path = xasprintf("%s/serial.1.1.log", r->dir), *flood = xmalloc(5001),
		       *kept = NULL;
	struct err e;

	memset(flood, 'x', 5000);
	strcpy(flood + 4990, "the end!!\n");
	begin(r, 1);
	guest_writes(r, flood);
	rotate(r);
	assert_int_equal(file_read(path, 10000, &kept, NULL, &e), 0);
	assert_int_equal(strlen(kept), 100);
	assert_string_equal(kept + 90, "the end!!\n");
}

static void the_qemu_log_is_copied_from_libvirts_file(void **st)
{
	const struct log_fixture *r = *st;
	auto_free char *a = NULL, *b = NULL;

	begin(r, 1);
	append(r->qemu, "first qemu\n");
	begin(r, 2);
	append(r->qemu, "second qemu\n");
	a = read_all(r, (struct log_request){ .stream = LOG_QEMU, .boot = 1, .tail = -1 }, 4096);
	b = read_all(r, (struct log_request){ .stream = LOG_QEMU, .tail = -1 }, 4096);
	assert_string_equal(a, "first qemu\n");
	assert_string_equal(b, "second qemu\n");
	assert_int_equal(log_stream_from_channel("stdout"), LOG_QEMU);
	assert_int_equal(log_stream_from_channel("stderr"), LOG_QEMU);
	assert_int_equal(log_stream_from_channel("serial"), LOG_SERIAL);
	assert_int_equal(log_stream_from_channel("../serial"), -1);
}

/* Runs in a process that is not root, because root may open every file. */
static void check_a_closed_log(const struct log_fixture *r)
{
	auto_free char *qemu = xasprintf("%s/libvirt/qemu.log", r->top);
	const struct log_request request = { .stream = LOG_QEMU, .tail = -1 },
				 tail = { .stream = LOG_QEMU, .tail = 1 };
	struct log_reader *reader = NULL;
	struct err e = { 0 };

	for (unsigned boot = 1; boot <= 2; boot++)
		assert_int_equal(logs_boot_begin(r->dir, boot, qemu, &small, &e), 0);
	assert_int_equal(logs_rotate(r->dir, &small, &e), 0);
	assert_int_equal(log_reader_open(r->dir, &request, &reader, &e), -ERR_UNSUPPORTED);
	assert_non_null(strstr(e.text, qemu));
	assert_int_equal(log_reader_open(r->dir, &tail, &reader, &e), -ERR_UNSUPPORTED);
	assert_null(reader);
}

static void an_unreadable_libvirt_log_stops_no_boot_and_is_named(void **st)
{
	enum { USER = 64057 };
	const struct log_fixture *r = *st;
	auto_free char *folder = xasprintf("%s/libvirt", r->top),
		       *qemu = xasprintf("%s/qemu.log", folder);
	int status;

	if (geteuid() != 0)
		skip();
	assert_int_equal(mkdir(folder, 0700), 0);
	append(qemu, "root's\n");
	assert_int_equal(chown(r->top, USER, USER), 0);
	pid_t child = fork();

	if (!child) {
		if (setresgid(USER, USER, USER) || setresuid(USER, USER, USER))
			_exit(100);
		check_a_closed_log(r);
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
}

static void tail_counts_lines_over_segments(void **st)
{
	const struct log_fixture *r = *st;
	static const struct {
		int64_t lines;
		const char *begins;
	} want[] = { { 1, "line 11" },
		     { 2, "line 10" },
		     { 6, "line 06" },
		     { 9, "line 03" },
		     { 1000, "=====" } };

	begin(r, 1);
	for (int i = 0; i < 12; i++) {
		auto_free char *line = xasprintf("line %02d of the guest\n", i);

		guest_writes(r, line);
		rotate(r);
	}
	assert_true(there(r, "serial.1.2.log"));
	for (size_t i = 0; i < ARRAY_SIZE(want); i++) {
		auto_free char *text = read_all(
			r, (struct log_request){ .stream = LOG_SERIAL, .tail = want[i].lines },
			4096);

		if (strncmp(text, want[i].begins, strlen(want[i].begins)) != 0)
			fail_msg("tail %d begins with %.20s", (int)want[i].lines, text);
		assert_string_equal(text + strlen(text) - 21, "line 11 of the guest\n");
	}
	auto_free char *none =
		read_all(r, (struct log_request){ .stream = LOG_SERIAL, .tail = 0 }, 4096);

	assert_string_equal(none, "");
}

static void tail_of_an_earlier_boot_and_of_an_unfinished_line(void **st)
{
	const struct log_fixture *r = *st;
	auto_free char *old = NULL, *live = NULL;

	begin(r, 1);
	guest_writes(r, "a\nb\nc\n");
	begin(r, 2);
	guest_writes(r, "d\ne\nprompt> ");
	old = read_all(r, (struct log_request){ .stream = LOG_SERIAL, .boot = 1, .tail = 2 }, 4096);
	live = read_all(r, (struct log_request){ .stream = LOG_SERIAL, .tail = 2 }, 4096);
	assert_string_equal(old, "b\nc\n");
	assert_string_equal(live, "e\nprompt> ");
}

static void tail_search_is_bounded(void **st)
{
	const struct log_fixture *r = *st;
	auto_free char *big = xmalloc(LOG_TAIL_BYTES + 4096), *text = NULL;

	memset(big, 'x', LOG_TAIL_BYTES + 4095);
	big[LOG_TAIL_BYTES + 4095] = '\0';
	begin(r, 1);
	guest_writes(r, big);
	text = read_all(r, (struct log_request){ .stream = LOG_SERIAL, .tail = 5 }, 4096);
	assert_int_equal(strlen(text), LOG_TAIL_BYTES);
}

static void a_follower_loses_and_repeats_nothing_over_rotations(void **st)
{
	const struct log_fixture *r = *st;
	auto_buf struct buf written = { 0 }, received = { 0 };
	struct log_reader *lr = NULL;
	struct err e;

	begin(r, 1);
	assert_int_equal(log_reader_open(r->dir, &(struct log_request){ .tail = 0, .follow = true },
					 &lr, &e),
			 0);
	for (int i = 0; i < 200; i++) {
		auto_free char *line = xasprintf("line %03d of the guest\n", i), *got = NULL;
		enum log_more more;

		guest_writes(r, line);
		buf_puts(&written, line);
		if (i % 3 == 0)
			rotate(r);
		if (i % 2 == 0)
			continue;
		got = drain(lr, (size_t)(7 + i), &more);
		assert_int_equal(more, LOG_QUIET);
		buf_puts(&received, got);
	}
	assert_string_equal(received.data, written.data);
	log_reader_free(lr);
}

/* A rotation that leaves the rest of a block in the live file: readers are before and behind the
 * cut, and a line may be on both sides of it. */
static void a_rotation_at_a_block_moves_no_reader(void **st)
{
	const struct log_fixture *r = *st;
	const struct log_limits blocks = { .max_bytes = 6000,
					   .max_backups = 1000,
					   .keep_boots = 2 };
	auto_buf struct buf written = { 0 }, received = { 0 };
	auto_free char *path = xasprintf("%s/serial.log", r->dir), *all = NULL, *pages = NULL;
	struct log_reader *follower = NULL, *page = NULL;
	uint64_t left = 0;
	struct stat live;
	struct err e;

	begin(r, 1);
	assert_int_equal(log_reader_open(r->dir, &(struct log_request){ .tail = 0, .follow = true },
					 &follower, &e),
			 0);
	for (int i = 0; i < 300; i++) {
		auto_free char *line = xasprintf("line %03d %*d\n", i, 10 + i * 7 % 900, i);

		guest_writes(r, line);
		buf_puts(&written, line);
		assert_int_equal(logs_rotate(r->dir, &blocks, &e), 0);
		assert_int_equal(stat(path, &live), 0);
		left += (uint64_t)live.st_size;
		if (i == 60) /* up to the present end of the log, despite rotations */
			assert_int_equal(log_reader_open(r->dir, &(struct log_request){ .tail = 0 },
							 &page, &e),
					 0);
		if (i % 29 && i % 5) {
			auto_free char *got = drain(follower, (size_t)(50 + i), NULL);

			buf_puts(&received, got);
		}
	}
	all = drain(follower, 4096, NULL);
	buf_puts(&received, all);
	assert_string_equal(received.data, written.data);
	pages = drain(page, 4096, NULL);
	assert_string_equal(pages, "");
	log_reader_free(page);
	log_reader_free(follower);
	free(take_ptr(&all));
	all = read_all(r, (struct log_request){ .tail = 250 }, 4096);
	assert_string_equal(all, strstr(written.data, "line 050"));
	assert_true(left > 0);
}

/* Number of missing bytes in the daemon's marker line in @received; 0 if there is none. *after: the
 * text behind that line. */
static uint64_t skipped(const char *received, const char **after)
{
	const char *mark = strstr(received, "===== teepod: ");
	unsigned long long n = 0;

	if (!mark || sscanf(mark, "===== teepod: %llu bytes skipped: ", &n) != 1)
		fail_msg("no line with the number of missing bytes: %.200s", received);
	*after = strchr(mark, '\n') + 1;
	assert_null(strstr(*after, "===== teepod: "));
	return n;
}

static void a_slow_follower_learns_how_many_bytes_it_missed(void **st)
{
	const struct log_fixture *r = *st;

	for (int32_t slice = 7; slice <= 700; slice *= 10) {
		unsigned boot = slice == 7 ? 1 : slice == 70 ? 2 : 3;
		auto_buf struct buf written = { 0 };
		auto_free char *received = NULL;
		struct log_reader *lr = NULL;
		const char *after;
		struct err e;
		size_t before;

		begin(r, boot);
		assert_int_equal(log_reader_open(r->dir,
						 &(struct log_request){ .tail = 0, .follow = true },
						 &lr, &e),
				 0);
		guest_writes(r, "unfinished");
		received = drain(lr, (size_t)slice, NULL);
		assert_string_equal(received, "unfinished");
		free(take_ptr(&received));
		for (int i = 0; i < 60; i++) {
			auto_free char *line = xasprintf("line %03d of the guest\n", i);

			guest_writes(r, line);
			buf_puts(&written, line);
			rotate(r);
		}
		received = drain(lr, (size_t)slice, NULL);
		before = (size_t)skipped(received, &after);
		assert_int_equal(received[0], '\n');
		assert_int_equal(before + strlen(after), written.len);
		assert_string_equal(after, written.data + before);
		log_reader_free(lr);
	}
}

static void skipped_bytes_are_counted_in_a_flood_and_without_backups(void **st)
{
	const struct log_fixture *r = *st;
	const struct log_limits none = { .max_bytes = 100, .max_backups = 0, .keep_boots = 2 };
	auto_free char *flood = xmalloc(5001), *received = NULL;
	struct log_reader *lr = NULL;
	const char *after;
	struct err e;

	memset(flood, 'x', 5000);
	strcpy(flood + 4990, "the end!!\n");
	begin(r, 1);
	assert_int_equal(log_reader_open(r->dir, &(struct log_request){ .tail = 0, .follow = true },
					 &lr, &e),
			 0);
	guest_writes(r, flood);
	rotate(r);
	received = drain(lr, 4096, NULL);
	assert_int_equal(skipped(received, &after), 4900);
	assert_string_equal(after, flood + 4900);
	free(take_ptr(&received));
	guest_writes(r, flood);
	assert_int_equal(logs_rotate(r->dir, &none, &e), 0);
	guest_writes(r, "next\n");
	received = drain(lr, 4096, NULL);
	assert_int_equal(skipped(received, &after), 5000);
	assert_string_equal(after, "next\n");
	log_reader_free(lr);
}

static void a_truncated_log_continues_after_a_marker_line(void **st)
{
	const struct log_fixture *r = *st;
	auto_free char *path = xasprintf("%s/serial.log", r->dir), *received = NULL, *more = NULL;
	struct log_reader *lr = NULL;
	struct err e;

	begin(r, 1);
	assert_int_equal(log_reader_open(r->dir, &(struct log_request){ .tail = 0, .follow = true },
					 &lr, &e),
			 0);
	guest_writes(r, "one\n");
	free(drain(lr, 4096, NULL));
	assert_int_equal(truncate(path, 0), 0);
	guest_writes(r, "two\n");
	received = drain(lr, 4096, NULL);
	assert_string_equal(received,
			    "===== teepod: bytes skipped: the log was truncated before they "
			    "could be read =====\ntwo\n");
	/* Positions stay valid over the next rotation. */
	for (int i = 0; i < 5; i++)
		guest_writes(r, "five lines of the guest\n");
	rotate(r);
	guest_writes(r, "six\n");
	more = drain(lr, 4096, NULL);
	assert_int_equal(strlen(more), 5 * strlen("five lines of the guest\n") + strlen("six\n"));
	log_reader_free(lr);
}

/* The last output of a boot is read from the file that the next boot renamed, even if that file was
 * removed since. */
static void the_end_of_a_dropped_boot_is_read_or_reported_as_missing(void **st)
{
	const struct log_fixture *r = *st;
	const struct log_limits one = { .max_bytes = 100, .max_backups = 3, .keep_boots = 1 };
	auto_free char *received = NULL, *late = NULL;
	struct log_reader *lr = NULL, *in_segment = NULL;
	char piece[8];
	enum log_more more;
	struct err e;
	size_t n;

	begin(r, 1);
	assert_int_equal(log_reader_open(r->dir, &(struct log_request){ .tail = 0, .follow = true },
					 &lr, &e),
			 0);
	for (int i = 0; i < 5; i++)
		guest_writes(r, "five lines of the guest\n");
	rotate(r);
	free(drain(lr, 4096, NULL));
	assert_int_equal(
		log_reader_open(r->dir, &(struct log_request){ .tail = -1 }, &in_segment, &e), 0);
	while (log_reader_read(in_segment, piece, sizeof(piece), &n, &more, &e) == 0 && !n)
		;
	guest_writes(r, "last words\n");
	assert_int_equal(logs_boot_begin(r->dir, 2, r->qemu, &one, &e), 0);
	guest_writes(r, "not mine\n");
	assert_false(there(r, "serial.1.2.log"));
	received = drain(lr, 4096, &more);
	assert_string_equal(received, "last words\n");
	assert_int_equal(more, LOG_END);
	late = drain(in_segment, 4096, &more);
	assert_int_equal(more, LOG_END);
	assert_non_null(strstr(late, "===== teepod: bytes may be skipped: the end of the log of "
				     "boot 1 was removed ====="));
	log_reader_free(lr);
	log_reader_free(in_segment);
}

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

static bool can_collapse(const struct log_fixture *r)
{
	auto_free char *path = xasprintf("%s/probe", r->top), *data = xcalloc(1, 16384);
	auto_close int fd = open(path, O_RDWR | O_CREAT, 0600);

	assert_int_equal(write(fd, data, 16384), 16384);
	return fallocate(fd, FALLOC_FL_COLLAPSE_RANGE, 0, 4096) == 0;
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

	if (!can_collapse(r))
		skip();
	for (int rotators = 1; rotators <= 2; rotators++) {
		auto_buf struct buf received = { 0 };
		struct log_reader *follower = NULL;
		struct err e;
		pid_t pid[3];

		begin(r, (unsigned)rotators);
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
			text = drain(follower, 4096, NULL);
			buf_puts(&received, text);
		}
		assert_int_equal(status, 0);
		append(stop, "");
		for (int i = 1; i <= rotators; i++) {
			assert_int_equal(waitpid(pid[i], &status, 0), pid[i]);
			assert_int_equal(status, 0);
		}
		assert_int_equal(unlink(stop), 0);
		free(take_ptr(&text));
		text = drain(follower, 4096, NULL);
		buf_puts(&received, text);
		check_lines(received.data);
		log_reader_free(follower);
		free(take_ptr(&text));
		text = read_all(r, (struct log_request)EVERYTHING, 4096);
		check_lines(after_header(text));
		free(take_ptr(&text));
	}
}

static void a_follower_ends_when_the_next_boot_begins(void **st)
{
	const struct log_fixture *r = *st;
	for (enum log_stream s = LOG_SERIAL; s < LOG_STREAMS; s++) {
		auto_free char *a = NULL, *b = NULL;
		struct log_reader *lr = NULL;
		unsigned boot = s == LOG_SERIAL ? 1 : 3;
		enum log_more more;
		struct err e;

		begin(r, boot);
		s == LOG_SERIAL ? guest_writes(r, "early\n") : append(r->qemu, "early\n");
		assert_int_equal(log_reader_open(r->dir,
						 &(struct log_request){
							 .stream = s, .tail = -1, .follow = true },
						 &lr, &e),
				 0);
		a = drain(lr, 4096, &more);
		assert_int_equal(more, LOG_QUIET);
		s == LOG_SERIAL ? guest_writes(r, "last words\n") : append(r->qemu, "last words\n");
		begin(r, boot + 1);
		s == LOG_SERIAL ? guest_writes(r, "not mine\n") : append(r->qemu, "not mine\n");
		b = drain(lr, 4096, &more);
		assert_int_equal(more, LOG_END);
		assert_string_equal(b, "last words\n");
		assert_string_equal(log_reader_reason(lr),
				    boot == 1 ? "boot 2 began" : "boot 4 began");
		assert_int_equal(log_reader_boot(lr), boot);
		log_reader_free(lr);
	}
}

static void reading_without_following_ends_even_if_the_guest_never_stops(void **st)
{
	const struct log_fixture *r = *st;
	struct log_reader *lr = NULL;
	enum log_more more = LOG_MORE;
	char piece[64];
	unsigned reads = 0;
	struct err e;
	size_t n;

	begin(r, 1);
	guest_writes(r, "some words to begin with\n");
	assert_int_equal(log_reader_open(r->dir, &(struct log_request){ .tail = -1 }, &lr, &e), 0);
	while (more == LOG_MORE && reads++ < 100) {
		assert_int_equal(log_reader_read(lr, piece, sizeof(piece), &n, &more, &e), 0);
		guest_writes(r, "and more and more and more and more and more and more and more "
				"and more\n");
	}
	assert_int_equal(more, LOG_END);
	assert_string_equal(log_reader_reason(lr), "end of log");
	log_reader_free(lr);
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

	begin(r, 1);
	guest_writes(r, "one\n");
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

	begin(r, 1);
	for (int i = 0; i < 5; i++)
		guest_writes(r, "five lines of the guest\n");
	lock = locked(r);
	rotate(r);
	assert_true(there(r, "serial.1.1.log"));
	close(take_fd(&lock));
	text = read_all(r, (struct log_request){ .stream = LOG_SERIAL, .tail = 5 }, 4096);
	assert_int_equal(strlen(text), 5 * strlen("five lines of the guest\n"));
}

static void rotate_work(void *arg)
{
	struct err e;

	while (!job_is_cancelled())
		(void)usleep(1000);
	(void)logs_rotate(((const struct log_fixture *)arg)->dir, &small, &e);
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

	begin(r, 1);
	for (int i = 0; i < 5; i++)
		guest_writes(r, "five lines of the guest\n");
	lock = locked(r);
	assert_int_equal(uv_loop_init(&loop), 0);
	(void)job_start(&loop, &calls, r);
	(void)uv_run(&loop, UV_RUN_DEFAULT);
	assert_int_equal(lanes_close(&loop), 0);
	(void)uv_run(&loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&loop), 0);
	assert_false(there(r, "serial.1.1.log"));
}

static void a_cvm_that_never_started_has_an_empty_log(void **st)
{
	const struct log_fixture *r = *st;
	auto_free char *text = read_all(r, (struct log_request){ .tail = 100, .follow = true }, 64);
	auto_free struct log_boot *v = NULL;
	struct err e;
	size_t n;

	assert_string_equal(text, "");
	assert_int_equal(logs_list(r->dir, &v, &n, &e), 0);
	assert_int_equal(n, 0);
}

static void symbolic_links_and_fifos_are_not_read_as_logs(void **st)
{
	const struct log_fixture *r = *st;
	auto_free char *path = xasprintf("%s/serial.log", r->dir);
	struct log_reader *lr = NULL;
	enum log_more more;
	char piece[64];
	struct err e;
	size_t n;

	begin(r, 1);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(symlink("/etc/passwd", path), 0);
	assert_int_equal(log_reader_open(r->dir, &(struct log_request){ .tail = -1 }, &lr, &e), 0);
	assert_int_equal(log_reader_read(lr, piece, sizeof(piece), &n, &more, &e), -ERR_HOST);
	assert_int_equal(logs_rotate(r->dir, &small, &e), -ERR_HOST);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_int_equal(log_reader_read(lr, piece, sizeof(piece), &n, &more, &e), -ERR_HOST);
	log_reader_free(lr);
}

static void damage_to_the_boot_list_does_not_keep_a_cvm_from_starting(void **st)
{
	const struct log_fixture *r = *st;
	auto_free char *path = xasprintf("%s/boots.json", r->dir), *old = NULL;
	struct err e;

	begin(r, 1);
	guest_writes(r, "precious\n");
	assert_int_equal(file_write(path, "{", 1, 0640, &e), 0);
	begin(r, 2);
	old = read_all(r, (struct log_request){ .boot = 1, .tail = 1 }, 64);
	assert_string_equal(old, "precious\n");
}

/* ------------------------------------------------------------------ stripping */

static void strip_removes_control_sequences_across_any_split(void **st)
{
	static const struct {
		const char *in, *out;
	} want[] = {
		{ "plain\ttext\n", "plain\ttext\n" },
		{ "a\r\nb", "a\nb" },
		{ "\x1b[1;31mred\x1b[0m", "red" },
		{ "\x1b]0;title\atext", "text" },
		{ "\x1b]0;title\x1b\\text", "text" },
		{ "\x1bPdevice\x1b\\x", "x" },
		{ "\x1b(Bx\x1b=y\x1b"
		  "7z",
		  "xyz" },
		{ "\xc2\x9b"
		  "31mred",
		  "red" },
		{ "\xc2\x9dtitle\ax", "x" },
		{ "\xc2\xa9 caf\xc3\xa9", "\xc2\xa9 caf\xc3\xa9" },
		{ "a\b\x7f\x01"
		  "c",
		  "ac" },
		{ "\x1b]never closed\nnext", "\nnext" },
		{ "\x1b[12\nnext", "\nnext" },
		{ "\x1b\x1b[31mx", "x" },
		{ "\x9b"
		  "31mraw \x85\x90",
		  "?31mraw ??" },
		{ "\xe2\x80\x94 \xf0\x9f\x98\x80 \xd1\x9f",
		  "\xe2\x80\x94 \xf0\x9f\x98\x80 \xd1\x9f" },
		{ "\xe2\x80\x9b\x9b \xe2x\x9b \xe0\x9b", "\xe2\x80\x9b? \xe2x? \xe0?" },
		{ "\xc1\x9b \xf4\x90\x9b \xed\xa0\x9b", "\xc1? \xf4?? \xed\xa0?" },
		{ "Latin-1 caf\xe9\n", "Latin-1 caf\xe9\n" },
	};

	(void)st;
	for (size_t i = 0; i < ARRAY_SIZE(want); i++)
		for (size_t step = 1; step < 4; step++) {
			struct ansi a = { 0 };
			char out[128];
			size_t n = 0, len = strlen(want[i].in);

			for (size_t at = 0; at < len; at += step)
				n += ansi_strip(&a, want[i].in + at,
						len - at < step ? len - at : step, out + n);
			out[n] = '\0';
			assert_string_equal(out, want[i].out);
		}
}

static void an_unclosed_string_hides_no_more_than_4_kib(void **st)
{
	struct ansi a = { 0 };
	auto_free char *in = xmalloc(10000), *out = xmalloc(10001);
	size_t n;

	(void)st;
	memset(in, 'x', 10000);
	memcpy(in, "\x1b]", 2);
	n = ansi_strip(&a, in, 10000, out);
	assert_true(n > 5800 && n < 6000);
}

static void the_reader_strips_on_request(void **st)
{
	const struct log_fixture *r = *st;
	auto_free char *text = NULL, *raw = NULL;

	begin(r, 1);
	guest_writes(r, "\x1b[32mok\x1b[0m\r\n");
	text = read_all(r, (struct log_request){ .tail = 1, .strip = true }, 5);
	raw = read_all(r, (struct log_request){ .tail = 1 }, 5);
	assert_string_equal(text, "ok\n");
	assert_string_equal(raw, "\x1b[32mok\x1b[0m\r\n");
}

/* ------------------------------------------------------------------ progress lines */

struct reports {
	unsigned count[SERIAL_KINDS];
	char text[SERIAL_KINDS][SERIAL_TEXT];
};

static void add_report(void *arg, enum serial_kind kind, const char *text)
{
	struct reports *h = arg;

	h->count[kind]++;
	strcpy(h->text[kind], text);
}

static void feed(struct serial_scan *s, struct reports *h, const char *text)
{
	serial_scan_feed(s, text, strlen(text), add_report, h);
}

static void progress_is_reported_when_its_line_is_complete(void **st)
{
	struct serial_scan s = { 0 };
	struct reports h = { 0 };

	(void)st;
	feed(&s, &h, "");
	assert_int_equal(h.count[SERIAL_FIRST_BYTE], 0);
	feed(&s, &h, "\r\nLinux boots\r\nboot.prog");
	assert_int_equal(h.count[SERIAL_FIRST_BYTE], 1);
	feed(&s, &h, "ress: network up\r");
	assert_int_equal(h.count[SERIAL_BOOT_PROGRESS], 0);
	feed(&s, &h, "\nnot boot.progress: this\n boot.error: nor this\n");
	assert_string_equal(h.text[SERIAL_BOOT_PROGRESS], "network up");
	assert_int_equal(h.count[SERIAL_BOOT_PROGRESS], 1);
	assert_int_equal(h.count[SERIAL_BOOT_ERROR], 0);
	feed(&s, &h, "boot.error: no disk\nshutdown.progress: powering off\nboot.progress: done\n");
	assert_string_equal(h.text[SERIAL_BOOT_ERROR], "no disk");
	assert_string_equal(h.text[SERIAL_SHUTDOWN_PROGRESS], "powering off");
	assert_string_equal(h.text[SERIAL_BOOT_PROGRESS], "done");
	feed(&s, &h, "boot.error:\n");
	assert_string_equal(h.text[SERIAL_BOOT_ERROR], "");
	assert_int_equal(h.count[SERIAL_BOOT_ERROR], 2);
	assert_int_equal(h.count[SERIAL_FIRST_BYTE], 1);
}

static void repeating_and_flooding_cost_one_report(void **st)
{
	struct serial_scan s = { 0 };
	struct reports h = { 0 };
	auto_buf struct buf b = { 0 };

	(void)st;
	for (int i = 0; i < 5000; i++)
		buf_printf(&b, "boot.progress: %d\n", i);
	serial_scan_feed(&s, b.data, b.len, add_report, &h);
	assert_int_equal(h.count[SERIAL_BOOT_PROGRESS], 1);
	assert_string_equal(h.text[SERIAL_BOOT_PROGRESS], "4999");
	feed(&s, &h, "boot.progress: 4999\n");
	assert_int_equal(h.count[SERIAL_BOOT_PROGRESS], 1);
}

static void text_is_cut_and_made_printable(void **st)
{
	struct serial_scan s = { 0 };
	struct reports h = { 0 };
	auto_free char *line = xmalloc(5000);

	(void)st;
	feed(&s, &h,
	     "boot.progress: caf\xc3\xa9 \xff\xfe \xe2\x80\xae"
	     "evil \xf0\x9f\x98\x80 \xed\xa0\x80 \xc0\xaf\n");
	assert_string_equal(h.text[SERIAL_BOOT_PROGRESS],
			    "caf\xc3\xa9 ?? ?evil \xf0\x9f\x98\x80 ??? ??");
	memset(line, 'y', 4999);
	memcpy(line, "boot.progress: ", 15);
	strcpy(line + 4000, "\n");
	feed(&s, &h, line);
	assert_int_equal(strlen(h.text[SERIAL_BOOT_PROGRESS]), 120);
	memset(line + 15, 'z', 4900);
	strcpy(line + 4097, "\n");
	feed(&s, &h, line);
	assert_int_equal(h.text[SERIAL_BOOT_PROGRESS][0], 'y');
	memcpy(line, "boot.progress: \xc3\xa9\xc3\xa9\xc3\xa9", 21);
	for (int i = 0; i < 100; i++)
		memcpy(line + 16 + 2 * i, "\xc3\xa9", 2);
	line[15] = 'a';
	strcpy(line + 216, "\n");
	feed(&s, &h, line);
	assert_int_equal(strlen(h.text[SERIAL_BOOT_PROGRESS]), 119);
}

/* A rotation at a block's end leaves half a line in the live file. */
static void a_line_over_a_rotation_is_scanned_whole(void **st)
{
	const struct log_fixture *r = *st;
	const struct log_limits l = { .max_bytes = 1000, .max_backups = 3, .keep_boots = 1 };
	auto_free char *filler = xmalloc(4001);
	struct serial_scan s = { 0 };
	struct reports h = { 0 };
	struct err e;
	bool more;

	if (!can_collapse(r))
		skip();
	memset(filler, '\n', 4000);
	filler[4000] = '\0';
	begin(r, 1);
	guest_writes(r, filler);
	guest_writes(
		r,
		"boot.progress: seen once\n and more to the end of a block and over it\nboot.prog");
	assert_int_equal(serial_scan_file(&s, r->dir, add_report, &h, &more, &e), 0);
	assert_int_equal(logs_rotate(r->dir, &l, &e), 0);
	assert_true(there(r, "serial.1.1.log"));
	guest_writes(r, "ress: whole\n");
	assert_int_equal(serial_scan_file(&s, r->dir, add_report, &h, &more, &e), 0);
	assert_string_equal(h.text[SERIAL_BOOT_PROGRESS], "whole");
	assert_int_equal(h.count[SERIAL_BOOT_PROGRESS], 2);
}

static void the_file_is_scanned_on_over_rotation_and_boots(void **st)
{
	const struct log_fixture *r = *st;
	struct serial_scan s = { 0 };
	struct reports h = { 0 };
	struct err e;
	bool more;

	assert_int_equal(serial_scan_file(&s, r->dir, add_report, &h, &more, &e), 0);
	begin(r, 1);
	assert_int_equal(serial_scan_file(&s, r->dir, add_report, &h, &more, &e), 0);
	assert_int_equal(h.count[SERIAL_FIRST_BYTE], 0);
	guest_writes(
		r,
		"boot.progress: one and some more text to come over the bound of a hundred bytes, "
		"long as it is\n");
	assert_int_equal(serial_scan_file(&s, r->dir, add_report, &h, &more, &e), 0);
	assert_int_equal(h.count[SERIAL_FIRST_BYTE], 1);
	assert_memory_equal(h.text[SERIAL_BOOT_PROGRESS], "one", 3);
	rotate(r);
	guest_writes(r, "boot.progress: two\n");
	assert_int_equal(serial_scan_file(&s, r->dir, add_report, &h, &more, &e), 0);
	assert_string_equal(h.text[SERIAL_BOOT_PROGRESS], "two");
	begin(r, 2);
	s = (struct serial_scan){ 0 };
	assert_int_equal(serial_scan_file(&s, r->dir, add_report, &h, &more, &e), 0);
	assert_int_equal(h.count[SERIAL_FIRST_BYTE], 1);
	guest_writes(r, "x");
	assert_int_equal(serial_scan_file(&s, r->dir, add_report, &h, &more, &e), 0);
	assert_int_equal(h.count[SERIAL_FIRST_BYTE], 2);
	assert_false(more);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest t[] = {
		T(a_boot_begins_with_its_header_and_keeps_the_log_of_the_last_one),
		T(beginning_the_same_boot_again_changes_nothing),
		T(the_live_file_is_not_readable_by_others),
		T(only_the_newest_boots_are_kept),
		T(a_live_file_over_its_bound_becomes_a_segment),
		T(only_the_last_bytes_of_a_flood_are_kept),
		T(the_qemu_log_is_copied_from_libvirts_file),
		T(an_unreadable_libvirt_log_stops_no_boot_and_is_named),
		T(tail_counts_lines_over_segments),
		T(tail_of_an_earlier_boot_and_of_an_unfinished_line),
		T(tail_search_is_bounded),
		T(a_follower_loses_and_repeats_nothing_over_rotations),
		T(a_rotation_at_a_block_moves_no_reader),
		T(a_slow_follower_learns_how_many_bytes_it_missed),
		T(skipped_bytes_are_counted_in_a_flood_and_without_backups),
		T(a_truncated_log_continues_after_a_marker_line),
		T(the_end_of_a_dropped_boot_is_read_or_reported_as_missing),
		T(what_is_written_while_logs_are_rotated_is_not_lost),
		T(a_follower_ends_when_the_next_boot_begins),
		T(reading_without_following_ends_even_if_the_guest_never_stops),
		T(a_read_waits_for_a_held_lock_no_longer_than_its_deadline),
		T(a_lock_that_is_held_for_ever_does_not_keep_a_log_from_being_rotated),
		T(a_rotation_that_is_cancelled_while_it_waits_for_a_lock_is_left_undone),
		T(a_cvm_that_never_started_has_an_empty_log),
		T(symbolic_links_and_fifos_are_not_read_as_logs),
		T(damage_to_the_boot_list_does_not_keep_a_cvm_from_starting),
		T(strip_removes_control_sequences_across_any_split),
		T(an_unclosed_string_hides_no_more_than_4_kib),
		T(the_reader_strips_on_request),
		T(progress_is_reported_when_its_line_is_complete),
		T(repeating_and_flooding_cost_one_report),
		T(text_is_cut_and_made_printable),
		T(a_line_over_a_rotation_is_scanned_whole),
		T(the_file_is_scanned_on_over_rotation_and_boots),
	};

	return cmocka_run_group_tests_name("logs", t, NULL, NULL);
}
