/* SPDX-License-Identifier: Apache-2.0
 * envelope.c - the only place where struct err becomes an HTTP status and a body.
 *
 * Existing clients of this API read two forms. The coded form:
 *
 *     {"error_code": "ERR-02-003", "message": .., "details": [{"field", "value", "message"}],
 *      "suggestions": [..], "links": [], "request_id": ..}
 *
 * Every value in details is a scalar, because a client prints "field: value". The bare form,
 * {"detail": text}, is for errors that have no code in the catalogue. ERR_BUSY must have the bare
 * form: clients do not retry an error with a code.
 */
#include "api/http/envelope.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/json.h"
#include "base/own.h"
#include "base/strings.h"

struct error_form {
	int status;
	const char *code;     /* NULL: bare */
	const char *field;    /* for details, when the error names no field */
	unsigned retry_after; /* seconds; 0: no field Retry-After */
};

static const struct error_form error_forms[ERR_CODES] = {
	[ERR_INVALID] = { 400, "ERR-02-008", NULL, 0 },
	[ERR_NOT_FOUND] = { 404, NULL, NULL, 0 },
	[ERR_BUSY] = { 409, NULL, NULL, 1 },
	[ERR_CAPACITY] = { 400, "ERR-02-002", NULL, 0 },
	[ERR_CAPACITY_UNSET] = { 400, "ERR-02-014", "node_id", 0 },
	[ERR_CVM_NOT_FOUND] = { 404, "ERR-03-001", "cvm_id", 0 },
	[ERR_CVM_AMBIGUOUS] = { 400, "ERR-03-010", "identifier", 0 },
	[ERR_NAME_TAKEN] = { 409, "ERR-01-004", "name", 0 },
	[ERR_NODE_NOT_FOUND] = { 404, "ERR-01-001", "node_id", 0 },
	[ERR_COMPOSE_MISSING] = { 400, "ERR-01-002", "compose_file", 0 },
	[ERR_COMPOSE_INVALID] = { 400, "ERR-01-003", "docker_compose_file", 0 },
	[ERR_TYPE_NOT_FOUND] = { 400, "ERR-02-001", "instance_type", 0 },
	[ERR_INCOMPATIBLE] = { 400, "ERR-02-009", NULL, 0 },
	[ERR_IMAGE_NOT_FOUND] = { 400, "ERR-02-010", "image", 0 },
	[ERR_IMAGE_MISMATCH] = { 400, "ERR-02-013", "image", 0 },
	[ERR_IN_USE] = { 409, NULL, NULL, 0 },
	[ERR_CONFLICT] = { 409, NULL, NULL, 0 },
	[ERR_UNAUTHENTICATED] = { 401, NULL, NULL, 0 },
	[ERR_FORBIDDEN] = { 403, NULL, NULL, 0 },
	[ERR_RATE] = { 429, NULL, NULL, 60 },
	[ERR_UNAVAILABLE] = { 503, NULL, NULL, 2 },
	[ERR_UNSUPPORTED] = { 501, NULL, NULL, 0 },
	[ERR_HOST] = { 500, NULL, NULL, 0 },
	[ERR_TIMEOUT] = { 504, NULL, NULL, 0 },
	[ERR_CANCELLED] = { 409, NULL, NULL, 0 },
	[ERR_TOO_LARGE] = { 413, NULL, NULL, 0 },
	[ERR_GPU] = { 400, "ERR-02-006", "gpus", 0 },
	[ERR_GPU_BUSY] = { 409, "ERR-02-016", "gpus", 0 },
	[ERR_PRECONDITION] = { 412, NULL, NULL, 0 },
	[ERR_NODE_CLOSED] = { 403, "ERR-02-012", "node_id", 0 },
	[ERR_QUOTA] = { 403, "ERR-02-015", NULL, 0 },
	[ERR_QUOTA_SIZE] = { 403, "ERR-04-003", NULL, 0 },
	[ERR_QUOTA_CVMS] = { 403, "ERR-04-002", NULL, 0 },
	[ERR_BALANCE] = { 400, "ERR-04-001", NULL, 0 },
	[ERR_KEYS] = { 403, "ERR-05-001", NULL, 0 },
	[ERR_KEY_RATE] = { 429, "ERR-05-002", NULL, 60 },
	[ERR_CVM_ELSEWHERE] = { 404, "ERR-03-003", "cvm_id", 0 },
	[ERR_REPLICA_IMAGE] = { 400, "ERR-03-006", "os_image", 0 },
	[ERR_APP_CONFLICT] = { 409, "ERR-03-007", "app_id", 0 },
	[ERR_REPLICA_SOURCE] = { 404, "ERR-03-008", "vm_uuid", 0 },
	[ERR_REPLICA_HASH] = { 400, "ERR-03-009", "compose_hash", 0 },
};

/* Codes of ERR_CAPACITY by resource; other resources get the code of ERR_CAPACITY itself. */
static const struct scarce_resource {
	const char *resource, *code, *field;
} scarce_resources[] = {
	{ "vcpus", "ERR-02-003", "vcpu" },           { "memory_mib", "ERR-02-004", "memory" },
	{ "slots", "ERR-02-005", "slots" },          { "disk_gib", "ERR-02-002", "disk_size" },
	{ "hugepages_mib", "ERR-02-004", "memory" }, { "gpus", "ERR-02-007", "gpus" },
};

static const struct scarce_resource *scarce_resource_of(const struct err *e)
{
	for (size_t i = 0; i < ARRAY_SIZE(scarce_resources); i++) {
		if (e->cap.resource && !strcmp(scarce_resources[i].resource, e->cap.resource))
			return &scarce_resources[i];
	}
	return NULL;
}

static struct error_form error_form_of(const struct err *e)
{
	struct error_form f = e->code > ERR_NONE && e->code < ERR_CODES ? error_forms[e->code]
									: error_forms[ERR_HOST];
	const struct scarce_resource *s = scarce_resource_of(e);

	if (e->code == ERR_CAPACITY && s)
		f.code = s->code;
	if (e->code == ERR_UNSUPPORTED && e->field[0])
		f = error_forms[ERR_INCOMPATIBLE];
	if (e->code == ERR_HOST && e->sys == ENOSPC)
		f.status = 507;
	return f;
}

int envelope_status(const struct err *e)
{
	return error_form_of(e).status;
}

unsigned envelope_retry_after(const struct err *e)
{
	return e->retry_s ? e->retry_s : error_form_of(e).retry_after;
}

static void envelope_set(json_t *o, const char *key, json_t *value)
{
	if (json_object_set_new(o, key, value))
		abort();
}

static void details_add(json_t *details, const char *field, json_t *value, const char *message)
{
	json_t *row = json_object();

	envelope_set(row, "field", json_text(field));
	envelope_set(row, "value", value);
	if (message)
		envelope_set(row, "message", json_text(message));
	if (json_array_append_new(details, row))
		abort();
}

static void details_add_capacity(json_t *details, const struct err *e)
{
	const struct scarce_resource *s = scarce_resource_of(e);
	const char *field = s ? s->field : e->cap.resource ? e->cap.resource : "resource";
	bool named = e->field[0] &&
		     e->value[0]; /* one of several requested items: "ports[1].host_port" */
	bool has_total = e->cap.total != ERR_TOTAL_HIDDEN;
	auto_free char *text = NULL;
	char of[32] = "";

	if (has_total)
		(void)snprintf(of, sizeof(of), " of %llu", (unsigned long long)e->cap.total);
	if (e->cap.numa_node >= 0)
		text = xasprintf("asked %llu, free %llu%s on NUMA node %d",
				 (unsigned long long)e->cap.asked, (unsigned long long)e->cap.free,
				 of, e->cap.numa_node);
	else
		text = xasprintf("asked %llu, free %llu%s on this node",
				 (unsigned long long)e->cap.asked, (unsigned long long)e->cap.free,
				 of);
	if (named)
		details_add(details, e->field, json_text(e->value), e->text);
	details_add(details, field, json_integer((json_int_t)e->cap.asked), text);
	details_add(details, "asked", json_integer((json_int_t)e->cap.asked), NULL);
	details_add(details, "free", json_integer((json_int_t)e->cap.free), NULL);
	if (has_total)
		details_add(details, "total", json_integer((json_int_t)e->cap.total), NULL);
	if (e->cap.numa_node >= 0)
		details_add(details, "numa_node", json_integer(e->cap.numa_node), NULL);
}

static void details_add_number(json_t *details, const char *field, uint64_t value,
			       const char *message)
{
	details_add(details, field, json_integer((json_int_t)value), message);
}

/* Details of quotas, limits, balances and rates, as the catalogue defines them. False for all other
 * errors. */
static bool details_add_limit(json_t *details, const struct err *e)
{
	switch (e->code) {
	case ERR_QUOTA:
	case ERR_QUOTA_SIZE:
		details_add(details, "resource", json_text(e->cap.resource ? e->cap.resource : ""),
			    e->text);
		details_add_number(details, "requested", e->cap.asked, NULL);
		if (e->code == ERR_QUOTA)
			details_add_number(details, "remaining", e->cap.free, NULL);
		details_add_number(details, "limit", e->cap.total, NULL);
		return true;
	case ERR_QUOTA_CVMS:
	case ERR_KEYS:
		details_add_number(details, "limit", e->cap.total, e->text);
		details_add_number(details, "current", e->cap.asked, NULL);
		return true;
	case ERR_BALANCE:
		details_add_number(details, "balance", e->cap.free, e->text);
		details_add_number(details, "required", e->cap.asked, NULL);
		return true;
	case ERR_KEY_RATE:
		details_add_number(details, "limit", e->cap.total, e->text);
		details_add_number(details, "retry_after", e->retry_s, NULL);
		return true;
	default:
		return false;
	}
}

static json_t *details_of(const struct err *e, const struct error_form *f)
{
	const char *field = e->field[0] ? e->field : f->field;
	json_t *details = json_array();

	if (e->code == ERR_CAPACITY)
		details_add_capacity(details, e);
	else if (!details_add_limit(details, e) && field)
		details_add(details, field, json_text(e->value), e->text);
	return details;
}

static json_t *envelope_coded(const struct err *e, const struct error_form *f, const char *message)
{
	json_t *body = json_object(), *suggestions = json_array();

	if (e->hint[0] && json_array_append_new(suggestions, json_text(e->hint)))
		abort();
	envelope_set(body, "error_code", json_string(f->code));
	envelope_set(body, "message", json_text(message));
	envelope_set(body, "details", details_of(e, f));
	envelope_set(body, "suggestions", suggestions);
	envelope_set(body, "links", json_array());
	return body;
}

json_t *envelope_plain(const char *text, const char *request_id)
{
	json_t *body = json_object();

	envelope_set(body, "detail", json_text(text));
	if (request_id)
		envelope_set(body, "request_id", json_text(request_id));
	return body;
}

json_t *envelope_for(enum role role, const char *request_id, const struct err *e)
{
	struct err visible = *e;

	if (role < ROLE_OPERATOR)
		err_hide_total(&visible);
	return envelope_body(&visible, request_id);
}

json_t *envelope_body(const struct err *e, const char *request_id)
{
	struct error_form f = error_form_of(e);
	const char *message = e->text[0] ? e->text : err_word(e->code);
	auto_free char *with_hint = NULL;
	json_t *body;

	if (!f.code) {
		if (e->hint[0])
			with_hint = xasprintf("%s; %s", message, e->hint);
		return envelope_plain(with_hint ? with_hint : message, request_id);
	}
	body = envelope_coded(e, &f, message);
	if (request_id)
		envelope_set(body, "request_id", json_text(request_id));
	return body;
}
