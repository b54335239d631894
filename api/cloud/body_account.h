/* SPDX-License-Identifier: Apache-2.0
 * body_account.h - request bodies about workspaces, tokens and credit.
 */
#ifndef TEEPOD_API_CLOUD_BODY_ACCOUNT_H
#define TEEPOD_API_CLOUD_BODY_ACCOUNT_H

#include "base/json.h"

struct workspace_ask;

extern const struct field_table workspace_table, workspace_change_table, token_table, credit_table;

/* *ret borrows from @body. @t is one of the two workspace tables. Quotas that are absent are
 * QUOTA_KEEP, null is QUOTA_UNLIMITED. */
int read_workspace_ask(const struct field_table *t, const json_t *body, struct workspace_ask *ret,
		       struct err *e);

struct token_ask {
	const char *name, *workspace; /* workspace NULL: the caller's */
	int role;                     /* enum role */
	int64_t expires_ms, per_minute;
};
int read_token_ask(const json_t *body, struct token_ask *ret, struct err *e);

struct credit_ask {
	int64_t amount;
	const char *note; /* NULL: none */
};
int read_credit_ask(const json_t *body, struct credit_ask *ret, struct err *e);

#endif
