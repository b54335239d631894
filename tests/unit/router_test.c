/* SPDX-License-Identifier: Apache-2.0
 * router_test.c - routes of paths and methods.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

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

static void a_literal_is_preferred_to_a_parameter(void **st)
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

static void wrong_method_lists_the_allowed_methods(void **st)
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(parameters_are_the_decoded_segments),
		cmocka_unit_test(a_literal_is_preferred_to_a_parameter),
		cmocka_unit_test(head_is_served_by_get),
		cmocka_unit_test(wrong_method_lists_the_allowed_methods),
		cmocka_unit_test(unknown_paths_match_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
