/* SPDX-License-Identifier: Apache-2.0
 * keys.c - API keys: creation, authentication, revocation.
 *
 * A key that was created by another key never has a higher role (api/cloud/tokens.c), a later
 * expiry or a higher request limit than its parent, and is revoked with it. The limits of a key
 * never change, so they apply to all its descendants.
 *
 * A key has 192 random bits, so its SHA-256 is stored without salt or stretching. Its text is only
 * in the response that creates it. The time of last use is written at most once a minute: a client
 * with a thousand requests per second costs one small write per minute.
 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/clock.h"
#include "base/own.h"
#include "base/strings.h"
#include "db/keys.h"
#include "db/text.h"
#include "db/turn.h"
#include "db/workspaces.h"
#include "vmm/account/keys.h"
#include "vmm/account/workspaces.h"
#include "vmm/node/node.h"
#include "vmm/node/settings.h"
#include "vmm/virt/xml_out.h"

enum { USED_EVERY_MS = 60 * 1000, RATE_WINDOW_MS = 60 * 1000, SECRET_LEN = 24, PREFIX_LEN = 13 };

/* ------------------------------------------------------------------ authentication */

struct used {
	struct vmm *v;
	int64_t id, now_ms;
};

static int key_set_used(void *arg, struct err *e)
{
	const struct used *u = arg;

	return keys_set_used(vmm_db(u->v), u->id, u->now_ms, e);
}

/* Record the time of use, at most once a minute. A time in the future is replaced: the clock was
 * set back. A failed write (full disk) does not refuse the request. */
static void key_note_use(struct vmm *v, const struct key_row *k, int64_t now_ms)
{
	struct used u = { v, k->id, now_ms };
	struct err ignored;

	if (now_ms - k->last_used_ms >= USED_EVERY_MS || now_ms < k->last_used_ms)
		(void)turn_do(vmm_turn(v), key_set_used, &u, &ignored);
}

static bool key_is_expired(const struct key_row *k, int64_t now_ms)
{
	return k->expires_ms && now_ms >= k->expires_ms;
}

int vmm_authenticate(struct vmm *v, const char *api_key, struct key_row *ret, struct err *e)
{
	int64_t now_ms = clock_wall_ms();
	uint8_t hash[SHA256_LEN];
	struct key_row k;
	int r;

	id_sha256(api_key, strlen(api_key), hash);
	r = keys_find(vmm_db(v), hash, &k, e);
	if (r == -ERR_NOT_FOUND)
		return err_set(e, ERR_UNAUTHENTICATED, "unknown API key");
	if (r)
		return r;
	if (key_is_expired(&k, now_ms))
		return err_set(e, ERR_UNAUTHENTICATED, "the API key %s has expired", k.name);
	key_note_use(v, &k, now_ms);
	*ret = k;
	return 0;
}

/* ------------------------------------------------------------------ creation */

static int key_insert(struct db *db, struct key_row *k, char text[API_KEY_TEXT], struct err *e)
{
	uint8_t secret[SECRET_LEN], hash[SHA256_LEN];
	char hex[2 * SECRET_LEN + 1];

	id_random(secret, sizeof(secret));
	id_hex(secret, sizeof(secret), hex);
	(void)snprintf(text, API_KEY_TEXT, "teepod_%s", hex);
	(void)snprintf(k->prefix, sizeof(k->prefix), "%.*s", PREFIX_LEN, text);
	id_sha256(text, strlen(text), hash);
	explicit_bzero(secret, sizeof(secret));
	explicit_bzero(hex, sizeof(hex));
	k->created_ms = clock_wall_ms();
	return keys_add(db, k, hash, &k->id, e);
}

/* Audit entries show the name next to the key's id, so it must not have the form of an id. */
static int key_check_name(const char *name, struct err *e)
{
	static const char digits[] = "0123456789";
	static const char allowed[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789 ._@+/-";
	size_t n = strlen(name);
	const char *number = strncasecmp(name, "tok_", 4) ? name : name + 4;

	if (!n || n >= NAME_TEXT || strspn(name, allowed) != n ||
	    !isalnum((unsigned char)name[0]) || name[n - 1] == ' ')
		return err_field(e, ERR_INVALID, "name", name,
				 "name must be 1 to %d letters, digits, spaces and . _ @ + / -, "
				 "beginning with a letter or digit",
				 NAME_TEXT - 1);
	if (*number && !number[strspn(number, digits)])
		return err_field(e, ERR_INVALID, "name", name,
				 "name %.63s has the form of a token's id", name);
	return 0;
}

static int key_check_count(struct vmm *v, int64_t workspace, struct err *e)
{
	int64_t n, max = vmm_settings(v)->max_keys;
	int r = max ? keys_count(vmm_db(v), workspace, clock_wall_ms(), &n, e) : 0;

	if (r || !max || n < max)
		return r;
	err_share(e, ERR_KEYS, "tokens", n, 0, max,
		  "the workspace has %lld valid API tokens; allowed: %lld at a time", (long long)n,
		  (long long)max);
	return err_hint(e, "delete a token that is no longer used");
}

static int key_check_rate(struct vmm *v, int64_t workspace, struct err *e)
{
	int64_t now_ms = clock_wall_ms(), max = vmm_settings(v)->keys_per_minute, nth_ms = 0;
	int r = max ? keys_made_since(vmm_db(v), workspace, now_ms - RATE_WINDOW_MS, now_ms, max,
				      &nth_ms, e)
		    : 0;

	if (r || !nth_ms)
		return r;
	r = err_share(e, ERR_KEY_RATE, "tokens", 1, 0, max,
		      "at most %lld API tokens may be created in a minute", (long long)max);
	e->retry_s = (unsigned)((nth_ms + RATE_WINDOW_MS - now_ms + 999) / 1000);
	return r;
}

/* Runs in the transaction that creates the key: the parent may have been revoked since it was
 * authenticated. */
static int key_find_parent(struct vmm *v, int64_t id, struct key_row *ret, struct err *e)
{
	struct key_row k = { .parent = id };
	unsigned n = 0;
	int r = 0;

	while (!r && k.parent && n < KEY_LINE_MAX) {
		r = keys_get(vmm_db(v), k.parent, &k, e);
		if (!r && n++ == 0)
			*ret = k;
	}
	if (r == -ERR_NOT_FOUND || (!r && key_is_expired(ret, clock_wall_ms())))
		return err_set(e, ERR_UNAUTHENTICATED, "the API key has expired or was revoked");
	if (!r && n == KEY_LINE_MAX)
		return err_field(e, ERR_FORBIDDEN, "parent", ret->name,
				 "parent %s is the last of a chain of %d tokens, each created by "
				 "the one before: it cannot create another",
				 ret->name, KEY_LINE_MAX);
	return r;
}

static int key_inherit_expiry(struct key_row *k, int64_t ends_ms, struct err *e)
{
	char requested[CLOCK_TEXT], most[CLOCK_TEXT];

	if (k->expires_ms && k->expires_ms <= clock_wall_ms())
		return err_field(e, ERR_INVALID, "expires_at",
				 clock_rfc3339(k->expires_ms, requested),
				 "expires_at %s must be in the future", requested);
	if (ends_ms && k->expires_ms > ends_ms)
		return err_field(e, ERR_FORBIDDEN, "expires_at",
				 clock_rfc3339(k->expires_ms, requested),
				 "expires_at %s must not be after the end of the caller's own "
				 "credential, %s",
				 requested, clock_rfc3339(ends_ms, most));
	if (!k->expires_ms)
		k->expires_ms = ends_ms;
	return 0;
}

static int key_inherit_rate(struct key_row *k, int64_t most, struct err *e)
{
	char requested[24];

	(void)snprintf(requested, sizeof(requested), "%lld", (long long)k->per_minute);
	if (most && k->per_minute > most)
		return err_field(
			e, ERR_FORBIDDEN, "limits.requests_per_minute", requested,
			"limits.requests_per_minute %s must not be above the caller's own, %lld",
			requested, (long long)most);
	if (!k->per_minute)
		k->per_minute = most;
	return 0;
}

int vmm_key_make(struct vmm *v, const struct key_request *req, struct key_row *ret,
		 char ret_text[API_KEY_TEXT], struct err *e)
{
	struct key_row k = { .workspace = req->workspace,
			     .role = req->role,
			     .expires_ms = req->expires_ms,
			     .per_minute = req->per_minute,
			     .parent = req->parent };
	struct key_row parent = { .expires_ms = req->ends_ms };
	struct workspace_row w;
	int r = key_check_name(req->name, e);

	if (!r)
		r = vmm_workspace(v, req->workspace, &w, e);
	if (!r && req->parent)
		r = key_find_parent(v, req->parent, &parent, e);
	if (!r)
		r = key_inherit_expiry(&k, parent.expires_ms, e);
	if (!r)
		r = key_inherit_rate(&k, parent.per_minute, e);
	if (!r)
		r = key_check_rate(v, req->workspace, e);
	if (!r)
		r = key_check_count(v, req->workspace, e);
	if (r)
		return r;
	(void)snprintf(k.name, sizeof(k.name), "%s", req->name);
	memcpy(k.workspace_slug, w.slug, sizeof(k.workspace_slug));
	r = key_insert(vmm_db(v), &k, ret_text, e);
	if (!r)
		*ret = k;
	return r;
}

struct new_key {
	struct db *db;
	const char *workspace, *name;
	int role;
	char text[API_KEY_TEXT];
};

static int key_add_turn(void *arg, struct err *e)
{
	struct new_key *n = arg;
	struct key_row k = { .role = n->role };
	int r = key_check_name(n->name, e);

	if (!r)
		r = workspaces_ensure(n->db, n->workspace, &k.workspace, e);
	(void)snprintf(k.name, sizeof(k.name), "%s", n->name);
	return r ? r : key_insert(n->db, &k, n->text, e);
}

int vmm_add_key(struct vmm *v, const char *workspace, const char *name, int role,
		char ret_key[API_KEY_TEXT], struct err *e)
{
	struct new_key k = { .db = vmm_db(v),
			     .workspace = workspace ? workspace : vmm_settings(v)->workspace,
			     .name = name,
			     .role = role };
	int r = turn_do(vmm_turn(v), key_add_turn, &k, e);

	if (r < 0)
		return r;
	memcpy(ret_key, k.text, sizeof(k.text));
	return 0;
}

int vmm_add_key_offline(const char *state_dir, bool alone, const char *workspace, const char *name,
			int role, char ret_key[API_KEY_TEXT], struct err *e)
{
	auto_free char *path = xasprintf("%s/teepod.db", state_dir);
	struct new_key k = { .workspace = workspace, .name = name, .role = role };
	int r = db_open_as_is(path, alone, &k.db, e);

	if (r)
		return r;
	r = key_add_turn(&k, e);
	db_close(k.db);
	if (r)
		return r;
	memcpy(ret_key, k.text, sizeof(k.text));
	return 0;
}

/* ------------------------------------------------------------------ reads and revocation */

int vmm_keys(struct vmm *v, int64_t workspace, int role, int64_t offset, int64_t limit,
	     struct key_row **ret, size_t *n, struct err *e)
{
	return keys_list(vmm_db(v), workspace, role, offset, limit, ret, n, e);
}

int vmm_key(struct vmm *v, int64_t id, struct key_row *ret, struct err *e)
{
	int r = keys_get(vmm_db(v), id, ret, e);

	return r == -ERR_NOT_FOUND ? err_set(e, ERR_NOT_FOUND, "no such token") : r;
}

int vmm_key_revoke(struct vmm *v, int64_t id, struct err *e)
{
	int r = keys_revoke(vmm_db(v), id, clock_wall_ms(), e);

	vmm_note_keys_revoked(v);
	return r == -ERR_NOT_FOUND ? err_set(e, ERR_NOT_FOUND, "no such token") : r;
}
