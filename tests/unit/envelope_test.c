/* SPDX-License-Identifier: Apache-2.0
 * envelope_test.c - every error has a status and a body that clients can print.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "api/http/envelope.h"
#include "base/array.h"
#include "base/json.h"

static const char *text(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s ? s : "(none)";
}

static json_t *row(const json_t *body, size_t i)
{
	return json_array_get(json_object_get(body, "details"), i);
}

static void capacity_names_requested_free_and_total(void **st)
{
	auto_json json_t *body = NULL;
	struct err e;

	(void)st;
	(void)err_capacity(&e, "vcpus", 9999, 3, 4);
	(void)err_hint(&e, "3 vCPUs would fit");
	assert_int_equal(envelope_status(&e), 400);
	body = envelope_body(&e, "req-1");
	assert_string_equal(text(body, "error_code"), "ERR-02-003");
	assert_string_equal(text(body, "request_id"), "req-1");
	assert_string_equal(text(row(body, 0), "field"), "vcpu");
	assert_int_equal(json_integer_value(json_object_get(row(body, 0), "value")), 9999);
	assert_string_equal(text(row(body, 0), "message"), "asked 9999, free 3 of 4 on this node");
	assert_string_equal(text(row(body, 2), "field"), "free");
	assert_int_equal(json_integer_value(json_object_get(row(body, 2), "value")), 3);
	assert_string_equal(
		json_string_value(json_array_get(json_object_get(body, "suggestions"), 0)),
		"3 vCPUs would fit");
	assert_true(json_is_array(json_object_get(body, "links")));
}

static void each_scarce_resource_has_its_code(void **st)
{
	static const struct {
		const char *resource, *code, *field;
	} want[] = {
		{ "memory_mib", "ERR-02-004", "memory" },
		{ "slots", "ERR-02-005", "slots" },
		{ "disk_gib", "ERR-02-002", "disk_size" },
		{ "cids", "ERR-02-002", "cids" },
		{ "host_ports", "ERR-02-002", "host_ports" },
		{ "tdx_keyids", "ERR-02-002", "tdx_keyids" },
		{ "gpus", "ERR-02-007", "gpus" },
		{ "hugepages_mib", "ERR-02-004", "memory" },
	};

	(void)st;
	for (size_t i = 0; i < ARRAY_SIZE(want); i++) {
		auto_json json_t *body = NULL;
		struct err e;

		(void)err_capacity(&e, want[i].resource, 2, 1, 1);
		body = envelope_body(&e, NULL);
		assert_string_equal(text(body, "error_code"), want[i].code);
		assert_string_equal(text(row(body, 0), "field"), want[i].field);
	}
}

static void a_shortage_on_a_numa_node_names_the_node(void **st)
{
	auto_json json_t *body = NULL;
	struct err e;

	(void)st;
	(void)err_capacity(&e, "hugepages_mib", 8192, 1024, 4096);
	e.cap.numa_node = 1;
	body = envelope_body(&e, NULL);
	assert_string_equal(text(row(body, 0), "message"),
			    "asked 8192, free 1024 of 4096 on NUMA node 1");
	assert_string_equal(text(row(body, 4), "field"), "numa_node");
	assert_int_equal(json_integer_value(json_object_get(row(body, 4), "value")), 1);
}

static void gpus_have_codes_of_their_own(void **st)
{
	auto_json json_t *taken = NULL, *busy = NULL;
	struct err e;

	(void)st;
	(void)err_field(&e, ERR_GPU, "gpus.gpus[0].slot", "18:00.0", "it is taken");
	taken = envelope_body(&e, NULL);
	assert_string_equal(text(taken, "error_code"), "ERR-02-006");
	assert_string_equal(text(row(taken, 0), "field"), "gpus.gpus[0].slot");
	(void)err_field(&e, ERR_GPU_BUSY, "gpus.gpus[0].slot", "18:00.0", "it is busy");
	busy = envelope_body(&e, NULL);
	assert_string_equal(text(busy, "error_code"), "ERR-02-016");
	assert_int_equal(envelope_status(&e), 409);
}

/* Value of the row @field in the details of @body. */
static json_int_t detail(const json_t *body, const char *field)
{
	json_t *row;
	size_t i;

	json_array_foreach(json_object_get(body, "details"), i, row)
	{
		if (!strcmp(text(row, "field"), field))
			return json_integer_value(json_object_get(row, "value"));
	}
	fail_msg("no detail %s", field);
	return 0;
}

static void quota_errors_have_the_details_of_the_catalogue(void **st)
{
	static const struct {
		enum err_code code;
		const char *number, *field[2];
		json_int_t value[2];
	} cases[] = {
		{ ERR_QUOTA, "ERR-02-015", { "requested", "remaining" }, { 7, -3 } },
		{ ERR_QUOTA_SIZE, "ERR-04-003", { "requested", "limit" }, { 7, 9 } },
		{ ERR_QUOTA_CVMS, "ERR-04-002", { "limit", "current" }, { 9, 7 } },
		{ ERR_BALANCE, "ERR-04-001", { "balance", "required" }, { -3, 7 } },
		{ ERR_KEYS, "ERR-05-001", { "limit", "current" }, { 9, 7 } },
		{ ERR_KEY_RATE, "ERR-05-002", { "limit", "retry_after" }, { 9, 12 } },
	};

	(void)st;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		auto_json json_t *body = NULL;
		struct err e;

		(void)err_share(&e, cases[i].code, "vcpus", 7, -3, 9, "no");
		e.retry_s = 12;
		body = envelope_body(&e, "r");
		assert_string_equal(text(body, "error_code"), cases[i].number);
		assert_int_equal(envelope_retry_after(&e), 12);
		for (int k = 0; k < 2; k++)
			assert_int_equal(detail(body, cases[i].field[k]), cases[i].value[k]);
	}
}

/* One of several requested ports is not available. */
static void capacity_error_of_a_named_item_names_it(void **st)
{
	auto_json json_t *body = NULL;
	struct err e;

	(void)st;
	(void)err_capacity(&e, "host_ports", 1, 0, 40);
	(void)snprintf(e.field, sizeof(e.field), "ports[3].host_port");
	(void)snprintf(e.value, sizeof(e.value), "8080");
	(void)snprintf(e.text, sizeof(e.text), "tcp host port 8080 is taken");
	body = envelope_body(&e, NULL);
	assert_string_equal(text(body, "error_code"), "ERR-02-002");
	assert_string_equal(text(row(body, 0), "field"), "ports[3].host_port");
	assert_string_equal(text(row(body, 0), "value"), "8080");
	assert_string_equal(text(row(body, 0), "message"), "tcp host port 8080 is taken");
	assert_string_equal(text(row(body, 1), "field"), "host_ports");
}

static void invalid_names_field_value_and_rule(void **st)
{
	auto_json json_t *body = NULL;
	struct err e;

	(void)st;
	(void)err_field(&e, ERR_INVALID, "name", "a b", "name: letters, digits and hyphens");
	body = envelope_body(&e, "r");
	assert_int_equal(envelope_status(&e), 400);
	assert_string_equal(text(body, "error_code"), "ERR-02-008");
	assert_string_equal(text(row(body, 0), "field"), "name");
	assert_string_equal(text(row(body, 0), "value"), "a b");
	assert_string_equal(text(row(body, 0), "message"), "name: letters, digits and hyphens");
}

static void busy_has_the_bare_form_and_retry_after(void **st)
{
	auto_json json_t *body = NULL;
	struct err e;

	(void)st;
	(void)err_set(&e, ERR_BUSY, "start runs on it");
	body = envelope_body(&e, "r");
	assert_int_equal(envelope_status(&e), 409);
	assert_int_equal(envelope_retry_after(&e), 1);
	assert_string_equal(text(body, "detail"), "start runs on it");
	assert_null(json_object_get(body, "error_code"));
	assert_int_equal(json_object_size(body), 2);
}

static void host_errors_keep_their_cause_and_a_full_disk_is_507(void **st)
{
	auto_json json_t *body = NULL;
	struct err e;

	(void)st;
	(void)err_sys(&e, EIO, "write disk");
	assert_int_equal(envelope_status(&e), 500);
	(void)err_sys(&e, ENOSPC, "write disk");
	assert_int_equal(envelope_status(&e), 507);
	(void)err_hint(&e, "free some space");
	body = envelope_body(&e, NULL);
	assert_string_equal(text(body, "detail"),
			    "write disk: No space left on device; free some space");
}

static void unsupported_parameter_is_400_and_unsupported_host_is_501(void **st)
{
	auto_json json_t *body = NULL;
	struct err e;

	(void)st;
	(void)err_set(&e, ERR_UNSUPPORTED, "no TDX here");
	assert_int_equal(envelope_status(&e), 501);
	(void)err_field(&e, ERR_UNSUPPORTED, "gpus", "1", "no GPU here");
	assert_int_equal(envelope_status(&e), 400);
	body = envelope_body(&e, NULL);
	assert_string_equal(text(body, "error_code"), "ERR-02-009");
}

static void bytes_that_are_not_utf8_do_not_lose_the_text(void **st)
{
	auto_json json_t *body = NULL;
	struct err e;

	(void)st;
	(void)err_set(&e, ERR_NOT_FOUND, "no such path: \xff\xc3");
	body = envelope_body(&e, "r");
	assert_string_equal(text(body, "detail"), "no such path: ??");
}

static void every_code_has_a_status_and_scalar_values(void **st)
{
	static const int status[ERR_CODES] = {
		[ERR_INVALID] = 400,
		[ERR_NOT_FOUND] = 404,
		[ERR_BUSY] = 409,
		[ERR_CAPACITY] = 400,
		[ERR_CAPACITY_UNSET] = 400,
		[ERR_CVM_NOT_FOUND] = 404,
		[ERR_CVM_AMBIGUOUS] = 400,
		[ERR_NAME_TAKEN] = 409,
		[ERR_NODE_NOT_FOUND] = 404,
		[ERR_COMPOSE_MISSING] = 400,
		[ERR_COMPOSE_INVALID] = 400,
		[ERR_TYPE_NOT_FOUND] = 400,
		[ERR_INCOMPATIBLE] = 400,
		[ERR_IMAGE_NOT_FOUND] = 400,
		[ERR_IMAGE_MISMATCH] = 400,
		[ERR_IN_USE] = 409,
		[ERR_CONFLICT] = 409,
		[ERR_UNAUTHENTICATED] = 401,
		[ERR_FORBIDDEN] = 403,
		[ERR_RATE] = 429,
		[ERR_UNAVAILABLE] = 503,
		[ERR_UNSUPPORTED] = 501,
		[ERR_HOST] = 500,
		[ERR_TIMEOUT] = 504,
		[ERR_CANCELLED] = 409,
		[ERR_TOO_LARGE] = 413,
		[ERR_GPU] = 400,
		[ERR_GPU_BUSY] = 409,
		[ERR_PRECONDITION] = 412,
		[ERR_NODE_CLOSED] = 403,
		[ERR_QUOTA] = 403,
		[ERR_QUOTA_SIZE] = 403,
		[ERR_QUOTA_CVMS] = 403,
		[ERR_BALANCE] = 400,
		[ERR_KEYS] = 403,
		[ERR_KEY_RATE] = 429,
		[ERR_CVM_ELSEWHERE] = 404,
		[ERR_REPLICA_IMAGE] = 400,
		[ERR_APP_CONFLICT] = 409,
		[ERR_REPLICA_SOURCE] = 404,
		[ERR_REPLICA_HASH] = 400,
	};

	(void)st;
	for (int code = ERR_INVALID; code < ERR_CODES; code++) {
		auto_json json_t *body = NULL;
		struct err e;
		json_t *r;
		size_t i;

		(void)err_set(&e, (enum err_code)code, "it is so");
		assert_int_equal(envelope_status(&e), status[code]);
		body = envelope_body(&e, "r");
		assert_string_equal(
			text(body, json_object_get(body, "error_code") ? "message" : "detail"),
			"it is so");
		json_array_foreach(json_object_get(body, "details"), i, r)
			assert_false(json_is_object(json_object_get(r, "value")) ||
				     json_is_array(json_object_get(r, "value")));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(capacity_names_requested_free_and_total),
		cmocka_unit_test(each_scarce_resource_has_its_code),
		cmocka_unit_test(a_shortage_on_a_numa_node_names_the_node),
		cmocka_unit_test(gpus_have_codes_of_their_own),
		cmocka_unit_test(quota_errors_have_the_details_of_the_catalogue),
		cmocka_unit_test(capacity_error_of_a_named_item_names_it),
		cmocka_unit_test(invalid_names_field_value_and_rule),
		cmocka_unit_test(busy_has_the_bare_form_and_retry_after),
		cmocka_unit_test(host_errors_keep_their_cause_and_a_full_disk_is_507),
		cmocka_unit_test(unsupported_parameter_is_400_and_unsupported_host_is_501),
		cmocka_unit_test(bytes_that_are_not_utf8_do_not_lose_the_text),
		cmocka_unit_test(every_code_has_a_status_and_scalar_values),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
