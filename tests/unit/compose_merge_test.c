/* SPDX-License-Identifier: Apache-2.0
 * compose_merge_test.c - a change of a manifest moves what it names and nothing else; both forms of
 * a hash are understood.
 *
 * Run from the project's root: the vectors are in tests/data.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/file.h"
#include "base/json.h"
#include "base/own.h"
#include "base/strings.h"
#include "vmm/compose/compose.h"
#include "vmm/compose/compose_merge.h"

#define NOTHING .public_logs = -1, .public_sysinfo = -1, .public_tcbinfo = -1
#define YAML    "services:\n  a:\n    image: b\n"

static json_t *json(const char *text)
{
	struct err e;
	json_t *j = json_read(text, strlen(text), &e);

	if (!j)
		fail_msg("%s: %s", text, e.text);
	return j;
}

static json_t *manifest(void)
{
	return json("{\"manifest_version\": 2, \"name\": \"app\", \"runner\": \"docker-compose\","
		    "\"docker_compose_file\": \"services:\\n  a:\\n    image: a\\n\","
		    "\"pre_launch_script\": \"echo hi\", \"allowed_envs\": [\"B\", \"A\"],"
		    "\"public_logs\": true, \"public_sysinfo\": true, \"colour\": {\"ours\": [1, "
		    "null]}}");
}

static void hash_of(const json_t *m, char out[SHA256_HEX])
{
	auto_free char *text = compose_text(m);

	compose_hash(text, out);
}

static void a_change_that_names_nothing_keeps_the_hash(void **st)
{
	const struct compose_merge none = { NOTHING };
	auto_json json_t *m = manifest(), *out = NULL;
	char before[SHA256_HEX], after[SHA256_HEX];
	struct err e;

	(void)st;
	assert_false(compose_merge_any(&none));
	assert_int_equal(compose_merge(m, &none, &out, &e), 0);
	hash_of(m, before);
	hash_of(out, after);
	assert_string_equal(before, after);
}

/* What is merged in, and the one key that differs afterwards. */
static void each_part_moves_its_own_key(void **st)
{
	auto_json json_t *names = json("[\"A\", \"C\", \"A\"]");
	const struct {
		struct compose_merge m;
		const char *key, *value;
	} parts[] = {
		{ { NOTHING, .docker_compose_file = YAML },
		  "docker_compose_file",
		  "\"services:\\n  a:\\n    image: b\\n\"" },
		{ { NOTHING, .pre_launch_script = "true" }, "pre_launch_script", "\"true\"" },
		{ { NOTHING, .pre_launch_script = "" }, "pre_launch_script", "null" },
		{ { NOTHING, .allowed_envs = names }, "allowed_envs", "[\"A\",\"C\"]" },
		{ { .public_logs = 0, .public_sysinfo = -1, .public_tcbinfo = -1 },
		  "public_logs",
		  "false" },
		{ { .public_logs = -1, .public_sysinfo = 0, .public_tcbinfo = -1 },
		  "public_sysinfo",
		  "false" },
		{ { .public_logs = -1, .public_sysinfo = -1, .public_tcbinfo = 0 },
		  "public_tcbinfo",
		  "false" },
	};

	(void)st;
	for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
		auto_json json_t *m = manifest(), *out = NULL;
		auto_free char *value = NULL;
		struct err e;

		assert_true(compose_merge_any(&parts[i].m));
		assert_int_equal(compose_merge(m, &parts[i].m, &out, &e), 0);
		value = json_canonical(json_object_get(out, parts[i].key));
		assert_string_equal(value, parts[i].value);
		json_object_del(m, parts[i].key);
		json_object_del(out, parts[i].key);
		assert_true(json_equal(m, out));
	}
}

static void the_same_names_in_another_order_are_no_change(void **st)
{
	auto_json json_t *m = manifest(), *out = NULL, *same = json("[\"A\", \"B\", \"B\"]");
	const struct compose_merge names = { NOTHING, .allowed_envs = same };
	struct err e;

	(void)st;
	assert_true(compose_envs_equal(m, same));
	assert_int_equal(compose_merge(m, &names, &out, &e), 0);
	assert_true(json_equal(m, out));
}

static void a_bad_part_is_named_and_the_output_left_alone(void **st)
{
	const struct compose_merge bad = { NOTHING, .docker_compose_file = "services: [" };
	auto_json json_t *m = manifest(), *bash = NULL;
	const struct compose_merge good = { NOTHING, .docker_compose_file = YAML };
	json_t *out = m;
	struct err e;

	(void)st;
	assert_int_equal(compose_merge(m, &bad, &out, &e), -ERR_COMPOSE_INVALID);
	assert_string_equal(e.field, "docker_compose_file");
	bash = json("{\"manifest_version\": 2, \"name\": \"x\", \"runner\": \"bash\", "
		    "\"bash_script\": \"true\"}");
	assert_int_equal(compose_merge(bash, &good, &out, &e), -ERR_INCOMPATIBLE);
	assert_string_equal(e.field, "docker_compose_file");
	assert_ptr_equal(out, m);
}

static void keys_go_over_the_manifest_and_a_whole_one_replaces_it(void **st)
{
	auto_json json_t *m = manifest(), *out = NULL, *whole = NULL;
	auto_json json_t *keys =
		json("{\"public_logs\": false, \"pre_launch_script\": null, \"salt\": \"x\"}");
	auto_json json_t *other =
		json("{\"manifest_version\": 1, \"name\": \"n\", \"runner\": \"docker-compose\","
		     "\"docker_compose_file\": \"services: {a: {image: b}}\"}");
	auto_json json_t *bad = json("{\"public_logs\": \"no\"}");
	json_t *untouched = m;
	struct err e;

	(void)st;
	assert_int_equal(compose_patch(m, keys, &out, &e), 0);
	assert_true(json_is_false(json_object_get(out, "public_logs")));
	assert_null(json_object_get(out, "pre_launch_script"));
	assert_non_null(json_object_get(out, "colour"));
	assert_int_equal(compose_patch(m, other, &whole, &e), 0);
	assert_true(json_equal(whole, other));
	assert_int_equal(compose_patch(m, bad, &untouched, &e), -ERR_INVALID);
	assert_string_equal(e.field, "public_logs");
	assert_ptr_equal(untouched, m);
}

static void names_that_are_not_allowed_are_named(void **st)
{
	auto_json json_t *m = manifest(), *good = json("[\"A\"]");
	auto_json json_t *bad = json("[\"A\", \"SECRET\", \"OTHER\"]"), *none = json("{}");
	struct err e;

	(void)st;
	assert_int_equal(compose_envs_allowed(m, good, "env_keys", &e), 0);
	assert_int_equal(compose_envs_allowed(m, NULL, "env_keys", &e), 0);
	assert_int_equal(compose_envs_allowed(m, bad, "env_keys", &e), -ERR_INVALID);
	assert_string_equal(e.field, "env_keys");
	assert_string_equal(e.value, "SECRET, OTHER");
	assert_int_equal(compose_envs_allowed(none, good, "env_keys", &e), -ERR_INVALID);
}

static void ten_thousand_names_are_cut(void **st)
{
	auto_json json_t *m = manifest(), *names = json_array();
	struct err e;

	(void)st;
	for (int i = 0; i < 10000; i++)
		json_array_append_new(names, json_sprintf("NAME_%d", i));
	assert_int_equal(compose_envs_allowed(m, names, "env_keys", &e), -ERR_INVALID);
	assert_non_null(strstr(e.text, "NAME_0, NAME_1"));
}

static void every_vector_hashes_as_the_clients_older_form_does(void **st)
{
	auto_free char *file = NULL;
	auto_json json_t *vectors = NULL;
	struct err e;
	size_t i, n;
	json_t *v;

	(void)st;
	assert_int_equal(file_read("tests/data/compose_hash_vectors.json", 1 << 20, &file, &n, &e),
			 0);
	vectors = json(file);
	assert_int_equal(json_array_size(vectors), 7);
	json_array_foreach(vectors, i, v)
	{
		const json_t *m = json_object_get(v, "manifest");
		const char *given = json_string_value(json_object_get(v, "as_given"));
		auto_free char *long_form = xasprintf("0x%s", given);
		char hash[SHA256_HEX];

		compose_hash_indented(m, hash);
		assert_string_equal(hash, json_string_value(json_object_get(v, "indented")));
		assert_true(compose_hash_names(m, hash));
		assert_true(compose_hash_names(m, given));
		for (char *c = long_form + 2; *c; c++)
			*c = (char)(*c >= 'a' ? *c - 'a' + 'A' : *c);
		assert_true(compose_hash_names(m, long_form));
		long_form[4] = long_form[4] == '0' ? '1' : '0';
		assert_false(compose_hash_names(m, long_form));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_change_that_names_nothing_keeps_the_hash),
		cmocka_unit_test(each_part_moves_its_own_key),
		cmocka_unit_test(the_same_names_in_another_order_are_no_change),
		cmocka_unit_test(a_bad_part_is_named_and_the_output_left_alone),
		cmocka_unit_test(keys_go_over_the_manifest_and_a_whole_one_replaces_it),
		cmocka_unit_test(names_that_are_not_allowed_are_named),
		cmocka_unit_test(ten_thousand_names_are_cut),
		cmocka_unit_test(every_vector_hashes_as_the_clients_older_form_does),
	};

	return cmocka_run_group_tests_name("compose merge", tests, NULL, NULL);
}
