/* SPDX-License-Identifier: Apache-2.0
 * host_table_test.c - the table of --check-host: alignment, line width, summary.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "daemon/host_table.h"
#include "vmm/host/host_check.h"

static void fill(struct host_check rows[HOST_CHECKS])
{
	for (size_t i = 0; i < HOST_CHECKS; i++) {
		rows[i] = (struct host_check){ .name = i ? "part" : "first", .required = i < 12 };
		(void)snprintf(rows[i].value, sizeof(rows[i].value), "found %zu", i);
	}
}

static char *table(const struct host_check rows[HOST_CHECKS], unsigned width)
{
	struct buf out = { 0 };

	host_table(rows, width, &out);
	return buf_take(&out);
}

static void expect_end(const struct host_check rows[HOST_CHECKS], const char *want)
{
	char *text = table(rows, 80), *last = strstr(text, "This host");

	assert_non_null(last);
	assert_string_equal(last, want);
	free(text);
}

static void rows_are_aligned_and_advice_is_below(void **state)
{
	struct host_check rows[HOST_CHECKS];
	char *text;

	(void)state;
	fill(rows);
	rows[1].state = CHECK_MISSING;
	(void)snprintf(rows[1].advice, sizeof(rows[1].advice), "do this");
	text = table(rows, 80);
	assert_ptr_equal(strstr(text, "Required of every TDX host:\n\n"
				      "first                ok       found 0\n"
				      "part                 missing  found 1\n"
				      "    -> do this\n"
				      "part                 ok       found 2\n"),
			 text);
	assert_non_null(strstr(text, "found 11\n\nRequired by some CVMs, or for information:\n\n"
				     "part                 ok       found 12\n"));
	free(text);
}

static void words_of(const char *text, char *out)
{
	for (; *text; text++)
		if (*text != ' ' && *text != '\n')
			*out++ = *text;
	*out = '\0';
}

static void no_line_is_wider_than_the_screen_and_no_word_is_lost(void **state)
{
	static const unsigned widths[] = { 0, 60, 61, 79, 80, 120, 500 };
	struct host_check rows[HOST_CHECKS];
	char packed[8192], wanted[2 * sizeof(rows[0].value)];

	(void)state;
	fill(rows);
	memset(rows[0].value, 'x', sizeof(rows[0].value) - 1); /* one word */
	for (size_t i = 0; i + 1 < sizeof(rows[0].advice); i++)
		rows[0].advice[i] = i % 7 == 6 ? ' ' : 'y';
	for (size_t w = 0; w < sizeof(widths) / sizeof(widths[0]); w++) {
		size_t most = widths[w] < 60 ? 60 : widths[w] > 120 ? 120 : widths[w];
		char *text = table(rows, widths[w]);

		for (const char *line = text; *line; line += strcspn(line, "\n") + 1)
			if (strcspn(line, "\n") > most)
				fail_msg("%zu columns: %.*s", most, (int)strcspn(line, "\n"), line);
		words_of(text, packed);
		words_of(rows[0].value, wanted);
		words_of(rows[0].advice, wanted + strlen(wanted) + 2);
		memcpy(wanted + strlen(wanted), "->", 2);
		assert_non_null(strstr(packed, wanted));
		free(text);
	}
}

static void the_summary_counts_missing_and_unknown_checks(void **state)
{
	struct host_check rows[HOST_CHECKS];

	(void)state;
	fill(rows);
	rows[15].state = CHECK_WARN;
	expect_end(rows, "This host can run TDX guests.\n");
	rows[2].state = CHECK_UNKNOWN;
	expect_end(rows,
		   "This host can run TDX guests, as far as is known: 1 could not be checked.\n");
	rows[0].state = CHECK_MISSING;
	expect_end(rows,
		   "This host cannot run TDX guests: 1 of 12 required parts is missing (first), 1\n"
		   "could not be checked.\n");
	rows[1].state = CHECK_MISSING;
	rows[2].state = CHECK_OK;
	expect_end(rows, "This host cannot run TDX guests: 2 of 12 required parts are missing "
			 "(first,\npart).\n");
}

int main(void)
{
	const struct CMUnitTest t[] = {
		cmocka_unit_test(rows_are_aligned_and_advice_is_below),
		cmocka_unit_test(no_line_is_wider_than_the_screen_and_no_word_is_lost),
		cmocka_unit_test(the_summary_counts_missing_and_unknown_checks),
	};

	return cmocka_run_group_tests_name("host_table", t, NULL, NULL);
}
