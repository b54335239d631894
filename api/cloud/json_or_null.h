/* SPDX-License-Identifier: Apache-2.0
 * json_or_null.h - JSON values of columns that may be empty.
 */
#ifndef TEEPOD_API_CLOUD_JSON_OR_NULL_H
#define TEEPOD_API_CLOUD_JSON_OR_NULL_H

#include <stdint.h>
#include <jansson.h>

/* JSON string of @s, with invalid UTF-8 replaced; null for NULL and "". */
json_t *json_text_or_null(const char *s);

/* RFC 3339 time of @wall_ms (Unix time in ms); null for 0. */
json_t *json_time_or_null(int64_t wall_ms);

/* Set @key unless @value is "". */
void json_put_text(json_t *o, const char *key, const char *value);

#endif
