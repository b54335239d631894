/* SPDX-License-Identifier: Apache-2.0
 * json_out_test.c - the same members as text and in an object.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "api/cloud/json_out.h"
#include "base/json.h"
#include "base/own.h"

static void put_members(struct json_out *o, struct json_shared *shared)
{
	struct json_out in;

	json_out_word(o, "word", "phala");
	json_out_word(o, "damaged", "a\"b\\c\x01\xff~\x7f");
	json_out_text_or_null(o, "text", "a \"quoted\"\n\xc3\xa4");
	json_out_text_or_null(o, "broken", "cut \xe2\x82");
	json_out_text_or_null(o, "empty", "");
	json_out_text_or_null(o, "missing", NULL);
	json_out_time_or_null(o, "at", 1700000000007);
	json_out_time_or_null(o, "never", 0);
	json_out_int(o, "least", INT64_MIN);
	json_out_bool(o, "yes", true);
	json_out_bool(o, "no", false);
	in = json_out_begin(o, "nothing_in_it");
	json_out_end(&in);
	in = json_out_begin(o, "inner");
	json_out_shared(&in, "first", shared);
	json_out_value(&in, "list", json_pack("[i,n,{s:s}]", 1, "k", "v"));
	json_out_end(&in);
	json_out_shared(o, "second", shared);
	json_out_members(o, json_pack("{s:i,s:n}", "page", 1, "pages"));
	json_out_null(o, "last");
}

static void text_and_object_have_the_same_members(void **st)
{
	struct json_shared shared = { 0 };
	auto_json json_t *object = json_object();
	auto_buf struct buf text = { 0 };
	auto_free char *want = NULL;

	(void)st;
	json_shared_set(&shared, json_string("before"));
	json_shared_set(&shared, json_pack("{s:f}", "memory", 0.5));
	buf_puts(&text, "{");
	put_members(&(struct json_out){ .text = &text }, &shared);
	buf_puts(&text, "}");
	put_members(&(struct json_out){ .object = object }, &shared);
	json_shared_end(&shared);
	want = json_dumps(object, JSON_COMPACT);
	assert_string_equal(text.data, want);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(text_and_object_have_the_same_members),
	};

	return cmocka_run_group_tests_name("json out", tests, NULL, NULL);
}
