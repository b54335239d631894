/* SPDX-License-Identifier: Apache-2.0
 * lag_test.c - turns of the loop are measured without the time in poll; a long turn names its
 * handler.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/lag.h"
#include "base/log.h"
#include "base/loop.h"
#include "vmm/logs/serial_scan.h"
#include "vmm/virt/xml_out.h"

enum { LONG_MS = 120, SLEEP_MS = 150 };

struct world {
	uv_loop_t loop;
	FILE *log; /* what was logged */
	int stderr_before;
	bool enough[2]; /* before and after being busy */
};

static int set_up(void **st)
{
	struct world *w = calloc(1, sizeof(*w));

	w->log = tmpfile();
	w->stderr_before = dup(STDERR_FILENO);
	(void)dup2(fileno(w->log), STDERR_FILENO);
	log_open(LOG_LEVEL_INFO, false);
	assert_int_equal(uv_loop_init(&w->loop), 0);
	lag_open(&w->loop);
	*st = w;
	return 0;
}

static int tear_down(void **st)
{
	struct world *w = *st;

	(void)dup2(w->stderr_before, STDERR_FILENO);
	close(w->stderr_before);
	(void)fclose(w->log);
	assert_int_equal(uv_loop_close(&w->loop), 0);
	free(w);
	return 0;
}

static void busy(int ms)
{
	for (int64_t end = clock_mono_ms() + ms; clock_mono_ms() < end;)
		;
}

static void slow_handler(void *arg)
{
	struct world *w = arg;

	w->enough[0] = lag_enough();
	busy(LONG_MS);
	w->enough[1] = lag_enough();
}

static void short_handler(void *arg)
{
	(void)arg;
}

/* Nested sections: the time belongs to the inner one. */
static void outer_handler(void *arg)
{
	LAG_SECTION("GET", "/inner");
	slow_handler(arg);
}

/* A turn is reported by the next prepare callback; one more timer ensures there is one. */
static void run(struct world *w, void (*fn)(void *arg))
{
	(void)loop_after(&w->loop, 1, fn, w, NULL);
	(void)loop_after(&w->loop, SLEEP_MS, short_handler, w, NULL);
	(void)uv_run(&w->loop, UV_RUN_DEFAULT);
	lag_close();
	(void)uv_run(&w->loop, UV_RUN_DEFAULT);
}

static const char *logged(struct world *w, char text[512])
{
	size_t n;

	rewind(w->log);
	n = fread(text, 1, 511, w->log);
	text[n] = '\0';
	return text;
}

static void sleep_does_not_count(void **st)
{
	struct world *w = *st;
	char text[512];

	run(w, short_handler);
	assert_int_equal(lag_stats().longer, 0);
	assert_true(lag_stats().max_us < LAG_LONG_MS * 1000);
	assert_string_equal(logged(w, text), "");
}

static void a_long_turn_is_counted_and_named(void **st)
{
	struct world *w = *st;
	char text[512];

	run(w, slow_handler);
	assert_false(w->enough[0]);
	assert_true(w->enough[1]);
	assert_int_equal(lag_stats().longer, 1);
	assert_true(lag_stats().max_us > LAG_LONG_MS * 1000);
	assert_int_equal(lag_stats().bucket[LAG_BUCKETS - 1] + lag_stats().bucket[LAG_BUCKETS], 1);
	assert_non_null(strstr(logged(w, text), "the loop was blocked for "));
	/* loop_after() took the name from the parameter of run() */
	assert_non_null(strstr(text, " by timer fn"));
}

static void the_innermost_section_is_named(void **st)
{
	struct world *w = *st;
	char text[512];

	run(w, outer_handler);
	assert_int_equal(lag_stats().longer, 1);
	assert_non_null(strstr(logged(w, text), " by GET /inner"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(sleep_does_not_count, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_long_turn_is_counted_and_named, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(the_innermost_section_is_named, set_up, tear_down),
	};

	return cmocka_run_group_tests_name("lag", tests, NULL, NULL);
}
