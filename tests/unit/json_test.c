/* SPDX-License-Identifier: Apache-2.0
 * json_test.c - untrusted JSON: what is refused, and that the error names the field.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "base/alloc.h"
#include "base/array.h"
#include "base/buf.h"
#include "base/json.h"
#include "base/own.h"
#include "vmm/virt/xml_out.h"

struct target {
	int64_t n;
	const char *s;
	bool b;
	int word;
	json_t *list;
};

static const char *const colours[] = { "red", "green", NULL };
static const struct field inner[] = {
	{ .name = "x", .type = FIELD_INT, .max = 9, .flags = FIELD_REQUIRED, .at = FIELD_NOWHERE }
};
static const struct field_table inner_table = { "Inner", inner, ARRAY_SIZE(inner), true };
static const struct field fields[] = {
	{ .name = "n",
	  .type = FIELD_INT,
	  .min = 1,
	  .max = 10,
	  .at = offsetof(struct target, n),
	  .flags = FIELD_REQUIRED },
	{ .name = "s",
	  .type = FIELD_STRING,
	  .min = 1,
	  .max = 4,
	  .at = offsetof(struct target, s),
	  .flags = FIELD_NULLABLE },
	{ .name = "b", .type = FIELD_BOOL, .at = offsetof(struct target, b) },
	{ .name = "w", .type = FIELD_WORD, .words = colours, .at = offsetof(struct target, word) },
	{ .name = "l",
	  .type = FIELD_OBJECTS,
	  .max = 2,
	  .sub = &inner_table,
	  .at = offsetof(struct target, list) },
};
static const struct field_table table = { "Target", fields, ARRAY_SIZE(fields), true };

static int read_text(const char *text, struct target *t, struct err *e)
{
	auto_json json_t *j = json_read(text, strlen(text), e);

	return j ? fields_read(&table, j, "", t, e) : -(int)e->code;
}

static void good_values_arrive_and_absent_ones_are_left_alone(void **st)
{
	struct target t = { .word = 7 };
	struct err e;

	(void)st;
	assert_int_equal(read_text("{\"n\": 2.0, \"s\": null, \"b\": true}", &t, &e), 0);
	assert_int_equal(t.n, 2);
	assert_null(t.s);
	assert_true(t.b);
	assert_int_equal(t.word, 7);
	assert_int_equal(read_text("{\"n\": 1, \"w\": \"GREEN\"}", &t, &e), 0);
	assert_int_equal(t.word, 1);
}

static void refusals_name_the_field_and_what_is_allowed(void **st)
{
	static const struct {
		const char *text, *field, *rule;
	} bad[] = {
		{ "{}", "n", "missing" },
		{ "{\"n\": 11}", "n", "1 to 10" },
		{ "{\"n\": \"2\"}", "n", "a string" },
		{ "{\"n\": 1.5}", "n", "whole number" },
		{ "{\"n\": true}", "n", "boolean" },
		{ "{\"n\": null}", "n", "null" },
		{ "{\"n\": 1, \"s\": \"12345\"}", "s", "1 to 4 bytes" },
		{ "{\"n\": 1, \"b\": 1}", "b", "true or false" },
		{ "{\"n\": 1, \"w\": \"blue\"}", "w", "red, green" },
		{ "{\"n\": 1, \"l\": [{\"x\": 1}, {}]}", "l[1].x", "missing" },
		{ "{\"n\": 1, \"l\": [{\"x\": 1, \"y\": 2}]}", "l[0].y", "not a field" },
		{ "{\"n\": 1, \"l\": [{\"x\": 1},{\"x\": 1},{\"x\": 1}]}", "l", "0 to 2 objects" },
		{ "{\"n\": 1, \"q\": 1}", "q", "not a field" },
		{ "{\"n\": 99999999999999999999}", "n", "too large" },
		{ "{\"n\": 1, \"l\": [{\"x\": -99999999999999999999}]}", "l[0].x", "too large" },
	};
	struct target t;
	struct err e;

	(void)st;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		assert_int_equal(read_text(bad[i].text, &t, &e), -ERR_INVALID);
		assert_string_equal(e.field, bad[i].field);
		assert_non_null(strstr(e.text, bad[i].rule));
	}
}

static void documents_that_are_not_plain_json_are_refused(void **st)
{
	static const char *const bad[] = {
		"",
		"{",
		"{\"n\":1,\"n\":2}",
		"{\"n\":1}x",
		"{\"n\":\"\xff\xfe\"}",
		"{\"n\":\"\\u0000\"}",
		"[1,]",
		"{n:1}",
		"{\"n\":1e999}",
		"{\"n\":\"\xed\xa0\x80\"}",
	};
	char bomb[202];
	struct err e;

	(void)st;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_null(json_read(bad[i], strlen(bad[i]), &e));
	memset(bomb, '[', 101);
	memset(bomb + 101, ']', 101);
	assert_null(json_read(bomb, 202, &e));
	assert_non_null(strstr(e.text, "deeper"));
}

/* A body within its size limit may hold a value for each two bytes. */
static void documents_of_too_many_values_are_refused_before_they_are_built(void **st)
{
	enum { BYTES = 2 * (JSON_VALUES_MAX + 2) };
	auto_free char *text = xcalloc(BYTES + 1, 1);
	auto_json json_t *j = NULL;
	struct err e;

	(void)st;
	for (int i = 0; i < BYTES; i += 2)
		memcpy(text + i, "1,", 2);
	text[0] = '[';
	text[1] = ' ';
	text[BYTES - 1] = ']';
	assert_null(json_read(text, BYTES, &e));
	assert_string_equal(e.field, "body");
	assert_non_null(
		strstr(e.text, "65537 commas and opening brackets; allowed: at most 65536"));
	text[BYTES - 2] = ' ';
	text[BYTES - 3] = ' ';
	j = json_read(text, BYTES, &e);
	assert_int_equal(json_array_size(j), JSON_VALUES_MAX);
}

static void assert_too_many_members(const char *item, size_t n)
{
	auto_buf struct buf b = { 0 };
	auto_json json_t *j = NULL;
	struct err e;

	/* the outer list counts, too */
	for (size_t i = 0; i < (JSON_MEMBERS_MAX - 1) / n; i++)
		buf_printf(&b, "%s%s", i ? "," : "[", item);
	buf_puts(&b, "]");
	j = json_read(b.data, b.len, &e);
	assert_non_null(j);
	b.len--;
	buf_printf(&b, ",%s,%s]", item, item);
	assert_null(json_read(b.data, b.len, &e));
	assert_string_equal(e.field, "body");
	assert_non_null(strstr(e.text, "members, lists and objects; allowed: at most 16384"));
}

/* Processing them takes several times as long as numbers. */
static void documents_of_too_many_members_are_refused_before_they_are_built(void **st)
{
	(void)st;
	assert_too_many_members("{}", 1);
	assert_too_many_members("[]", 1);
	assert_too_many_members("{\"\":0}", 2);
}

static void commas_and_brackets_in_strings_do_not_count(void **st)
{
	enum { BYTES = 4 * JSON_VALUES_MAX };
	auto_free char *text = xcalloc(BYTES + 1, 1);
	auto_json json_t *j = NULL;
	struct err e;

	(void)st;
	memset(text, ',', BYTES);
	memcpy(text, "\"\\\"[", 4);
	text[BYTES - 1] = '"';
	j = json_read(text, BYTES, &e);
	assert_int_equal(json_string_length(j), BYTES - 3);
}

static void outputs_are_untouched_on_failure(void **st)
{
	struct target t = { .n = 77 };
	struct err e;

	(void)st;
	assert_int_equal(read_text("{\"n\": 0}", &t, &e), -ERR_INVALID);
	assert_int_equal(t.n, 77);
}

int main(void)
{
	const struct CMUnitTest t[] = {
		cmocka_unit_test(good_values_arrive_and_absent_ones_are_left_alone),
		cmocka_unit_test(refusals_name_the_field_and_what_is_allowed),
		cmocka_unit_test(documents_that_are_not_plain_json_are_refused),
		cmocka_unit_test(documents_of_too_many_values_are_refused_before_they_are_built),
		cmocka_unit_test(documents_of_too_many_members_are_refused_before_they_are_built),
		cmocka_unit_test(commas_and_brackets_in_strings_do_not_count),
		cmocka_unit_test(outputs_are_untouched_on_failure),
	};

	return cmocka_run_group_tests_name("json", t, NULL, NULL);
}
