/* SPDX-License-Identifier: Apache-2.0
 * body_power.c - request bodies of power operations, and the shutdown timeout that other bodies
 * share.
 */
#include "api/cloud/body_power.h"

#include <assert.h>
#include <stdio.h>

#include "base/array.h"
#include "base/json.h"
#include "base/own.h"
#include "vmm/cvm/power.h"

enum { OPT = FIELD_NULLABLE };

#define NEW_DISK                                                                                   \
	{                                                                                          \
		"new_disk", FIELD_BOOL, OPT, 0, 0, offsetof(struct power_request, new_disk), NULL, \
			NULL, "create an empty data disk if the data disk of the CVM is lost"      \
	}

static const struct field start_fields[] = { NEW_DISK };

static const struct field shutdown_fields[] = {
	TIMEOUT_FIELDS,
	{ "force", FIELD_BOOL, OPT, 0, 0, offsetof(struct power_request, force), NULL, NULL,
	  "power the CVM off when the timeout expires" },
};

static const struct field restart_fields[] = {
	NEW_DISK,
	TIMEOUT_FIELDS,
	{ "force", FIELD_BOOL, OPT, 0, 0, offsetof(struct power_request, force), NULL, NULL,
	  "power the CVM off at once" },
};

const struct field_table start_table = { "StartRequest", start_fields, ARRAY_SIZE(start_fields),
					 false };
const struct field_table shutdown_table = { "ShutdownRequest", shutdown_fields,
					    ARRAY_SIZE(shutdown_fields), false };
const struct field_table restart_table = { "RestartRequest", restart_fields,
					   ARRAY_SIZE(restart_fields), false };

const char *const timeout_names[] = { "timeout", "timeout_s", "shutdown_timeout", NULL };

int parse_timeout(const json_t *body, unsigned *ret, struct err *e)
{
	const char *first = NULL;
	unsigned given = 0;

	for (size_t i = 0; timeout_names[i]; i++) {
		const json_t *j = json_object_get(body, timeout_names[i]);
		unsigned value = (unsigned)json_number_value(j);
		char text[16];

		if (!value)
			continue;
		assert(value >= TIMEOUT_MIN_S && value <= TIMEOUT_MAX_S);
		(void)snprintf(text, sizeof(text), "%u", value);
		if (first && value != given)
			return err_field(
				e, ERR_INCOMPATIBLE, timeout_names[i], text,
				"%s is %u, but %s (another name of it) is %s: send one of them",
				first, given, timeout_names[i], text);
		first = timeout_names[i];
		given = value;
	}
	*ret = given;
	return 0;
}

int parse_power_body(const struct field_table *t, const json_t *body, struct power_request *ret,
		     struct err *e)
{
	struct power_request req = { .kind = ret->kind };
	int r = fields_read(t, body, "", &req, e);

	if (!r)
		r = parse_timeout(body, &req.timeout_s, e);
	if (!r)
		*ret = req;
	return r;
}

int refuse_timeout(const json_t *body, const char *verb, struct err *e)
{
	for (size_t i = 0; timeout_names[i]; i++) {
		const json_t *j = json_object_get(body, timeout_names[i]);
		auto_free char *text = j && !json_is_null(j) ? json_canonical(j) : NULL;

		if (!text)
			continue;
		err_field(e, ERR_INVALID, timeout_names[i], text,
			  "%s is not allowed: %s does not wait for the guest", timeout_names[i],
			  verb);
		return err_hint(e, "shutdown and restart give the guest time to power off");
	}
	return 0;
}
