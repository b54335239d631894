/* SPDX-License-Identifier: Apache-2.0
 * body_account.c - request bodies about workspaces, tokens and credit.
 *
 * Unknown keys are refused. If a misspelt limit were ignored, there would be no limit.
 */
#include "api/cloud/body_account.h"

#include <assert.h>
#include <jansson.h>

#include "api/http/caller.h"
#include "base/array.h"
#include "base/clock.h"
#include "base/json.h"
#include "db/text.h"
#include "db/workspaces.h"
#include "vmm/account/workspaces.h"

enum { OPT = FIELD_NULLABLE, NOTE_MAX = 200, PER_MINUTE_MAX = 1000000 };

static const int64_t quota_max = INT64_C(1) << 40;

#define QUOTA(name, unit)                                                             \
	{                                                                             \
		name, FIELD_INT, OPT, 0, INT64_C(1) << 40, FIELD_NOWHERE, NULL, NULL, \
			unit "null means no limit"                                    \
	}

/* The names are those of quota_word[]. */
static const struct field quota_fields[] = {
	QUOTA("vcpus", ""),
	QUOTA("memory_mib", "in MiB; "),
	QUOTA("disk_gib", "in GiB; "),
	QUOTA("cvms", ""),
	QUOTA("gpus", ""),
	QUOTA("host_ports", ""),
};
static_assert(ARRAY_SIZE(quota_fields) == QUOTAS, "every quota can be set");

static const struct field_table quotas_table = { "QuotasRequest", quota_fields,
						 ARRAY_SIZE(quota_fields), true };

struct workspace_body {
	const char *slug, *name;
	json_t *quotas;
};

#define AT(type, member) offsetof(struct type, member)

static const struct field workspace_fields[] = {
	{ "slug", FIELD_STRING, FIELD_REQUIRED, 1, NAME_TEXT - 1, AT(workspace_body, slug), NULL,
	  NULL, "lower-case letters, digits and hyphens, starting with a letter" },
	{ "name", FIELD_STRING, OPT | FIELD_PLAIN, 1, NAME_TEXT - 1, AT(workspace_body, name), NULL,
	  NULL, "default: the slug" },
	{ "quotas", FIELD_OBJECT, OPT, 0, 0, AT(workspace_body, quotas), NULL, &quotas_table,
	  NULL },
};

static const struct field workspace_change_fields[] = {
	{ "name", FIELD_STRING, OPT | FIELD_PLAIN, 1, NAME_TEXT - 1, AT(workspace_body, name), NULL,
	  NULL, NULL },
	{ "quotas", FIELD_OBJECT, OPT, 0, 0, AT(workspace_body, quotas), NULL, &quotas_table,
	  "absent quotas keep their values" },
};

const struct field_table workspace_table = { "WorkspaceRequest", workspace_fields,
					     ARRAY_SIZE(workspace_fields), true };
const struct field_table workspace_change_table = { "WorkspaceChangeRequest",
						    workspace_change_fields,
						    ARRAY_SIZE(workspace_change_fields), true };

int parse_workspace_body(const struct field_table *t, const json_t *body,
			 struct workspace_request *ret, struct err *e)
{
	struct workspace_body q = { 0 };
	int r = fields_read(t, body, "", &q, e);

	if (r)
		return r;
	*ret = (struct workspace_request){ .slug = q.slug, .name = q.name };
	for (int i = 0; i < QUOTAS; i++) {
		const json_t *value = json_object_get(q.quotas, quota_word[i]);

		ret->max[i] = !value                ? QUOTA_KEEP
			      : json_is_null(value) ? QUOTA_UNLIMITED
						    : (int64_t)json_number_value(value);
		if (ret->max[i] > quota_max)
			ret->max[i] = quota_max;
	}
	return 0;
}

/* ------------------------------------------------------------------ tokens */

static const char *const role_words[] = { "reader", "tenant", "operator", "admin", NULL };
static_assert(ARRAY_SIZE(role_words) == ROLE_ADMIN - ROLE_READER + 2, "every role has its word");

static const struct field limit_fields[] = {
	{ "requests_per_minute", FIELD_INT, OPT, 1, PER_MINUTE_MAX, FIELD_NOWHERE, NULL, NULL,
	  "default: the limit of the key that creates the token" },
};

static const struct field_table limits_table = { "TokenLimitsRequest", limit_fields,
						 ARRAY_SIZE(limit_fields), true };

struct token_body {
	const char *name, *workspace, *expires_at;
	int role; /* index into role_words */
	json_t *limits;
};

static const struct field token_fields[] = {
	{ "name", FIELD_STRING, FIELD_REQUIRED, 1, NAME_TEXT - 1, AT(token_body, name), NULL, NULL,
	  "letters, digits, spaces and . _ @ + / -; need not be unique" },
	{ "role", FIELD_WORD, FIELD_REQUIRED, 0, 0, AT(token_body, role), role_words, NULL,
	  "must not exceed the role of the caller" },
	{ "workspace", FIELD_STRING, OPT, 1, NAME_TEXT - 1, AT(token_body, workspace), NULL, NULL,
	  "default: the workspace of the caller; only an admin may name another one" },
	{ "expires_at", FIELD_STRING, OPT, 1, CLOCK_TEXT + 8, AT(token_body, expires_at), NULL,
	  NULL, "RFC 3339 time; default: the expiry of the key that creates the token" },
	{ "limits", FIELD_OBJECT, OPT, 0, 0, AT(token_body, limits), NULL, &limits_table, NULL },
};

const struct field_table token_table = { "TokenRequest", token_fields, ARRAY_SIZE(token_fields),
					 true };

int parse_token_body(const json_t *body, struct parsed_token *ret, struct err *e)
{
	struct token_body q = { 0 };
	struct parsed_token a;
	int r = fields_read(&token_table, body, "", &q, e);

	if (r)
		return r;
	a = (struct parsed_token){
		.name = q.name,
		.workspace = q.workspace,
		.role = q.role + ROLE_READER,
		.per_minute = (int64_t)json_number_value(
			json_object_get(q.limits, "requests_per_minute")),
	};
	if (q.expires_at && !clock_parse(q.expires_at, &a.expires_ms))
		return err_field(e, ERR_INVALID, "expires_at", q.expires_at,
				 "expires_at is %.40s; allowed: an RFC 3339 time such as "
				 "2027-01-31T12:00:00Z",
				 q.expires_at);
	*ret = a;
	return 0;
}

/* ------------------------------------------------------------------ credit */

static const struct field credit_fields[] = {
	{ "amount", FIELD_INT, FIELD_REQUIRED, -INT64_C(1000000000000000),
	  INT64_C(1000000000000000), AT(credit_body, amount), NULL, NULL,
	  "micro-units of the currency; a negative amount withdraws credit" },
	{ "note", FIELD_STRING, OPT | FIELD_PLAIN, 1, NOTE_MAX, AT(credit_body, note), NULL, NULL,
	  NULL },
};

const struct field_table credit_table = { "CreditRequest", credit_fields, ARRAY_SIZE(credit_fields),
					  true };

int parse_credit_body(const json_t *body, struct credit_body *ret, struct err *e)
{
	struct credit_body q = { 0 };
	int r = fields_read(&credit_table, body, "", &q, e);

	if (!r && !q.amount)
		return err_field(e, ERR_INVALID, "amount", "0", "amount must not be 0");
	if (!r)
		*ret = q;
	return r;
}
