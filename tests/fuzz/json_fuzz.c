/* SPDX-License-Identifier: Apache-2.0
 * json_fuzz.c - untrusted JSON against a table with a field of each type.
 *
 * A document must equal the one parsed from its canonical text. Accepted values must follow the
 * rules of the table, and a refusal must fill the error completely.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/json.h"
#include "base/own.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct request {
	const char *name;
	int64_t vcpu;
	bool dev;
	int kind;
	json_t *list, *object, *ports;
};

enum { KINDS = 3 };

static const char *const kinds[] = { "legacy", "phala", "none", NULL };

static const struct field port_fields[] = {
	{ .name = "port",
	  .type = FIELD_INT,
	  .flags = FIELD_REQUIRED,
	  .max = 65535,
	  .at = FIELD_NOWHERE },
};

static const struct field_table port_table = {
	.name = "Port", .fields = port_fields, .n = 1, .strict = true
};

static const struct field request_fields[] = {
	{ .name = "name",
	  .type = FIELD_STRING,
	  .flags = FIELD_REQUIRED,
	  .min = 1,
	  .max = 8,
	  .at = offsetof(struct request, name),
	  .rule = "letters" },
	{ .name = "vcpu",
	  .type = FIELD_INT,
	  .min = -4,
	  .max = 64,
	  .at = offsetof(struct request, vcpu) },
	{ .name = "dev", .type = FIELD_BOOL, .at = offsetof(struct request, dev) },
	{ .name = "kind",
	  .type = FIELD_WORD,
	  .flags = FIELD_NULLABLE,
	  .at = offsetof(struct request, kind),
	  .words = kinds },
	{ .name = "list", .type = FIELD_STRINGS, .max = 3, .at = offsetof(struct request, list) },
	{ .name = "object", .type = FIELD_OBJECT, .at = offsetof(struct request, object) },
	{ .name = "ports",
	  .type = FIELD_OBJECTS,
	  .max = 2,
	  .at = offsetof(struct request, ports),
	  .sub = &port_table },
};

static const struct field_table tables[] = {
	{ .name = "Loose", .fields = request_fields, .n = ARRAY_SIZE(request_fields) },
	{ .name = "Strict",
	  .fields = request_fields,
	  .n = ARRAY_SIZE(request_fields),
	  .strict = true },
};

static void must(int ok)
{
	if (!ok)
		abort();
}

static void check_error(const struct err *e)
{
	must(e->code > ERR_NONE && e->code < ERR_CODES && e->field[0] && e->text[0]);
	must(memchr(e->field, 0, sizeof(e->field)) && memchr(e->value, 0, sizeof(e->value)) &&
	     memchr(e->text, 0, sizeof(e->text)));
}

static void check_request(const struct request *r)
{
	must(r->name && strlen(r->name) >= 1 && strlen(r->name) <= 8);
	must(r->vcpu >= -4 && r->vcpu <= 64);
	must(r->kind >= -1 && r->kind < KINDS);
	must(!r->list || (json_is_array(r->list) && json_array_size(r->list) <= 3));
	must(!r->object || json_is_object(r->object));
	must(!r->ports || (json_is_array(r->ports) && json_array_size(r->ports) <= 2));
}

static void check_canonical(const json_t *j)
{
	auto_free char *once = json_canonical(j), *twice = NULL;
	auto_json json_t *back = NULL;
	struct err e;

	back = json_read(once, strlen(once), &e);
	must(back != NULL);
	twice = json_canonical(back);
	must(!strcmp(once, twice));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct err e = { 0 };
	auto_json json_t *j = json_read((const char *)data, size, &e);

	if (!j) {
		check_error(&e);
		return 0;
	}
	check_canonical(j);
	for (size_t i = 0; i < ARRAY_SIZE(tables); i++) {
		struct request r = { .kind = -1 };

		e = (struct err){ 0 };
		if (fields_read(&tables[i], j, "", &r, &e))
			check_error(&e);
		else
			check_request(&r);
	}
	return 0;
}
