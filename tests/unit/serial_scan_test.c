/* SPDX-License-Identifier: Apache-2.0
 * serial_scan_test.c - control sequences are stripped from output of guests, and progress lines are
 * found in it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/array.h"
#include "base/buf.h"
#include "base/own.h"
#include "tests/unit/log_fixture.h"
#include "vmm/logs/ansi.h"
#include "vmm/logs/logs.h"
#include "vmm/logs/serial_scan.h"

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

	log_begin_boot(r, 1);
	log_guest_writes(r, "\x1b[32mok\x1b[0m\r\n");
	text = log_read_all(r, (struct log_request){ .tail = 1, .strip = true }, 5);
	raw = log_read_all(r, (struct log_request){ .tail = 1 }, 5);
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

	if (!log_can_collapse(r))
		skip();
	memset(filler, '\n', 4000);
	filler[4000] = '\0';
	log_begin_boot(r, 1);
	log_guest_writes(r, filler);
	log_guest_writes(
		r,
		"boot.progress: seen once\n and more to the end of a block and over it\nboot.prog");
	assert_int_equal(serial_scan_file(&s, r->dir, add_report, &h, &more, &e), 0);
	assert_int_equal(logs_rotate(r->dir, &l, &e), 0);
	assert_true(log_has_file(r, "serial.1.1.log"));
	log_guest_writes(r, "ress: whole\n");
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
	log_begin_boot(r, 1);
	assert_int_equal(serial_scan_file(&s, r->dir, add_report, &h, &more, &e), 0);
	assert_int_equal(h.count[SERIAL_FIRST_BYTE], 0);
	log_guest_writes(
		r,
		"boot.progress: one and some more text to come over the bound of a hundred bytes, "
		"long as it is\n");
	assert_int_equal(serial_scan_file(&s, r->dir, add_report, &h, &more, &e), 0);
	assert_int_equal(h.count[SERIAL_FIRST_BYTE], 1);
	assert_memory_equal(h.text[SERIAL_BOOT_PROGRESS], "one", 3);
	log_rotate(r);
	log_guest_writes(r, "boot.progress: two\n");
	assert_int_equal(serial_scan_file(&s, r->dir, add_report, &h, &more, &e), 0);
	assert_string_equal(h.text[SERIAL_BOOT_PROGRESS], "two");
	log_begin_boot(r, 2);
	s = (struct serial_scan){ 0 };
	assert_int_equal(serial_scan_file(&s, r->dir, add_report, &h, &more, &e), 0);
	assert_int_equal(h.count[SERIAL_FIRST_BYTE], 1);
	log_guest_writes(r, "x");
	assert_int_equal(serial_scan_file(&s, r->dir, add_report, &h, &more, &e), 0);
	assert_int_equal(h.count[SERIAL_FIRST_BYTE], 2);
	assert_false(more);
}

int main(void)
{
	const struct CMUnitTest t[] = {
		WITH_LOGS(strip_removes_control_sequences_across_any_split),
		WITH_LOGS(an_unclosed_string_hides_no_more_than_4_kib),
		WITH_LOGS(the_reader_strips_on_request),
		WITH_LOGS(progress_is_reported_when_its_line_is_complete),
		WITH_LOGS(repeating_and_flooding_cost_one_report),
		WITH_LOGS(text_is_cut_and_made_printable),
		WITH_LOGS(a_line_over_a_rotation_is_scanned_whole),
		WITH_LOGS(the_file_is_scanned_on_over_rotation_and_boots),
	};

	return cmocka_run_group_tests_name("serial_scan", t, NULL, NULL);
}
