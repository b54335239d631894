/* SPDX-License-Identifier: Apache-2.0
 * registers_test.c - MRTD, RTMR1 and RTMR2 are what an implementation of its own makes of the same
 * files; broken files are refused.
 *
 * measure_vectors.py made both the files in tests/data/measure and the numbers. The same Python
 * gives the MRTD published for Ubuntu's OVMF 2025.02-3ubuntu2 (virtee/tdx-measure: 7357a10d2e27...)
 * and the digest in the signature of Debian's kernel. Run from the project's root.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/id.h"
#include "base/json.h"
#include "base/own.h"
#include "base/strings.h"
#include "vmm/tdx/firmware.h"
#include "vmm/tdx/rtmr.h"
#include "vmm/tdx/tdvf.h"

#define CMDLINE "console=ttyS0 init=/init"

struct sample {
	uint8_t *data; /* owned, of exactly n bytes: reading past them is seen */
	size_t n;
};

static void sample_end(struct sample *s)
{
	free(s->data);
}

#define auto_sample __attribute__((cleanup(sample_end)))

static struct sample sample(const char *name)
{
	auto_free char *path = xasprintf("tests/data/measure/%s", name), *text = NULL;
	struct sample s = { 0 };
	struct err e;

	if (file_read(path, 1 << 20, &text, &s.n, &e) < 0)
		fail_msg("%s", e.text);
	s.data = xmalloc(s.n);
	memcpy(s.data, text, s.n);
	return s;
}

static json_t *vectors(void)
{
	auto_free char *text = NULL;
	auto_json json_t *all = NULL;
	struct err e;
	size_t n;

	assert_int_equal(file_read("tests/data/measure_vectors.json", 1 << 20, &text, &n, &e), 0);
	all = json_read(text, n, &e);
	assert_non_null(all);
	return json_incref(json_object_get(all, "registers"));
}

static void is(const uint8_t value[SHA384_LEN], const json_t *expected)
{
	char hex[SHA384_HEX];

	id_hex(value, SHA384_LEN, hex);
	assert_non_null(expected);
	assert_string_equal(hex, json_string_value(expected));
}

/* ------------------------------------------------------------------ MRTD */

static void mrtd_is_what_python_makes_of_the_same_firmware(void **st)
{
	auto_json json_t *v = vectors();
	json_t *each = json_object_get(v, "mrtd"), *expected;
	const char *name;

	(void)st;
	assert_int_equal(json_object_size(each), 2);
	json_object_foreach(each, name, expected)
	{
		auto_sample struct sample fw = sample(name);
		uint8_t mrtd[SHA384_LEN];
		struct err e;

		assert_int_equal(tdvf_mrtd(fw.data, fw.n, mrtd, &e), 0);
		is(mrtd, expected);
	}
}

enum { METADATA = 0xf000, SECTION = METADATA + 16, TABLE = 65536 - 32 };

/* Change @n bytes at @at to the low bytes of @value: refused with @why in the text, the output left
 * alone. */
static void breaks(size_t at, unsigned n, uint64_t value, const char *why)
{
	auto_sample struct sample fw = sample("new.fd");
	uint8_t mrtd[SHA384_LEN], before[SHA384_LEN];
	struct err e = { 0 };

	for (unsigned i = 0; i < n; i++)
		fw.data[at + i] = (uint8_t)(value >> (8 * i));
	memset(mrtd, 0x5a, sizeof(mrtd));
	memcpy(before, mrtd, sizeof(before));
	assert_int_equal(tdvf_mrtd(fw.data, fw.n, mrtd, &e), -ERR_INVALID);
	assert_string_equal(e.field, "firmware");
	if (!strstr(e.text, why))
		fail_msg("%s, expected %s", e.text, why);
	assert_memory_equal(mrtd, before, sizeof(mrtd));
}

static void what_qemu_would_refuse_is_refused_with_its_reason(void **st)
{
	(void)st;
	breaks(TABLE - 1, 1, 0, "not end with a GUID table");
	breaks(TABLE - 18, 2, 0xffff, "longer than the file");
	breaks(TABLE - 18, 2, 3, "longer than the file");
	breaks(TABLE - 36, 2, 200, "longer than the table");
	breaks(TABLE - 36, 2, 0, "longer than the table");
	breaks(TABLE - 18 - 23 - 1, 1, 0, "no TDX metadata");
	breaks(TABLE - 18 - 23 - 22, 4, 70000, "outside the file");
	breaks(TABLE - 18 - 23 - 22, 4, 3, "outside the file");
	breaks(TABLE - 18 - 23 - 22, 4, 0x1004, "no signature");
	breaks(METADATA + 8, 4, 2, "unknown version");
	breaks(METADATA + 12, 4, 1, "2 to 64 sections");
	breaks(METADATA + 12, 4, 0x80000001, "2 to 64 sections");
	breaks(METADATA + 12, 4, 5, "length of its TDX metadata");
	breaks(SECTION + 24, 4, 4, "unknown type");
	breaks(SECTION + 8, 8, 0xffff4001, "whole pages");
	breaks(SECTION + 16, 8, 0xc001, "whole pages");
	breaks(SECTION + 16, 8, 0xb000, "more data than memory");
	breaks(SECTION + 16, 8, 0xd000, "outside the file");
	breaks(SECTION + 16, 8, 0xfffffffffffff000, "1 GiB");
	breaks(SECTION + 64 + 16, 8, 0x40000000, "1 GiB together");
	breaks(SECTION + 8, 8, 0xfffffffffffff000, "1 GiB");
	breaks(SECTION, 4, 0xfffff000, "outside the file");
	breaks(SECTION + 4, 4, 0, "no data");
	breaks(SECTION + 64 + 4, 4, 4096, "no data, or data");
	breaks(SECTION + 96 + 28, 4, 1, "TD HOB is measured");
	breaks(SECTION + 96 + 24, 4, 3, "no place for the TD HOB");
}

static void files_of_other_sizes_are_no_firmware(void **st)
{
	auto_sample struct sample fw = sample("new.fd");
	uint8_t mrtd[SHA384_LEN];
	struct err e;

	(void)st;
	assert_int_equal(tdvf_mrtd(fw.data, 0, mrtd, &e), -ERR_INVALID);
	assert_int_equal(tdvf_mrtd(fw.data, 48, mrtd, &e), -ERR_INVALID);
	assert_int_equal(tdvf_mrtd(fw.data, fw.n - 1, mrtd, &e), -ERR_INVALID);
}

/* ------------------------------------------------------------------ the firmware's ways */

static void the_ways_are_read_from_the_compressed_volume(void **st)
{
	auto_sample struct sample new = sample("new.fd"), old = sample("old.fd"),
				  kernel = sample("kernel");
	struct firmware_ways w;

	(void)st;
	assert_true(firmware_ways(new.data, new.n, &w));
	assert_int_equal(w.initrd_word, INITRD_WORD_FIRST);
	assert_true(w.named_blobs);
	assert_true(firmware_ways(old.data, old.n, &w));
	assert_int_equal(w.initrd_word, INITRD_WORD_LAST);
	assert_false(w.named_blobs);
	assert_false(firmware_ways(kernel.data, kernel.n, &w));
	assert_false(firmware_ways(new.data, 0, &w));
}

static void a_damaged_volume_says_nothing(void **st)
{
	auto_sample struct sample fw = sample("new.fd");
	struct firmware_ways w = { .named_blobs = true };

	(void)st;
	memset(fw.data + 0x5000 + 24, 0xff, 13);
	assert_false(firmware_ways(fw.data, fw.n, &w));
	memset(fw.data + 0x5000 + 20, 0xff, 2); /* the data begin behind the file's end */
	assert_false(firmware_ways(fw.data, fw.n, &w));
	assert_true(w.named_blobs);
}

/* ------------------------------------------------------------------ RTMR1 */

static void pe_digests_leave_signature_and_checksum_out(void **st)
{
	auto_json json_t *v = vectors();
	json_t *each = json_object_get(v, "pe_digest"), *expected;
	const char *name;

	(void)st;
	assert_int_equal(json_object_size(each), 2);
	json_object_foreach(each, name, expected)
	{
		auto_sample struct sample k = sample(name);
		uint8_t digest[SHA384_LEN];
		struct err e;

		k.data[0x58 + 64] ^= 0xff;
		assert_int_equal(pe_digest(k.data, k.n, digest, &e), 0);
		is(digest, expected);
	}
}

static void pe_breaks(size_t at, unsigned n, uint64_t value, const char *why)
{
	auto_sample struct sample k = sample("kernel.signed");
	uint8_t digest[SHA384_LEN] = { 0x5a };
	struct err e = { 0 };

	for (unsigned i = 0; i < n; i++)
		k.data[at + i] = (uint8_t)(value >> (8 * i));
	assert_int_equal(pe_digest(k.data, k.n, digest, &e), -ERR_INVALID);
	assert_string_equal(e.field, "kernel");
	if (!strstr(e.text, why))
		fail_msg("%s, expected %s", e.text, why);
	assert_int_equal(digest[0], 0x5a);
}

static void files_that_are_no_efi_application_are_refused(void **st)
{
	uint8_t digest[SHA384_LEN], nothing[64] = "MZ";
	struct err e;

	(void)st;
	pe_breaks(0, 1, 0, "MZ");
	pe_breaks(0x3c, 4, 0xffffffff, "no PE header");
	pe_breaks(0x3c, 4, 8212 - 26, "no PE header");
	pe_breaks(0x46, 2, 97, "longer than the file");
	pe_breaks(0x54, 2, 1, "longer than the file");
	pe_breaks(0x54, 2, 8212, "longer than the file");
	pe_breaks(0x54, 2, 100, "too short");
	pe_breaks(0x54, 2, 120, "longer than its optional header");
	pe_breaks(0x58, 2, 0x107, "unknown kind");
	pe_breaks(0x58 + 60, 4, 0x40, "size of its headers");
	pe_breaks(0x58 + 60, 4, 0xffffffff, "size of its headers");
	pe_breaks(0x58 + 112 + 36, 4, 8000, "certificates are longer");
	pe_breaks(0xf8 + 16, 4, 0x2000, "section lies outside");
	pe_breaks(0xf8 + 20, 4, 0xffffffff, "section lies outside");
	assert_int_equal(pe_digest(nothing, 2, digest, &e), -ERR_INVALID);
	assert_int_equal(pe_digest(nothing, sizeof(nothing), digest, &e), -ERR_INVALID);
}

static void rtmr1_is_the_chain_of_five_events(void **st)
{
	auto_json json_t *v = vectors();
	auto_sample struct sample k = sample("kernel");
	uint8_t digest[SHA384_LEN], rtmr[SHA384_LEN];
	struct err e;

	(void)st;
	assert_int_equal(pe_digest(k.data, k.n, digest, &e), 0);
	rtmr1_of(digest, rtmr);
	is(rtmr, json_object_get(v, "rtmr1"));
}

/* 2 GiB and everything from 2.75 GiB on give one digest: the initrd then ends at the same place. */
static void a_kernel_patched_by_an_older_qemu_depends_on_the_memory(void **st)
{
	auto_json json_t *v = vectors();
	auto_sample struct sample initrd = sample("initrd");
	json_t *each = json_object_get(v, "rtmr1_patched"), *one;
	size_t i;

	(void)st;
	assert_int_equal(json_array_size(each), 6);
	json_array_foreach(each, i, one)
	{
		auto_sample struct sample k = sample("kernel");
		uint64_t memory = (uint64_t)json_integer_value(json_object_get(one, "memory_mib"));
		uint8_t digest[SHA384_LEN], rtmr[SHA384_LEN];
		struct err e;

		assert_int_equal(kernel_header_patch(k.data, k.n, initrd.n, memory, &e), 0);
		assert_int_equal(pe_digest(k.data, k.n, digest, &e), 0);
		rtmr1_of(digest, rtmr);
		is(rtmr, json_object_get(one, "value"));
	}
}

static void a_kernel_that_qemu_would_not_patch_like_that_is_refused(void **st)
{
	auto_sample struct sample k = sample("kernel");
	struct err e;

	(void)st;
	assert_int_equal(kernel_header_patch(k.data, 0x260, 1, 2048, &e), -ERR_INVALID);
	assert_int_equal(kernel_header_patch(k.data, k.n, 64 << 20, 64, &e), -ERR_INCOMPATIBLE);
	assert_string_equal(e.field, "memory");
	assert_int_equal(kernel_header_patch(k.data, k.n, 1, 0, &e), -ERR_INCOMPATIBLE);
	k.data[0x206] = 0x0b;
	assert_int_equal(kernel_header_patch(k.data, k.n, 1, 2048, &e), -ERR_INVALID);
	assert_string_equal(e.field, "kernel");
	k.data[0x206] = 0x0f;
	k.data[0x211] = 0;
	assert_int_equal(kernel_header_patch(k.data, k.n, 1, 2048, &e), -ERR_INVALID);
}

/* ------------------------------------------------------------------ RTMR2 */

static void rtmr2_is_the_command_line_as_the_firmware_words_it_and_the_initrd(void **st)
{
	auto_json json_t *v = vectors();
	auto_sample struct sample initrd = sample("initrd");
	uint8_t digest[SHA384_LEN], rtmr[SHA384_LEN];
	struct err e;

	(void)st;
	sha384(initrd.data, initrd.n, digest);
	assert_int_equal(rtmr2_of(CMDLINE, INITRD_WORD_LAST, digest, rtmr, &e), 0);
	is(rtmr, json_object_get(v, "rtmr2_last"));
	assert_int_equal(rtmr2_of(CMDLINE, INITRD_WORD_FIRST, digest, rtmr, &e), 0);
	is(rtmr, json_object_get(v, "rtmr2_first"));
	assert_int_equal(rtmr2_of("caf\xc3\xa9", INITRD_WORD_LAST, digest, rtmr, &e), -ERR_INVALID);
	is(rtmr, json_object_get(v, "rtmr2_first"));
}

int main(void)
{
	const struct CMUnitTest t[] = {
		cmocka_unit_test(mrtd_is_what_python_makes_of_the_same_firmware),
		cmocka_unit_test(what_qemu_would_refuse_is_refused_with_its_reason),
		cmocka_unit_test(files_of_other_sizes_are_no_firmware),
		cmocka_unit_test(the_ways_are_read_from_the_compressed_volume),
		cmocka_unit_test(a_damaged_volume_says_nothing),
		cmocka_unit_test(pe_digests_leave_signature_and_checksum_out),
		cmocka_unit_test(files_that_are_no_efi_application_are_refused),
		cmocka_unit_test(rtmr1_is_the_chain_of_five_events),
		cmocka_unit_test(a_kernel_patched_by_an_older_qemu_depends_on_the_memory),
		cmocka_unit_test(a_kernel_that_qemu_would_not_patch_like_that_is_refused),
		cmocka_unit_test(rtmr2_is_the_command_line_as_the_firmware_words_it_and_the_initrd),
	};

	return cmocka_run_group_tests_name("registers", t, NULL, NULL);
}
