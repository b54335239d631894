/* SPDX-License-Identifier: Apache-2.0
 * api.c - who is calling, what they may see, and the list of all routes.
 */
#include "api/cloud/api.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <jansson.h>

#include "api/cloud/account.h"
#include "api/cloud/stream.h"
#include "api/http/key_rate.h"
#include "api/cloud/route_tables.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "base/id.h"
#include "base/utf8.h"
#include "vmm/account/account.h"
#include "db/apps.h"
#include "db/cvms.h"
#include "db/keys.h"
#include "db/text.h"
#include "db/workspaces.h"
#include "vmm/account/keys.h"
#include "vmm/account/workspaces.h"
#include "vmm/admit/admit.h"
#include "vmm/cvm/find.h"
#include "vmm/logs/serial_scan.h"
#include "vmm/node/node.h"
#include "vmm/op/op_begin.h"
#include "vmm/vmm.h"

const struct route *const api_routes[] = {
	account_routes,
	app_routes,
	catalog_routes,
	cvm_routes,
	event_routes,
	health_routes,
	image_routes,
	log_routes,
	measurement_routes,
	node_routes,
	operation_routes,
	power_routes,
	state_routes,
	policy_routes,
	maintenance_routes,
	ledger_routes,
	token_routes,
	workspace_routes,
	replica_routes,
	revision_routes,
	software_routes,
	update_routes,
	NULL,
};

/* Is @name a literal where the routes of CVMs have an identifier? Such a CVM's path would be the
 * route's. */
static bool is_route_word(const char *name)
{
	static const char above[] = "/api/v1/cvms/";

	for (const struct route *const *t = api_routes; *t; t++) {
		for (const struct route *route = *t; route->method; route++) {
			const char *word = route->pattern + sizeof(above) - 1;

			if (!strncmp(route->pattern, above, sizeof(above) - 1) &&
			    strcspn(word, "/") == strlen(name) &&
			    !strncasecmp(word, name, strlen(name)))
				return true;
		}
	}
	return false;
}

_Static_assert(sizeof(((struct caller *)0)->who) == WHO_TEXT, "records have room for a caller");

struct api *api_new(struct vmm *v, const struct api_settings *s)
{
	struct api *a = xcalloc(1, sizeof(*a));

	a->vmm = v;
	a->settings = *s;
	a->started_ms = clock_wall_ms();
	id_random(a->secret, sizeof(a->secret));
	a->streams = streams_new(v);
	a->key_rate = key_rate_new();
	vmm_reserve_names(v, is_route_word);
	return a;
}

void api_set_server(struct api *a, const struct server *s)
{
	a->server = s;
}

void api_reload(struct api *a, const struct api_settings *s)
{
	a->settings = *s;
}

void api_drain(struct api *a)
{
	a->draining = true;
	streams_drain(a->streams);
}

void api_free(struct api *a)
{
	if (!a)
		return;
	streams_free(a->streams);
	key_rate_free(a->key_rate);
	free(a);
}

/* ------------------------------------------------------------------ who is calling */

/* Charge the key and all keys above it that have a limit. A key without a limit has none above it
 * with one. */
static int charge_key_rate(struct api *a, const struct key_row *key, struct err *e)
{
	struct key_budget b[KEY_LINE_MAX];
	struct key_row k = *key;
	unsigned wait_s;
	size_t n = 0;
	int r = 0;

	while (!r && k.per_minute && n < KEY_LINE_MAX) {
		b[n++] = (struct key_budget){ k.id, k.per_minute };
		r = k.parent ? vmm_key(a->vmm, k.parent, &k, e) : -ERR_NOT_FOUND;
	}
	wait_s = key_rate_take(a->key_rate, b, n, clock_mono_us());
	if (!wait_s)
		return 0;
	err_set(e, ERR_RATE, "the API key %s may make %lld requests a minute%s: wait %u s",
		key->name, (long long)key->per_minute,
		n > 1 ? ", within the limit of the key that made it" : "", wait_s);
	e->retry_s = wait_s;
	return -ERR_RATE;
}

/* A key's number cannot be chosen, its name can: names that keys had before there was a rule for
 * them, and common names of certificates, may hold anything. */
static void caller_describe(struct caller *c)
{
	char shown[80];

	utf8_show(c->name, shown, sizeof(shown));
	if (c->kind == CALLER_KEY)
		(void)snprintf(c->who, sizeof(c->who), "tok_%lld (%s)", (long long)c->key_id,
			       shown);
	else
		(void)snprintf(c->who, sizeof(c->who), "%s", shown);
}

int authenticate_key_row(struct api *a, const struct key_row *row, struct caller *ret,
			 struct err *e)
{
	int r = charge_key_rate(a, row, e);

	if (r)
		return r;
	*ret = (struct caller){ .role = (enum role)row->role,
				.kind = CALLER_KEY,
				.key_id = row->id,
				.expires_ms = row->expires_ms,
				.keys_generation = vmm_keys_generation(a->vmm),
				.workspace = row->workspace };
	(void)snprintf(ret->workspace_slug, sizeof(ret->workspace_slug), "%s", row->workspace_slug);
	(void)snprintf(ret->name, sizeof(ret->name), "%s", row->name);
	caller_describe(ret);
	return 0;
}

static int authenticate_key(struct api *a, const char *key, struct caller *ret, struct err *e)
{
	struct key_row row;
	int r = vmm_authenticate(a->vmm, key, &row, e);

	return r ? r : authenticate_key_row(a, &row, ret, e);
}

/* Peers and certificates belong to no workspace of their own: they work in the node's default one.
 */
static int authenticate_host(struct api *a, const struct caller *who, struct caller *ret,
			     struct err *e)
{
	struct workspace_row ws;
	int r;

	if (who->role == ROLE_NONE)
		return err_set(e, ERR_UNAUTHENTICATED, "%s needs an API key", who->name);
	/* It was good when the connection began, which may be long ago. */
	if (who->expires_ms && clock_wall_ms() >= who->expires_ms)
		return err_set(e, ERR_UNAUTHENTICATED, "the certificate of %s has expired",
			       who->name);
	r = vmm_workspace(a->vmm, vmm_default_workspace(a->vmm), &ws, e);
	if (r)
		return r;
	*ret = *who;
	caller_describe(ret);
	ret->workspace = ws.id;
	(void)snprintf(ret->workspace_slug, sizeof(ret->workspace_slug), "%s", ws.slug);
	return 0;
}

static enum role role_of_uid(const struct api_settings *s, unsigned uid)
{
	for (size_t i = 0; i < s->n_unix_admin_uids; i++) {
		if (s->unix_admin_uids[i] == uid)
			return ROLE_ADMIN;
	}
	return s->unix_role;
}

void api_after_commit(void *arg, void (*fn)(void *fn_arg), void *fn_arg)
{
	const struct api *a = arg;

	vmm_read(a->vmm, fn, fn_arg);
}

int api_authenticate(void *arg, const struct credentials *cred, struct caller *ret, struct err *e)
{
	struct api *a = arg;
	struct caller who = { 0 };

	if (cred->api_key)
		return authenticate_key(a, cred->api_key, ret, e);
	if (cred->has_peer) {
		who.kind = CALLER_PEER;
		who.role = role_of_uid(&a->settings, cred->uid);
		who.uid = cred->uid;
		(void)snprintf(who.name, sizeof(who.name), "uid:%u", cred->uid);
		return authenticate_host(a, &who, ret, e);
	}
	if (cred->cert_cn) {
		who.kind = CALLER_CERT;
		who.role = a->settings.cert_role;
		who.expires_ms = cred->cert_ends_ms;
		(void)snprintf(who.name, sizeof(who.name), "cert:%s", cred->cert_cn);
		return authenticate_host(a, &who, ret, e);
	}
	return err_set(e, ERR_UNAUTHENTICATED, "an API key is needed: header X-API-Key");
}

/* A database that can not be read just now takes nothing away. */
static enum role key_current_role(const struct api *a, const struct caller *who)
{
	struct key_row row;
	struct err e;
	int r = vmm_key(a->vmm, who->key_id, &row, &e);

	if (r)
		return r == -ERR_NOT_FOUND ? ROLE_NONE : who->role;
	if (row.workspace != who->workspace ||
	    (row.expires_ms && clock_wall_ms() >= row.expires_ms))
		return ROLE_NONE;
	return (enum role)row.role;
}

enum role caller_current_role(const struct api *a, const struct caller *who)
{
	switch (who->kind) {
	case CALLER_KEY:
		return key_current_role(a, who);
	case CALLER_PEER:
		return role_of_uid(&a->settings, who->uid);
	case CALLER_CERT:
		return a->settings.cert_role;
	case CALLER_NONE:
		break;
	}
	return who->role;
}

/* ------------------------------------------------------------------ for handlers */

int64_t api_scope(const struct call *c)
{
	return c->caller.role >= ROLE_OPERATOR ? 0 : c->caller.workspace;
}

void api_caller_text(const struct call *c, char out[CALLER_TEXT])
{
	if (c->caller.key_id)
		(void)snprintf(out, CALLER_TEXT, "key:%lld", (long long)c->caller.key_id);
	else
		(void)snprintf(out, CALLER_TEXT, "%s", c->caller.name);
}

struct request_ref api_request_ref(const struct call *c)
{
	return (struct request_ref){ .request_id = c->request_id, .caller = c->caller.who };
}

int api_named_workspace(const struct call *c, const char *slug, struct workspace_row *ret,
			struct err *e)
{
	int r;

	*ret = (struct workspace_row){ .id = -1 };
	r = api_find_workspace(c, slug, ret, e);
	return r == -ERR_NOT_FOUND && api_scope(c) ? 0 : r;
}

/* ?workspace= names where it has to be. Only those who see all workspaces are told that it is in
 * another one. */
static int find_cvm_in_workspace(const struct call *c, const char *slug, const char *identifier,
				 struct cvm_row *ret, struct err *e)
{
	struct vmm *v = api_of(c)->vmm;
	struct workspace_row w;
	struct cvm_row ignored;
	struct err other;
	int r = api_named_workspace(c, slug, &w, e);

	if (r)
		return r;
	r = vmm_find(v, w.id, identifier, ret, e);
	if (r != -ERR_CVM_NOT_FOUND || api_scope(c))
		return r;
	r = vmm_find(v, 0, identifier, &ignored, &other);
	if (r && r != -ERR_CVM_AMBIGUOUS)
		return -(int)e->code;
	return err_field(e, ERR_CVM_ELSEWHERE, "cvm_id", identifier,
			 "CVM %.60s is not in workspace %s", identifier, w.slug);
}

int api_find_cvm(struct call *c, const char *identifier, struct cvm_row *ret, struct err *e)
{
	const char *slug = call_query(c, "workspace", 0);
	struct vmm *v = api_of(c)->vmm;
	int r;

	if (slug)
		return find_cvm_in_workspace(c, slug, identifier, ret, e);
	r = vmm_find(v, c->caller.workspace, identifier, ret, e);
	if (api_scope(c))
		return r;
	/* An own CVM that is only called like another workspace's UUID or app id may not be meant.
	 */
	if (r == -ERR_CVM_NOT_FOUND || (!r && found_by_odd_name(identifier, ret)))
		r = vmm_find(v, 0, identifier, ret, e);
	return r;
}

int api_find_first_cvm(struct call *c, const char *identifier, struct cvm_row *ret, struct err *e)
{
	const char *slug = call_query(c, "workspace", 0);
	struct workspace_row w = { .id = c->caller.workspace };
	char app_id[APP_ID_TEXT];
	int r = api_find_cvm(c, identifier, ret, e);

	if (r != -ERR_CVM_AMBIGUOUS || !identifier_app(identifier, app_id))
		return r;
	r = slug ? api_find_workspace(c, slug, &w, e) : 0;
	if (!r)
		r = vmm_find_first(api_of(c)->vmm, w.id, identifier, ret, e);
	if (r == -ERR_CVM_NOT_FOUND && !slug && api_scope(c) == 0)
		r = vmm_find_first(api_of(c)->vmm, 0, identifier, ret, e);
	return r;
}

/* Equal compose files make equal ids, also in other workspaces: an operator who names none asks for
 * the own workspace's app first, and is refused when only others have it, and more than one. */
static int find_app_by_id(struct call *c, const char *app_id, struct app_row *ret, struct err *e)
{
	const char *slug = call_query(c, "workspace", 0);
	struct vmm *v = api_of(c)->vmm;
	struct workspace_row w = { .id = c->caller.workspace };
	int r = slug ? api_named_workspace(c, slug, &w, e) : 0;

	if (r)
		return r;
	r = vmm_app(v, w.id, app_id, ret, e);
	if (r == -ERR_NOT_FOUND && !slug && api_scope(c) == 0)
		r = vmm_app(v, 0, app_id, ret, e);
	if (r == -ERR_CVM_AMBIGUOUS)
		return err_hint(e, "say which workspace is meant: ?workspace=SLUG");
	return r;
}

/* "app_<40 hex>", "0x<40 hex>" or plain, in either case. */
int api_find_app(struct call *c, const char *identifier, struct app_row *ret, struct err *e)
{
	const char *id = identifier;
	char app_id[APP_ID_TEXT];
	uint8_t raw[(APP_ID_TEXT - 1) / 2];
	int r;

	if (!strncasecmp(id, "app_", 4))
		id += 4;
	else if (!strncasecmp(id, "0x", 2))
		id += 2;
	if (!id_unhex(id, raw, sizeof(raw)))
		return err_field(e, ERR_NOT_FOUND, "app_id", identifier, "no app %.64s is known",
				 identifier);
	id_hex(raw, sizeof(raw), app_id);
	r = find_app_by_id(c, app_id, ret, e);
	if (r == -ERR_NOT_FOUND && !strcmp(e->field, "app_id"))
		return err_field(e, ERR_NOT_FOUND, "app_id", identifier, "no app %.64s is known",
				 identifier);
	return r;
}

const char *api_base_url(const struct call *c)
{
	const char *set = api_of(c)->settings.public_url;

	return set && *set ? set : call_base_url(c);
}

int page_read(struct call *c, int64_t def, int64_t max, struct page *ret, struct err *e)
{
	struct page p = { 1, def };
	int r = call_query_int(c, "page", 1, 1000000, 1, &p.page, e);

	if (!r)
		r = call_query_int(c, "page_size", 1, max, def, &p.size, e);
	if (!r)
		*ret = p;
	return r;
}

int64_t page_count(const struct page *p, int64_t total)
{
	return (total + p->size - 1) / p->size;
}

void page_put(json_t *body, const struct page *p, int64_t total)
{
	json_object_set_new(body, "page", json_integer(p->page));
	json_object_set_new(body, "page_size", json_integer(p->size));
	json_object_set_new(body, "total", json_integer(total));
	json_object_set_new(body, "pages", json_integer(page_count(p, total)));
}

bool stream_is_wanted(const struct call *c)
{
	const char *accept = call_header(c, "Accept");

	return accept && strstr(accept, "text/event-stream") && strcmp(c->method, "GET") == 0;
}
