/* SPDX-License-Identifier: Apache-2.0
 * head_test.c - request heads and both of their parsers, targets, queries, and UTF-8.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "api/http/head.h"
#include "api/http/target.h"
#include "base/array.h"
#include "base/utf8.h"

static struct head_fault fault;

static int parse(const char *raw, struct head *h)
{
	struct head_scan s = { 0 };
	size_t n = 0;

	fault = (struct head_fault){ 0 };
	if (head_scan(&s, raw, strlen(raw), 16384, &n, &fault) != 1)
		return -1;
	return head_parse(raw, n, h, &fault);
}

static void assert_span(struct span s, const char *text)
{
	assert_int_equal(s.n, strlen(text));
	assert_memory_equal(s.p, text, s.n);
}

static void plain_request_is_parsed(void **st)
{
	struct head h;

	(void)st;
	assert_int_equal(parse("POST /a/b?c=d HTTP/1.1\r\nhost: h:1\r\nContent-Length:  12 "
			       "\r\nX-Empty:\r\nX-B:\t b c\t\r\n\r\n",
			       &h),
			 0);
	assert_span(h.method, "POST");
	assert_span(h.target, "/a/b?c=d");
	assert_int_equal(h.minor, 1);
	assert_true(h.has_length);
	assert_int_equal(h.length, 12);
	assert_int_equal(h.n, 4);
	assert_span(head_find(&h, "Host"), "h:1");
	assert_span(head_find(&h, "x-empty"), "");
	assert_span(head_find(&h, "X-b"), "b c");
	assert_null(head_find(&h, "X-c").p);
}

static void llhttp_parses_the_same(void **st)
{
	static const char raw[] = "DELETE /x HTTP/1.0\r\nUpgrade: x\r\nConnection: upgrade, "
				  "close\r\nA: 1\r\nB:\r\n\r\n";
	struct head mine, theirs;

	(void)st;
	assert_int_equal(head_lint(raw, sizeof(raw) - 1, &mine, &fault), 0);
	assert_int_equal(head_llhttp(raw, sizeof(raw) - 1, &theirs), 0);
	assert_true(head_agree(&mine, &theirs));
	theirs.field[2].value.n = 0;
	assert_false(head_agree(&mine, &theirs));
}

static void end_of_head_is_found_for_any_split_of_the_bytes(void **st)
{
	static const char raw[] = "GET / HTTP/1.1\r\nHost: h\r\n\r\nGET /next";
	struct head_scan s = { 0 };
	size_t n = 0;

	(void)st;
	for (size_t i = 1; i < 27; i++)
		assert_int_equal(head_scan(&s, raw, i, 16384, &n, &fault), 0);
	assert_int_equal(head_scan(&s, raw, sizeof(raw) - 1, 16384, &n, &fault), 1);
	assert_int_equal(n, 27);
}

static void ambiguous_line_ends_are_refused_at_once(void **st)
{
	static const char *const bad[] = { "GET / HTTP/1.1\n",          "GET / HTTP/1.1\r\nA: b\rc",
					   "GET / HTTP/1.1\r\n\rX",     "\x16\x03",
					   "GET / HTTP/1.1\r\nA: \x7f", "A\x01" };

	(void)st;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct head_scan s = { 0 };
		size_t n = 0;

		assert_int_equal(head_scan(&s, bad[i], strlen(bad[i]), 16384, &n, &fault), -1);
		assert_int_equal(fault.status, 400);
	}
}

static void head_and_target_have_separate_limits(void **st)
{
	char raw[600];
	struct head_scan s = { 0 };
	size_t n = 0;

	(void)st;
	memset(raw, 'a', sizeof(raw));
	assert_int_equal(head_scan(&s, raw, 256, 512, &n, &fault), 0);
	assert_int_equal(head_scan(&s, raw, 257, 512, &n, &fault), -1);
	assert_int_equal(fault.status, 414);
	memcpy(raw + 100, "\r\n", 2);
	s = (struct head_scan){ 0 };
	assert_int_equal(head_scan(&s, raw, 512, 512, &n, &fault), 0);
	assert_int_equal(head_scan(&s, raw, 513, 512, &n, &fault), -1);
	assert_int_equal(fault.status, 431);
}

static void each_refusal_has_its_status(void **st)
{
	static const struct {
		int status;
		const char *raw;
	} bad[] = {
		{ 505, "GET / HTTP/2.0\r\nHost: h\r\n\r\n" },
		{ 505, "GET / HTTP/0.9\r\nHost: h\r\n\r\n" },
		{ 400, "GET / HTTP/1.11\r\nHost: h\r\n\r\n" },
		{ 400, "GET  / HTTP/1.1\r\nHost: h\r\n\r\n" },
		{ 400, "GET /\r\n\r\n" },
		{ 400, "GET / HTTP/1.1\r\n\r\n" },
		{ 400, "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n" },
		{ 400, "GET / HTTP/1.1\r\nHost: a\r\n b\r\n\r\n" },
		{ 400, "GET / HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n" },
		{ 400, "GET / HTTP/1.1\r\nHost : a\r\n\r\n" },
		{ 400,
		  "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n" },
		{ 400, "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\n" },
		{ 413, "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 9999999999999999999\r\n\r\n" },
		{ 411, "GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\n\r\n" },
		{ 417, "GET / HTTP/1.1\r\nHost: a\r\nExpect: tea\r\n\r\n" },
		{ 501, "get / HTTP/1.1\r\nHost: a\r\n\r\n" },
		{ 400, "GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n" },
	};

	(void)st;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct head h = { .minor = 77 };

		assert_int_equal(parse(bad[i].raw, &h), -1);
		assert_int_equal(fault.status, bad[i].status);
		assert_int_equal(h.minor, 77);
	}
}

static void tokens_in_lists_are_whole_words(void **st)
{
	(void)st;
	assert_true(head_has_token((struct span){ "keep-alive , Close", 18 }, "close"));
	assert_false(head_has_token((struct span){ "closed, x", 9 }, "close"));
	assert_false(head_has_token((struct span){ NULL, 0 }, "close"));
}

static void target_is_split_before_it_is_decoded(void **st)
{
	static const char raw[] = "/a%2Fb/%C3%A4/?x=%20";
	struct target t = { 0 };

	(void)st;
	assert_null(target_read(raw, strlen(raw), &t));
	assert_int_equal(t.n, 3);
	assert_string_equal(t.segment[0], "a/b");
	assert_string_equal(t.segment[1], "\xc3\xa4");
	assert_string_equal(t.segment[2], "");
	assert_string_equal(t.path, "/a/b/\xc3\xa4/");
	assert_string_equal(t.query, "x=%20");
	target_free(&t);
}

static void bad_targets_are_refused(void **st)
{
	static const char *const bad[] = { "/%",      "/%4",     "/%zz",    "/%00", "/%ff",
					   "/a/../b", "/.",      "/%2e%2E", "/%0a", "/?%",
					   "/?a=%00", "/?a=%c3", "x" };

	(void)st;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct target t = { .n = 77 };

		assert_non_null(target_read(bad[i], strlen(bad[i]), &t));
		assert_int_equal(t.n, 77);
	}
}

static void query_pairs_are_decoded(void **st)
{
	struct target_pair p[TARGET_PAIRS];
	char *store = NULL;

	(void)st;
	assert_int_equal(target_pairs("a=1&b&&c=x%26y+z&a=2=3&=", p, &store), 5);
	assert_string_equal(p[0].value, "1");
	assert_string_equal(p[1].key, "b");
	assert_string_equal(p[1].value, "");
	assert_string_equal(p[2].value, "x&y z");
	assert_string_equal(p[3].value, "2=3");
	assert_string_equal(p[4].key, "");
	free(store);
}

static void utf8_follows_the_table(void **st)
{
	static const char *const good[] = { "a",
					    "\xc2\x80",
					    "\xe0\xa0\x80",
					    "\xed\x9f\xbf",
					    "\xf0\x90\x80\x80",
					    "\xf4\x8f\xbf\xbf" };
	static const char *const bad[] = { "\x80",
					   "\xc0\x80",
					   "\xc3",
					   "\xe0\x9f\xbf",
					   "\xed\xa0\x80",
					   "\xf0\x8f\xbf\xbf",
					   "\xf4\x90\x80\x80",
					   "\xff" };

	(void)st;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		assert_int_equal(utf8_prefix(good[i], strlen(good[i])), strlen(good[i]));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(utf8_prefix(bad[i], strlen(bad[i])), 0);
	assert_int_equal(utf8_prefix("ab\xff", 3), 2);
}

static void text_that_is_not_plain_is_escaped(void **st)
{
	static const struct {
		const char *text, *shown;
	} rows[] = {
		{ "plain \xc3\xa9 \xf0\x9f\x98\x80", NULL },
		{ "\x1b[31m", "\\x1b[31m" },
		{ "a\xc2\x9b"
		  "1m",
		  "a\\u{9b}1m" },
		{ "\xe2\x80\xae"
		  "x",
		  "\\u{202e}x" },
		{ "\xe2\x80\xa8", "\\u{2028}" },
		{ "\xef\xbb\xbf", "\\u{feff}" },
		{ "\xf3\xa0\x80\xa1", "\\u{e0021}" },
		{ "\x7f\xff\xc3", "\\x7f\\xff\\xc3" },
	};
	char out[64];

	(void)st;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		utf8_show(rows[i].text, out, sizeof(out));
		assert_string_equal(out, rows[i].shown ? rows[i].shown : rows[i].text);
		assert_int_equal(utf8_is_plain(rows[i].text), !rows[i].shown);
		assert_true(utf8_is_plain(out));
	}
	utf8_show("a\tb", out, sizeof(out));
	assert_string_equal(out, "a\tb");
	assert_false(utf8_is_plain("a\tb"));
	utf8_show("ab\xc3\xa9", out, 4); /* cut before the character that does not fit */
	assert_string_equal(out, "ab");
	utf8_show("a\x1b", out, 5);
	assert_string_equal(out, "a");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(plain_request_is_parsed),
		cmocka_unit_test(llhttp_parses_the_same),
		cmocka_unit_test(end_of_head_is_found_for_any_split_of_the_bytes),
		cmocka_unit_test(ambiguous_line_ends_are_refused_at_once),
		cmocka_unit_test(head_and_target_have_separate_limits),
		cmocka_unit_test(each_refusal_has_its_status),
		cmocka_unit_test(tokens_in_lists_are_whole_words),
		cmocka_unit_test(target_is_split_before_it_is_decoded),
		cmocka_unit_test(bad_targets_are_refused),
		cmocka_unit_test(query_pairs_are_decoded),
		cmocka_unit_test(utf8_follows_the_table),
		cmocka_unit_test(text_that_is_not_plain_is_escaped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
