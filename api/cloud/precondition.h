/* SPDX-License-Identifier: Apache-2.0
 * precondition.h - ETag and If-Match (RFC 9110, sections 8.8.3 and 13.1.1) of CVMs.
 *
 * The tag of a CVM is its generation in quotation marks. It changes when a client changes the CVM
 * and not when its observed state changes, so a client that watched a boot can still change the
 * CVM. It is a strong tag of the configuration and not usable for caching.
 */
#ifndef TEEPOD_API_CLOUD_PRECONDITION_H
#define TEEPOD_API_CLOUD_PRECONDITION_H

#include "api/cloud/context.h"

enum { ETAG_TEXT = 24 };

/* 1 if @tags ("*", or a list of tags) matches @generation, 0 if not, ERR_INVALID if it is not a
 * list of strong tags. */
int etag_matches(const char *tags, int64_t generation, struct err *e);

/* Add the field ETag to the answer. */
void etag_put(struct call *c, int64_t generation);

/* Check all If-Match fields, inside the transaction of the mutation, against the CVM that the first
 * path parameter names. 0, or ERR_PRECONDITION with the current tag in the answer. Always 0 on
 * routes that are not about one CVM. */
int precondition_check(struct call *c, struct err *e);

#endif
