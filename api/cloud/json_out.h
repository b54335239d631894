/* SPDX-License-Identifier: Apache-2.0
 * json_out.h - members of a JSON object: as text in a buffer, for long lists, or in a jansson
 * object, for answers that are changed or stored before they are sent.
 *
 * A row of a list as text takes a tenth of the time of a jansson object that is built, written and
 * freed. One serializer for both keeps the fields of a CVM in one place. Keys are literals that
 * need no escapes.
 */
#ifndef TEEPOD_API_CLOUD_JSON_OUT_H
#define TEEPOD_API_CLOUD_JSON_OUT_H

#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>

#include "base/buf.h"

struct json_out {
	struct buf *text; /* ends after '{' or after a member; NULL: members go into object */
	json_t *object;   /* borrowed */
};

/* A value that many objects contain: built once, written as text once. */
struct json_shared {
	json_t *value; /* owned; NULL: not built */
	struct buf text;
};

/* Take the reference @value. */
void json_shared_set(struct json_shared *s, json_t *value);
void json_shared_end(struct json_shared *s);

/* Words, IDs, hex digits and checked names: usually ASCII that needs no escapes. Other text, of a
 * damaged row, is escaped. */
void json_out_word(struct json_out *o, const char *key, const char *value);
/* Any text, with '?' for each invalid byte; null for NULL and "". */
void json_out_text_or_null(struct json_out *o, const char *key, const char *value);
/* RFC 3339; null for 0. */
void json_out_time_or_null(struct json_out *o, const char *key, int64_t wall_ms);
void json_out_int(struct json_out *o, const char *key, int64_t value);
void json_out_bool(struct json_out *o, const char *key, bool value);
void json_out_null(struct json_out *o, const char *key);
/* Takes the reference @value. */
void json_out_value(struct json_out *o, const char *key, json_t *value);
void json_out_shared(struct json_out *o, const char *key, struct json_shared *value);
/* All members of the object @value; takes the reference. */
void json_out_members(struct json_out *o, json_t *value);

/* An object as member @key of @o, complete after json_out_end(). */
struct json_out json_out_begin(struct json_out *o, const char *key);
void json_out_end(struct json_out *o);

#endif
