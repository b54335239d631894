/* SPDX-License-Identifier: Apache-2.0
 * server_auth_test.c - the HTTP server: API keys, roles, and the client behind a proxy.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "base/own.h"
#include "base/strings.h"
#include "tests/unit/http_fixture.h"

static void roles_and_keys(void **st)
{
	auto_free char *none = NULL, *wrong = NULL, *low = NULL, *ok = NULL, *bearer = NULL;

	(void)st;
	http_start(NULL);
	none = http_exchange(GET("/read"));
	assert_status(none, 401);
	assert_has(none, "\"detail\":");
	wrong = http_exchange(WITH("/read", "X-API-Key: guess"));
	assert_status(wrong, 401);
	low = http_exchange(
		"POST /admin HTTP/1.1\r\nHost: h\r\nX-API-Key: reader\r\nContent-Length: "
		"2\r\n\r\n{}");
	assert_status(low, 403);
	assert_has(low, "requires the role admin");
	ok = http_exchange("POST /admin HTTP/1.1\r\nHost: h\r\nX-API-Key: admin\r\nContent-Length: "
			   "2\r\n\r\n{}");
	assert_status(ok, 200);
	bearer = http_exchange(WITH("/read", "authorization: bearer reader"));
	assert_status(bearer, 200);
	assert_string_equal(http.seen_text, "reader");
	http_stop();
}

static void assert_exchange(int status, const char *request)
{
	auto_free char *a = http_exchange(request);

	assert_status(a, status);
	if (status == 429)
		assert_has(a, "Retry-After: ");
}

static void wrong_keys_get_429_and_correct_keys_are_served(void **st)
{
	(void)st;
	http_start(&(struct server_limits){ .auth_fails = 3 });
	for (int i = 0; i < 3; i++)
		assert_exchange(401, WITH("/read", "X-API-Key: guess"));
	assert_exchange(429, WITH("/read", "X-API-Key: guess"));
	assert_exchange(200, WITH("/read", "X-API-Key: reader"));
	assert_exchange(401, GET("/read"));
	assert_exchange(200, GET("/echo"));
	assert_exchange(429, WITH("/try", "X-API-Key: guess"));
	assert_exchange(200, WITH("/try?token=t", "X-API-Key: guess"));
	assert_exchange(200, WITH("/try", "X-API-Key: reader"));
	assert_exchange(200, GET("/try"));
	http_stop();
}

static void request_without_a_key_is_not_counted_as_a_wrong_key(void **st)
{
	(void)st;
	http_start(&(struct server_limits){ .auth_fails = 1 });
	for (int i = 0; i < 5; i++) {
		assert_exchange(401, GET("/read"));
		assert_exchange(401, WITH("/read", "X-API-Key:"));
		assert_exchange(401, WITH("/read", "Authorization: Basic eDp5"));
	}
	assert_exchange(200, WITH("/read", "X-API-Key:\r\nAuthorization: Bearer reader"));
	assert_exchange(401, WITH("/read", "X-API-Key: guess"));
	assert_exchange(429, WITH("/read", "X-API-Key: guess"));
	http_stop();
}

/* Send a wrong key with these header lines twice. The text of the 429 names the address by which it
 * is counted. */
static void assert_counted_by(const char *address, const char *lines)
{
	auto_free char *request =
		xasprintf("GET /read HTTP/1.1\r\nHost: h\r\nX-API-Key: guess\r\n%s\r\n", lines);
	auto_free char *want = xasprintf("from this address, %s\"", address),
		       *first = http_exchange(request), *second = http_exchange(request);

	(void)first; /* 401, or 429 after an earlier one from there */
	assert_status(second, 429);
	if (!strstr(second, want))
		fail_msg("%s is counted by another address than %s: %s", lines, address, second);
}

static void wrong_keys_behind_a_proxy_are_counted_by_client(void **st)
{
	static const struct {
		const char *client, *lines;
	} is[] = {
		{ "192.0.2.1", "X-Forwarded-For: 192.0.2.1\r\n" },
		{ "192.0.2.2",
		  "X-Forwarded-For: 198.51.100.1, 192.0.2.2\r\n" }, /* the first address was sent by
								       the client */
		{ "192.0.2.3",
		  "X-Forwarded-For: 198.51.100.1, 192.0.2.3 , 10.1.2.3,127.0.0.1\r\n" },
		{ "192.0.2.4", "X-Forwarded-For: 198.51.100.1\r\nX-Forwarded-For: 192.0.2.4\r\n" },
		{ "192.0.2.5", "X-Forwarded-For: 192.0.2.5\r\nX-Forwarded-For: ,10.1.2.3,\r\n" },
		{ "192.0.2.6", "x-forwarded-for: nonsense, 192.0.2.6:4711\r\n" },
		{ "192.0.2.7", "X-Forwarded-For: ::ffff:192.0.2.7\r\n" },
		{ "2001:db8::1", "X-Forwarded-For: 2001:db8::1\r\n" },
		{ "2001:db8:0:1::1", "X-Forwarded-For: [2001:db8:0:1::1]:80, 2001:db8:1::5\r\n" },
		{ "10.9.9.9", "X-Forwarded-For: 10.9.9.9, 10.1.2.3\r\n" }, /* all are trusted */
		{ "192.0.2.8", "Forwarded: for=192.0.2.8\r\n" },
		{ "192.0.2.9",
		  "Forwarded: for=_hidden, For=\"192.0.2.9:80\";proto=https;by=10.0.0.1\r\n" },
		{ "2001:db8:0:2::1", "Forwarded: proto=http ; for=\"[2001:db8:0:2::1]:80\"\r\n" },
		{ "192.0.2.10", "Forwarded: for=192.0.2.10\r\nX-Forwarded-For: 192.0.2.10\r\n" },
	};

	(void)st;
	http_start_behind(&(struct server_limits){ .auth_fails = 1 }, 3);
	for (size_t i = 0; i < sizeof(is) / sizeof(is[0]); i++)
		assert_counted_by(is[i].client, is[i].lines);
	assert_exchange(200, WITH("/read", "X-API-Key: reader\r\nX-Forwarded-For: 192.0.2.1"));
	http_stop();
}

static void malformed_forwarded_fields_are_counted_by_the_proxy(void **st)
{
	static const char *const bad[] = {
		"",
		"X-Forwarded-For:\r\n",
		"X-Forwarded-For: unknown\r\n",
		"X-Forwarded-For: 192.0.2.1, unknown\r\n",
		"X-Forwarded-For: 192.0.2.1 192.0.2.2\r\n",
		"X-Forwarded-For: 192.0.2.1:\r\n",
		"X-Forwarded-For: 192.0.2.1:x\r\n",
		"X-Forwarded-For: [192.0.2.1]\r\n",
		"X-Forwarded-For: [2001:db8::1\r\n",
		"X-Forwarded-For: [2001:db8::1]x\r\n",
		"X-Forwarded-For: \"192.0.2.1\"\r\n",
		/* longer than any address */
		("X-Forwarded-For: "
		 "1922222222222222222222222222222222222222222222222222222222222.0.2.1\r\n"),
		"Forwarded: 192.0.2.1\r\n",
		"Forwarded: for\r\n",
		"Forwarded: for=\r\n",
		"Forwarded: for=\"\r\n",
		"Forwarded: for=unknown\r\n",
		"Forwarded: proto=https\r\n",
		"Forwarded: for=192.0.2.1;for=192.0.2.2\r\n",
		"Forwarded: for=192.0.2.1\r\nX-Forwarded-For: 192.0.2.2\r\n",
		"Forwarded: for=_x\r\nX-Forwarded-For: 192.0.2.2\r\n",
	};

	(void)st;
	http_start_behind(&(struct server_limits){ .auth_fails = 1 }, 3);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_counted_by("127.0.0.1", bad[i]);
	http_stop();
}

static void forwarded_fields_of_other_peers_are_ignored(void **st)
{
	(void)st;
	http_start(&(struct server_limits){ .auth_fails = 1 });
	assert_counted_by("127.0.0.1", "X-Forwarded-For: 192.0.2.1\r\n");
	assert_counted_by("127.0.0.1", "Forwarded: for=192.0.2.1\r\n");
	http_stop();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(roles_and_keys),
		cmocka_unit_test(wrong_keys_get_429_and_correct_keys_are_served),
		cmocka_unit_test(request_without_a_key_is_not_counted_as_a_wrong_key),
		cmocka_unit_test(wrong_keys_behind_a_proxy_are_counted_by_client),
		cmocka_unit_test(malformed_forwarded_fields_are_counted_by_the_proxy),
		cmocka_unit_test(forwarded_fields_of_other_peers_are_ignored),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
