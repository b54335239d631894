/* SPDX-License-Identifier: Apache-2.0
 * networks_test.c - network interfaces: parse and format.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/array.h"
#include "vmm/admit/networks.h"
#include "vmm/virt/domain_spec.h"

static void good_texts_come_back_as_they_were(void **st)
{
	static const struct {
		const char *text, *again;
		unsigned n;
		int user;
	} good[] = {
		{ "", "user", 1, 0 },
		{ "user", "user", 1, 0 },
		{ " user , bridge:br0 ", "user,bridge:br0", 2, 0 },
		{ "bridge:br-lan.100,user", "bridge:br-lan.100,user", 2, 1 },
		{ "bridge:exactly15bytes", "bridge:exactly15bytes", 1, -1 },
		{ "user,user,user,user,user,user,user,user",
		  "user,user,user,user,user,user,user,user", 8, 0 },
	};

	(void)st;
	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		struct network v[DOMAIN_NICS];
		char again[NETWORKS_TEXT];
		struct err e;
		unsigned n;

		assert_int_equal(networks_parse("networks", good[i].text, v, &n, &e), 0);
		assert_int_equal(n, good[i].n);
		assert_int_equal(networks_first_user(v, n), good[i].user);
		networks_format(v, n, again);
		assert_string_equal(again, good[i].again);
	}
}

static void bad_texts_are_named_and_nothing_is_touched(void **st)
{
	static const char *const bad[] = { "bridge",
					   "bridge:",
					   "bridge:a/b",
					   "bridge:..",
					   "bridge:16_bytes_too_lon",
					   "macvtap",
					   "user,",
					   ",user",
					   "user,user,user,user,user,user,user,user,user" };

	(void)st;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct network v[DOMAIN_NICS];
		struct err e = { 0 };
		unsigned n = 77;

		memset(v, 0xa5, sizeof(v));
		assert_int_equal(networks_parse("cvm.networks", bad[i], v, &n, &e), -ERR_INVALID);
		assert_string_equal(e.field, "cvm.networks");
		assert_int_equal(n, 77);
		assert_int_equal(((unsigned char *)v)[0], 0xa5);
	}
}

int main(void)
{
	const struct CMUnitTest t[] = {
		cmocka_unit_test(good_texts_come_back_as_they_were),
		cmocka_unit_test(bad_texts_are_named_and_nothing_is_touched),
	};

	return cmocka_run_group_tests_name("networks", t, NULL, NULL);
}
