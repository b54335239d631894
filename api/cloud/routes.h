/* SPDX-License-Identifier: Apache-2.0
 * routes.h - the list of all routes under /api/v1.
 */
#ifndef TEEPOD_API_CLOUD_ROUTES_H
#define TEEPOD_API_CLOUD_ROUTES_H

#include <stdbool.h>

struct route;

/* One table per resource, each in the file of its noun; NULL-terminated. */
extern const struct route *const api_routes[];

/* True if @name is a literal segment of a route at the position of the CVM identifier. The path of
 * a CVM with this name would be the path of that route. */
bool routes_reserve_name(const char *name);

#endif
