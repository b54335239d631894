/* SPDX-License-Identifier: Apache-2.0
 * body_update_test.c - bodies of updates and replications become what the vmm is asked, or an error
 * that names the field.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "api/cloud/body_update.h"
#include "base/array.h"
#include <jansson.h>
#include "vmm/admit/request.h"
#include "vmm/compose/compose_merge.h"

/* What asks point into lives until the next one. */
static json_t *body;

static void take(const char *text)
{
	struct err e;

	json_decref(body);
	body = json_read(text, strlen(text), &e);
	if (!body)
		fail_msg("%s: %s", text, e.text);
}

static void reads(const struct field_table *t, const char *text, struct parsed_update *ret)
{
	struct err e;

	take(text);
	parsed_update_end(ret);
	if (parse_update_body(t, body, ret, &e))
		fail_msg("%s: %s", text, e.text);
}

static void an_empty_body_changes_nothing(void **st)
{
	auto_parsed_update struct parsed_update a = { 0 };

	(void)st;
	reads(&update_table, "{}", &a);
	assert_false(compose_merge_any(&a.merge));
	assert_int_equal(a.req.listed, -1);
	assert_false(a.req.set_env || a.req.set_ports || a.req.set_gpus || a.req.set_user_config ||
		     a.req.force);
	assert_null(a.req.image);
	assert_null(a.req.instance_type);
	assert_int_equal(a.req.vcpus + a.req.memory_mib + a.req.disk_gib + a.req.timeout_s, 0);
	assert_null(a.env_keys);
}

static void every_field_of_the_body_is_parsed(void **st)
{
	auto_parsed_update struct parsed_update a = { 0 };

	(void)st;
	reads(&update_table,
	      "{\"docker_compose_file\": \"services: {}\", \"pre_launch_script\": \"\", "
	      "\"allowed_envs\": [\"A\"],"
	      "\"encrypted_env\": \"00ff\", \"env_keys\": [\"A\"], \"public_logs\": false, "
	      "\"public_sysinfo\": true,"
	      "\"listed\": true, \"user_config\": \"\", \"instance_type\": \"tdx.big\", \"vcpu\": "
	      "3, \"memory\": 4096,"
	      "\"disk_size\": 50, \"image\": \"img\", \"shutdown_timeout\": 20, "
	      "\"allow_force_stop\": true,"
	      "\"allow_restart\": 0, \"gpus\": {\"gpus\": [{\"slot\": \"18:00.0\"}]},"
	      "\"ports\": [{\"vm_port\": 80}, {\"vm_port\": 53, \"protocol\": \"udp\"}]}",
	      &a);
	assert_string_equal(a.merge.docker_compose_file, "services: {}");
	assert_string_equal(a.merge.pre_launch_script, "");
	assert_int_equal(json_array_size(a.merge.allowed_envs), 1);
	assert_int_equal(a.merge.public_logs, 0);
	assert_int_equal(a.merge.public_sysinfo, 1);
	assert_int_equal(a.merge.public_tcbinfo, -1);
	assert_true(a.req.set_env && a.req.encrypted_env_len == 2);
	assert_memory_equal(a.req.encrypted_env, "\x00\xff", 2);
	assert_true(a.req.set_user_config && !a.req.user_config);
	assert_int_equal(a.req.listed, 1);
	assert_string_equal(a.req.instance_type, "tdx.big");
	assert_true(a.req.vcpus == 3 && a.req.memory_mib == 4096 && a.req.disk_gib == 50);
	assert_string_equal(a.req.image, "img");
	assert_int_equal(a.req.timeout_s, 20);
	assert_true(a.req.force && !a.req.allow_restart);
	assert_true(a.req.set_gpus && a.req.gpu_attach == GPU_LISTED && a.req.n_gpus == 1);
	assert_string_equal(a.req.gpus[0].slot, "18:00.0");
	assert_true(a.req.set_ports && a.req.n_ports == 2 && a.req.ports[1].udp);
}

static void gpus_may_be_counted_or_taken_away(void **st)
{
	auto_parsed_update struct parsed_update a = { 0 };

	(void)st;
	reads(&update_table, "{\"gpus\": {\"count\": 2, \"product_name\": \"10de:2335\"}}", &a);
	assert_true(a.req.set_gpus && a.req.gpu_attach == GPU_LISTED && a.req.n_gpus == 2);
	assert_string_equal(a.req.gpus[1].product_id, "10de:2335");
	reads(&update_table, "{\"gpus\": {\"count\": 0}}", &a);
	assert_true(a.req.set_gpus && a.req.gpu_attach == GPU_NONE && a.req.n_gpus == 0);
	reads(&update_table, "{\"gpus\": {}}", &a);
	assert_true(a.req.set_gpus && a.req.gpu_attach == GPU_NONE);
	reads(&update_table, "{\"gpus\": {\"attach_mode\": \"all\"}}", &a);
	assert_int_equal(a.req.gpu_attach, GPU_ALL);
	reads(&update_table, "{\"ports\": []}", &a);
	assert_true(a.req.set_ports && a.req.n_ports == 0);
}

static void only_a_resize_needs_permission_to_restart(void **st)
{
	static const struct {
		const struct field_table *t;
		const char *text;
		bool may;
	} want[] = {
		{ &resources_table, "{\"vcpu\": 2, \"uuid\": \"x\", \"id\": 5}", false },
		{ &resources_table, "{\"vcpu\": 2, \"allow_restart\": null}", false },
		{ &resources_table, "{\"vcpu\": 2, \"allow_restart\": 1}", true },
		{ &resources_table, "{\"vcpu\": 2, \"allow_restart\": true}", true },
		{ &resources_table, "{\"vcpu\": 2, \"allow_restart\": 1.0}", true },
		{ &resources_table, "{\"vcpu\": 2, \"allow_restart\": 0}", false },
		{ &update_table, "{\"vcpu\": 2}", true },
		{ &update_table, "{\"vcpu\": 2, \"allow_restart\": false}", false },
		{ &envs_table, "{\"encrypted_env\": \"\"}", true },
		{ &os_image_table, "{\"os_image_name\": \"x\"}", true },
		{ &visibility_table, "{}", true },
	};

	(void)st;
	for (size_t i = 0; i < ARRAY_SIZE(want); i++) {
		auto_parsed_update struct parsed_update a = { 0 };

		reads(want[i].t, want[i].text, &a);
		assert_int_equal(a.req.allow_restart, want[i].may);
	}
}

static void an_older_upgrade_keeps_the_names_of_an_environment_it_does_not_replace(void **st)
{
	auto_parsed_update struct parsed_update a = { 0 };

	(void)st;
	reads(&legacy_update_table,
	      "{\"compose_manifest\": {\"docker_compose_file\": \"services: {}\", "
	      "\"manifest_version\": 1,"
	      "\"allowed_envs\": []}, \"env_keys\": []}",
	      &a);
	assert_string_equal(a.merge.docker_compose_file, "services: {}");
	assert_null(a.merge.allowed_envs);
	assert_false(a.req.set_env);
	reads(&legacy_update_table,
	      "{\"compose_manifest\": {\"docker_compose_file\": \"services: {}\", "
	      "\"allowed_envs\": []},"
	      "\"encrypted_env\": \"00\"}",
	      &a);
	assert_non_null(a.merge.allowed_envs);
	assert_true(a.req.set_env);
}

static void names_of_an_environment_replace_or_are_checked(void **st)
{
	auto_parsed_update struct parsed_update a = { 0 };

	(void)st;
	reads(&envs_table, "{\"encrypted_env\": \"00\", \"env_keys\": [\"A\"]}", &a);
	assert_true(a.envs_replace && a.req.set_env);
	reads(&compose_commit_table, "{\"compose_hash\": \"0xab\", \"encrypted_env\": \"00\"}", &a);
	assert_true(a.req.set_env && !a.envs_replace);
	assert_string_equal(a.compose_hash, "0xab");
	reads(&compose_commit_table,
	      "{\"compose_hash\": \"ab\", \"encrypted_env\": \"00\", \"update_env_vars\": false}",
	      &a);
	assert_false(a.req.set_env);
}

static void a_refusal_names_the_field_and_leaves_the_output_alone(void **st)
{
	static const struct {
		const struct field_table *t;
		const char *text, *field;
		int code;
	} bad[] = {
		{ &resources_table, "{\"vcpu\": 0}", "vcpu", ERR_INVALID },
		{ &resources_table, "{\"memory\": \"2G\"}", "memory", ERR_INVALID },
		{ &resources_table, "{\"disk_size\": 1.5}", "disk_size", ERR_INVALID },
		{ &resources_table, "{\"instance_type\": 7}", "instance_type", ERR_INVALID },
		{ &resources_table, "{\"allow_restart\": 2}", "allow_restart", ERR_INVALID },
		{ &resources_table, "{\"allow_restart\": \"true\"}", "allow_restart", ERR_INVALID },
		{ &update_table, "{\"colour\": 1}", "colour", ERR_INVALID },
		{ &update_table, "{\"docker_compose_file\": {}}", "docker_compose_file",
		  ERR_INVALID },
		{ &update_table, "{\"allowed_envs\": [1]}", "allowed_envs", ERR_INVALID },
		{ &update_table, "{\"encrypted_env\": \"abc\"}", "encrypted_env", ERR_INVALID },
		{ &update_table, "{\"shutdown_timeout\": 9}", "shutdown_timeout", ERR_INVALID },
		{ &update_table, "{\"shutdown_timeout\": 1201}", "shutdown_timeout", ERR_INVALID },
		{ &update_table, "{\"ports\": [{\"vm_port\": 0}]}", "ports[0].vm_port",
		  ERR_INVALID },
		{ &update_table, "{\"gpus\": {\"count\": 1}}", "gpus.product_name", ERR_INVALID },
		{ &update_table, "{\"gpus\": {\"count\": 65}}", "gpus.count", ERR_INVALID },
		{ &update_table, "{\"gpus\": {\"count\": 1, \"gpus\": [{}]}}", "gpus.count",
		  ERR_INCOMPATIBLE },
		{ &update_table, "{\"image\": \"\"}", "image", ERR_INVALID },
		{ &legacy_update_table, "{}", "compose_manifest", ERR_INVALID },
		{ &legacy_update_table, "{\"compose_manifest\": {}}",
		  "compose_manifest.docker_compose_file", ERR_INVALID },
		{ &envs_table, "{}", "encrypted_env", ERR_INVALID },
		{ &envs_table, "{\"encrypted_env\": null}", "encrypted_env", ERR_INVALID },
		{ &envs_table, "{\"encrypted_env\": \"00\", \"env_keys\": {}}", "env_keys",
		  ERR_INVALID },
		{ &os_image_table, "{\"os_image_name\": \"\"}", "os_image_name", ERR_INVALID },
		{ &visibility_table, "{\"public_logs\": 1}", "public_logs", ERR_INVALID },
		{ &compose_commit_table, "{}", "compose_hash", ERR_INVALID },
	};

	(void)st;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct parsed_update a;
		struct err e = { 0 };

		memset(&a, 0x5a, sizeof(a));
		take(bad[i].text);
		assert_int_equal(parse_update_body(bad[i].t, body, &a, &e), -bad[i].code);
		assert_string_equal(e.field, bad[i].field);
		for (size_t k = 0; k < sizeof(a); k++)
			assert_int_equal(((unsigned char *)&a)[k], 0x5a);
	}
}

/* ------------------------------------------------------------------ replicas */

static void a_replica_follows_its_request(void **st)
{
	struct parsed_replica a;
	struct err e;

	(void)st;
	take("{}");
	assert_int_equal(parse_replica_body(&replica_table, body, &a, &e), 0);
	assert_false(a.req.set_env || a.req.stopped || a.partial ||
		     compose_merge_any(&a.req.software));
	assert_int_equal(a.count, 0);
	take("{\"teepod_id\": 1, \"encrypted_env\": \"\", \"compose_hash\": \"0xab\", \"count\": "
	     "64, \"partial\": true,"
	     "\"docker_compose_file\": \"services: {}\", \"env_keys\": [\"A\"], "
	     "\"transaction_hash\": \"0x\"}");
	assert_int_equal(parse_replica_body(&instance_table, body, &a, &e), 0);
	assert_true(a.req.set_env && !a.env && a.req.node_id == 1 && a.count == 64 && a.partial);
	assert_true(compose_merge_any(&a.req.software));
	assert_int_equal(json_array_size(a.req.env_keys), 1);
	assert_string_equal(a.req.compose_hash, "0xab");
}

static void partial_without_count_and_two_nodes_contradict_themselves(void **st)
{
	struct parsed_replica a;
	struct err e;

	(void)st;
	take("{\"partial\": true}");
	assert_int_equal(parse_replica_body(&replica_table, body, &a, &e), -ERR_INCOMPATIBLE);
	assert_string_equal(e.field, "partial");
	take("{\"node_id\": 1, \"teepod_id\": 2}");
	assert_int_equal(parse_replica_body(&replica_table, body, &a, &e), -ERR_INCOMPATIBLE);
	assert_string_equal(e.field, "node_id");
	take("{\"count\": 65}");
	assert_int_equal(parse_replica_body(&replica_table, body, &a, &e), -ERR_INVALID);
	assert_string_equal(e.field, "count");
}

static void a_rollback_may_restart_unless_forbidden(void **st)
{
	struct rollback_body a = { 0 };
	struct err e;

	(void)st;
	take("{}");
	assert_int_equal(parse_rollback_body(body, &a, &e), 0);
	assert_true(a.allow_restart && !a.vm_uuid);
	take("{\"vm_uuid\": \"x\", \"allow_restart\": 0}");
	assert_int_equal(parse_rollback_body(body, &a, &e), 0);
	assert_true(!a.allow_restart && a.vm_uuid);
	take("{\"number\": 2}");
	assert_int_equal(parse_rollback_body(body, &a, &e), -ERR_INVALID);
}

static int forget(void **st)
{
	(void)st;
	json_decref(body);
	body = NULL;
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_empty_body_changes_nothing),
		cmocka_unit_test(every_field_of_the_body_is_parsed),
		cmocka_unit_test(gpus_may_be_counted_or_taken_away),
		cmocka_unit_test(only_a_resize_needs_permission_to_restart),
		cmocka_unit_test(
			an_older_upgrade_keeps_the_names_of_an_environment_it_does_not_replace),
		cmocka_unit_test(names_of_an_environment_replace_or_are_checked),
		cmocka_unit_test(a_refusal_names_the_field_and_leaves_the_output_alone),
		cmocka_unit_test(a_replica_follows_its_request),
		cmocka_unit_test(partial_without_count_and_two_nodes_contradict_themselves),
		cmocka_unit_test(a_rollback_may_restart_unless_forbidden),
	};

	return cmocka_run_group_tests_name("asks of updates", tests, NULL, forget);
}
