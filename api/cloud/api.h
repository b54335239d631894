/* SPDX-License-Identifier: Apache-2.0
 * api.h - the routes' world: what handlers find behind call.server.
 *
 * Everything under /api/v1 is a row of a route table, one table a file; api_routes lists the
 * tables. Handlers know the vmm by vmm/vmm.h and the client by api/http/call.h, and nothing else.
 */
#ifndef TEEPOD_API_CLOUD_API_H
#define TEEPOD_API_CLOUD_API_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "api/http/call.h"
#include "api/http/reply.h"
#include "api/http/server.h"
#include "base/json.h"
#include "vmm/logs/serial_scan.h"
#include "vmm/op/op_begin.h"

struct vmm;

struct app_row;
struct cvm_row;
struct workspace_row;
struct key_row;

/* Strings and arrays are borrowed as long as the api lives (or until the next api_reload()). */
struct api_settings {
	const char *public_url; /* base of links; NULL or "": what the client asked for */
	const uint32_t *unix_admin_uids;
	size_t n_unix_admin_uids;
	enum role unix_role; /* other peers of a unix socket; ROLE_NONE: they need a key */
	enum role cert_role; /* clients with a verified certificate; ROLE_NONE: they need a key */
	unsigned max_streams,
		max_streams_per_caller; /* followed events, states and logs; at least 1 */
};

enum { API_SECRET = 32, CALLER_TEXT = 80 };

struct api {
	struct vmm *vmm;
	const struct server *server; /* for /metrics; NULL until api_set_server() */
	struct api_settings settings;
	int64_t started_ms;
	uint8_t secret[API_SECRET]; /* signs log links; a new one with each process, so links end
				       with it */
	bool draining;
	struct streams *streams;   /* follow.h */
	struct key_rate *key_rate; /* key_rate.h */
};

extern const struct route *const api_routes[];

struct api *api_new(struct vmm *v, const struct api_settings *s);
void api_set_server(struct api *a, const struct server *s);
void api_reload(struct api *a, const struct api_settings *s);

/* The daemon is going: answer those who wait for an operation now, end all streams, and say so in
 * /readyz. */
void api_drain(struct api *a);

/* After the server is gone. NULL is fine. */
void api_free(struct api *a);

/* For struct server_config; @arg is the api. */
void api_after_commit(void *arg, void (*fn)(void *fn_arg), void *fn_arg);
int api_authenticate(void *arg, const struct credentials *cred, struct caller *ret, struct err *e);

/* The role that @who has by now: less than the one it was let in with if its key was revoked, has
 * expired, was lowered or moved, or if a reload took a role from uids or certificates. */
enum role caller_current_role(const struct api *a, const struct caller *who);

/* Fill *ret for a request by the key @row, and count it against the key's limit. ERR_RATE. */
int authenticate_key_row(struct api *a, const struct key_row *row, struct caller *ret,
			 struct err *e);

/* ------------------------------------------------------------------ for handlers */

static inline struct api *api_of(const struct call *c)
{
	return c->server;
}

/* Workspace that limits what the caller sees: its own, or 0 (all) for operators and admins. */
int64_t api_scope(const struct call *c);

/* "key:3", "uid:0", "cert:alice": owner of idempotency keys and of a share of the streams. */
void api_caller_text(const struct call *c, char out[CALLER_TEXT]);

/* Who asks, for the operation's record. Borrowed from the call. */
struct request_ref api_request_ref(const struct call *c);

/* The workspace that @slug of ?workspace= names. To a tenant any other one is empty: 0, with an id
 * that no workspace has. */
int api_named_workspace(const struct call *c, const char *slug, struct workspace_row *ret,
			struct err *e);

/* The CVM that @identifier names for this caller: in its own workspace, for operators elsewhere
 * too; ?workspace=SLUG says where. Return the same 404 for "does not exist" and "not yours", so
 * that the answer does not reveal which. */
int api_find_cvm(struct call *c, const char *identifier, struct cvm_row *ret, struct err *e);

/* The same, but an app id means the oldest of its CVMs in one workspace: an operator whose own one
 * does not have the app is refused when several others do. */
int api_find_first_cvm(struct call *c, const char *identifier, struct cvm_row *ret, struct err *e);

/* The app that @identifier (40 hex, "app_" or "0x" before them allowed) means to this caller; where
 * it is as for a CVM. -ERR_CVM_AMBIGUOUS when several workspaces have it and the caller's own one
 * does not. */
int api_find_app(struct call *c, const char *identifier, struct app_row *ret, struct err *e);

/* Base of absolute links, without a trailing slash. */
const char *api_base_url(const struct call *c);

struct page {
	int64_t page, size;
};

/* ?page= and ?page_size=, 1..@max, @def if absent. */
int page_read(struct call *c, int64_t def, int64_t max, struct page *ret, struct err *e);
int64_t page_count(const struct page *p, int64_t total);

/* Add page, page_size, total and pages to @body. */
void page_put(json_t *body, const struct page *p, int64_t total);

/* True if the client asked for an event stream. */
bool stream_is_wanted(const struct call *c);

#endif
