/* SPDX-License-Identifier: Apache-2.0
 * authenticate.h - the caller that a credential identifies, and whether it is still valid.
 */
#ifndef TEEPOD_API_CLOUD_AUTHENTICATE_H
#define TEEPOD_API_CLOUD_AUTHENTICATE_H

#include "api/http/caller.h"
#include "base/err.h"

struct api;
struct call;
struct key_row;

const char *role_text(enum role r);

/* Callback of struct server_config; @arg is the struct api. ERR_UNAUTHENTICATED, ERR_RATE. */
int api_authenticate(void *arg, const struct credentials *cred, struct caller *ret, struct err *e);

/* Fill *ret for a request with the API key @row, and count the request against the limit of that
 * key and of the keys above it. ERR_RATE. */
int authenticate_key_row(struct api *a, const struct key_row *row, struct caller *ret,
			 struct err *e);

/* The role that @caller has now. It is lower than the role at authentication if the key was
 * revoked, has expired, was lowered or moved, or if a reload changed the role of uids or
 * certificates. */
enum role caller_current_role(const struct api *a, const struct caller *caller);

/* Callback of struct server_config: 0, or ERR_UNAUTHENTICATED if the credential of @c was revoked,
 * has expired or lost its role since the request was authenticated. Call it before each part of a
 * long answer, and before a mutation that starts later than its request arrived. Reads the database
 * only if some key was changed since the last call. */
int caller_still_valid(struct call *c, struct err *e);

#endif
