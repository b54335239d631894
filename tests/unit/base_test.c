/* SPDX-License-Identifier: Apache-2.0
 * base_test.c - errors, identifiers, times, buffers, files, timers.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/array.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/file.h"
#include "base/id.h"
#include "base/loop.h"
#include "base/own.h"
#include "base/utf8.h"
#include "tests/unit/temp_dir.h"

static void an_error_keeps_field_value_and_numbers(void **st)
{
	char longer[300];
	struct err e;

	(void)st;
	memset(longer, 'x', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = 0;
	assert_int_equal(err_field(&e, ERR_INVALID, "a.b", "bad\nvalue", "no %d", 7), -ERR_INVALID);
	assert_string_equal(e.value, "bad?value");
	assert_string_equal(e.text, "no 7");
	assert_int_equal(err_hint(&e, "try"), -ERR_INVALID);
	(void)err_field(&e, ERR_INVALID, "a", longer, "%s", longer);
	assert_int_equal(strlen(e.value), 95);
	assert_int_equal(err_capacity(&e, "vcpus", 3, 1, 2), -ERR_CAPACITY);
	assert_int_equal(e.cap.free, 1);
	assert_int_equal(err_sys(&e, ENOSPC, "write %s", "x"), -ERR_HOST);
	assert_string_equal(e.text, "write x: No space left on device");
	for (int i = 0; i < ERR_CODES; i++)
		assert_string_not_equal(err_word((enum err_code)i), "unknown");
}

#define MONITOR "internal error: process exited while connecting to monitor: "
#define TIME    "2026-11-28T11:50:00.123456Z "
#define QEMU    "qemu-system-x86_64: "

static void the_cause_is_neither_a_notice_nor_advice(void **st)
{
	static const struct {
		const char *text, *cause;
	} rows[] = {
		{ MONITOR TIME QEMU
		  "warning: host doesn't support requested feature: CPUID.01H:ECX.x2apic\n" TIME
			  QEMU
		  "-device vfio-pci,host=18:00.0: vfio 0000:18:00.0: group 7 is not viable\n",
		  QEMU "-device vfio-pci,host=18:00.0: vfio 0000:18:00.0: group 7 is not viable" },
		{ MONITOR TIME QEMU
		  "-device vhost-vsock-pci: unable to set guest cid: Address already in use\n" TIME
			  QEMU "warning: TSC frequency mismatch\n",
		  MONITOR TIME QEMU
		  "-device vhost-vsock-pci: unable to set guest cid: Address already in use" },
		{ MONITOR TIME QEMU
		  "-chardev pty,id=com0: char device redirected to /dev/pts/1 (label com0)\n" TIME
			  QEMU "cannot set up guest memory 'pc.ram': Cannot allocate memory\n\n",
		  QEMU "cannot set up guest memory 'pc.ram': Cannot allocate memory" },
		{ MONITOR TIME QEMU
		  "-cpu foo: unable to find CPU model 'foo'\nUse -cpu help to list them\n",
		  MONITOR TIME QEMU "-cpu foo: unable to find CPU model 'foo'" },
		{ "Could not access KVM kernel module: Permission denied\n" QEMU
		  "failed to initialize kvm: Permission denied\n" QEMU
		  "terminating on signal 15 from pid 1 (libvirtd)",
		  QEMU "failed to initialize kvm: Permission denied" },
		{ MONITOR TIME QEMU "warning: nothing else",
		  "internal error: process exited while connecting to monitor" },
		{ MONITOR TIME QEMU "-device virtio-9p-pci: warning: short-form boolean option "
				    "'readonly' deprecated\n"
				    "Please use readonly=on instead\n",
		  "internal error: process exited while connecting to monitor" },
		{ QEMU "warning: nothing else", QEMU "warning: nothing else" },
		{ QEMU "info: one\r\n\r\nthe cause\r\nmore\r\n", "the cause" },
		{ "operation failed: domain 'x' already exists",
		  "operation failed: domain 'x' already exists" },
		{ "", "" },
		{ "\n\n", "" },
	};
	char out[320];

	(void)st;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		err_cause(rows[i].text, out, sizeof(out));
		assert_string_equal(out, rows[i].cause);
	}
	err_cause("0123456789", out, 5);
	assert_string_equal(out, "0123");
}

static void a_value_is_cut_between_characters(void **st)
{
	char text[200] = "";
	struct err e;

	(void)st;
	for (int i = 0; i < 60; i++)
		strcat(text, "\xe2\x82\xac");
	(void)err_field(&e, ERR_INVALID, "f", text, "t");
	assert_int_equal(strlen(e.value) % 3, 0);
	assert_memory_equal(e.value + strlen(e.value) - 3, "\xe2\x82\xac", 3);
}

static void an_error_is_text_whatever_it_quotes(void **st)
{
	char longer[400];
	struct err e;

	(void)st;
	(void)err_hint(&e, "%s", "caf\xe9");
	assert_string_equal(e.hint, "caf?");
	(void)err_sys(&e, ENOSPC, "write %s", "/srv/\xff/x");
	assert_string_equal(e.text, "write /srv/?/x: No space left on device");
	/* Cut in the middle of a character. */
	for (size_t shift = 0; shift < 3; shift++) {
		memset(longer, 'x', shift);
		for (size_t i = shift; i + 3 < sizeof(longer); i += 3)
			memcpy(longer + i, "\xe2\x82\xac", 4);
		(void)err_field(&e, ERR_INVALID, longer, longer, "%s", longer);
		assert_int_equal(utf8_prefix(e.text, strlen(e.text)), strlen(e.text));
		assert_int_equal(utf8_prefix(e.field, strlen(e.field)), strlen(e.field));
		assert_int_equal(utf8_prefix(e.value, strlen(e.value)), strlen(e.value));
	}
}

static void uuids_have_their_version_and_parse_in_every_spelling(void **st)
{
	char a[UUID_TEXT], b[UUID_TEXT], out[UUID_TEXT];

	(void)st;
	id_uuid4(a);
	assert_int_equal(a[14], '4');
	assert_non_null(strchr("89ab", a[19]));
	id_uuid7(a);
	id_uuid7(b);
	assert_int_equal(a[14], '7');
	assert_true(strncmp(a, b, 8) <= 0);
	assert_true(id_uuid_parse("4903908A0D5542C186B38D35D5DB2C66", out));
	assert_string_equal(out, "4903908a-0d55-42c1-86b3-8d35d5db2c66");
	assert_true(id_uuid_parse("4903908a-0d55-42c1-86b3-8d35d5db2c66", out));
	assert_false(id_uuid_parse("4903908a-0d5542c1-86b3-8d35d5db2c66-", out));
	assert_false(id_uuid_parse("4903908a0d5542c186b38d35d5db2c6g", out));
	assert_false(id_uuid_parse("", out));
}

static void hex_goes_both_ways_and_digests_are_right(void **st)
{
	uint8_t bytes[3] = { 1, 2, 3 };
	char hex[SHA256_HEX];

	(void)st;
	assert_true(id_unhex("00fFa0", bytes, 3));
	assert_int_equal(bytes[1], 255);
	assert_false(id_unhex("00ff", bytes, 3));
	assert_false(id_unhex("00ffzz", bytes, 3));
	assert_int_equal(bytes[1], 255);
	id_sha256_hex("abc", 3, hex);
	assert_string_equal(hex,
			    "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	assert_true(id_equal("same", "same", 4));
	assert_false(id_equal("same", "sane", 4));
}

static void times_are_written_as_clients_read_them(void **st)
{
	char text[CLOCK_TEXT];

	(void)st;
	assert_string_equal(clock_rfc3339(1769000000374, text), "2026-01-21T12:53:20.374Z");
	assert_string_equal(clock_rfc3339(7, text), "1970-01-01T00:00:00.007Z");
	assert_string_equal(clock_rfc3339(253402300799999, text), "9999-12-31T23:59:59.999Z");
	assert_string_equal(clock_rfc3339(INT64_MAX, text), "9999-12-31T23:59:59.999Z");
	assert_string_equal(clock_rfc3339(-1, text), "1970-01-01T00:00:00.000Z");
	assert_string_equal(clock_span(0, text), "0s");
	assert_string_equal(clock_span(-5, text), "0s");
	assert_string_equal(clock_span(3000, text), "3s");
	assert_string_equal(clock_span(7503000, text), "2h 5m 3s");
	assert_string_equal(clock_span((86400 + 3 * 3600) * 1000LL, text), "1day 3h");
	assert_string_equal(clock_span(2 * 86400 * 1000LL, text), "2days");
}

static void buffers_grow_and_always_end_in_nul(void **st)
{
	auto_buf struct buf b = { 0 };
	auto_free char *taken = NULL;

	(void)st;
	for (int i = 0; i < 1000; i++)
		buf_printf(&b, "%d,", i);
	assert_int_equal(b.len, 3890);
	assert_int_equal(b.data[b.len], 0);
	buf_drop(&b, 2);
	assert_memory_equal(b.data, "1,2,", 4);
	buf_printf(&b, "%0500d", 7);
	assert_int_equal(b.len, 4388);
	taken = buf_take(&b);
	assert_int_equal(strlen(taken), 4388);
	assert_int_equal(b.len, 0);
	buf_drop(&b, 10);
	assert_int_equal(b.len, 0);
}

static void a_file_is_written_whole_or_not_at_all(void **st)
{
	auto_free char *path = temp_path("file"), *lost = temp_path("no/such/folder"), *text = NULL;
	struct stat sb;
	struct err e;
	size_t n;

	(void)st;
	assert_int_equal(file_write(path, "one", 3, 0600, &e), 0);
	assert_int_equal(file_write(path, "three", 5, 0640, &e), 0);
	assert_int_equal(stat(path, &sb), 0);
	assert_int_equal(sb.st_mode & 0777, 0640);
	assert_int_equal(file_read(path, 100, &text, &n, &e), 0);
	assert_int_equal(n, 5);
	assert_string_equal(text, "three");
	assert_int_equal(file_write(lost, "x", 1, 0600, &e), -ERR_HOST);
	assert_int_equal(e.sys, ENOENT);
	assert_int_equal(file_read(lost, 100, &text, &n, &e), -ERR_NOT_FOUND);
	assert_int_equal(file_read(path, 4, &text, &n, &e), -ERR_TOO_LARGE);
	assert_string_equal(text, "three");
}

static void removing_a_tree_does_not_follow_links(void **st)
{
	auto_free char *tree = temp_path("tree/a/b"), *top = temp_path("tree"),
		       *link = temp_path("tree/a/link"), *kept = temp_path("kept");
	struct err e;

	(void)st;
	assert_int_equal(file_mkdirs(tree, 0755, &e), 0);
	assert_int_equal(file_mkdirs(tree, 0755, &e), 0);
	assert_int_equal(file_mkdirs(kept, 0755, &e), 0);
	assert_int_equal(symlink(kept, link), 0);
	assert_int_equal(file_remove_tree(top, &e), 0);
	assert_int_equal(access(top, F_OK), -1);
	assert_int_equal(access(kept, F_OK), 0);
	assert_int_equal(file_remove_tree(top, &e), 0);
}

struct ticks {
	int n;
	struct loop_timer *slot;
};

static void tick(void *arg)
{
	struct ticks *t = arg;

	t->n++;
	assert_null(t->slot);
}

static void timers_fire_once_and_cancelling_is_harmless_at_any_time(void **st)
{
	struct ticks fired = { 0 }, cancelled = { 0 };
	uv_loop_t loop;

	(void)st;
	assert_int_equal(uv_loop_init(&loop), 0);
	(void)loop_after(&loop, 1, tick, &fired, &fired.slot);
	(void)loop_after(&loop, 1, tick, &cancelled, &cancelled.slot);
	loop_after_cancel(&cancelled.slot);
	loop_after_cancel(&cancelled.slot);
	assert_int_equal(uv_run(&loop, UV_RUN_DEFAULT), 0);
	loop_after_cancel(&fired.slot);
	assert_int_equal(fired.n, 1);
	assert_int_equal(cancelled.n, 0);
	assert_int_equal(uv_loop_close(&loop), 0);
}

int main(void)
{
	const struct CMUnitTest t[] = {
		cmocka_unit_test(an_error_keeps_field_value_and_numbers),
		cmocka_unit_test(the_cause_is_neither_a_notice_nor_advice),
		cmocka_unit_test(a_value_is_cut_between_characters),
		cmocka_unit_test(an_error_is_text_whatever_it_quotes),
		cmocka_unit_test(uuids_have_their_version_and_parse_in_every_spelling),
		cmocka_unit_test(hex_goes_both_ways_and_digests_are_right),
		cmocka_unit_test(times_are_written_as_clients_read_them),
		cmocka_unit_test(buffers_grow_and_always_end_in_nul),
		cmocka_unit_test(a_file_is_written_whole_or_not_at_all),
		cmocka_unit_test(removing_a_tree_does_not_follow_links),
		cmocka_unit_test(timers_fire_once_and_cancelling_is_harmless_at_any_time),
	};

	return cmocka_run_group_tests_name("base", t, temp_dir_set_up, temp_dir_tear_down);
}
