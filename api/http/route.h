/* SPDX-License-Identifier: Apache-2.0
 * route.h - one row of a route table: method, path pattern, required role, handler.
 *
 * Handlers see a request as struct call (call.h) and answer it with the functions of reply.h.
 */
#ifndef TEEPOD_API_HTTP_ROUTE_H
#define TEEPOD_API_HTTP_ROUTE_H

#include <stddef.h>

#include "api/http/caller.h"

struct call;
struct field_table;

enum { CALL_PARAMS = 4 }; /* parameters of a pattern at most */

typedef void call_handler(struct call *c);

enum {
	ROUTE_EMPTY_OK = 1, /* an empty body counts as {} */
	ROUTE_NO_AUTH = 2,  /* needs no credentials */
	ROUTE_MUTATION = 4,
	ROUTE_TRY_AUTH = 8, /* with ROUTE_NO_AUTH: credentials are checked if there are any;
			       call.caller has ROLE_NONE if they are invalid */
	ROUTE_URGENT = 16,  /* served before all other requests; has no parameters and no body, and
			       needs almost no time */
};

struct route {
	const char *method;
	const char *pattern; /* "/api/v1/cvms/{id}/start": {x} matches one non-empty segment */
	enum role role;      /* required role; ROLE_NONE with ROUTE_NO_AUTH */
	unsigned flags;
	size_t body_max; /* bytes; more is answered 413. 0: no body, but "Content-Length: 0" is fine
			  */
	call_handler *handle;
	const struct field_table *body; /* NULL: no JSON body. Compared with the API description */
};

#endif
