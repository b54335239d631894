/* SPDX-License-Identifier: Apache-2.0
 * precondition.h - ETag and If-Match (RFC 9110, sections 8.8.3 and 13.1.1) of CVMs.
 *
 * A CVM's tag is its generation in quotation marks: it changes with what a client sets, not with
 * what is observed, so that one who watched a CVM boot can still change it. It is a strong tag of
 * the configuration; nothing may be cached by it.
 */
#ifndef TEEPOD_API_CLOUD_PRECONDITION_H
#define TEEPOD_API_CLOUD_PRECONDITION_H

#include "api/cloud/context.h"

enum { ETAG_TEXT = 24 };

/* Is @tags ("*", or a list of tags) met by @generation? 1, 0, or ERR_INVALID: no list of strong
 * tags. */
int etag_matches(const char *tags, int64_t generation, struct err *e);

/* ETag of the coming answer. */
void etag_put(struct call *c, int64_t generation);

/* Inside the turn that will change the CVM named by the first parameter of the call's route: does
 * every If-Match hold? 0, or ERR_PRECONDITION with the current tag in the coming answer. Routes
 * that are not about one CVM have no tags, and are not looked at. */
int precondition_check(struct call *c, struct err *e);

#endif
