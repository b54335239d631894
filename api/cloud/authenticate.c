/* SPDX-License-Identifier: Apache-2.0
 * authenticate.c - the caller that a credential identifies, and whether it is still valid.
 *
 * A credential is an API key, the peer of a unix socket, or a client certificate. Peers and
 * certificates have no workspace of their own and work in the default workspace of the node.
 *
 * The role of a caller is a snapshot. A handler that answers or changes something later than the
 * head of the request arrived calls caller_still_valid() again; otherwise a client could continue
 * to read a stream with a revoked key.
 */
#include "api/cloud/authenticate.h"

#include <assert.h>
#include <stdio.h>

#include "api/cloud/context.h"
#include "api/http/call.h"
#include "api/http/key_rate.h"
#include "base/clock.h"
#include "base/utf8.h"
#include "db/keys.h"
#include "db/workspaces.h"
#include "vmm/account/keys.h"
#include "vmm/account/workspaces.h"
#include "vmm/node/node.h"

/* Count the request against the limits of the key and of all keys above it. If a key has no
 * limit, no key above it has one. */
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
		n > 1 ? ", within the limit of the key that created it" : "", wait_s);
	e->retry_s = wait_s;
	return -ERR_RATE;
}

/* Fill c->label. Names of old keys, and common names of certificates, may contain any bytes, so
 * they are passed through utf8_show(). */
static void caller_describe(struct caller *c)
{
	char shown[80];

	utf8_show(c->name, shown, sizeof(shown));
	if (c->kind == CALLER_KEY)
		(void)snprintf(c->label, sizeof(c->label), "tok_%lld (%s)", (long long)c->key_id,
			       shown);
	else
		(void)snprintf(c->label, sizeof(c->label), "%s", shown);
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

/* Unix socket peers and client certificates work in the default workspace of the node. */
static int authenticate_host(struct api *a, const struct caller *caller, struct caller *ret,
			     struct err *e)
{
	struct workspace_row ws;
	int r;

	assert(caller->kind == CALLER_PEER || caller->kind == CALLER_CERT);
	if (caller->role == ROLE_NONE)
		return err_set(e, ERR_UNAUTHENTICATED, "%s needs an API key", caller->name);
	/* The certificate was valid when the connection began, which may be long ago. */
	if (caller->expires_ms && clock_wall_ms() >= caller->expires_ms)
		return err_set(e, ERR_UNAUTHENTICATED, "the certificate of %s has expired",
			       caller->name);
	r = vmm_workspace(a->vmm, vmm_default_workspace(a->vmm), &ws, e);
	if (r)
		return r;
	*ret = *caller;
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

int api_authenticate(void *arg, const struct credentials *cred, struct caller *ret, struct err *e)
{
	struct api *a = arg;
	struct caller caller = { 0 };

	if (cred->api_key)
		return authenticate_key(a, cred->api_key, ret, e);
	if (cred->has_peer) {
		caller.kind = CALLER_PEER;
		caller.role = role_of_uid(&a->settings, cred->uid);
		caller.uid = cred->uid;
		(void)snprintf(caller.name, sizeof(caller.name), "uid:%u", cred->uid);
		return authenticate_host(a, &caller, ret, e);
	}
	if (cred->cert_cn) {
		caller.kind = CALLER_CERT;
		caller.role = a->settings.cert_role;
		caller.expires_ms = cred->cert_ends_ms;
		(void)snprintf(caller.name, sizeof(caller.name), "cert:%s", cred->cert_cn);
		return authenticate_host(a, &caller, ret, e);
	}
	return err_set(e, ERR_UNAUTHENTICATED, "an API key is required: header X-API-Key");
}

/* If the database cannot be read now, the caller keeps its role. */
static enum role key_current_role(const struct api *a, const struct caller *caller)
{
	struct key_row row;
	struct err e;
	int r = vmm_key(a->vmm, caller->key_id, &row, &e);

	if (r)
		return r == -ERR_NOT_FOUND ? ROLE_NONE : caller->role;
	if (row.workspace != caller->workspace ||
	    (row.expires_ms && clock_wall_ms() >= row.expires_ms))
		return ROLE_NONE;
	return (enum role)row.role;
}

enum role caller_current_role(const struct api *a, const struct caller *caller)
{
	switch (caller->kind) {
	case CALLER_KEY:
		return key_current_role(a, caller);
	case CALLER_PEER:
		return role_of_uid(&a->settings, caller->uid);
	case CALLER_CERT:
		return a->settings.cert_role;
	case CALLER_NONE:
		break;
	}
	return caller->role;
}

/* Read the key again only if some key has changed since the last check. */
static bool caller_is_ended(const struct api *a, const struct caller *caller, uint64_t generation)
{
	if (caller->expires_ms && clock_wall_ms() >= caller->expires_ms)
		return true;
	return (caller->kind != CALLER_KEY || caller->keys_generation != generation) &&
	       caller_current_role(a, caller) < caller->role;
}

int caller_still_valid(struct call *c, struct err *e)
{
	struct caller *caller = &c->caller;
	uint64_t generation = vmm_keys_generation(api_of(c)->vmm);

	if (caller_is_ended(api_of(c), caller, generation))
		return err_set(e, ERR_UNAUTHENTICATED,
			       "the credential of this request (%s) was revoked, has expired or "
			       "has fewer rights now",
			       caller->label);
	caller->keys_generation = generation;
	return 0;
}

const char *role_text(enum role r)
{
	static const char *const words[] = { "none", "reader", "tenant", "operator", "admin" };

	assert(r <= ROLE_ADMIN);
	return words[r];
}
