/* SPDX-License-Identifier: Apache-2.0
 * body_cvm_test.c - bodies of creates are parsed, or refused with an error that names the field.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "api/cloud/body_cvm.h"
#include "api/cloud/body_image.h"
#include "api/cloud/body_power.h"
#include "base/array.h"
#include "base/json.h"
#include "base/own.h"
#include "base/strings.h"
#include "db/operations.h"
#include "vmm/admit/request.h"
#include "vmm/cvm/power.h"
#include "vmm/node/settings.h"
#include "vmm/virt/xml_out.h"

#define COMPOSE \
	"\"compose_file\": {\"docker_compose_file\": \"services:\\n  a:\\n    image: b\\n\"}"

/* What asks point into lives until the next one. */
static json_t *body;

/* Read @text as a body of @t; the error's code (0: none), and what it was made into. */
static int ask(const struct field_table *t, const char *text, struct parsed_cvm *ret,
	       struct cvm_body *req, struct err *e)
{
	int r;

	json_decref(body);
	body = json_read(text, strlen(text), e);
	assert_non_null(body);
	memset(e, 0, sizeof(*e));
	r = cvm_body_read(t, body, req, e);
	if (!r)
		r = parse_cvm_body(req, body, ret, e);
	return -r;
}

static void every_field_of_the_body_is_parsed(void **st)
{
	auto_parsed_cvm struct parsed_cvm a = { 0 };
	struct cvm_body q;
	struct err e;

	(void)st;
	assert_int_equal(
		ask(&create_table,
		    "{\"name\": \"abcde\", \"image\": \"img\", \"vcpu\": 2, \"memory\": 2048.0, "
		    "\"disk_size\": 20,"
		    "\"instance_type\": \"tdx.small\", \"node_id\": 1, \"teepod_id\": 1, "
		    "\"region\": \"here\","
		    "\"kms\": \"PHALA\", \"listed\": true, \"stopped\": true, \"prefer_dev\": "
		    "false,"
		    "\"require_tdx\": true, \"encrypted_env\": \"00ffA0\", \"user_config\": "
		    "\"x\", " COMPOSE ","
		    "\"ports\": [{\"protocol\": \"UDP\", \"host_port\": 53, \"vm_port\": 5353,"
		    "\"host_address\": \"127.0.0.1\"}, {\"vm_port\": 80}]}",
		    &a, &q, &e),
		0);
	assert_string_equal(a.req.name, "abcde");
	assert_string_equal(a.req.image, "img");
	assert_int_equal(a.req.vcpus, 2);
	assert_int_equal(a.req.memory_mib, 2048);
	assert_int_equal(a.req.disk_gib, 20);
	assert_int_equal(a.req.node_id, 1);
	assert_int_equal(a.req.prefer_dev, 0);
	assert_true(a.req.listed && a.req.stopped && a.req.tee == TEE_TDX);
	assert_int_equal(a.req.encrypted_env_len, 3);
	assert_memory_equal(a.req.encrypted_env, "\x00\xff\xa0", 3);
	assert_int_equal(a.req.n_ports, 2);
	assert_true(a.req.ports[0].udp);
	assert_int_equal(a.req.ports[0].host_port, 53);
	assert_string_equal(a.req.ports[0].host_address, "127.0.0.1");
	assert_false(a.req.ports[1].udp);
	assert_null(a.req.ports[1].host_address);
	assert_int_equal(a.req.ports[1].vm_port, 80);
	assert_non_null(a.req.manifest);
}

static void absent_null_and_empty_fields_stay_unset(void **st)
{
	auto_parsed_cvm struct parsed_cvm a = { 0 };
	struct cvm_body q;
	struct err e;

	(void)st;
	assert_int_equal(ask(&create_table,
			     "{\"name\": \"abcde\", \"image\": \"\", \"vcpu\": null, "
			     "\"encrypted_env\": null, " COMPOSE "}",
			     &a, &q, &e),
			 0);
	assert_null(a.req.image);
	assert_null(a.req.instance_type);
	assert_null(a.req.encrypted_env);
	assert_int_equal(a.req.vcpus, 0);
	assert_int_equal(a.req.prefer_dev, -1);
	assert_int_equal(a.req.n_ports, 0);
	assert_false(a.req.stopped);
}

static void a_refusal_names_the_field_and_leaves_the_output_alone(void **st)
{
	static const struct {
		const char *more, *field;
		int code;
	} bad[] = {
		{ "\"vcpu\": 0", "vcpu", ERR_INVALID },
		{ "\"vcpu\": \"2\"", "vcpu", ERR_INVALID },
		{ "\"memory\": 1.5", "memory", ERR_INVALID },
		{ "\"disk_size\": 99999999999", "disk_size", ERR_INVALID },
		{ "\"ports\": [{\"vm_port\": 0}]", "ports[0].vm_port", ERR_INVALID },
		{ "\"ports\": [{\"vm_port\": 1, \"colour\": 1}]", "ports[0].colour", ERR_INVALID },
		{ "\"ports\": [{\"vm_port\": 1, \"protocol\": \"sctp\"}]", "ports[0].protocol",
		  ERR_INVALID },
		{ "\"encrypted_env\": \"abc\"", "encrypted_env", ERR_INVALID },
		{ "\"encrypted_env\": \"zz\"", "encrypted_env", ERR_INVALID },
		{ "\"kms\": \"Ethereum\"", "kms", ERR_INCOMPATIBLE },
		{ "\"kms\": \"base\"", "kms", ERR_INCOMPATIBLE },
		{ "\"kms\": \"mars\"", "kms", ERR_INVALID },
		{ "\"kms_contract\": \"0x1\"", "kms_contract", ERR_INCOMPATIBLE },
		{ "\"kms_id\": \"kms_1\"", "kms_id", ERR_INCOMPATIBLE },
		{ "\"node_id\": 1, \"teepod_id\": 2", "node_id", ERR_INCOMPATIBLE },
		{ "\"hugepages\": 1", "hugepages", ERR_INVALID },
		{ "\"gpus\": []", "gpus", ERR_INVALID },
		{ "\"gpus\": {\"count\": 1}", "gpus.count", ERR_INVALID },
		{ "\"gpus\": {\"attach_mode\": \"some\"}", "gpus.attach_mode", ERR_INVALID },
		{ "\"gpus\": {\"gpus\": [{}, {\"slot\": 1}]}", "gpus.gpus[1].slot", ERR_INVALID },
		{ "\"gpus\": {\"gpus\": [{\"slot\": \"0000:18:00.00\"}]}", "gpus.gpus[0].slot",
		  ERR_INVALID },
		{ "\"kms_urls\": [\"https://kms\"]", "kms_urls", ERR_UNSUPPORTED },
		{ "\"stoped\": true", "stoped", ERR_INVALID },
	};

	(void)st;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct parsed_cvm a, before;
		char text[400];
		struct cvm_body q;
		struct err e;

		memset(&a, 0x5a, sizeof(a));
		before = a;
		(void)snprintf(text, sizeof(text), "{\"name\": \"abcde\", %s, %s}", bad[i].more,
			       COMPOSE);
		assert_int_equal(ask(&create_table, text, &a, &q, &e), bad[i].code);
		assert_string_equal(e.field, bad[i].field);
		assert_true(e.text[0] != 0);
		assert_memory_equal(&a, &before, sizeof(a));
	}
}

static void expect_gpus(const char *gpus, enum gpu_attach attach, size_t n, const char *slot,
			const char *product)
{
	auto_parsed_cvm struct parsed_cvm a = { 0 };
	struct cvm_body q;
	char text[400];
	struct err e;

	(void)snprintf(text, sizeof(text), "{\"name\": \"abcde\", \"gpus\": %s, %s}", gpus,
		       COMPOSE);
	if (ask(&create_table, text, &a, &q, &e))
		fail_msg("%s: %s", gpus, e.text);
	assert_int_equal(a.req.gpu_attach, attach);
	assert_int_equal(a.req.n_gpus, n);
	if (!n)
		return;
	assert_string_equal(a.req.gpus[n - 1].slot ? a.req.gpus[n - 1].slot : "", slot);
	assert_string_equal(a.req.gpus[n - 1].product_id ? a.req.gpus[n - 1].product_id : "",
			    product);
}

static void gpus_are_listed_all_or_none(void **st)
{
	(void)st;
	expect_gpus("null", GPU_NONE, 0, "", "");
	expect_gpus("{}", GPU_NONE, 0, "", "");
	expect_gpus("{\"attach_mode\": \"listed\", \"gpus\": null}", GPU_NONE, 0, "", "");
	expect_gpus("{\"attach_mode\": \"ALL\"}", GPU_ALL, 0, "", "");
	expect_gpus("{\"gpus\": [{\"slot\": \"18:00.0\", \"product_id\": \"\"}]}", GPU_LISTED, 1,
		    "18:00.0", "");
	expect_gpus("{\"gpus\": [{}, {\"product_id\": \"10de:2335\"}]}", GPU_LISTED, 2, "",
		    "10de:2335");
}

static void a_missing_compose_file_and_a_missing_name_have_their_own_errors(void **st)
{
	auto_parsed_cvm struct parsed_cvm a = { 0 };
	struct cvm_body q;
	struct err e;

	(void)st;
	assert_int_equal(ask(&create_table, "{\"name\": \"abcde\"}", &a, &q, &e),
			 ERR_COMPOSE_MISSING);
	assert_int_equal(ask(&create_table, "{" COMPOSE "}", &a, &q, &e), ERR_INVALID);
	assert_string_equal(e.field, "name");
}

static void clients_of_the_cloud_may_send_more_than_we_know(void **st)
{
	auto_parsed_cvm struct parsed_cvm a = { 0 };
	struct cvm_body q;
	struct err e;

	(void)st;
	assert_int_equal(ask(&provision_table,
			     "{\"name\": \"abcde\", \"future\": [1], " COMPOSE "}", &a, &q, &e),
			 0);
}

static void a_body_with_a_hash_and_no_compose_file_is_a_commit(void **st)
{
	static const struct {
		const char *text;
		bool commit;
	} bodies[] = {
		{ "{\"app_id\": \"a\", \"compose_hash\": \"b\"}", true },
		{ "{\"compose_hash\": \"b\", \"compose_file\": null}", true },
		{ "{\"compose_hash\": \"b\", \"compose_file\": {}}", false },
		{ "{\"app_id\": \"a\"}", false },
	};

	(void)st;
	for (size_t i = 0; i < ARRAY_SIZE(bodies); i++) {
		auto_json json_t *one = json_loads(bodies[i].text, 0, NULL);

		assert_int_equal(is_commit_body(one), bodies[i].commit);
	}
}

static void power_times_are_ten_to_twelve_hundred_seconds(void **st)
{
	auto_json json_t *good =
		json_loads("{\"timeout\": 1200, \"force\": true, \"id\": \"x\"}", 0, NULL);
	auto_json json_t *bad = json_loads("{\"timeout_s\": 9}", 0, NULL);
	struct power_request ask_for = { .kind = OP_SHUTDOWN };
	struct err e;

	(void)st;
	assert_int_equal(parse_power_body(&shutdown_table, good, &ask_for, &e), 0);
	assert_int_equal(ask_for.timeout_s, 1200);
	assert_true(ask_for.force);
	assert_int_equal(parse_power_body(&shutdown_table, bad, &ask_for, &e), -ERR_INVALID);
	assert_string_equal(e.field, "timeout_s");
	assert_int_equal(ask_for.timeout_s, 1200);
}

static void images_are_imported_from_an_absolute_path(void **st)
{
	auto_json json_t *good = json_loads("{\"source\": \"/a/b\"}", 0, NULL);
	auto_json json_t *relative = json_loads("{\"source\": \"a/b\"}", 0, NULL);
	auto_json json_t *more = json_loads("{\"source\": \"/a\", \"url\": \"x\"}", 0, NULL);
	struct image_body a = { 0 };
	struct err e;

	(void)st;
	assert_int_equal(parse_image_body(good, &a, &e), 0);
	assert_string_equal(a.source, "/a/b");
	assert_null(a.name);
	assert_int_equal(parse_image_body(relative, &a, &e), -ERR_INVALID);
	assert_string_equal(e.field, "source");
	assert_int_equal(parse_image_body(more, &a, &e), -ERR_INVALID);
	assert_string_equal(e.field, "url");
}

static void the_machine_is_read_from_its_own_fields(void **st)
{
	auto_parsed_cvm struct parsed_cvm a = { 0 }, plain = { 0 };
	struct cvm_body q;
	struct err e;

	(void)st;
	assert_int_equal(ask(&create_table,
			     "{\"name\": \"abcde\", \"tee\": \"TDX\", \"networks\": [{}, "
			     "{\"mode\": \"bridge\", \"bridge_name\": \"br0\"}],"
			     "\"tdx\": {\"policy\": \"0x10000001\", \"mr_owner\": "
			     "\"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCUmJygpKissLS4v\"}"
			     ", " COMPOSE "}",
			     &a, &q, &e),
			 0);
	assert_int_equal(a.req.tee, TEE_TDX);
	assert_string_equal(a.req.networks, "user,bridge:br0");
	assert_true(a.req.tdx.given);
	assert_int_equal(a.req.tdx.policy, 0x10000001);
	assert_string_equal(a.req.tdx.mr_owner, "000102030405060708090a0b0c0d0e0f101112131415161718"
						"191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f");
	assert_string_equal(a.req.tdx.mr_owner_config, "");
	assert_int_equal(ask(&create_table, "{\"name\": \"abcde\", " COMPOSE "}", &plain, &q, &e),
			 0);
	assert_int_equal(plain.req.tee, TEE_AUTO);
	assert_string_equal(plain.req.networks, "");
	assert_false(plain.req.tdx.given);
}

static void each_bad_machine_field_is_named_with_what_was_given(void **st)
{
	static const struct {
		const char *json, *field, *said;
	} bad[] = {
		{ "\"tdx\": {\"policy\": \"0x10000002\"}", "tdx.policy", "0x10000002" },
		{ "\"tdx\": {\"policy\": \"268435456\"}", "tdx.policy",
		  "a hexadecimal number such as" },
		{ "\"tdx\": {\"policy\": \"0x\"}", "tdx.policy", "a hexadecimal number such as" },
		{ "\"tdx\": {\"policy\": \"0x1ffffffffffffffff\"}", "tdx.policy",
		  "0x1ffffffffffffffff" },
		{ "\"tdx\": {\"mr_owner\": \"AAAA\"}", "tdx.mr_owner",
		  "has 3 bytes; allowed: exactly 48" },
		{ "\"tdx\": {\"mr_owner\": \"AA==\"}", "tdx.mr_owner", "has 1 bytes" },
		{ "\"tdx\": {\"mr_owner_config\": \"not base64!\"}", "tdx.mr_owner_config",
		  "not base64" },
		{ "\"tdx\": {\"mr_owner_config\": \"A===\"}", "tdx.mr_owner_config", "bytes" },
		{ "\"tdx\": {\"mrowner\": \"\"}", "tdx.mrowner", "mrowner" },
		{ "\"tee\": \"sev\"", "tee", "sev" },
		{ "\"tee\": \"none\", \"require_tdx\": true", "tee", "require_tdx" },
		{ "\"networks\": []", "networks", "networks" },
		{ "\"networks\": [{\"mode\": \"macvtap\"}]", "networks[0].mode", "macvtap" },
		{ "\"networks\": [{\"mode\": \"bridge\"}]", "networks[0].bridge_name", "missing" },
		{ "\"networks\": [{}, {\"bridge_name\": \"br0\"}]", "networks[1].bridge_name",
		  "br0" },
		{ "\"networks\": [{},{},{},{},{},{},{},{},{}]", "networks", "8" },
	};

	(void)st;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		auto_free char *text =
			xasprintf("{\"name\": \"abcde\", %s, " COMPOSE "}", bad[i].json);
		auto_parsed_cvm struct parsed_cvm a = { 0 };
		struct cvm_body q;
		struct err e = { 0 };

		assert_true(ask(&create_table, text, &a, &q, &e) != 0);
		assert_string_equal(e.field, bad[i].field);
		if (!strstr(e.text, bad[i].said) && !strstr(e.value, bad[i].said))
			fail_msg("%s: %s (%s)", bad[i].json, e.text, e.value);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_machine_is_read_from_its_own_fields),
		cmocka_unit_test(each_bad_machine_field_is_named_with_what_was_given),
		cmocka_unit_test(every_field_of_the_body_is_parsed),
		cmocka_unit_test(absent_null_and_empty_fields_stay_unset),
		cmocka_unit_test(a_refusal_names_the_field_and_leaves_the_output_alone),
		cmocka_unit_test(gpus_are_listed_all_or_none),
		cmocka_unit_test(a_missing_compose_file_and_a_missing_name_have_their_own_errors),
		cmocka_unit_test(clients_of_the_cloud_may_send_more_than_we_know),
		cmocka_unit_test(a_body_with_a_hash_and_no_compose_file_is_a_commit),
		cmocka_unit_test(power_times_are_ten_to_twelve_hundred_seconds),
		cmocka_unit_test(images_are_imported_from_an_absolute_path),
	};

	int failed = cmocka_run_group_tests_name("asks", tests, NULL, NULL);

	json_decref(body);
	return failed;
}
