/* SPDX-License-Identifier: Apache-2.0
 * context.h - the state that all handlers share, found behind call.server.
 *
 * struct api is made by api.c and lives as long as the server. Handlers read it with api_of().
 */
#ifndef TEEPOD_API_CLOUD_CONTEXT_H
#define TEEPOD_API_CLOUD_CONTEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "api/http/call.h"
#include "api/http/caller.h"

struct key_rate;
struct server;
struct streams;
struct vmm;

/* Strings and arrays are borrowed until the api is freed or api_reload() is called. */
struct api_settings {
	const char
		*public_url; /* base of absolute links; NULL or "": the address the client used */
	const uint32_t *unix_admin_uids;
	size_t n_unix_admin_uids;
	enum role unix_role; /* other peers of a unix socket; ROLE_NONE: they need an API key */
	enum role cert_role; /* clients with a verified certificate; ROLE_NONE: they need a key */
	/* limits of open streams of events, states and logs; at least 1 */
	unsigned max_streams, max_streams_per_caller;
};

enum { API_SECRET = 32, CALLER_TEXT = 80 };

struct api {
	struct vmm *vmm;
	const struct server *server; /* for /metrics; NULL until api_set_server() */
	struct api_settings settings;
	int64_t started_ms;         /* wall clock */
	uint8_t secret[API_SECRET]; /* key of log links; a restart invalidates all links */
	bool draining;
	struct streams *streams;   /* stream.h */
	struct key_rate *key_rate; /* api/http/key_rate.h */
};

/* The context of the handlers. Never NULL while the server exists; see call_is_cut(). */
struct api *api_of(const struct call *c);

/* The workspace that limits what the caller sees: its own, or 0 (all) for operators and admins. */
int64_t api_scope(const struct call *c);

/* "key:3", "uid:0" or "cert:alice": the owner of idempotency keys and of open streams. */
void api_caller_text(const struct call *c, char out[CALLER_TEXT]);

/* The caller and request id, for the record of an operation. Borrowed from the call. */
struct request_ref api_request_ref(const struct call *c);

/* Base of absolute links, without a trailing slash. */
const char *api_base_url(const struct call *c);

#endif
