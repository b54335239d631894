/* SPDX-License-Identifier: Apache-2.0
 * json_js.h - JSON in the form of JavaScript, which clients and guests use for digests.
 *
 * Strings must be UTF-8, which json_read() ensures. Integers beyond 2^53 lose precision, as in
 * JavaScript.
 */
#ifndef TEEPOD_BASE_JSON_JS_H
#define TEEPOD_BASE_JSON_JS_H

#include <jansson.h>

/* JSON.stringify() with sorted keys on all levels: clients compute the compose hash of it.
 * malloc'd, never NULL. */
char *json_js(const json_t *j);

/* JSON Canonicalization Scheme (RFC 8785), for measured documents. malloc'd, never NULL. */
char *json_jcs(const json_t *j);

#endif
