/* SPDX-License-Identifier: Apache-2.0
 * body_policy.c - request bodies about CVM policies and node maintenance.
 */
#include "api/cloud/body_policy.h"

#include <assert.h>
#include <strings.h>

#include "api/cloud/body_parts.h"
#include "api/cloud/body_power.h"
#include "base/array.h"
#include "base/json.h"
#include <jansson.h>
#include "db/policies.h"
#include "vmm/admit/request.h"

enum { OPT = FIELD_NULLABLE, REASON_MAX = 190 };

const char *const restart_words[] = { "on-crash", "never", "always", NULL };
static_assert(ARRAY_SIZE(restart_words) == RESTART_POLICIES + 1, "every policy has its word");

/* ------------------------------------------------------------------ policies of a CVM */

static const struct field policy_fields[] = { POLICY_FIELDS };

const struct field_table policy_table = { "PolicyRequest", policy_fields, ARRAY_SIZE(policy_fields),
					  true };

static enum restart_policy restart_policy_of(const char *word)
{
	int i = RESTART_POLICIES - 1;

	while (i > 0 && strcasecmp(word, restart_words[i]) != 0)
		i--;
	assert(!strcasecmp(word, restart_words[i])); /* the table has checked it */
	return (enum restart_policy)i;
}

struct policy_request policy_from_body(const json_t *body)
{
	const char *word = json_string_value(json_object_get(body, "restart_policy"));

	return (struct policy_request){
		.has_restart = word != NULL,
		.has_auto_start = member_given(body, "auto_start"),
		.has_order = member_given(body, "start_order"),
		.restart = word ? restart_policy_of(word) : RESTART_ON_CRASH,
		.auto_start = json_is_true(json_object_get(body, "auto_start")),
		.start_order = (int64_t)json_number_value(json_object_get(body, "start_order")),
	};
}

int parse_policy_body(const json_t *body, struct policy_request *ret, struct err *e)
{
	int r = fields_read(&policy_table, body, "", NULL, e);
	struct policy_request req;

	if (r)
		return r;
	req = policy_from_body(body);
	if (!req.has_restart && !req.has_auto_start && !req.has_order)
		return err_field(
			e, ERR_INVALID, "body", "",
			"the body changes nothing: send restart_policy, auto_start or start_order");
	*ret = req;
	return 0;
}

/* ------------------------------------------------------------------ maintenance of the node */

static const struct field maintenance_fields[] = {
	{ "enabled", FIELD_BOOL, FIELD_REQUIRED, 0, 0, offsetof(struct maintenance_body, enabled),
	  NULL, NULL, NULL },
	{ "reason", FIELD_STRING, OPT | FIELD_PLAIN, 0, REASON_MAX,
	  offsetof(struct maintenance_body, reason), NULL, NULL,
	  "part of every refusal during the maintenance" },
};

const struct field_table maintenance_table = { "MaintenanceRequest", maintenance_fields,
					       ARRAY_SIZE(maintenance_fields), true };

int parse_maintenance_body(const json_t *body, struct maintenance_body *ret, struct err *e)
{
	struct maintenance_body req = { .reason = "" };
	int r = fields_read(&maintenance_table, body, "", &req, e);

	if (!r)
		*ret = req;
	return r;
}

static const struct field drain_fields[] = {
	TIMEOUT_FIELDS,
	{ "force", FIELD_BOOL, OPT, 0, 0, offsetof(struct drain_body, force), NULL, NULL,
	  "power off the CVMs that still run when the timeout expires" },
	{ "reason", FIELD_STRING, OPT | FIELD_PLAIN, 0, REASON_MAX,
	  offsetof(struct drain_body, reason), NULL, NULL,
	  "default: the reason of the current maintenance" },
};

const struct field_table drain_table = { "DrainRequest", drain_fields, ARRAY_SIZE(drain_fields),
					 true };

int parse_drain_body(const json_t *body, struct drain_body *ret, struct err *e)
{
	struct drain_body req = { .reason = "" };
	int r = fields_read(&drain_table, body, "", &req, e);

	if (!r)
		r = parse_timeout(body, &req.timeout_s, e);
	if (!r)
		*ret = req;
	return r;
}
