/* SPDX-License-Identifier: Apache-2.0
 * dispatch.h - from a complete head to the call of the handler.
 */
#ifndef TEEPOD_API_HTTP_DISPATCH_H
#define TEEPOD_API_HTTP_DISPATCH_H

#include "api/http/request.h"

enum dispatch_result {
	DISPATCH_ANSWERED, /* refused; the request may be freed already */
	DISPATCH_BODY,     /* read q->length bytes of the body, then dispatch_run() */
	DISPATCH_RUN,      /* there is no body: dispatch_run() */
};

/* Decide all that the head alone decides: grammar, target, route, caller, role, size. */
enum dispatch_result dispatch_head(struct request *q, const char *head, size_t n);

/* True if the complete head at @head matches a route with ROUTE_URGENT. */
bool dispatch_is_urgent(const struct router *r, const char *head, size_t n);

/* The body is complete: call the handler, now or later. The request may be freed when this
 * returns. */
void dispatch_run(struct request *q);

#endif
