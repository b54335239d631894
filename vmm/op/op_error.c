/* SPDX-License-Identifier: Apache-2.0
 * op_error.c - stores the error of an operation as JSON in its row.
 *
 * The stored text is always valid JSON that fits the column: members are cut until it does. Cutting
 * the text itself would make it unreadable.
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/json.h"
#include "base/own.h"
#include "db/operations.h"
#include "vmm/op/op_error.h"
#include "vmm/virt/xml_out.h"

static const char *op_error_cut(const char *text, size_t keep, char out[ERROR_TEXT])
{
	(void)snprintf(out, ERROR_TEXT, "%.*s", (int)keep, text);
	return out;
}

void op_error_write(const struct err *e, char out[ERROR_TEXT])
{
	static const struct {
		const char *key;
		size_t keep; /* bytes to which the member is cut */
	} shorter[] = { { "value", 0 }, { "hint", 0 }, { "field", 0 }, { "text", 100 } };
	char text[ERROR_TEXT];
	auto_json json_t *j =
		json_pack("{s:i, s:i, s:o, s:o, s:o, s:o}", "code", (int)e->code, "sys", e->sys,
			  "field", json_text(e->field), "value", json_text(e->value), "text",
			  json_text(e->text), "hint", json_text(e->hint));
	auto_free char *s = NULL;

	if (e->cap.resource)
		(void)json_object_set_new(
			j, "cap",
			json_pack("{s:s, s:I, s:I, s:I, s:i}", "resource", e->cap.resource, "asked",
				  (json_int_t)e->cap.asked, "free", (json_int_t)e->cap.free,
				  "total", (json_int_t)e->cap.total, "numa_node",
				  e->cap.numa_node));
	/* A character that JSON escapes takes up to six bytes, so a full error may not fit. */
	s = json_canonical(j);
	for (size_t i = 0; i < ARRAY_SIZE(shorter) && strlen(s) >= ERROR_TEXT; i++) {
		(void)json_object_set_new(j, shorter[i].key,
					  json_text(op_error_cut(e->text, shorter[i].keep, text)));
		free(s);
		s = json_canonical(j);
	}
	assert(strlen(s) < ERROR_TEXT);
	memcpy(out, s, strlen(s) + 1);
}

static void op_error_read_text(const json_t *j, const char *key, char *out, size_t n)
{
	const char *s = json_string_value(json_object_get(j, key));

	(void)snprintf(out, n, "%s", s ? s : "");
}

static const char *op_error_resource(const char *name)
{
	static const char *const known[] = {
		"vcpus",      "memory_mib", "disk_gib",      "slots", "cids",    "host_ports",
		"tdx_keyids", "gpus",       "hugepages_mib", "cvms",  "balance",
	};

	for (size_t i = 0; name && i < ARRAY_SIZE(known); i++)
		if (!strcmp(known[i], name))
			return known[i];
	return "resource";
}

bool vmm_op_error(const struct op_row *o, struct err *ret)
{
	auto_json json_t *j = o->error[0] ? json_loads(o->error, 0, NULL) : NULL;
	json_t *cap = json_object_get(j, "cap");

	if (!j)
		return false;
	memset(ret, 0, sizeof(*ret));
	ret->code = (enum err_code)json_integer_value(json_object_get(j, "code"));
	ret->sys = (int)json_integer_value(json_object_get(j, "sys"));
	op_error_read_text(j, "field", ret->field, sizeof(ret->field));
	op_error_read_text(j, "value", ret->value, sizeof(ret->value));
	op_error_read_text(j, "text", ret->text, sizeof(ret->text));
	op_error_read_text(j, "hint", ret->hint, sizeof(ret->hint));
	ret->cap.numa_node = -1;
	if (cap) {
		ret->cap.resource =
			op_error_resource(json_string_value(json_object_get(cap, "resource")));
		ret->cap.asked = (uint64_t)json_integer_value(json_object_get(cap, "asked"));
		ret->cap.free = (uint64_t)json_integer_value(json_object_get(cap, "free"));
		ret->cap.total = (uint64_t)json_integer_value(json_object_get(cap, "total"));
		/* Rows of older releases have no numa_node. */
		if (json_object_get(cap, "numa_node"))
			ret->cap.numa_node =
				(int)json_integer_value(json_object_get(cap, "numa_node"));
	}
	return true;
}
