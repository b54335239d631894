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

struct call_data;

/* Strings are borrowed until the call is answered. */
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
	int version;            /* 25 or 26: X-Phala-Version 2025-10-28 or (default) 2026-01-21 */
	void *server;           /* arg of struct server_config: the context of the handlers */
	struct call_data *data; /* private to api/http/ */
};

/* Value of header field @name; NULL if absent. Case is ignored. Borrowed. */
const char *call_header(const struct call *c, const char *name);
/* Value of the @nth (0 = first) field of that name. */
const char *call_header_nth(const struct call *c, const char *name, unsigned nth);

/* Decoded value of the @nth (0 = first) query parameter @key; NULL if there is none. Borrowed. A
 * key without '=' has the value "". */
const char *call_query(struct call *c, const char *key, unsigned nth);

/* Integer query parameter in @min..@max, @def if absent. ERR_INVALID names the parameter. */
int call_query_int(struct call *c, const char *key, int64_t min, int64_t max, int64_t def,
		   int64_t *ret, struct err *e);

/* Boolean query parameter: true, false, 1, 0, or without a value (true); @def if absent. */
int call_query_bool(struct call *c, const char *key, bool def, bool *ret, struct err *e);

/* The body as a JSON object; an empty body counts as {} with @empty_ok. New reference, or NULL with
 * *e. Several calls may return the same object: do not change it. */
json_t *call_json(const struct call *c, bool empty_ok, struct err *e);

/* json_canonical() of @body if @body is the result of call_json() and a job has computed it; else
 * NULL. Borrowed. */
const char *call_canonical(const struct call *c, const json_t *body);

/* True when the server is gone, and call.server with it: the call can only be answered with an
 * error. Check this when a job has ended. */
bool call_is_cut(const struct call *c);
/* 0, or ERR_UNAVAILABLE if the call is cut. */
int call_refuse_cut(const struct call *c, struct err *e);

/* Scheme, host and port by which this client reached the server, without a trailing slash:
 * "http://127.0.0.1:8080". Borrowed. */
const char *call_base_url(const struct call *c);

/* Add a header field to the answer. Both strings are copied and must not contain CR or LF. */
void call_add_header(struct call *c, const char *name, const char *value);

#endif
