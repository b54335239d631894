/* SPDX-License-Identifier: Apache-2.0
 * router.h - find the route of a path and a method.
 */
#ifndef TEEPOD_API_HTTP_ROUTER_H
#define TEEPOD_API_HTTP_ROUTER_H

#include <stdbool.h>
#include <stddef.h>

#include "api/http/route.h"
#include "api/http/target.h"

struct router;

struct router_match {
	const struct route *route; /* NULL: no such path (allow == 0), or not with this method */
	unsigned index;            /* of the route, 0..router_count()-1: for counters */
	const char *param[CALL_PARAMS]; /* borrowed from the target */
	unsigned allow;                 /* methods that the path has, see router_allow() */
};

/* @tables: see struct server_config. Asserts that patterns are well-formed and unique. */
struct router *router_new(const struct route *const *tables);
void router_free(struct router *r);

/* The most specific pattern with @method wins: a literal segment is preferred to {x}, from left to
 * right. HEAD uses the route of GET. */
void router_match(const struct router *r, const char *method, const struct target *t,
		  struct router_match *ret);

/* "GET, HEAD, POST" for the mask of a match. Returns @out. */
enum { ROUTER_ALLOW_TEXT = 64 };
char *router_allow(unsigned allow, char out[ROUTER_ALLOW_TEXT]);

unsigned router_count(const struct router *r);
const struct route *router_route(const struct router *r, unsigned index);

#endif
