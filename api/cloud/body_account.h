/* SPDX-License-Identifier: Apache-2.0
 * body_account.h - request bodies about workspaces, tokens and credit.
 */
#ifndef TEEPOD_API_CLOUD_BODY_ACCOUNT_H
#define TEEPOD_API_CLOUD_BODY_ACCOUNT_H

#include "base/json.h"

struct workspace_request;

extern const struct field_table workspace_table, workspace_change_table, token_table, credit_table;

/* @t is workspace_table or workspace_change_table; *ret borrows from @body. An absent quota becomes
 * QUOTA_KEEP, null becomes QUOTA_UNLIMITED. */
int parse_workspace_body(const struct field_table *t, const json_t *body,
			 struct workspace_request *ret, struct err *e);

struct parsed_token {
	const char *name, *workspace; /* NULL: the caller's own */
	int role;                     /* enum role */
	int64_t expires_ms, per_minute;
};
int parse_token_body(const json_t *body, struct parsed_token *ret, struct err *e);

struct credit_body {
	int64_t amount;
	const char *note; /* NULL: none */
};
int parse_credit_body(const json_t *body, struct credit_body *ret, struct err *e);

#endif
