/* SPDX-License-Identifier: Apache-2.0
 * log_link.c - create and verify log links.
 */
#include "api/cloud/log_link.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "api/cloud/authenticate.h"
#include "api/cloud/context.h"
#include "api/http/call.h"
#include "base/clock.h"
#include "base/id.h"
#include "base/strings.h"
#include "db/cvms.h"
#include "db/keys.h"
#include "vmm/account/keys.h"
#include "vmm/node/node.h"

/* The creator in the token: one hex digit for its kind, 16 for the number of its key or user. */
enum {
	DAY_S = 24 * 60 * 60,
	MAC_HEX = 2 * SHA256_LEN,
	CREATOR_HEX = 17,
	TOKEN_TEXT = 20 + 1 + MAC_HEX + CREATOR_HEX + 1
};

static uint64_t log_link_creator_id(const struct caller *caller)
{
	return caller->kind == CALLER_KEY ? (uint64_t)caller->key_id : caller->uid;
}

static void log_link_sign(const struct api *a, const char *uuid, int64_t expiry_s,
			  const struct caller *caller, char out[TOKEN_TEXT])
{
	char what[UUID_TEXT + 64], creator[CREATOR_HEX + 1], hex[MAC_HEX + 1];
	unsigned char mac[EVP_MAX_MD_SIZE];
	unsigned n = 0;

	(void)snprintf(creator, sizeof(creator), "%x%016" PRIx64, (unsigned)caller->kind & 0xf,
		       log_link_creator_id(caller));
	(void)snprintf(what, sizeof(what), "logs %s %" PRId64 " %s", uuid, expiry_s, creator);
	if (!HMAC(EVP_sha256(), a->secret, API_SECRET, (const unsigned char *)what, strlen(what),
		  mac, &n))
		abort();
	assert(n == SHA256_LEN);
	id_hex(mac, SHA256_LEN, hex);
	(void)snprintf(out, TOKEN_TEXT, "%" PRId64 ".%s%s", expiry_s, hex, creator);
}

/* The end of tomorrow (UTC), so that links created on one day are equal and answers stay the same.
 */
static int64_t log_link_expiry(int64_t now_ms)
{
	return (now_ms / 1000 / DAY_S + 2) * DAY_S;
}

/* A link by a certificate expires with it: the certificate is not available when the link is
 * opened. */
static int64_t log_link_expiry_for(const struct caller *caller)
{
	int64_t end = log_link_expiry(clock_wall_ms()), cert = caller->expires_ms / 1000;

	return caller->kind == CALLER_CERT && caller->expires_ms && cert < end ? cert : end;
}

char *log_link(const struct call *c, const struct cvm_row *row)
{
	char token[TOKEN_TEXT];

	log_link_sign(api_of(c), row->uuid, log_link_expiry_for(&c->caller), &c->caller, token);
	return xasprintf("%s/api/v1/cvms/%s/logs?token=%s", api_base_url(c), row->uuid, token);
}

/* True if this process made @token for @uuid and it has not expired. *ret: kind and number of its
 * creator. */
static bool log_link_is_genuine(const struct api *a, const char *token, const char *uuid,
				struct caller *ret)
{
	char want[TOKEN_TEXT], *end;
	int64_t now_ms = clock_wall_ms(), expiry_s = strtoll(token, &end, 10);
	struct caller caller = { 0 };
	const char *creator;

	if (*end != '.' || expiry_s <= now_ms / 1000 || expiry_s > log_link_expiry(now_ms) ||
	    !id_is_hex(end + 1, MAC_HEX + CREATOR_HEX))
		return false;
	creator = end + 1 + MAC_HEX;
	caller.kind = (enum caller_kind)(*creator - '0');
	caller.key_id = (int64_t)strtoull(creator + 1, NULL, 16);
	caller.uid = (uint32_t)caller.key_id;
	if (caller.kind == CALLER_CERT)
		caller.expires_ms = expiry_s * 1000; /* also limits streams that the link opens */
	log_link_sign(a, uuid, expiry_s, &caller, want);
	if (strlen(token) != strlen(want) || !id_equal(token, want, strlen(want)))
		return false;
	*ret = caller;
	return true;
}

static int log_link_refuse(struct err *e)
{
	return err_set(
		e, ERR_UNAUTHENTICATED,
		"the log link is invalid or expired, or its creator may no longer see the logs");
}

static int log_link_open_by_key(struct call *c, struct caller *caller, const struct cvm_row *row,
				struct err *e)
{
	struct api *a = api_of(c);
	struct key_row key;
	int r = vmm_key(a->vmm, caller->key_id, &key, e);

	if (r)
		return r == -ERR_NOT_FOUND ? log_link_refuse(e) : r;
	caller->workspace = key.workspace;
	if (caller_current_role(a, caller) < ROLE_READER ||
	    (key.role < (int)ROLE_OPERATOR && key.workspace != row->workspace))
		return log_link_refuse(e);
	return authenticate_key_row(a, &key, &c->caller, e);
}

int log_link_open(struct call *c, const char *token, const struct cvm_row *row, struct err *e)
{
	struct caller caller;

	if (!log_link_is_genuine(api_of(c), token, row->uuid, &caller))
		return log_link_refuse(e);
	if (caller.kind == CALLER_KEY)
		return log_link_open_by_key(c, &caller, row, e);
	caller.key_id = 0;
	caller.role = caller_current_role(api_of(c), &caller);
	caller.workspace = vmm_default_workspace(api_of(c)->vmm);
	if (caller.role < ROLE_READER ||
	    (caller.role < ROLE_OPERATOR && caller.workspace != row->workspace))
		return log_link_refuse(e);
	c->caller = caller;
	return 0;
}
