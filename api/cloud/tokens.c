/* SPDX-License-Identifier: Apache-2.0
 * tokens.c - /tokens: list, create and revoke API keys.
 *
 * An admin may manage the tokens of every workspace. Other callers may manage the tokens of their
 * own workspace whose role is not higher than their own. A token created with another token never
 * has more rights than that token and ends with it (vmm/account/keys.c). Only the first answer
 * contains the text of a token; a replayed answer does not.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/cloud/authenticate.h"
#include <jansson.h>
#include "api/cloud/body_account.h"
#include "api/cloud/context.h"
#include "api/cloud/json_or_null.h"
#include "api/cloud/lookup.h"
#include "api/cloud/mutation_call.h"
#include "api/cloud/paging.h"
#include "api/cloud/route_tables.h"
#include "api/http/call.h"
#include "api/http/reply.h"
#include "base/alloc.h"
#include "base/own.h"
#include "db/keys.h"
#include "db/workspaces.h"
#include "vmm/account/keys.h"
#include "vmm/op/mutation.h"

enum { BODY_MAX = 4096 };

static json_t *serialize_token(const struct key_row *k)
{
	json_t *limit = k->per_minute ? json_integer(k->per_minute) : json_null();
	char id[32], parent[32];

	(void)snprintf(id, sizeof(id), "tok_%" PRId64, k->id);
	(void)snprintf(parent, sizeof(parent), "tok_%" PRId64, k->parent);
	return json_pack(
		"{s:s,s:s,s:s,s:s,s:s?,s:o,s:o,s:o,s:o,s:{s:o}}", "id", id, "name", k->name, "role",
		role_text((enum role)k->role), "workspace", k->workspace_slug, "parent",
		k->parent ? parent : NULL, "prefix", json_text_or_null(k->prefix), "created_at",
		json_time_or_null(k->created_ms), "expires_at", json_time_or_null(k->expires_ms),
		"last_used_at", json_time_or_null(k->last_used_ms), "limits", "requests_per_minute",
		limit);
}

static bool caller_is_admin(const struct call *c)
{
	return c->caller.role >= ROLE_ADMIN;
}

/* ------------------------------------------------------------------ reading */

/* Find a token by id, "tok_3" or "3". "Not visible to the caller" and "does not exist" are the same
 * error. */
static int token_find(const struct call *c, const char *id, struct key_row *ret, struct err *e)
{
	const char *digits = strncmp(id, "tok_", 4) ? id : id + 4;
	size_t n = strlen(digits);
	struct key_row k;
	int r = -ERR_NOT_FOUND;

	if (n > 0 && n < 19 && strspn(digits, "0123456789") == n)
		r = vmm_key(api_of(c)->vmm, strtoll(digits, NULL, 10), &k, e);
	if (!r && !caller_is_admin(c) &&
	    (k.workspace != c->caller.workspace || k.role > (int)c->caller.role))
		r = -ERR_NOT_FOUND;
	if (r == -ERR_NOT_FOUND)
		return err_field(e, ERR_NOT_FOUND, "id", id, "token %.40s does not exist", id);
	if (!r)
		*ret = k;
	return r;
}

static int token_list_scope(struct call *c, int64_t *ret, struct err *e)
{
	const char *slug = call_query(c, "workspace", 0);
	struct workspace_row w;
	int r;

	*ret = caller_is_admin(c) ? 0 : c->caller.workspace;
	if (!slug)
		return 0;
	r = api_find_workspace(c, slug, &w, e);
	if (!r && !caller_is_admin(c) && w.id != c->caller.workspace)
		r = err_field(e, ERR_FORBIDDEN, "workspace", slug,
			      "only an admin may list the tokens of another workspace");
	if (!r)
		*ret = w.id;
	return r;
}

static void get_tokens(struct call *c)
{
	auto_free struct key_row *rows = NULL;
	json_t *items;
	int64_t workspace;
	int total = 0;
	struct page p;
	struct err e;
	size_t n = 0;

	if (page_read(c, 50, 100, &p, &e) || token_list_scope(c, &workspace, &e) ||
	    (total = vmm_keys(api_of(c)->vmm, workspace, (int)c->caller.role, page_offset(&p),
			      p.size, &rows, &n, &e)) < 0) {
		call_reply_err(c, &e);
		return;
	}
	items = json_array();
	for (size_t i = 0; i < n; i++)
		json_array_append_new(items, serialize_token(&rows[i]));
	page_reply(c, items, &p, total);
}

static void get_token(struct call *c)
{
	struct key_row k = { 0 };
	struct err e;

	if (token_find(c, c->param[0], &k, &e))
		call_reply_err(c, &e);
	else
		call_reply(c, 200, serialize_token(&k));
}

/* ------------------------------------------------------------------ creating */

struct token_call {
	struct mutation_call ch;
	struct parsed_token req; /* points into ch.body */
	char text[API_KEY_TEXT];
};

static void token_call_free(struct mutation_call *ch)
{
	struct token_call *tc = (struct token_call *)ch;

	explicit_bzero(tc->text, sizeof(tc->text));
	free(tc);
}

static int token_check_rights(const struct call *c, const struct parsed_token *req,
			      struct workspace_row *ret, struct err *e)
{
	int r = api_find_workspace(c, req->workspace ? req->workspace : c->caller.workspace_slug,
				   ret, e);

	if (r == -ERR_NOT_FOUND)
		(void)snprintf(e->field, sizeof(e->field), "workspace");
	if (r)
		return r;
	if (!caller_is_admin(c) && ret->id != c->caller.workspace)
		return err_field(e, ERR_FORBIDDEN, "workspace", req->workspace,
				 "only an admin may create tokens for another workspace");
	if (req->role > (int)c->caller.role)
		return err_field(e, ERR_FORBIDDEN, "role", role_text((enum role)req->role),
				 "role %s is higher than the role of the caller, %s",
				 role_text((enum role)req->role), role_text(c->caller.role));
	return 0;
}

static int token_make_apply(struct mutation_call *ch, struct answer *ret, struct err *e)
{
	struct token_call *tc = (struct token_call *)ch;
	struct workspace_row w;
	struct key_request req;
	struct key_row k;
	int r = token_check_rights(ch->call, &tc->req, &w, e);

	if (r)
		return r;
	req = (struct key_request){ .workspace = w.id,
				    .name = tc->req.name,
				    .role = tc->req.role,
				    .expires_ms = tc->req.expires_ms,
				    .per_minute = tc->req.per_minute,
				    .parent = ch->call->caller.key_id,
				    .ends_ms = ch->call->caller.expires_ms };
	r = vmm_key_make(api_of(ch->call)->vmm, &req, &k, tc->text, e);
	if (!r)
		*ret = (struct answer){ .status = 201, .body = serialize_token(&k) };
	return r;
}

static void token_make_reveal(struct mutation_call *ch, json_t *body)
{
	json_object_set_new(body, "token", json_string(((struct token_call *)ch)->text));
}

static int token_make_parse(struct mutation_call *ch, struct err *e)
{
	return parse_token_body(ch->body, &((struct token_call *)ch)->req, e);
}

static const struct mutation_call_ops token_make_ops = { .parse = token_make_parse,
							 .apply = token_make_apply,
							 .reveal = token_make_reveal,
							 .free = token_call_free };

static void post_tokens(struct call *c)
{
	mutation_call_run_json(xcalloc(1, sizeof(struct token_call)), c, false, &token_make_ops);
}

/* ------------------------------------------------------------------ revoking */

static int token_revoke_apply(struct mutation_call *ch, struct answer *ret, struct err *e)
{
	struct key_row k = { 0 };
	int r = token_find(ch->call, ch->call->param[0], &k, e);

	if (!r)
		r = vmm_key_revoke(api_of(ch->call)->vmm, k.id, e);
	if (!r)
		*ret = (struct answer){ .status = 204 };
	return r;
}

static const struct mutation_call_ops token_revoke_ops = { .apply = token_revoke_apply };

static void delete_token(struct call *c)
{
	mutation_call_run(xcalloc(1, sizeof(struct mutation_call)), c, NULL, &token_revoke_ops);
}

const struct route token_routes[] = {
	{ "GET", "/api/v1/tokens", ROLE_TENANT, 0, 0, get_tokens, NULL },
	{ "POST", "/api/v1/tokens", ROLE_TENANT, ROUTE_MUTATION, BODY_MAX, post_tokens,
	  &token_table },
	{ "GET", "/api/v1/tokens/{id}", ROLE_TENANT, 0, 0, get_token, NULL },
	{ "DELETE", "/api/v1/tokens/{id}", ROLE_TENANT, ROUTE_MUTATION | ROUTE_EMPTY_OK, 1024,
	  delete_token, NULL },
	{ 0 },
};
