/* SPDX-License-Identifier: Apache-2.0
 * json_out.c - members of a JSON object, as text or in a jansson object.
 */
#include "api/cloud/json_out.h"

#include <assert.h>
#include <string.h>

#include "api/http/json_text.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/utf8.h"

void json_shared_set(struct json_shared *s, json_t *value)
{
	json_shared_end(s);
	s->value = value;
}

void json_shared_end(struct json_shared *s)
{
	json_decref(s->value);
	s->value = NULL;
	buf_free(&s->text);
}

/* @key and room for a value of @n bytes; the caller adds them. */
static char *put_key_text(struct buf *b, const char *key, size_t n)
{
	size_t len = strlen(key);
	char *at = buf_reserve(b, len + 4 + n);

	assert(b->len);
	if (at[-1] != '{') {
		*at++ = ',';
		b->len++;
	}
	*at++ = '"';
	memcpy(at, key, len);
	memcpy(at + len, "\":", 2);
	b->len += len + 3;
	return at + len + 2;
}

static void put_raw(struct json_out *o, const char *key, const char *value, size_t n)
{
	memcpy(put_key_text(o->text, key, n), value, n);
	o->text->len += n;
}

/* Keys are valid UTF-8: skip the check of jansson. */
static void put_new(struct json_out *o, const char *key, json_t *value)
{
	json_object_set_new_nocheck(o->object, key, value);
}

/* Words are ASCII and need no escapes, unless a damaged row has others. */
static bool word_is_plain(const char *s, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (s[i] < ' ' || s[i] > '~' || s[i] == '"' || s[i] == '\\')
			return false;
	}
	return true;
}

void json_out_word(struct json_out *o, const char *key, const char *value)
{
	size_t n = strlen(value);
	char *at;

	if (!o->text || !word_is_plain(value, n)) {
		json_out_value(o, key, json_text(value));
		return;
	}
	at = put_key_text(o->text, key, n + 2);
	*at = '"';
	memcpy(at + 1, value, n);
	at[n + 1] = '"';
	o->text->len += n + 2;
}

void json_out_text_or_null(struct json_out *o, const char *key, const char *value)
{
	size_t n = value ? strlen(value) : 0;

	if (!n) {
		json_out_null(o, key);
	} else if (!o->text || utf8_prefix(value, n) != n) {
		json_out_value(o, key, json_text(value));
	} else {
		(void)put_key_text(o->text, key, 0);
		json_write_string(value, n, o->text);
	}
}

void json_out_time_or_null(struct json_out *o, const char *key, int64_t wall_ms)
{
	char at[CLOCK_TEXT];

	if (wall_ms)
		json_out_word(o, key, clock_rfc3339(wall_ms, at));
	else
		json_out_null(o, key);
}

void json_out_int(struct json_out *o, const char *key, int64_t value)
{
	if (!o->text) {
		put_new(o, key, json_integer(value));
		return;
	}
	(void)put_key_text(o->text, key, 0);
	json_write_integer(value, o->text);
}

void json_out_bool(struct json_out *o, const char *key, bool value)
{
	if (!o->text)
		put_new(o, key, json_boolean(value));
	else if (value)
		put_raw(o, key, "true", 4);
	else
		put_raw(o, key, "false", 5);
}

void json_out_null(struct json_out *o, const char *key)
{
	if (o->text)
		put_raw(o, key, "null", 4);
	else
		put_new(o, key, json_null());
}

void json_out_value(struct json_out *o, const char *key, json_t *value)
{
	if (!o->text) {
		put_new(o, key, value);
		return;
	}
	(void)put_key_text(o->text, key, 0);
	json_write(value, o->text);
	json_decref(value);
}

void json_out_shared(struct json_out *o, const char *key, struct json_shared *value)
{
	if (!o->text) {
		put_new(o, key, json_incref(value->value));
		return;
	}
	if (!value->text.len)
		json_write(value->value, &value->text);
	put_raw(o, key, value->text.data, value->text.len);
}

void json_out_members(struct json_out *o, json_t *value)
{
	const char *key;
	json_t *v;

	json_object_foreach(value, key, v)
	{
		json_out_value(o, key, json_incref(v));
	}
	json_decref(value);
}

struct json_out json_out_begin(struct json_out *o, const char *key)
{
	struct json_out in = { .text = o->text };

	if (o->text) {
		put_raw(o, key, "{", 1);
	} else {
		in.object = json_object();
		put_new(o, key, in.object);
	}
	return in;
}

void json_out_end(struct json_out *o)
{
	if (o->text)
		buf_add(o->text, "}", 1);
	*o = (struct json_out){ 0 };
}
