/* SPDX-License-Identifier: Apache-2.0
 * compose_test.c - the compose hash is the clients' hash; what docker could not run is refused
 * before a CVM exists.
 *
 * Run from the project's root: the vectors are in tests/data.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/buf.h"
#include "base/file.h"
#include "base/json.h"
#include "base/own.h"
#include "vmm/compose/compose.h"
#include "vmm/compose/compose_lint.h"
#include "vmm/virt/xml_out.h"

static json_t *json(const char *text)
{
	struct err e;
	json_t *j = json_read(text, strlen(text), &e);

	if (!j)
		fail_msg("%s: %s", text, e.text);
	return j;
}

static void every_vector_hashes_as_the_clients_do(void **st)
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
		json_t *m = json_object_get(v, "manifest");
		auto_free char *given = compose_text(m), *text = NULL;
		char hash[SHA256_HEX];

		compose_hash(given, hash);
		assert_string_equal(hash, json_string_value(json_object_get(v, "as_given")));
		compose_normalise(m);
		text = compose_text(m);
		assert_string_equal(text, json_string_value(json_object_get(v, "text")));
		compose_hash(text, hash);
		assert_string_equal(hash, json_string_value(json_object_get(v, "normalised")));
	}
}

static void prints(const char *in, const char *out)
{
	auto_json json_t *j = json(in);
	auto_free char *text = compose_text(j);

	assert_string_equal(text, out);
}

static void numbers_print_as_javascript_prints_them(void **st)
{
	static const struct {
		const char *in, *out;
	} want[] = {
		{ "0", "0" },
		{ "-0", "0" },
		{ "-0.0", "0" },
		{ "1.0", "1" },
		{ "-17", "-17" },
		{ "100", "100" },
		{ "0.1", "0.1" },
		{ "123.456", "123.456" },
		{ "1e21", "1e+21" },
		{ "1e20", "100000000000000000000" },
		{ "1.5e300", "1.5e+300" },
		{ "0.000001", "0.000001" },
		{ "0.0000001", "1e-7" },
		{ "0.00000123", "0.00000123" },
		{ "-1.5e-9", "-1.5e-9" },
		{ "9007199254740993", "9007199254740992" },
		{ "123456789012345678", "123456789012345680" },
		{ "9223372036854775807", "9223372036854776000" },
		{ "5e-324", "5e-324" },
		{ "0.30000000000000004", "0.30000000000000004" },
		{ "1.7976931348623157e308", "1.7976931348623157e+308" },
		{ "4503599627370495.5", "4503599627370495.5" },
		{ "2.2250738585072014e-308", "2.2250738585072014e-308" },
		{ "1e23", "1e+23" },
	};

	(void)st;
	for (size_t i = 0; i < ARRAY_SIZE(want); i++) {
		prints(want[i].in, want[i].out);
	}
	prints("1.2345678901234568e20", "123456789012345680000");
}

static void every_printed_number_reads_back_as_itself(void **st)
{
	uint64_t bits = 88172645463325252u;

	(void)st;
	for (int i = 0; i < 20000; i++) {
		double d;

		bits ^= bits << 13;
		bits ^= bits >> 7;
		bits ^= bits << 17;
		memcpy(&d, &bits, sizeof(d));
		if (!isfinite(d))
			continue;
		auto_json json_t *j = json_real(d);
		auto_free char *text = compose_text(j);

		if (strtod(text, NULL) != d)
			fail_msg("%.17g printed as %s", d, text);
	}
}

static void keys_sort_by_index_then_utf16(void **st)
{
	(void)st;
	prints("{\"b\":1,\"a\":2,\"B\":3,\"\":4}", "{\"\":4,\"B\":3,\"a\":2,\"b\":1}");
	prints("{\"a\":0,\"10\":1,\"9\":2,\"0\":3,\"01\":4,\"-1\":5}",
	       "{\"0\":3,\"9\":2,\"10\":1,\"-1\":5,\"01\":4,\"a\":0}");
	prints("{\"4294967295\":1,\"4294967294\":2,\"1x\":3}",
	       "{\"4294967294\":2,\"1x\":3,\"4294967295\":1}");
	/* U+1F600 is D83D DE00 and so before U+FB01 and U+FFFD, which UTF-8 puts the other way
	 * around. */
	prints("{\"\xef\xac\x81\":1,\"\xf0\x9f\x98\x80\":2,\"\xc3\xa9\":3,\"x\xef\xbf\xbd\":4,"
	       "\"x\xf0\x9f\x98\x81\":5}",
	       "{\"x\xf0\x9f\x98\x81\":5,\"x\xef\xbf\xbd\":4,\"\xc3\xa9\":3,\"\xf0\x9f\x98\x80\":2,"
	       "\"\xef\xac\x81\":1}");
	prints("{\"\xf0\x9f\x98\x81\":1,\"\xf0\x9f\x98\x80\":2}",
	       "{\"\xf0\x9f\x98\x80\":2,\"\xf0\x9f\x98\x81\":1}");
	prints("{\"ab\":1,\"a\":2}", "{\"a\":2,\"ab\":1}");
}

static void strings_escape_only_what_they_must(void **st)
{
	(void)st;
	prints("\"\\u0008\\u0009\\n\\f\\r\\u001f\\u000b\\u007f\\/\\\"\\\\\\u2028\\u00e9\"",
	       "\"\\b\\t\\n\\f\\r\\u001f\\u000b\x7f/\\\"\\\\\xe2\x80\xa8\xc3\xa9\"");
	prints("[null,true,false,[],{}]", "[null,true,false,[],{}]");
}

/* ------------------------------------------------------------------ manifests */

static void the_short_form_becomes_a_manifest_with_the_clouds_defaults(void **st)
{
	auto_json json_t *body =
		json("{\"name\":\"\",\"docker_compose_file\":\"services: {a: {image: x}}\","
		     "\"allowed_envs\":[\"B\",\"A\"],\"pre_launch_script\":\"\",\"unknown\":1}");
	auto_json json_t *m = NULL;
	auto_free char *text = NULL, *again = NULL;
	struct err e;

	(void)st;
	assert_int_equal(compose_manifest(body, "demo", &m, &e), 0);
	text = compose_text(m);
	assert_string_equal(
		text,
		"{\"allowed_envs\":[\"B\",\"A\"],\"docker_compose_file\":\"services: {a: {image: "
		"x}}\","
		"\"features\":[\"kms\",\"tproxy-net\"],\"gateway_enabled\":true,\"kms_enabled\":"
		"true,"
		"\"local_key_provider_enabled\":false,\"manifest_version\":2,\"name\":\"demo\","
		"\"no_instance_id\":false,\"public_logs\":true,\"public_sysinfo\":true,"
		"\"public_tcbinfo\":true,\"runner\":\"docker-compose\",\"secure_time\":false,"
		"\"storage_fs\":\"zfs\"}");
	compose_normalise(m);
	again = compose_text(m);
	assert_string_equal(again, text);
	assert_int_equal(compose_check(m, &e), 0);
}

static void what_the_short_form_says_is_in_the_manifest(void **st)
{
	auto_json json_t *body = json("{\"name\":\"mine\",\"docker_compose_file\":\"services: {a: "
				      "{}}\",\"kms_enabled\":false,"
				      "\"tproxy_enabled\":false,\"public_logs\":false,\"storage_"
				      "fs\":\"ext4\",\"pre_launch_script\":\"echo\"}");
	auto_json json_t *m = NULL;
	struct err e;

	(void)st;
	assert_int_equal(compose_manifest(body, "demo", &m, &e), 0);
	assert_string_equal(json_string_value(json_object_get(m, "name")), "mine");
	assert_int_equal(json_array_size(json_object_get(m, "features")), 0);
	assert_true(json_is_false(json_object_get(m, "gateway_enabled")));
	assert_true(json_is_false(json_object_get(m, "public_logs")));
	assert_string_equal(json_string_value(json_object_get(m, "storage_fs")), "ext4");
	assert_string_equal(json_string_value(json_object_get(m, "pre_launch_script")), "echo");
}

static void a_whole_manifest_is_kept_as_it_is(void **st)
{
	static const char whole[] = "{\"bash_script\":\"echo\",\"docker_compose_file\":\"not: "
				    "used\",\"extra\":{\"z\":1},"
				    "\"manifest_version\":\"3\",\"name\":\"\",\"pre_launch_"
				    "script\":\"\",\"runner\":\"bash\"}";
	auto_json json_t *body = json(whole), *m = NULL;
	auto_free char *text = NULL;
	struct err e;

	(void)st;
	assert_int_equal(compose_manifest(body, "demo", &m, &e), 0);
	text = compose_text(m);
	assert_string_equal(text, whole);
}

static void refused_manifest(const char *text, enum err_code code, const char *field)
{
	auto_json json_t *body = text ? json(text) : NULL;
	json_t *m = (json_t *)&body;
	struct err e;

	assert_int_equal(compose_manifest(body, NULL, &m, &e), -(int)code);
	assert_string_equal(e.field, field);
	assert_ptr_equal(m, &body);
}

static void bad_manifests_are_refused_by_field(void **st)
{
	(void)st;
	refused_manifest(NULL, ERR_COMPOSE_MISSING, "compose_file");
	refused_manifest("null", ERR_COMPOSE_MISSING, "compose_file");
	refused_manifest("[]", ERR_INVALID, "compose_file");
	refused_manifest("{}", ERR_INVALID, "compose_file.docker_compose_file");
	refused_manifest("{\"docker_compose_file\":7}", ERR_INVALID,
			 "compose_file.docker_compose_file");
	refused_manifest("{\"docker_compose_file\":\"services:\"}", ERR_COMPOSE_INVALID,
			 "compose_file.docker_compose_file");
	refused_manifest("{\"docker_compose_file\":\"services: {a: {}}\",\"allowed_envs\":[1]}",
			 ERR_INVALID, "compose_file.allowed_envs");
	refused_manifest("{\"docker_compose_file\":\"services: {a: {}}\",\"storage_fs\":\"fat\"}",
			 ERR_INVALID, "compose_file.storage_fs");
	refused_manifest("{\"runner\":\"bash\",\"name\":\"x\",\"bash_script\":\"\"}",
			 ERR_COMPOSE_INVALID, "compose_file.manifest_version");
	refused_manifest("{\"runner\":\"bash\",\"name\":\"x\",\"manifest_version\":\"02\",\"bash_"
			 "script\":\"\"}",
			 ERR_COMPOSE_INVALID, "compose_file.manifest_version");
	refused_manifest("{\"runner\":\"bash\",\"manifest_version\":2,\"bash_script\":\"\"}",
			 ERR_INVALID, "compose_file.name");
	refused_manifest("{\"runner\":\"Bash\",\"name\":\"x\",\"manifest_version\":2}",
			 ERR_COMPOSE_INVALID, "compose_file.runner");
	refused_manifest("{\"runner\":null,\"name\":\"x\",\"manifest_version\":2}", ERR_INVALID,
			 "compose_file.runner");
	refused_manifest("{\"runner\":\"bash\",\"name\":\"x\",\"manifest_version\":2}",
			 ERR_COMPOSE_INVALID, "compose_file.bash_script");
	refused_manifest(
		"{\"runner\":\"none\",\"name\":\"x\",\"manifest_version\":2,\"a\":[{\"b\":1e20}]}",
		ERR_COMPOSE_INVALID, "compose_file");
	refused_manifest("{\"runner\":\"docker-compose\",\"name\":\"x\",\"manifest_version\":2,"
			 "\"docker_compose_file\":\"a: &x 1\"}",
			 ERR_COMPOSE_INVALID, "compose_file.docker_compose_file");
}

static void the_app_id_is_the_hashs_beginning_unless_given(void **st)
{
	static const char hash[] =
		"151c90237f6988601753f0960a2428d64beea608135c192821c634c01d5b876a";
	char id[COMPOSE_APP_ID] = "untouched";
	struct err e;

	(void)st;
	assert_int_equal(compose_app_id("0x12", hash, id, &e), -ERR_INVALID);
	assert_int_equal(compose_app_id("", hash, id, &e), -ERR_INVALID);
	assert_string_equal(id, "untouched");
	assert_int_equal(compose_app_id(NULL, hash, id, &e), 0);
	assert_string_equal(id, "151c90237f6988601753f0960a2428d64beea608");
	assert_int_equal(compose_app_id("0xABCDEF2233445566778899aabbccddeeff001122", hash, id, &e),
			 0);
	assert_string_equal(id, "abcdef2233445566778899aabbccddeeff001122");
}

/* ------------------------------------------------------------------ docker compose text */

static void lint_ok(const char *text)
{
	struct err e;

	if (compose_lint(text, strlen(text), NULL, 0, NULL, &e) < 0)
		fail_msg("%s: %s", text, e.text);
}

static void lint_refuses(const char *text, const char *why)
{
	struct err e;
	size_t n = 77;

	assert_int_equal(compose_lint(text, strlen(text), NULL, 0, &n, &e), -ERR_COMPOSE_INVALID);
	assert_string_equal(e.field, "compose_file.docker_compose_file");
	if (!strstr(e.text, why))
		fail_msg("\"%s\" does not contain \"%s\"", e.text, why);
	assert_int_equal(n, 77);
}

static void usual_compose_files_pass(void **st)
{
	(void)st;
	lint_ok("services:\n  web:\n    image: nginx:1.25\n    ports: [\"80:80\"]\n    "
		"environment:\n      - A=on\n");
	lint_ok("version: '3'\nservices:\n  a: null\nvolumes:\n  data:\nx-note: |\n  two\n  "
		"lines\n");
	lint_ok("# comment\n%YAML 1.1\n---\nservices: {a: {command: [\"sh\", \"-c\", \"a & b * c ! "
		"d\"]}}\n...\n");
	lint_ok("services: {a: {labels: {k: \"caf\xc3\xa9 \xf0\x9f\x98\x80\"}}}");
}

static void what_is_no_service_mapping_is_refused(void **st)
{
	(void)st;
	lint_refuses("", "expected a mapping");
	lint_refuses("# nothing\n", "expected a mapping");
	lint_refuses("just words", "1:1: expected a mapping");
	lint_refuses("- a\n", "1:1: expected a mapping");
	lint_refuses("web:\n  image: x\n", "services is missing");
	lint_refuses("services:\n", "services is empty");
	lint_refuses("services: {}", "services is empty");
	lint_refuses("services: [a]", "services is empty or no mapping");
	lint_refuses("services:\n  web: nginx\n", "services.web: expected a mapping");
}

static void yaml_faults_are_named_by_line_and_column(void **st)
{
	(void)st;
	lint_refuses("services:\n  a: {}\n b: {}\n", "3:");
	lint_refuses("services:\n\ta: 1\n", "2:1");
	lint_refuses("services:\n  a: {}\n  a: {}\n", "3:3: duplicate key");
	lint_refuses("services:\n  a: &x {}\n", "2:6: anchors");
	lint_refuses("services:\n  a: &x {}\n  b: *x\n", "2:6: anchors");
	lint_refuses("services:\n  b: *x\n", "2:6: aliases");
	lint_refuses("services:\n  a: !!str x\n", "2:6: tags");
	lint_refuses("services:\n  a: {ports: !reset []}\n", "2:14: tags");
	lint_refuses("services: {a: {}}\n? [x]\n: y\n", "2:3: a key is a mapping or a sequence");
	lint_refuses("services: {a: {}}\n---\nservices: {b: {}}\n", "second YAML document");
	lint_refuses("services: {\"a\\0b\": {}}\n", "NUL");
	lint_refuses("services: {a: \"\xff\"}\n", "byte");
	lint_refuses("services: {a: {}", "");
}

/* Each is compared with all before it by libyaml, before and after the document. */
static void many_tag_directives_are_refused_unread(void **st)
{
	static const char document[] = "---\nservices: {a: {}}\n...\n";
	auto_buf struct buf few = { 0 }, before = { 0 }, after = { 0 }, text = { 0 };
	struct err e;

	(void)st;
	for (int i = 0; i < 17; i++) {
		if (i < 16)
			buf_printf(&few, "%%TAG !%d! b\n", i);
		buf_printf(&before, "%%TAG !%d! b\n", i);
	}
	buf_printf(&after, "services: {a: {}}\n...\n%s", before.data);
	buf_puts(&before, document);
	buf_puts(&few, document);
	lint_refuses(before.data, "more than 16 %TAG directives");
	lint_refuses(after.data, "more than 16 %TAG directives");
	assert_int_equal(compose_lint(few.data, few.len, NULL, 0, NULL, &e), 0);
	buf_puts(&text, "services: {a: {}}\nx-note: \"");
	for (int i = 0; i < 20; i++)
		buf_puts(&text, "s/%TAG/1/;");
	buf_puts(&text, "\"\n");
	assert_int_equal(compose_lint(text.data, text.len, NULL, 0, NULL, &e), 0);
}

static void bombs_are_refused(void **st)
{
	auto_buf struct buf deep = { 0 }, fits = { 0 }, wide = { 0 };

	(void)st;
	buf_puts(&deep, "services: {a: ");
	for (int i = 0; i < 100000; i++)
		buf_puts(&deep, "[");
	lint_refuses(deep.data, "nested deeper than 32");
	buf_puts(&fits, "services: {a: {b: ");
	for (int i = 0; i < 29; i++)
		buf_puts(&fits, "[");
	for (int i = 0; i < 29; i++)
		buf_puts(&fits, "]");
	buf_puts(&fits, "}}");
	lint_ok(fits.data);
	while (wide.len <= COMPOSE_LINT_MAX)
		buf_puts(&wide, "# comment comment comment\n");
	lint_refuses(wide.data, "at most 262144");
}

static void ports_of_all_services_are_found(void **st)
{
	static const char text[] =
		"services:\n"
		"  a:\n"
		"    ports:\n"
		"      - 80\n"
		"      - 22:22\n"
		"      - \"127.0.0.1:8080:81/udp\"\n"
		"      - \"3000-3001:4000-4001\"\n"
		"      - \"${PORT}:80\"\n"
		"  b:\n"
		"    ports:\n"
		"      - target: 443\n"
		"        published: \"8443\"\n"
		"        protocol: tcp\n"
		"        mode: host\n"
		"      - {target: 53, protocol: udp, host_ip: \"::1\", published: 5353}\n"
		"  c: {image: x}\n";
	static const struct compose_port want[] = {
		{ .target = 80 },
		{ .published = 22, .target = 22 },
		{ .udp = true, .address = "127.0.0.1", .published = 8080, .target = 81 },
		{ .published = 3000, .target = 4000 },
		{ .published = 3001, .target = 4001 },
		{ .published = 8443, .target = 443 },
		{ .udp = true, .address = "::1", .published = 5353, .target = 53 },
	};
	struct compose_port got[16];
	struct err e;
	size_t n = 0;

	(void)st;
	assert_int_equal(compose_lint(text, strlen(text), got, ARRAY_SIZE(got), &n, &e), 0);
	assert_int_equal(n, ARRAY_SIZE(want));
	for (size_t i = 0; i < n; i++) {
		assert_int_equal(got[i].udp, want[i].udp);
		assert_string_equal(got[i].address, want[i].address);
		assert_int_equal(got[i].published, want[i].published);
		assert_int_equal(got[i].target, want[i].target);
	}
	assert_int_equal(compose_lint(text, strlen(text), got, 4, &n, &e), 0);
	assert_int_equal(n, 4);
}

static void port_short_forms(void **st)
{
	static const char *const good[] = { "80",           "80/tcp",      "80/UDP",    ":80",
					    "8080:80",      "[::1]:53:53", "::1:53:53", "1-65535",
					    "8000-9000:80", "0.0.0.0::80" };
	static const char *const bad[] = {
		"",        "x",     "0",       "65536", "80:0", "80/icmp",  "1.2.3:80:80",
		"a:80:80", "80-79", "1-2:3-5", "80 ",   "-80",  "8080:80:", "99999999999999999999",
		"host:1:2"
	};
	struct compose_port p[4];
	size_t n;

	(void)st;
	for (size_t i = 0; i < ARRAY_SIZE(good); i++)
		if (!compose_port_parse(good[i], p, 4, &n))
			fail_msg("%s is refused", good[i]);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		if (compose_port_parse(bad[i], p, 4, &n))
			fail_msg("%s is taken", bad[i]);
	assert_true(compose_port_parse("1-65535", p, 4, &n));
	assert_int_equal(n, 4);
	lint_refuses("services: {web: {ports: [\"99999:80\"]}}", "services.web.ports");
	lint_refuses("services: {web: {ports: 80}}", "services.web.ports: expected a list");
	lint_refuses("services: {web: {ports: [{published: 80}]}}", "no target");
	lint_refuses("services: {web: {ports: [[80]]}}", "neither text nor a mapping");
}

int main(void)
{
	const struct CMUnitTest t[] = {
		cmocka_unit_test(every_vector_hashes_as_the_clients_do),
		cmocka_unit_test(numbers_print_as_javascript_prints_them),
		cmocka_unit_test(every_printed_number_reads_back_as_itself),
		cmocka_unit_test(keys_sort_by_index_then_utf16),
		cmocka_unit_test(strings_escape_only_what_they_must),
		cmocka_unit_test(the_short_form_becomes_a_manifest_with_the_clouds_defaults),
		cmocka_unit_test(what_the_short_form_says_is_in_the_manifest),
		cmocka_unit_test(a_whole_manifest_is_kept_as_it_is),
		cmocka_unit_test(bad_manifests_are_refused_by_field),
		cmocka_unit_test(the_app_id_is_the_hashs_beginning_unless_given),
		cmocka_unit_test(usual_compose_files_pass),
		cmocka_unit_test(what_is_no_service_mapping_is_refused),
		cmocka_unit_test(yaml_faults_are_named_by_line_and_column),
		cmocka_unit_test(many_tag_directives_are_refused_unread),
		cmocka_unit_test(bombs_are_refused),
		cmocka_unit_test(ports_of_all_services_are_found),
		cmocka_unit_test(port_short_forms),
	};

	return cmocka_run_group_tests_name("compose", t, NULL, NULL);
}
