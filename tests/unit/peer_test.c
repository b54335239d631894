/* SPDX-License-Identifier: Apache-2.0
 * peer_test.c - addresses and networks of peers, their connections, and their failed
 * authentications.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <arpa/inet.h>
#include <cmocka.h>

#include "api/http/auth_rate.h"
#include "api/http/peer_count.h"

/* ------------------------------------------------------------------ failed authentications */

static struct peer_key key_of(const void *sa)
{
	struct peer_address a = peer_address_of(sa);

	return peer_key_of(&a);
}

static struct peer_key address(uint32_t ip)
{
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(ip) };

	return key_of(&in);
}

static void limit_applies_until_the_minute_ends(void **st)
{
	struct auth_rate *r = auth_rate_new(3);
	struct peer_key k = address(0x01020304), other = address(0x01020305);

	(void)st;
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(auth_rate_wait(r, &k, 1000 + i), 0);
		auth_rate_failed(r, &k, 1000 + i);
	}
	assert_int_equal(auth_rate_wait(r, &k, 1003), 60);
	assert_int_equal(auth_rate_wait(r, &k, 31000), 30);
	assert_int_equal(auth_rate_wait(r, &other, 31000), 0);
	assert_int_equal(auth_rate_wait(r, &k, 60999), 1);
	assert_int_equal(auth_rate_wait(r, &k, 61000), 0);
	auth_rate_failed(r, &k, 61000);
	assert_int_equal(auth_rate_wait(r, &k, 61001), 0);
	auth_rate_free(r);
}

static void newest_failure_is_kept_in_a_full_table(void **st)
{
	struct auth_rate *r = auth_rate_new(1);

	(void)st;
	for (uint32_t i = 0; i < 100000; i++) {
		struct peer_key k = address(i);

		auth_rate_failed(r, &k, 1000 + i / 10000);
		assert_int_not_equal(auth_rate_wait(r, &k, 1000 + i / 10000), 0);
	}
	auth_rate_free(r);
}

/* An owner of many addresses must not be able to displace one that is at its limit. */
static void addresses_with_one_failure_do_not_displace_one_with_many(void **st)
{
	struct auth_rate *r = auth_rate_new(10);
	struct peer_key many = address(0x0a000001);

	(void)st;
	for (unsigned i = 1; i <= 10; i++)
		assert_int_equal(auth_rate_failed(r, &many, 1000), i);
	for (uint32_t i = 0; i < 100000; i++) {
		struct peer_key k = address(0x0b000000 + i);

		(void)auth_rate_failed(r, &k, 1001);
	}
	assert_int_equal(auth_rate_wait(r, &many, 1002), 60);
	auth_rate_free(r);
}

static void ipv6_counts_by_network_and_mapped_ipv4_as_ipv4(void **st)
{
	struct sockaddr_in6 a = { .sin6_family = AF_INET6 }, b = a, mapped = a;
	struct peer_key ka, kb, k4 = address(0x01020304), km;

	(void)st;
	assert_int_equal(inet_pton(AF_INET6, "2001:db8:1:2::1", &a.sin6_addr), 1);
	assert_int_equal(inet_pton(AF_INET6, "2001:db8:1:2:ffff::9", &b.sin6_addr), 1);
	assert_int_equal(inet_pton(AF_INET6, "::ffff:1.2.3.4", &mapped.sin6_addr), 1);
	ka = key_of(&a);
	kb = key_of(&b);
	km = key_of(&mapped);
	assert_true(peer_equal(&ka, &kb));
	assert_true(peer_equal(&km, &k4));
	assert_false(peer_equal(&ka, &k4));
}

static void networks_are_parsed_and_contain_their_addresses(void **st)
{
	static const struct {
		const char *network, *in, *out;
	} good[] = {
		{ "192.0.2.1", "192.0.2.1", "192.0.2.2" },
		{ "10.0.0.0/8", "10.255.0.1", "11.0.0.0" },
		{ "192.0.2.128/25", "192.0.2.129", "192.0.2.127" },
		{ "192.0.2.0/31", "::ffff:192.0.2.1", "192.0.2.2" },
		{ "::ffff:192.0.2.0/120", "192.0.2.77", "192.0.3.1" },
		{ "128.0.0.0/1", "255.0.0.1", "127.0.0.1" },
		{ "::1", "::1", "127.0.0.1" },
		{ "2001:db8::/33", "2001:db8:7fff::1", "2001:db8:8000::1" },
		{ "2001:db8::1/128", "2001:db8::1", "2001:db8::2" },
	};
	static const char *const bad[] = { "",
					   "0.0.0.0/0",
					   "::/0",
					   "10.0.0.1/8",
					   "2001:db8::1/64",
					   "10.0.0.0/33",
					   "10.0.0.0/",
					   "10.0.0.0/08",
					   "10.0.0.0/8/8",
					   "10.0.0.0/-1",
					   "10.0.0/8",
					   "::/129",
					   "::ffff:0.0.0.0/96",
					   "proxy.example",
					   "10.0.0.1:80",
					   "[::1]",
					   "fe80::1%eth0" };
	struct peer_network net = { .bits = 77 };
	struct peer_address a;

	(void)st;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_false(peer_network_parse(bad[i], &net));
		assert_int_equal(net.bits, 77);
	}
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		assert_true(peer_network_parse(good[i].network, &net));
		assert_true(peer_address_parse(good[i].in, &a));
		assert_true(peer_is_in(&a, &(struct peer_networks){ &net, 1 }));
		assert_true(peer_address_parse(good[i].out, &a));
		assert_false(peer_is_in(&a, &(struct peer_networks){ &net, 1 }));
	}
}

static void connections_are_counted_by_address(void **st)
{
	struct peer_counts *p = peer_counts_new();
	struct peer_key a = address(1), b = address(2);

	(void)st;
	assert_true(peer_counts_add(p, &a, 2));
	assert_true(peer_counts_add(p, &a, 2));
	assert_false(peer_counts_add(p, &a, 2));
	assert_true(peer_counts_add(p, &b, 2));
	peer_counts_drop(p, &a);
	assert_true(peer_counts_add(p, &a, 2));
	peer_counts_free(p);
}

static void loopback_is_all_of_127_and_one_of_ipv6(void **st)
{
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7fffff01) };
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT };

	(void)st;
	assert_true(peer_is_loopback((struct sockaddr *)&in));
	assert_true(peer_is_loopback((struct sockaddr *)&in6));
	in.sin_addr.s_addr = htonl(0x80000001);
	in6.sin6_addr = in6addr_any;
	assert_false(peer_is_loopback((struct sockaddr *)&in));
	assert_false(peer_is_loopback((struct sockaddr *)&in6));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(limit_applies_until_the_minute_ends),
		cmocka_unit_test(newest_failure_is_kept_in_a_full_table),
		cmocka_unit_test(addresses_with_one_failure_do_not_displace_one_with_many),
		cmocka_unit_test(ipv6_counts_by_network_and_mapped_ipv4_as_ipv4),
		cmocka_unit_test(networks_are_parsed_and_contain_their_addresses),
		cmocka_unit_test(connections_are_counted_by_address),
		cmocka_unit_test(loopback_is_all_of_127_and_one_of_ipv6),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
