/* SPDX-License-Identifier: Apache-2.0
 * json_js.h - JSON as JavaScript prints it: the forms that clients and guests take digests of.
 *
 * Strings of the document have to be UTF-8, as json_read() made sure. Integers beyond 2^53 lose
 * what a double can not hold, as they do in JavaScript.
 */
#ifndef TEEPOD_BASE_JSON_JS_H
#define TEEPOD_BASE_JSON_JS_H

#include <jansson.h>

/* JSON.stringify() of the document with deeply sorted keys: what the clients' compose hash is taken
 * of. malloc'd, never NULL. */
char *json_js(const json_t *j);

/* JSON Canonicalization Scheme, RFC 8785: what measured documents are written in. malloc'd, never
 * NULL. */
char *json_jcs(const json_t *j);

#endif
