/* SPDX-License-Identifier: Apache-2.0
 * call.h - one HTTP request in flight, as handlers see it.
 *
 * A handler gets a struct call and answers it by reply.h, at once or later (after the commit of the
 * turn, when a job has ended, when an event arrives). The call stays valid until it is answered,
 * also after its client has disconnected: the answer is then dropped. A handler that keeps a call
 * across turns and wants to stop early registers call_on_gone().
 *
 * Everything here runs on the loop thread.
 */
#ifndef TEEPOD_API_HTTP_CALL_H
#define TEEPOD_API_HTTP_CALL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "api/http/route.h"
#include "base/err.h"
#include "base/json.h"

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

#endif
