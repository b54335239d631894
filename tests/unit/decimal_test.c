/* SPDX-License-Identifier: Apache-2.0
 * decimal_test.c - shortest decimals of doubles: they parse to the same double, and no shorter one
 * does.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/decimal.h"
#include "vmm/virt/xml_out.h"

static double from_bits(uint64_t bits)
{
	double d;

	memcpy(&d, &bits, sizeof(d));
	return d;
}

static void check(double d, const char *digits, int exponent)
{
	char out[DECIMAL_DIGITS];
	int e = 99;
	size_t n = decimal_shortest(d, out, &e);

	assert_string_equal(out, digits);
	assert_int_equal(n, strlen(digits));
	assert_int_equal(e, exponent);
}

static void known_numbers(void **st)
{
	(void)st;
	check(1, "1", 0);
	check(0.05, "5", -2);
	check(1e23, "1", 23);
	check(123456789012345680.0, "12345678901234568", 17);
	check(9007199254740993.0, "9007199254740992", 15);
	check(5e-324, "5", -324);
	check(2.2250738585072014e-308, "22250738585072014", -308);
	check(1.7976931348623157e308, "17976931348623157", 308);
}

/* Below a power of two doubles are closer together. The nearest decimal of 16 digits may then parse
 * to another double while a different one of 16 digits parses to this one. JavaScript prints the
 * latter. */
static void powers_of_two_have_a_lopsided_interval(void **st)
{
	(void)st;
	check(0x1p-808, "5858190679279809", -244);
	check(0x1p+132, "5444517870735016", 39);
	check(0x1p-97, "6310887241768095", -30);
	check(0x1p+971, "199584030953472", 292);
}

static bool reads_back(double d, int digits)
{
	char text[40];

	(void)snprintf(text, sizeof(text), "%.*e", digits - 1, d);
	return strtod(text, NULL) == d;
}

/* The decimal parses to @d, and the closest one with one digit less does not. */
static void check_shortest(double d)
{
	char out[DECIMAL_DIGITS], text[40];
	int e = 0;
	size_t n = decimal_shortest(d, out, &e);

	(void)snprintf(text, sizeof(text), "%c.%se%d", out[0], out + 1, e);
	assert_true(strtod(text, NULL) == d);
	assert_true(n == 1 || out[n - 1] != '0');
	assert_false(n > 1 && reads_back(d, (int)n - 1));
}

static void numbers_of_every_exponent_read_back_and_nothing_shorter_does(void **st)
{
	uint64_t x = 88172645463325252u;

	(void)st;
	for (uint64_t e = 0; e < 2047; e++) {
		for (int i = 0; i < 20; i++) {
			x ^= x << 13;
			x ^= x >> 7;
			x ^= x << 17;
			check_shortest(from_bits(e << 52 | x >> 12));
		}
	}
	for (int i = 1; i < 5000; i++)
		check_shortest(i / 1000.0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(known_numbers),
		cmocka_unit_test(powers_of_two_have_a_lopsided_interval),
		cmocka_unit_test(numbers_of_every_exponent_read_back_and_nothing_shorter_does),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
