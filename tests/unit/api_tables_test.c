/* SPDX-License-Identifier: Apache-2.0
 * api_tables_test.c - the route and field tables keep their own rules; with --dump they are printed
 * as JSON, for the test that holds them against api/openapi.yaml.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "api/cloud/routes.h"
#include "api/http/route.h"
#include "base/json.h"
#include "vmm/compose/compose.h"

static const char *const type_word[] = {
	[FIELD_STRING] = "string",   [FIELD_INT] = "integer",     [FIELD_BOOL] = "boolean",
	[FIELD_WORD] = "word",       [FIELD_STRINGS] = "strings", [FIELD_OBJECT] = "object",
	[FIELD_OBJECTS] = "objects", [FIELD_SWITCH] = "switch",
};

/* ------------------------------------------------------------------ --dump */

static void dump_table(json_t *all, const struct field_table *t);

static json_t *dump_field(json_t *all, const struct field *f)
{
	json_t *o = json_pack("{s:s,s:s,s:b,s:b,s:I,s:I}", "name", f->name, "type",
			      type_word[f->type], "required", f->flags & FIELD_REQUIRED, "nullable",
			      (f->flags & FIELD_NULLABLE) != 0, "min", (json_int_t)f->min, "max",
			      (json_int_t)f->max);

	if (f->words) {
		json_t *words = json_array();

		for (size_t i = 0; f->words[i]; i++)
			json_array_append_new(words, json_string(f->words[i]));
		json_object_set_new(o, "words", words);
	}
	if (f->sub) {
		json_object_set_new(o, "sub", json_string(f->sub->name));
		dump_table(all, f->sub);
	}
	if (f->rule)
		json_object_set_new(o, "rule", json_string(f->rule));
	return o;
}

static void dump_table(json_t *all, const struct field_table *t)
{
	json_t *fields = json_array();

	if (json_object_get(all, t->name)) {
		json_decref(fields);
		return;
	}
	json_object_set_new(all, t->name,
			    json_pack("{s:b,s:o}", "strict", t->strict, "fields", fields));
	for (size_t i = 0; i < t->n; i++)
		json_array_append_new(fields, dump_field(all, &t->fields[i]));
}

static int dump(void)
{
	static const char *const roles[] = { "none", "reader", "tenant", "operator", "admin" };
	json_t *routes = json_array(), *tables = json_object();
	auto_json json_t *all = json_pack("{s:o,s:o}", "routes", routes, "tables", tables);

	for (size_t i = 0; api_routes[i]; i++) {
		for (const struct route *r = api_routes[i]; r->method; r++) {
			json_array_append_new(
				routes,
				json_pack("{s:s,s:s,s:s,s:b,s:b,s:I,s:s*}", "method", r->method,
					  "pattern", r->pattern, "role", roles[r->role], "mutation",
					  (r->flags & ROUTE_MUTATION) != 0, "empty_ok",
					  (r->flags & ROUTE_EMPTY_OK) != 0, "body_max",
					  (json_int_t)r->body_max, "body",
					  r->body ? r->body->name : NULL));
			if (r->body)
				dump_table(tables, r->body);
		}
	}
	dump_table(tables, &compose_file_table);
	return json_dumpf(all, stdout, JSON_INDENT(1)) || puts("") < 0;
}

/* ------------------------------------------------------------------ rules */

#define FOR_EACH_ROUTE(r)                                                                \
	for (const struct route *const *r##_table = api_routes; *r##_table; r##_table++) \
		for (const struct route *r = *r##_table; r->method; r++)

static void every_route_is_below_api_v1_or_a_probe(void **st)
{
	(void)st;
	FOR_EACH_ROUTE(r)
	{
		bool probe = !strcmp(r->pattern, "/healthz") || !strcmp(r->pattern, "/readyz") ||
			     !strcmp(r->pattern, "/metrics");

		assert_true(probe || !strncmp(r->pattern, "/api/v1/", 8));
	}
}

static void no_route_is_listed_twice(void **st)
{
	(void)st;
	FOR_EACH_ROUTE(a)
	{
		FOR_EACH_ROUTE(b)
		{
			if (a != b && !strcmp(a->method, b->method))
				assert_string_not_equal(a->pattern, b->pattern);
		}
	}
}

static void every_changing_route_takes_a_tenant_and_is_a_mutation(void **st)
{
	(void)st;
	FOR_EACH_ROUTE(r)
	{
		bool reads = !strcmp(r->method, "GET") || strstr(r->pattern, "/preflight") ||
			     strstr(r->pattern, "/batch");

		assert_int_equal(!reads, (r->flags & ROUTE_MUTATION) != 0);
		if (!reads)
			assert_true(r->role >= ROLE_TENANT);
	}
}

static void only_probes_and_log_links_need_no_key(void **st)
{
	(void)st;
	FOR_EACH_ROUTE(r)
	{
		if (strstr(r->pattern, "healthz") || strstr(r->pattern, "readyz") ||
		    strstr(r->pattern, "/logs"))
			continue;
		assert_false(r->flags & ROUTE_NO_AUTH);
		assert_true(r->role >= ROLE_READER);
	}
}

static void routes_with_a_body_have_room_for_it(void **st)
{
	(void)st;
	FOR_EACH_ROUTE(r)
	{
		if (r->body)
			assert_true(r->body_max > 0);
	}
}

static void check_table(const struct field_table *t)
{
	for (size_t i = 0; i < t->n; i++) {
		const struct field *f = &t->fields[i];

		assert_true(f->min <= f->max);
		assert_true((f->type == FIELD_WORD) == (f->words != NULL));
		assert_false((f->flags & FIELD_REQUIRED) && (f->flags & FIELD_NULLABLE));
		for (size_t k = 0; k < i; k++)
			assert_string_not_equal(f->name, t->fields[k].name);
		if (f->sub)
			check_table(f->sub);
	}
}

static void field_tables_are_consistent(void **st)
{
	(void)st;
	FOR_EACH_ROUTE(r)
	{
		if (r->body)
			check_table(r->body);
	}
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_route_is_below_api_v1_or_a_probe),
		cmocka_unit_test(no_route_is_listed_twice),
		cmocka_unit_test(every_changing_route_takes_a_tenant_and_is_a_mutation),
		cmocka_unit_test(only_probes_and_log_links_need_no_key),
		cmocka_unit_test(routes_with_a_body_have_room_for_it),
		cmocka_unit_test(field_tables_are_consistent),
	};

	if (argc == 2 && !strcmp(argv[1], "--dump"))
		return dump();
	return cmocka_run_group_tests_name("api tables", tests, NULL, NULL);
}
