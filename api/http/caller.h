/* SPDX-License-Identifier: Apache-2.0
 * caller.h - the caller of a request, and its rights.
 *
 * api/http/ finds the credentials in a request; the authenticate callback of struct server_config
 * turns them into a struct caller. api/http/ itself reads only the role, the name, the key and the
 * workspace of a caller: for the role check of a route and for the limits of body_budget.c.
 */
#ifndef TEEPOD_API_HTTP_CALLER_H
#define TEEPOD_API_HTTP_CALLER_H

#include <stdbool.h>
#include <stdint.h>

/* Ordered: a role includes all rights of the roles before it. */
enum role { ROLE_NONE, ROLE_READER, ROLE_TENANT, ROLE_OPERATOR, ROLE_ADMIN };

/* The kind of credential that authenticated the caller. */
enum caller_kind { CALLER_NONE, CALLER_KEY, CALLER_PEER, CALLER_CERT };

struct caller {
	enum role role;
	enum caller_kind kind;
	int64_t key_id;           /* row of the API key; 0: unix socket peer or certificate */
	uint32_t uid;             /* of the unix socket peer */
	int64_t expires_ms;       /* of the key or certificate, wall clock; 0: never */
	uint64_t keys_generation; /* for the authenticator: when it last checked the key */
	int64_t workspace;        /* row of the caller's workspace */
	char workspace_slug[64];
	char name[72]; /* name of the key, "uid:0", or "cert:" and the certificate's common name */
	char label[128]; /* for records: "tok_3 (name)" or the name above; utf8_is_plain() */
};

/* What a request or its connection presents. Exactly one source is set: api_key, has_peer or
 * cert_cn. Strings are borrowed. */
struct credentials {
	const char *api_key;  /* X-API-Key, or Authorization: Bearer */
	bool has_peer;        /* unix socket: uid and gid come from SO_PEERCRED */
	unsigned uid, gid;    /* valid with has_peer */
	const char *cert_cn;  /* common name of the verified client certificate */
	int64_t cert_ends_ms; /* its notAfter, wall clock */
};

#endif
