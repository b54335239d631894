/* SPDX-License-Identifier: Apache-2.0
 * mr_config_test.c - MRCONFIGID is what a guest and a verifier work out, and JCS what RFC 8785
 * says.
 *
 * measure_vectors.json is made by the Python beside it. dstack's own published numbers (its SDKs'
 * tests, printed by its Rust library) are in the tables here. Run from the project's root.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/array.h"
#include "base/file.h"
#include "base/json.h"
#include "base/json_js.h"
#include "base/own.h"
#include "base/strings.h"
#include "vmm/tdx/mr_config.h"

enum { ID_HEX = 2 * MR_CONFIG_ID_LEN + 1 };

static json_t *json(const char *text)
{
	struct err e;
	json_t *j = json_read(text, strlen(text), &e);

	if (!j)
		fail_msg("%s: %s", text, e.text);
	return j;
}

static const char *text(const json_t *o, const char *key)
{
	return json_string_value(json_object_get(o, key));
}

static void check_id(const uint8_t id[MR_CONFIG_ID_LEN], const char *expected)
{
	char hex[ID_HEX];

	id_hex(id, MR_CONFIG_ID_LEN, hex);
	assert_string_equal(hex, expected);
}

/* ------------------------------------------------------------------ choosing */

static struct mr_config_input input_of(const json_t *v, const uint8_t *seed)
{
	return (struct mr_config_input){ .manifest = text(v, "manifest"),
					 .app_id = text(v, "app_id"),
					 .image_family = text(v, "image_family"),
					 .image_version = text(v, "image_version"),
					 .tdx = true,
					 .has_gpus = json_is_true(json_object_get(v, "has_gpus")),
					 .instance_seed = seed };
}

static void check_vector(const json_t *v)
{
	auto_mr_config struct mr_config m = { 0 };
	uint8_t seed[INSTANCE_SEED_LEN];
	struct mr_config_input in = input_of(v, seed);
	struct err e;

	print_message("%s\n", text(v, "rule"));
	assert_true(id_unhex(text(v, "instance_seed"), seed, sizeof(seed)));
	assert_int_equal(mr_config_choose(&in, &m, &e), 0);
	assert_int_equal(m.version, json_integer_value(json_object_get(v, "version")));
	assert_false(m.pending);
	check_id(m.id, text(v, "id"));
	if (m.version == 3)
		assert_string_equal(m.document, text(v, "document"));
	else
		assert_null(m.document);
}

static void every_vector_is_what_python_makes_of_it(void **st)
{
	auto_free char *file = NULL;
	auto_json json_t *vectors = NULL;
	struct err e;
	size_t i, n;
	json_t *v, *list;

	(void)st;
	assert_int_equal(file_read("tests/data/measure_vectors.json", 1 << 20, &file, &n, &e), 0);
	vectors = json(file);
	list = json_object_get(vectors, "mr_config");
	assert_int_equal(json_array_size(list), 18);
	json_array_foreach(list, i, v)
	{
		check_vector(v);
	}
}

static const char pinned[] =
	"{\"manifest_version\":2,\"name\":\"a\",\"runner\":\"none\",\"key_provider_id\":\"33\"}";

static struct mr_config_input input_for(const char *manifest)
{
	return (struct mr_config_input){ .manifest = manifest,
					 .app_id = "1111111111111111111111111111111111111111",
					 .image_family = "dstack",
					 .image_version = "0.6.0",
					 .tdx = true };
}

static void an_ordinary_vm_and_an_image_before_mrconfigid_have_none(void **st)
{
	struct mr_config_input in = input_for("{\"manifest_version\":2}");
	struct mr_config m = { .version = 77 };
	struct err e;

	(void)st;
	in.tdx = false;
	assert_int_equal(mr_config_choose(&in, &m, &e), 0);
	assert_int_equal(m.version, 0);
	in.tdx = true;
	in.image_version = "0.5.1";
	m.version = 77;
	assert_int_equal(mr_config_choose(&in, &m, &e), 0);
	assert_int_equal(m.version, 0);
}

static void a_cvm_that_does_not_exist_yet_has_no_instance_id_to_bind(void **st)
{
	struct mr_config_input in = input_for(pinned);
	auto_mr_config struct mr_config m = { 0 };
	struct err e;

	(void)st;
	assert_int_equal(mr_config_choose(&in, &m, &e), 0);
	assert_int_equal(m.version, 3);
	assert_true(m.pending);
	assert_null(m.document);
	assert_null(m.instance_info);
}

static void the_instance_info_agrees_with_the_document(void **st)
{
	struct mr_config_input in = input_for(pinned);
	auto_mr_config struct mr_config m = { 0 };
	auto_json json_t *document = NULL, *info = NULL;
	uint8_t seed[INSTANCE_SEED_LEN];
	struct err e;

	(void)st;
	memset(seed, 0xab, sizeof(seed));
	in.instance_seed = seed;
	assert_int_equal(mr_config_choose(&in, &m, &e), 0);
	document = json(m.document);
	info = json(m.instance_info);
	assert_string_equal(text(info, "instance_id"), text(document, "instance_id"));
	assert_string_equal(text(info, "app_id"), text(document, "app_id"));
	assert_string_equal(text(info, "instance_id_seed"),
			    "abababababababababababababababababababab");
}

static void refused(const char *manifest, enum err_code code, const char *field)
{
	struct mr_config_input in = input_for(manifest);
	struct mr_config m = { .version = 77 };
	struct err e;

	if (code == ERR_INCOMPATIBLE)
		in.image_version = "0.5.1";
	assert_int_equal(mr_config_choose(&in, &m, &e), -(int)code);
	assert_string_equal(e.field, field);
	assert_int_equal(m.version, 77);
}

static void refusals_name_the_field_and_leave_the_output_alone(void **st)
{
	(void)st;
	refused("{\"key_provider_id\":\"3\"}", ERR_COMPOSE_INVALID, "compose_file.key_provider_id");
	refused("{\"key_provider_id\":\"0x\"}", ERR_COMPOSE_INVALID,
		"compose_file.key_provider_id");
	refused("{\"key_provider_id\":\"zz\"}", ERR_COMPOSE_INVALID,
		"compose_file.key_provider_id");
	refused("{\"key_provider\":\"KMS\"}", ERR_COMPOSE_INVALID, "compose_file.key_provider");
	refused("{\"init_script\":7}", ERR_COMPOSE_INVALID, "compose_file.init_script");
	refused("{\"init_script\":[\"a\",7]}", ERR_COMPOSE_INVALID, "compose_file.init_script");
	refused("{\"init_script\":[\"\",\"\",\"\",\"\",\"\",\"\"]}", ERR_COMPOSE_INVALID,
		"compose_file.init_script");
	refused("{\"requirements\":[]}", ERR_COMPOSE_INVALID, "compose_file.requirements");
	refused(pinned, ERR_INCOMPATIBLE, "compose_file.key_provider_id");
}

/* ------------------------------------------------------------------ dstack's published numbers */

static void counting(uint8_t *out, size_t n)
{
	for (size_t i = 0; i < n; i++)
		out[i] = (uint8_t)i;
}

static void dstacks_vectors_of_versions_1_and_2(void **st)
{
	static const uint8_t provider_id[] = { 0xaa, 0xbb, 0xcc, 0xdd };
	uint8_t compose_hash[32], app_id[20], id[MR_CONFIG_ID_LEN];

	(void)st;
	counting(compose_hash, sizeof(compose_hash));
	counting(app_id, sizeof(app_id));
	mr_config_v1(compose_hash, id);
	check_id(id, "01000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
		     "000000000000000000000000000000");
	mr_config_v2(compose_hash, app_id, KEY_PROVIDER_KMS, provider_id, sizeof(provider_id), id);
	check_id(id, "02e472ed80a08042f044ba63b53b798e98e3ea5219cd078007b1ac8b3dfc762b94"
		     "000000000000000000000000000000");
	mr_config_v2(compose_hash, app_id, KEY_PROVIDER_NONE, NULL, 0, id);
	check_id(id, "02b21a3a65891c2c3955d82000b30fab13f4adc1a12dc4a84793ea322b71f1882a"
		     "000000000000000000000000000000");
}

static void dstacks_vectors_of_version_3(void **st)
{
#define A20 "1111111111111111111111111111111111111111"
#define C32 "2222222222222222222222222222222222222222222222222222222222222222"
#define K32 "3333333333333333333333333333333333333333333333333333333333333333"
#define I20 "4444444444444444444444444444444444444444"
	static const struct {
		const char *document, *digest;
	} v[] = {
		{ "{\"app_id\":\"" A20 "\",\"compose_hash\":\"" C32 "\",\"instance_id\":\"" I20
		  "\",\"key_provider\":\"kms\",\"key_provider_id\":\"" K32 "\",\"version\":3}",
		  "0350fc88d0a462b6a0b06ba25859abc02e98c2a8d9bd000b7dc0d8bae65e71ecbb" },
		{ "{\"app_id\":\"" A20 "\",\"compose_hash\":\"" C32 "\",\"gpu_policy_hash\":\""
		  "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a\",\"instance_"
		  "id\":\"" I20 "\",\"key_provider\":\"kms\",\"key_provider_id\":\"" K32
		  "\",\"version\":3}",
		  "03893655c09844af05adb4d67af5917998038afe711bdcd3a3ec1dbd94ad272b85" },
		{ "{\"app_id\":\"" A20 "\",\"compose_hash\":\"" C32
		  "\",\"key_provider\":\"none\",\"version\":3}",
		  "0301d4d7e6ca2922bb80683c27fe1f4da318cf14d1c38db97563c2b6209af7dba5" },
	};

	(void)st;
	for (size_t i = 0; i < ARRAY_SIZE(v); i++) {
		auto_json json_t *j = json(v[i].document);
		auto_free char *again = json_jcs(j);
		uint8_t id[MR_CONFIG_ID_LEN];
		char expected[ID_HEX];

		assert_string_equal(again, v[i].document);
		(void)snprintf(expected, sizeof(expected), "%s%030d", v[i].digest, 0);
		mr_config_v3(v[i].document, id);
		check_id(id, expected);
	}
}

/* ------------------------------------------------------------------ RFC 8785 */

static void canonical(const char *in, const char *out)
{
	auto_json json_t *j = json(in);
	auto_free char *t = json_jcs(j);

	assert_string_equal(t, out);
}

/* Section 3.2.2: a sample of everything; 3.2.3: the order of keys. The last is where RFC 8785 and
 * JavaScript's objects part. */
static void the_rfcs_samples(void **st)
{
	auto_json json_t *digits = json("{\"10\":1,\"9\":2,\"a\":3,\"-\":4}");
	auto_free char *js = json_js(digits), *jcs = json_jcs(digits);

	(void)st;
	canonical("{\"numbers\":[333333333.33333329,1E30,4.50,2e-3,0.000000000000000000000000001],"
		  "\"string\":\"\\u20ac$\\u000F\\u000aA'\\u0042\\u0022\\u005c\\\\\\\"\\/\","
		  "\"literals\":[null,true,false]}",
		  "{\"literals\":[null,true,false],\"numbers\":[333333333.3333333,1e+30,4.5,0.002,"
		  "1e-27],"
		  "\"string\":\"\xe2\x82\xac$\\u000f\\nA'B\\\"\\\\\\\\\\\"/\"}");
	canonical(
		"{\"\\u20ac\":\"Euro Sign\",\"\\r\":\"Carriage Return\",\"\\ufb33\":\"Hebrew "
		"Letter Dalet With Dagesh\","
		"\"1\":\"One\",\"\\ud83d\\ude00\":\"Emoji: Grinning Face\",\"\\u0080\":\"Control\","
		"\"\\u00f6\":\"Latin Small Letter O With Diaeresis\"}",
		"{\"\\r\":\"Carriage Return\",\"1\":\"One\",\"\xc2\x80\":\"Control\","
		"\"\xc3\xb6\":\"Latin Small Letter O With Diaeresis\",\"\xe2\x82\xac\":\"Euro "
		"Sign\","
		"\"\xf0\x9f\x98\x80\":\"Emoji: Grinning Face\","
		"\"\xef\xac\xb3\":\"Hebrew Letter Dalet With Dagesh\"}");
	assert_string_equal(jcs, "{\"-\":4,\"10\":1,\"9\":2,\"a\":3}");
	assert_string_equal(js, "{\"9\":2,\"10\":1,\"-\":4,\"a\":3}");
}

/* Appendix B: doubles by their bits. */
static void the_rfcs_numbers(void **st)
{
	static const struct {
		uint64_t bits;
		const char *text;
	} v[] = {
		{ 0x0000000000000000, "0" },
		{ 0x8000000000000000, "0" },
		{ 0x0000000000000001, "5e-324" },
		{ 0x8000000000000001, "-5e-324" },
		{ 0x7fefffffffffffff, "1.7976931348623157e+308" },
		{ 0xffefffffffffffff, "-1.7976931348623157e+308" },
		{ 0x4340000000000000, "9007199254740992" },
		{ 0xc340000000000000, "-9007199254740992" },
		{ 0x4430000000000000, "295147905179352830000" },
		{ 0x44b52d02c7e14af5, "9.999999999999997e+22" },
		{ 0x44b52d02c7e14af6, "1e+23" },
		{ 0x44b52d02c7e14af7, "1.0000000000000001e+23" },
		{ 0x444b1ae4d6e2ef4e, "999999999999999700000" },
		{ 0x444b1ae4d6e2ef4f, "999999999999999900000" },
		{ 0x444b1ae4d6e2ef50, "1e+21" },
		{ 0x3eb0c6f7a0b5ed8c, "9.999999999999997e-7" },
		{ 0x3eb0c6f7a0b5ed8d, "0.000001" },
		{ 0x41b3de4355555553, "333333333.3333332" },
		{ 0x41b3de4355555554, "333333333.33333325" },
		{ 0x41b3de4355555555, "333333333.3333333" },
		{ 0x41b3de4355555556, "333333333.3333334" },
		{ 0x41b3de4355555557, "333333333.33333343" },
		{ 0xbecbf647612f3696, "-0.0000033333333333333333" },
		{ 0x43143ff3c1cb0959, "1424953923781206.2" },
	};

	(void)st;
	for (size_t i = 0; i < ARRAY_SIZE(v); i++) {
		double d;
		auto_json json_t *j = json_array();
		auto_free char *t = NULL, *expected = xasprintf("[%s]", v[i].text);

		memcpy(&d, &v[i].bits, sizeof(d));
		json_array_append_new(j, json_real(d));
		t = json_jcs(j);
		assert_string_equal(t, expected);
	}
}

/* ------------------------------------------------------------------ the seed */

static const char uuid[] = "c0ffee00-0000-4000-8000-000000000001";

static void seed_is(const char *dir, const char *expected)
{
	uint8_t seed[INSTANCE_SEED_LEN];
	char hex[2 * INSTANCE_SEED_LEN + 1];

	mr_config_seed(dir, uuid, seed);
	id_hex(seed, sizeof(seed), hex);
	assert_string_equal(hex, expected);
}

/* printf 'teepod-instance-seed:c0ffee00-0000-4000-8000-000000000001' | sha256sum | cut -c1-40 */
static void the_seed_is_the_folders_or_follows_from_the_uuid(void **st)
{
	static const char info[] =
		"{\"instance_id_seed\":\"5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e\"}";
	char dir[] = "/tmp/teepod-seed-XXXXXX", path[64];
	static const char derived[] = "f5bb91caaefa98384544b7d20373523af8f8fb67";
	struct err e;

	(void)st;
	assert_non_null(mkdtemp(dir));
	(void)snprintf(path, sizeof(path), "%s/.instance_info", dir);
	seed_is(dir, derived);
	assert_int_equal(file_write(path, info, strlen(info), 0644, &e), 0);
	seed_is(dir, "5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e");
	assert_int_equal(file_write(path, "{\"instance_id_seed\":7}", 22, 0644, &e), 0);
	seed_is(dir, derived);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(mkfifo(path, 0600),
			 0); /* a guest's trap: reading it would wait for ever */
	seed_is(dir, derived);
	assert_int_equal(file_remove_tree(dir, &e), 0);
}

int main(void)
{
	const struct CMUnitTest t[] = {
		cmocka_unit_test(every_vector_is_what_python_makes_of_it),
		cmocka_unit_test(an_ordinary_vm_and_an_image_before_mrconfigid_have_none),
		cmocka_unit_test(a_cvm_that_does_not_exist_yet_has_no_instance_id_to_bind),
		cmocka_unit_test(the_instance_info_agrees_with_the_document),
		cmocka_unit_test(refusals_name_the_field_and_leave_the_output_alone),
		cmocka_unit_test(dstacks_vectors_of_versions_1_and_2),
		cmocka_unit_test(dstacks_vectors_of_version_3),
		cmocka_unit_test(the_rfcs_samples),
		cmocka_unit_test(the_rfcs_numbers),
		cmocka_unit_test(the_seed_is_the_folders_or_follows_from_the_uuid),
	};

	return cmocka_run_group_tests_name("mr_config", t, NULL, NULL);
}
