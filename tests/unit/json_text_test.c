/* SPDX-License-Identifier: Apache-2.0
 * json_text_test.c - json_write() writes the text of json_dumps().
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include <jansson.h>

#include "api/http/json_text.h"
#include "base/buf.h"
#include "base/own.h"

static void assert_same_text(json_t *j)
{
	auto_free char *want = json_dumps(j, JSON_COMPACT | JSON_ENCODE_ANY);
	auto_buf struct buf got = { 0 };

	json_write(j, &got);
	assert_string_equal(got.data, want);
	assert_int_equal(got.len, strlen(want));
	json_decref(j);
}

static void scalars_and_empty_containers(void **st)
{
	(void)st;
	assert_same_text(json_null());
	assert_same_text(json_true());
	assert_same_text(json_false());
	assert_same_text(json_array());
	assert_same_text(json_object());
	assert_same_text(json_integer(0));
	assert_same_text(json_integer(INT64_MAX));
	assert_same_text(json_integer(INT64_MIN));
	assert_same_text(json_real(0.5));
	assert_same_text(json_real(-1e300));
}

static void every_character_that_needs_an_escape(void **st)
{
	(void)st;
	for (int c = 1; c < 0x80; c++) {
		assert_same_text(json_pack("s#", (char[]){ (char)c }, 1));
		assert_same_text(
			json_pack("s#", (char[]){ 'a', (char)c, 'b', (char)c, (char)c }, 5));
	}
	assert_same_text(json_stringn("a\0b", 3));
	assert_same_text(json_string("\xc3\xa4 \xe2\x82\xac \xf0\x9f\x98\x80 \"quoted\""));
}

static void nested_values_and_keys_with_escapes(void **st)
{
	(void)st;
	assert_same_text(json_pack("{s:[i,{s:n,s:[]},[[b]]],s:s}", "list", -7, "a\"b", "\n", 1,
				   "last", "x\\y"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(scalars_and_empty_containers),
		cmocka_unit_test(every_character_that_needs_an_escape),
		cmocka_unit_test(nested_values_and_keys_with_escapes),
	};

	return cmocka_run_group_tests_name("json text", tests, NULL, NULL);
}
