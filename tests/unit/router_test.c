/* SPDX-License-Identifier: Apache-2.0
 * router_test.c - which route a path goes to; and who has to wait after failed authentications.
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
#include "api/http/router.h"

static void handler(struct call *c)
{
	(void)c;
}

static const struct route one[] = {
	{ .method = "GET", .pattern = "/cvms/{id}", .handle = handler },
	{ .method = "DELETE", .pattern = "/cvms/{id}", .handle = handler },
	{ .method = "GET", .pattern = "/cvms/{id}/state", .handle = handler },
	{ 0 },
};
static const struct route two[] = {
	{ .method = "POST", .pattern = "/cvms/provision", .handle = handler },
	{ .method = "GET", .pattern = "/cvms/{id}/{what}", .handle = handler },
	{ .method = "GET", .pattern = "/", .handle = handler },
	{ 0 },
};
static const struct route *const tables[] = { one, two, NULL };

static struct target target;

static void match(const char *method, const char *path, struct router_match *m)
{
	struct router *r = router_new(tables);

	target_free(&target);
	assert_null(target_read(path, strlen(path), &target));
	router_match(r, method, &target, m);
	router_free(r);
}

static void parameters_are_the_decoded_segments(void **st)
{
	struct router_match m;

	(void)st;
	match("GET", "/cvms/a%20b", &m);
	assert_ptr_equal(m.route, &one[0]);
	assert_string_equal(m.param[0], "a b");
	assert_null(m.param[1]);
	match("GET", "/cvms/a/logs", &m);
	assert_ptr_equal(m.route, &two[1]);
	assert_string_equal(m.param[1], "logs");
}

static void a_literal_beats_a_parameter(void **st)
{
	struct router_match m;

	(void)st;
	match("GET", "/cvms/a/state", &m);
	assert_ptr_equal(m.route, &one[2]);
	match("POST", "/cvms/provision", &m);
	assert_ptr_equal(m.route, &two[0]);
	match("GET", "/cvms/provision", &m);
	assert_ptr_equal(m.route, &one[0]);
}

static void head_is_served_by_get(void **st)
{
	struct router_match m;

	(void)st;
	match("HEAD", "/", &m);
	assert_ptr_equal(m.route, &two[2]);
}

static void wrong_method_names_all_that_are_right(void **st)
{
	char allow[ROUTER_ALLOW_TEXT];
	struct router_match m;

	(void)st;
	match("PATCH", "/cvms/provision", &m);
	assert_null(m.route);
	assert_string_equal(router_allow(m.allow, allow), "GET, HEAD, POST, DELETE");
	match("OPTIONS", "/", &m);
	assert_null(m.route);
	assert_string_equal(router_allow(m.allow, allow), "GET, HEAD");
}

static void unknown_paths_match_nothing(void **st)
{
	static const char *const paths[] = { "/cvms",
					     "/cvms/",
					     "/cvms/a/",
					     "/cvms/a/b/c",
					     "//",
					     "/CVMS/a",
					     "/1/2/3/4/5/6/7/8/9/10/11/12/13/14/15/16/17/18" };
	struct router_match m;

	(void)st;
	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
		match("GET", paths[i], &m);
		assert_null(m.route);
		assert_int_equal(m.allow, 0);
	}
	target_free(&target);
}

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

static void limit_holds_for_the_rest_of_the_minute(void **st)
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

static void newest_offender_is_remembered_in_a_full_table(void **st)
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

/* Whoever owns many addresses must not be able to make the table forget one that is at its limit.
 */
static void addresses_with_one_failure_do_not_push_out_one_with_many(void **st)
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

static void a_network_is_read_and_holds_what_it_should(void **st)
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
		cmocka_unit_test(parameters_are_the_decoded_segments),
		cmocka_unit_test(a_literal_beats_a_parameter),
		cmocka_unit_test(head_is_served_by_get),
		cmocka_unit_test(wrong_method_names_all_that_are_right),
		cmocka_unit_test(unknown_paths_match_nothing),
		cmocka_unit_test(limit_holds_for_the_rest_of_the_minute),
		cmocka_unit_test(newest_offender_is_remembered_in_a_full_table),
		cmocka_unit_test(addresses_with_one_failure_do_not_push_out_one_with_many),
		cmocka_unit_test(ipv6_counts_by_network_and_mapped_ipv4_as_ipv4),
		cmocka_unit_test(a_network_is_read_and_holds_what_it_should),
		cmocka_unit_test(connections_are_counted_by_address),
		cmocka_unit_test(loopback_is_all_of_127_and_one_of_ipv6),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
