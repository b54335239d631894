/* SPDX-License-Identifier: Apache-2.0
 * meter_test.c - what a CVM costs, metered time, amounts and times as text.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/cloud/serialize_workspace.h"
#include "base/array.h"
#include "base/clock.h"
#include "base/id.h"
#include "db/ledger.h"
#include "vmm/account/meter.h"
#include "vmm/node/settings.h"

enum { HOUR = METER_HOUR_MS };

static void a_running_cvm_pays_for_everything_and_a_stopped_one_for_its_disk(void **st)
{
	const struct rates r = { .vcpu = 1000, .memory_gib = 100, .disk_gib = 7, .gpu = 50000 };
	const struct cvm_size c = { .vcpus = 2, .memory_mib = 1536, .disk_gib = 10, .gpus = 1 };
	const struct cvm_size tiny = { .vcpus = 1, .memory_mib = 1 };
	const struct rates most = { .vcpu = 1000000000,
				    .memory_gib = 1000000000,
				    .disk_gib = 1000000000 };
	const struct cvm_size huge = { .vcpus = INT64_MAX,
				       .memory_mib = INT64_MAX,
				       .disk_gib = INT64_MAX };

	(void)st;
	assert_int_equal(meter_rate(&r, &c, true), 2000 + 150 + 70 + 50000);
	assert_int_equal(meter_rate(&r, &c, false), 70);
	assert_int_equal(meter_rate(&r, &tiny, true), 1001); /* rounded up to a micro-unit */
	assert_int_equal(meter_rate(&most, &huge, true), INT64_MAX);
}

static void charges_in_parts_add_up_to_one_charge(void **st)
{
	static const int64_t rates[] = { 1, 7, 999, 3600000, 123456789 };

	(void)st;
	srand(7);
	for (size_t i = 0; i < ARRAY_SIZE(rates); i++) {
		int64_t rest = 0, whole_rest = 0, sum = 0, elapsed = 0;

		for (int k = 0; k < 1000; k++) {
			int64_t ms = rand() % 5000;

			elapsed += ms;
			sum += meter_charge(rates[i], ms, &rest);
			assert_in_range(rest, 0, HOUR - 1);
		}
		assert_int_equal(sum, meter_charge(rates[i], elapsed, &whole_rest));
		assert_int_equal(rest, whole_rest);
	}
}

static void backward_time_costs_nothing_and_a_charge_saturates(void **st)
{
	int64_t rest = 5;

	(void)st;
	assert_int_equal(meter_charge(1000, -1, &rest), 0);
	assert_int_equal(meter_charge(1000, 0, &rest), 0);
	assert_int_equal(rest, 5);
	assert_int_equal(meter_charge(INT64_MAX, INT64_MAX, &rest), INT64_MAX);
}

static struct clock_reading reading(int64_t wall_ms, int64_t boot_ms, const char *boot_id)
{
	struct clock_reading r = { .wall_ms = wall_ms, .boot_ms = boot_ms };

	(void)snprintf(r.boot_id, sizeof(r.boot_id), "%s", boot_id);
	return r;
}

static void metered_time_follows_the_boot_clock_not_the_wall_clock(void **st)
{
	static const struct {
		int64_t wall_ms, boot_ms;
		const char *boot_id;
		bool booted;
		int64_t now_ms;
	} steps[] = {
		{ 1000000, 500, "a", false, 1000000 }, /* starts at the wall clock */
		{ 1000100, 600, "a", false, 1000100 }, /* both advance */
		{ 5, 700, "a", false, 1000200 },       /* wall set back */
		{ 9000000, 800, "a", false, 1000300 }, /* wall set ahead */
		{ 9000000, 750, "a", false, 1000300 }, /* a boot clock that goes back is ignored */
		{ 9000000, 800, "a", false, 1000300 }, /* and no time counts twice */
		{ 9000100, 900, "a", false, 1000400 },
		{ 900000, 10, "b", true, 1000400 }, /* booted, wall clock behind: unchanged */
		{ 900000, 110, "b", false, 1000500 },
		{ 2000000, 20, "c", true, 2000000 }, /* booted, wall clock ahead: follows it */
	};
	struct meter_clock c = { 0 };

	(void)st;
	for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
		struct clock_reading r =
			reading(steps[i].wall_ms, steps[i].boot_ms, steps[i].boot_id);

		assert_int_equal(meter_clock_advance(&c, &r), steps[i].booted);
		assert_int_equal(c.now_ms, steps[i].now_ms);
	}
}

static void the_clock_of_this_host_goes_forward(void **st)
{
	struct clock_reading a, b;

	(void)st;
	clock_read(&a);
	clock_read(&b);
	assert_string_equal(a.boot_id, b.boot_id);
	assert_int_equal(strlen(a.boot_id), UUID_TEXT - 1);
	assert_true(b.boot_ms >= a.boot_ms && a.boot_ms > 0);
}

static void money_is_written_without_floating_point(void **st)
{
	static const struct {
		int64_t micro;
		const char *text;
	} cases[] = { { 0, "0" },         { 1, "0.000001" },
		      { 1500000, "1.5" }, { -12345678, "-12.345678" },
		      { 2000000, "2" },   { INT64_MIN, "-9223372036854.775808" } };
	char out[MONEY_TEXT];

	(void)st;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_string_equal(money_text(cases[i].micro, out), cases[i].text);
}

static void times_are_parsed_as_they_are_formatted(void **st)
{
	static const struct {
		const char *text;
		int64_t ms;
	} good[] = { { "1970-01-01T00:00:00Z", 0 },
		     { "2026-01-21T08:24:20.374Z", 1768983860374 },
		     { "2026-01-21t08:24:20.374999999z", 1768983860374 },
		     { "2026-01-21T10:24:20.374+02:00", 1768983860374 },
		     { "2026-01-21 02:54:20.374-05:30", 1768983860374 },
		     { "2024-02-29T00:00:00Z", 1709164800000 } };
	static const char *const bad[] = { "",
					   "now",
					   "2026-01-21",
					   "2026-01-21T08:24:20",
					   "2026-02-29T00:00:00Z",
					   "2026-13-01T00:00:00Z",
					   "2026-01-21T24:00:00Z",
					   "2026-01-21T08:24:20.Z",
					   "2026-01-21T08:24:20Z ",
					   "1969-12-31T23:59:59Z",
					   "1970-01-01T00:00:00+01:00",
					   "+2026-01-21T08:24:20Z",
					   "2026-1-21T08:24:20Z" };
	int64_t ms = 7;

	(void)st;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		assert_false(clock_parse(bad[i], &ms));
		assert_int_equal(ms, 7);
	}
	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		assert_true(clock_parse(good[i].text, &ms));
		assert_int_equal(ms, good[i].ms);
	}
}

int main(void)
{
	const struct CMUnitTest t[] = {
		cmocka_unit_test(a_running_cvm_pays_for_everything_and_a_stopped_one_for_its_disk),
		cmocka_unit_test(charges_in_parts_add_up_to_one_charge),
		cmocka_unit_test(backward_time_costs_nothing_and_a_charge_saturates),
		cmocka_unit_test(metered_time_follows_the_boot_clock_not_the_wall_clock),
		cmocka_unit_test(the_clock_of_this_host_goes_forward),
		cmocka_unit_test(money_is_written_without_floating_point),
		cmocka_unit_test(times_are_parsed_as_they_are_formatted),
	};

	return cmocka_run_group_tests_name("meter", t, NULL, NULL);
}
