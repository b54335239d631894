/* SPDX-License-Identifier: Apache-2.0
 * logs_test.c - logs of guests: no byte is lost or repeated, sizes are bounded, contents are not
 * trusted.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/array.h"
#include "base/buf.h"
#include "base/file.h"
#include "base/own.h"
#include "base/strings.h"
#include "tests/unit/log_fixture.h"
#include "vmm/logs/log_reader.h"
#include "vmm/logs/logs.h"

static void a_boot_begins_with_its_header_and_keeps_the_log_of_the_last_one(void **st)
{
	const struct log_fixture *r = *st;
	auto_free char *old = NULL, *new = NULL;

	log_begin_boot(r, 1);
	log_guest_writes(r, "one\n");
	log_begin_boot(r, 2);
	log_guest_writes(r, "two\n");
	old = log_read_all(r, (struct log_request){ .stream = LOG_SERIAL, .boot = 1, .tail = -1 },
			   4096);
	new = log_read_all(r, (struct log_request)EVERYTHING, 4096);
	assert_memory_equal(old, "===== boot 1 @ 20", 17);
	assert_string_equal(log_after_header(old), "one\n");
	assert_memory_equal(new, "===== boot 2 @ 20", 17);
	assert_string_equal(log_after_header(new), "two\n");
}

static void beginning_the_same_boot_again_changes_nothing(void **st)
{
	const struct log_fixture *r = *st;
	auto_free char *text = NULL;
	struct err e;

	log_begin_boot(r, 1);
	log_guest_writes(r, "still here\n");
	log_begin_boot(r, 1);
	text = log_read_all(r, (struct log_request)EVERYTHING, 4096);
	assert_string_equal(log_after_header(text), "still here\n");
	assert_false(log_has_file(r, "serial.1.1.log"));
	log_begin_boot(r, 2);
	assert_int_equal(logs_boot_begin(r->dir, 1, NULL, &log_small, &e), -ERR_INVALID);
}

static void the_live_file_is_not_readable_by_others(void **st)
{
	const struct log_fixture *r = *st;
	auto_free char *path = xasprintf("%s/serial.log", r->dir);
	struct stat s;

	log_begin_boot(r, 1);
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
		log_begin_boot(r, boot);
		log_guest_writes(r, "hello\n");
		log_append(r->qemu, "qemu\n");
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

	log_begin_boot(r, 1);
	for (int i = 0; i < 20; i++) {
		auto_free char *line = xasprintf("line %02d of the guest\n", i);

		log_guest_writes(r, line);
		buf_puts(&all, line);
		if (i == 8)
			assert_false(log_has_file(r, "serial.1.3.log"));
		log_rotate(r);
	}
	assert_false(log_has_file(r, "serial.1.1.log"));
	assert_true(log_has_file(r, "serial.1.2.log") && log_has_file(r, "serial.1.3.log") &&
		    log_has_file(r, "serial.1.4.log"));
	text = log_read_all(r, (struct log_request)EVERYTHING, 37);
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
	log_begin_boot(r, 1);
	log_guest_writes(r, flood);
	log_rotate(r);
	assert_int_equal(file_read(path, 10000, &kept, NULL, &e), 0);
	assert_int_equal(strlen(kept), 100);
	assert_string_equal(kept + 90, "the end!!\n");
}

static void the_qemu_log_is_copied_from_libvirts_file(void **st)
{
	const struct log_fixture *r = *st;
	auto_free char *a = NULL, *b = NULL;

	log_begin_boot(r, 1);
	log_append(r->qemu, "first qemu\n");
	log_begin_boot(r, 2);
	log_append(r->qemu, "second qemu\n");
	a = log_read_all(r, (struct log_request){ .stream = LOG_QEMU, .boot = 1, .tail = -1 },
			 4096);
	b = log_read_all(r, (struct log_request){ .stream = LOG_QEMU, .tail = -1 }, 4096);
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
		assert_int_equal(logs_boot_begin(r->dir, boot, qemu, &log_small, &e), 0);
	assert_int_equal(logs_rotate(r->dir, &log_small, &e), 0);
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
	log_append(qemu, "root's\n");
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

	log_begin_boot(r, 1);
	for (int i = 0; i < 12; i++) {
		auto_free char *line = xasprintf("line %02d of the guest\n", i);

		log_guest_writes(r, line);
		log_rotate(r);
	}
	assert_true(log_has_file(r, "serial.1.2.log"));
	for (size_t i = 0; i < ARRAY_SIZE(want); i++) {
		auto_free char *text = log_read_all(
			r, (struct log_request){ .stream = LOG_SERIAL, .tail = want[i].lines },
			4096);

		if (strncmp(text, want[i].begins, strlen(want[i].begins)) != 0)
			fail_msg("tail %d begins with %.20s", (int)want[i].lines, text);
		assert_string_equal(text + strlen(text) - 21, "line 11 of the guest\n");
	}
	auto_free char *none =
		log_read_all(r, (struct log_request){ .stream = LOG_SERIAL, .tail = 0 }, 4096);

	assert_string_equal(none, "");
}

static void tail_of_an_earlier_boot_and_of_an_unfinished_line(void **st)
{
	const struct log_fixture *r = *st;
	auto_free char *old = NULL, *live = NULL;

	log_begin_boot(r, 1);
	log_guest_writes(r, "a\nb\nc\n");
	log_begin_boot(r, 2);
	log_guest_writes(r, "d\ne\nprompt> ");
	old = log_read_all(r, (struct log_request){ .stream = LOG_SERIAL, .boot = 1, .tail = 2 },
			   4096);
	live = log_read_all(r, (struct log_request){ .stream = LOG_SERIAL, .tail = 2 }, 4096);
	assert_string_equal(old, "b\nc\n");
	assert_string_equal(live, "e\nprompt> ");
}

static void tail_search_is_bounded(void **st)
{
	const struct log_fixture *r = *st;
	auto_free char *big = xmalloc(LOG_TAIL_BYTES + 4096), *text = NULL;

	memset(big, 'x', LOG_TAIL_BYTES + 4095);
	big[LOG_TAIL_BYTES + 4095] = '\0';
	log_begin_boot(r, 1);
	log_guest_writes(r, big);
	text = log_read_all(r, (struct log_request){ .stream = LOG_SERIAL, .tail = 5 }, 4096);
	assert_int_equal(strlen(text), LOG_TAIL_BYTES);
}

static void a_follower_loses_and_repeats_nothing_over_rotations(void **st)
{
	const struct log_fixture *r = *st;
	auto_buf struct buf written = { 0 }, received = { 0 };
	struct log_reader *lr = NULL;
	struct err e;

	log_begin_boot(r, 1);
	assert_int_equal(log_reader_open(r->dir, &(struct log_request){ .tail = 0, .follow = true },
					 &lr, &e),
			 0);
	for (int i = 0; i < 200; i++) {
		auto_free char *line = xasprintf("line %03d of the guest\n", i), *got = NULL;
		enum log_more more;

		log_guest_writes(r, line);
		buf_puts(&written, line);
		if (i % 3 == 0)
			log_rotate(r);
		if (i % 2 == 0)
			continue;
		got = log_drain(lr, (size_t)(7 + i), &more);
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

	log_begin_boot(r, 1);
	assert_int_equal(log_reader_open(r->dir, &(struct log_request){ .tail = 0, .follow = true },
					 &follower, &e),
			 0);
	for (int i = 0; i < 300; i++) {
		auto_free char *line = xasprintf("line %03d %*d\n", i, 10 + i * 7 % 900, i);

		log_guest_writes(r, line);
		buf_puts(&written, line);
		assert_int_equal(logs_rotate(r->dir, &blocks, &e), 0);
		assert_int_equal(stat(path, &live), 0);
		left += (uint64_t)live.st_size;
		if (i == 60) /* up to the present end of the log, despite rotations */
			assert_int_equal(log_reader_open(r->dir, &(struct log_request){ .tail = 0 },
							 &page, &e),
					 0);
		if (i % 29 && i % 5) {
			auto_free char *got = log_drain(follower, (size_t)(50 + i), NULL);

			buf_puts(&received, got);
		}
	}
	all = log_drain(follower, 4096, NULL);
	buf_puts(&received, all);
	assert_string_equal(received.data, written.data);
	pages = log_drain(page, 4096, NULL);
	assert_string_equal(pages, "");
	log_reader_free(page);
	log_reader_free(follower);
	free(take_ptr(&all));
	all = log_read_all(r, (struct log_request){ .tail = 250 }, 4096);
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

		log_begin_boot(r, boot);
		assert_int_equal(log_reader_open(r->dir,
						 &(struct log_request){ .tail = 0, .follow = true },
						 &lr, &e),
				 0);
		log_guest_writes(r, "unfinished");
		received = log_drain(lr, (size_t)slice, NULL);
		assert_string_equal(received, "unfinished");
		free(take_ptr(&received));
		for (int i = 0; i < 60; i++) {
			auto_free char *line = xasprintf("line %03d of the guest\n", i);

			log_guest_writes(r, line);
			buf_puts(&written, line);
			log_rotate(r);
		}
		received = log_drain(lr, (size_t)slice, NULL);
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
	log_begin_boot(r, 1);
	assert_int_equal(log_reader_open(r->dir, &(struct log_request){ .tail = 0, .follow = true },
					 &lr, &e),
			 0);
	log_guest_writes(r, flood);
	log_rotate(r);
	received = log_drain(lr, 4096, NULL);
	assert_int_equal(skipped(received, &after), 4900);
	assert_string_equal(after, flood + 4900);
	free(take_ptr(&received));
	log_guest_writes(r, flood);
	assert_int_equal(logs_rotate(r->dir, &none, &e), 0);
	log_guest_writes(r, "next\n");
	received = log_drain(lr, 4096, NULL);
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

	log_begin_boot(r, 1);
	assert_int_equal(log_reader_open(r->dir, &(struct log_request){ .tail = 0, .follow = true },
					 &lr, &e),
			 0);
	log_guest_writes(r, "one\n");
	free(log_drain(lr, 4096, NULL));
	assert_int_equal(truncate(path, 0), 0);
	log_guest_writes(r, "two\n");
	received = log_drain(lr, 4096, NULL);
	assert_string_equal(received,
			    "===== teepod: bytes skipped: the log was truncated before they "
			    "could be read =====\ntwo\n");
	/* Positions stay valid over the next rotation. */
	for (int i = 0; i < 5; i++)
		log_guest_writes(r, "five lines of the guest\n");
	log_rotate(r);
	log_guest_writes(r, "six\n");
	more = log_drain(lr, 4096, NULL);
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

	log_begin_boot(r, 1);
	assert_int_equal(log_reader_open(r->dir, &(struct log_request){ .tail = 0, .follow = true },
					 &lr, &e),
			 0);
	for (int i = 0; i < 5; i++)
		log_guest_writes(r, "five lines of the guest\n");
	log_rotate(r);
	free(log_drain(lr, 4096, NULL));
	assert_int_equal(
		log_reader_open(r->dir, &(struct log_request){ .tail = -1 }, &in_segment, &e), 0);
	while (log_reader_read(in_segment, piece, sizeof(piece), &n, &more, &e) == 0 && !n)
		;
	log_guest_writes(r, "last words\n");
	assert_int_equal(logs_boot_begin(r->dir, 2, r->qemu, &one, &e), 0);
	log_guest_writes(r, "not mine\n");
	assert_false(log_has_file(r, "serial.1.2.log"));
	received = log_drain(lr, 4096, &more);
	assert_string_equal(received, "last words\n");
	assert_int_equal(more, LOG_END);
	late = log_drain(in_segment, 4096, &more);
	assert_int_equal(more, LOG_END);
	assert_non_null(strstr(late, "===== teepod: bytes may be skipped: the end of the log of "
				     "boot 1 was removed ====="));
	log_reader_free(lr);
	log_reader_free(in_segment);
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

		log_begin_boot(r, boot);
		s == LOG_SERIAL ? log_guest_writes(r, "early\n") : log_append(r->qemu, "early\n");
		assert_int_equal(log_reader_open(r->dir,
						 &(struct log_request){
							 .stream = s, .tail = -1, .follow = true },
						 &lr, &e),
				 0);
		a = log_drain(lr, 4096, &more);
		assert_int_equal(more, LOG_QUIET);
		s == LOG_SERIAL ? log_guest_writes(r, "last words\n")
				: log_append(r->qemu, "last words\n");
		log_begin_boot(r, boot + 1);
		s == LOG_SERIAL ? log_guest_writes(r, "not mine\n")
				: log_append(r->qemu, "not mine\n");
		b = log_drain(lr, 4096, &more);
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

	log_begin_boot(r, 1);
	log_guest_writes(r, "some words to begin with\n");
	assert_int_equal(log_reader_open(r->dir, &(struct log_request){ .tail = -1 }, &lr, &e), 0);
	while (more == LOG_MORE && reads++ < 100) {
		assert_int_equal(log_reader_read(lr, piece, sizeof(piece), &n, &more, &e), 0);
		log_guest_writes(r,
				 "and more and more and more and more and more and more and more "
				 "and more\n");
	}
	assert_int_equal(more, LOG_END);
	assert_string_equal(log_reader_reason(lr), "end of log");
	log_reader_free(lr);
}

static void a_cvm_that_never_started_has_an_empty_log(void **st)
{
	const struct log_fixture *r = *st;
	auto_free char *text =
		log_read_all(r, (struct log_request){ .tail = 100, .follow = true }, 64);
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

	log_begin_boot(r, 1);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(symlink("/etc/passwd", path), 0);
	assert_int_equal(log_reader_open(r->dir, &(struct log_request){ .tail = -1 }, &lr, &e), 0);
	assert_int_equal(log_reader_read(lr, piece, sizeof(piece), &n, &more, &e), -ERR_HOST);
	assert_int_equal(logs_rotate(r->dir, &log_small, &e), -ERR_HOST);
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

	log_begin_boot(r, 1);
	log_guest_writes(r, "precious\n");
	assert_int_equal(file_write(path, "{", 1, 0640, &e), 0);
	log_begin_boot(r, 2);
	old = log_read_all(r, (struct log_request){ .boot = 1, .tail = 1 }, 64);
	assert_string_equal(old, "precious\n");
}

int main(void)
{
	const struct CMUnitTest t[] = {
		WITH_LOGS(a_boot_begins_with_its_header_and_keeps_the_log_of_the_last_one),
		WITH_LOGS(beginning_the_same_boot_again_changes_nothing),
		WITH_LOGS(the_live_file_is_not_readable_by_others),
		WITH_LOGS(only_the_newest_boots_are_kept),
		WITH_LOGS(a_live_file_over_its_bound_becomes_a_segment),
		WITH_LOGS(only_the_last_bytes_of_a_flood_are_kept),
		WITH_LOGS(the_qemu_log_is_copied_from_libvirts_file),
		WITH_LOGS(an_unreadable_libvirt_log_stops_no_boot_and_is_named),
		WITH_LOGS(tail_counts_lines_over_segments),
		WITH_LOGS(tail_of_an_earlier_boot_and_of_an_unfinished_line),
		WITH_LOGS(tail_search_is_bounded),
		WITH_LOGS(a_follower_loses_and_repeats_nothing_over_rotations),
		WITH_LOGS(a_rotation_at_a_block_moves_no_reader),
		WITH_LOGS(a_slow_follower_learns_how_many_bytes_it_missed),
		WITH_LOGS(skipped_bytes_are_counted_in_a_flood_and_without_backups),
		WITH_LOGS(a_truncated_log_continues_after_a_marker_line),
		WITH_LOGS(the_end_of_a_dropped_boot_is_read_or_reported_as_missing),
		WITH_LOGS(a_follower_ends_when_the_next_boot_begins),
		WITH_LOGS(reading_without_following_ends_even_if_the_guest_never_stops),
		WITH_LOGS(a_cvm_that_never_started_has_an_empty_log),
		WITH_LOGS(symbolic_links_and_fifos_are_not_read_as_logs),
		WITH_LOGS(damage_to_the_boot_list_does_not_keep_a_cvm_from_starting),
	};

	return cmocka_run_group_tests_name("logs", t, NULL, NULL);
}
