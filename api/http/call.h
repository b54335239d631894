/* SPDX-License-Identifier: Apache-2.0
 * call.h - one HTTP request in flight, as handlers see it.
 *
 * A handler gets a struct call, and owes it exactly one answer: call_reply*(), or
 * call_stream_begin() ... call_stream_end(). It may answer at once or keep the pointer and answer
 * later from the loop thread (after the turn's commit, when a job is done, when an event comes).
 * The call stays valid until it was answered, even when the client has gone away meanwhile: answers
 * to the departed are dropped, quietly. Whoever keeps a call across turns and would rather stop
 * early (a follower, a watcher) sets call_on_gone().
 *
 * Everything runs on the loop thread.
 */
#ifndef TEEPOD_API_HTTP_CALL_H
#define TEEPOD_API_HTTP_CALL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "base/err.h"
#include "base/json.h"

/* Ordered: a role may do all that those before it may. */
enum role { ROLE_NONE, ROLE_READER, ROLE_TENANT, ROLE_OPERATOR, ROLE_ADMIN };

/* By what a caller was let in. */
enum caller_kind { CALLER_NONE, CALLER_KEY, CALLER_PEER, CALLER_CERT };

struct caller {
	enum role role;
	enum caller_kind kind;
	int64_t key_id;     /* row of the API key; 0: unix socket peer or client certificate */
	uint32_t uid;       /* of the unix socket peer */
	int64_t expires_ms; /* of the key or certificate; 0 = never */
	uint64_t
		keys_generation; /* when the key was last found to be open: account_still_valid() */
	int64_t workspace;       /* row of the caller's workspace */
	char workspace_slug[64];
	char name[72]; /* key name, "uid:0", or "cert:" and the certificate's common name */
	char who[128]; /* for records: "tok_3 (name)", or the name above; plain text
			  (utf8_is_plain()) */
};

enum { CALL_PARAMS = 4 };

struct call {
	const char *method;             /* "GET", ... */
	const char *path;               /* percent-decoded, without the query */
	const char *query;              /* raw text behind '?', "" if none */
	const char *param[CALL_PARAMS]; /* values of {..} in the route pattern, percent-decoded */
	const char *body;               /* NUL-terminated; "" if none */
	size_t body_len;
	const char *request_id; /* the client's X-Request-Id if well-formed, else made here */
	const char *route;      /* pattern of the matched route, for metrics; NULL before routing */
	struct caller caller;
	int version;  /* 25 or 26: X-Phala-Version 2025-10-28 or (default) 2026-01-21 */
	void *server; /* arg of struct server_config: handlers find their world here */
};

/* Value of header @name (case-insensitive), NULL if absent. Borrowed until the call is answered. */
const char *call_header(const struct call *c, const char *name);
/* Of the @nth (0 = first) field of that name. */
const char *call_header_nth(const struct call *c, const char *name, unsigned nth);

/* Decoded value of the @nth (0 = first) query parameter @key; NULL if there is none. Borrowed. A
 * key without
 * '=' has the value "". */
const char *call_query(struct call *c, const char *key, unsigned nth);

/* Integer query parameter in @min..@max, @def if absent. Error names the parameter. */
int call_query_int(struct call *c, const char *key, int64_t min, int64_t max, int64_t def,
		   int64_t *ret, struct err *e);

/* Boolean query parameter: true/false/1/0, or bare (= true); @def if absent. */
int call_query_bool(struct call *c, const char *key, bool def, bool *ret, struct err *e);

/* The body as a JSON object (an empty body counts as {} when @empty_ok). New reference or NULL
 * with *e. It may be the same one each time: not to be changed. */
json_t *call_json(const struct call *c, bool empty_ok, struct err *e);

/* json_canonical() of @body if it is that of call_json() and was written beside the loop; else
 * NULL. */
const char *call_canonical(const struct call *c, const json_t *body);

/* The server is gone, and call.server with it: the call can only be answered with an error. Ask
 * this when a job has ended. */
bool call_is_cut(const struct call *c);
/* 0, or the error (ERR_UNAVAILABLE) to answer a call that is cut with. */
int call_refuse_cut(const struct call *c, struct err *e);

/* Scheme, host and port this client reached us by, without a trailing slash:
 * "http://127.0.0.1:8080". */
const char *call_base_url(const struct call *c);

/* Extra header on the coming answer. Both strings are copied; CR, LF and NUL are refused by assert.
 */
void call_add_header(struct call *c, const char *name, const char *value);

/* Answers. Steals @body. status 204 sends none. */
void call_reply(struct call *c, int status, json_t *body);
void call_reply_text(struct call *c, int status, const char *content_type, const char *text,
		     size_t len);
/* The error envelope of the catalogue with its status (envelope.c). */
void call_reply_err(struct call *c, const struct err *e);

/* A streamed answer (chunked, or until close for HTTP/1.0). call_stream_write() returns false when
 * the client is gone or so slow that more than 1 MiB waits: stop writing then, and end. Slow
 * readers are disconnected, never silently skipped. */
void call_stream_begin(struct call *c, int status, const char *content_type);
bool call_stream_write(struct call *c, const void *data, size_t n);
void call_stream_end(struct call *c);

/* Bytes accepted by call_stream_write() and not yet by the kernel. */
size_t call_stream_backlog(const struct call *c);

/* @fn(@arg) once, when the client goes away before the answer ended. NULL clears. */
void call_on_gone(struct call *c, void (*fn)(void *arg), void *arg);

/* ------------------------------------------------------------------ routes */

typedef void call_handler(struct call *c);

/* ROUTE_TRY_AUTH with ROUTE_NO_AUTH: credentials that come along are looked at; call.caller has
 * ROLE_NONE if they are no good. */
/* ROUTE_URGENT: served before all other requests; has no parameters, no body, and next to no work.
 */
enum {
	ROUTE_EMPTY_OK = 1,
	ROUTE_NO_AUTH = 2,
	ROUTE_MUTATION = 4,
	ROUTE_TRY_AUTH = 8,
	ROUTE_URGENT = 16,
};

struct route {
	const char *method;
	const char *pattern; /* "/api/v1/cvms/{id}/start": {x} matches one non-empty segment */
	enum role role;      /* least role; ROLE_NONE with ROUTE_NO_AUTH for open routes */
	unsigned flags;
	size_t body_max; /* bytes; 0: no body allowed (Content-Length 0 is fine) -> 413 */
	call_handler *handle;
	const struct field_table
		*body; /* NULL: no JSON body; the API description is held against it */
};

#endif
