/* SPDX-License-Identifier: Apache-2.0
 * json.c - parsing and validation of untrusted JSON.
 *
 * jansson recurses while it parses, and allocates memory for each value. Depth and number of values
 * are therefore counted in the text first, and a document beyond the limits is refused before it is
 * parsed. The count skips strings; all other errors are left to jansson.
 */
#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/json.h"
#include "base/own.h"
#include "base/strings.h"
#include "base/utf8.h"

/* Each value but the first follows a comma or an opening bracket, each member has a colon. */
struct json_counts {
	unsigned depth;
	size_t marks;  /* commas and opening brackets */
	size_t costly; /* colons and opening brackets */
};

static struct json_counts count_json(const char *text, size_t len)
{
	struct json_counts m = { 0 };
	bool in_string = false;
	unsigned depth = 0;

	for (size_t i = 0; i < len; i++) {
		char c = text[i];

		if (in_string) {
			if (c == '\\')
				i++;
			else if (c == '"')
				in_string = false;
		} else if (c == '"') {
			in_string = true;
		} else if (c == '{' || c == '[') {
			m.marks++;
			m.costly++;
			if (++depth > m.depth)
				m.depth = depth;
		} else if (c == ',') {
			m.marks++;
		} else if (c == ':') {
			m.costly++;
		} else if ((c == '}' || c == ']') && depth) {
			depth--;
		}
	}
	return m;
}

/* A value costs up to 250 bytes and one microsecond per processing step: 1 MiB of "{}," would take
 * 100 MB. Members (hashed and sorted), lists and objects (two allocations) cost four times as much
 * as numbers, so they have a lower limit. */
static int check_json_limits(const char *text, size_t len, struct err *e)
{
	struct json_counts m = count_json(text, len);

	if (m.depth > JSON_DEPTH_MAX)
		return err_field(e, ERR_INVALID, "body", NULL,
				 "JSON is nested deeper than %d levels", JSON_DEPTH_MAX);
	if (m.costly > JSON_MEMBERS_MAX)
		return err_field(e, ERR_INVALID, "body", NULL,
				 "JSON has %zu members, lists and objects; allowed: at most %d",
				 m.costly, JSON_MEMBERS_MAX);
	if (m.marks > JSON_VALUES_MAX)
		return err_field(e, ERR_INVALID, "body", NULL,
				 "JSON has %zu commas and opening brackets; allowed: at most %d",
				 m.marks, JSON_VALUES_MAX);
	return 0;
}

/* Find the first number that does not fit int64. @path: "" at the start, then its dotted path. */
static bool find_huge_number(const json_t *j, char path[64])
{
	size_t used = strlen(path), i;
	const char *key;
	json_t *v;

	if (json_is_real(j))
		return fabs(json_real_value(j)) >= 9223372036854775808.0;
	json_object_foreach((json_t *)j, key, v)
	{
		(void)snprintf(path + used, 64 - used, "%s%s", used ? "." : "", key);
		if (find_huge_number(v, path))
			return true;
		path[used] = 0;
	}
	json_array_foreach(j, i, v)
	{
		(void)snprintf(path + used, 64 - used, "[%zu]", i);
		if (find_huge_number(v, path))
			return true;
		path[used] = 0;
	}
	return false;
}

static int refuse_huge_number(const char *text, size_t len, struct err *e)
{
	auto_json json_t *j =
		json_loadb(text, len, JSON_DECODE_ANY | JSON_DECODE_INT_AS_REAL, NULL);
	char path[64] = "";

	if (!j || !find_huge_number(j, path))
		return 0;
	return err_field(
		e, ERR_INVALID, *path ? path : "body", NULL,
		"%s is a number too large for any field; allowed: a whole number below 2^63",
		*path ? path : "the body");
}

json_t *json_read(const char *text, size_t len, struct err *e)
{
	json_error_t je;
	json_t *j;

	if (check_json_limits(text, len, e))
		return NULL;
	j = json_loadb(text, len, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &je);
	if (j || (json_error_code(&je) == json_error_numeric_overflow &&
		  refuse_huge_number(text, len, e)))
		return j;
	err_field(e, ERR_INVALID, "body", NULL, "not valid JSON at line %d, column %d: %s", je.line,
		  je.column, je.text);
	return NULL;
}

json_t *json_text(const char *s)
{
	auto_free char *copy = NULL;
	size_t n = strlen(s);

	if (utf8_prefix(s, n) == n)
		return json_stringn_nocheck(s, n);
	copy = xstrdup(s);
	utf8_repair(copy);
	return json_stringn_nocheck(copy, n);
}

json_t *json_stored(const char *text)
{
	json_t *j = text ? json_loads(text, JSON_DECODE_ANY, NULL) : NULL;
	auto_free char *copy = NULL;

	if (j || !text)
		return j;
	copy = xstrdup(text);
	utf8_repair(copy);
	return json_loads(copy, JSON_DECODE_ANY, NULL);
}

char *json_canonical(const json_t *j)
{
	char *s = json_dumps(j, JSON_SORT_KEYS | JSON_COMPACT | JSON_ENCODE_ANY);

	return s ? s : xstrdup("null");
}

static const char *json_kind_of(const json_t *j)
{
	switch (json_typeof(j)) {
	case JSON_OBJECT:
		return "an object";
	case JSON_ARRAY:
		return "a list";
	case JSON_STRING:
		return "a string";
	case JSON_INTEGER:
	case JSON_REAL:
		return "a number";
	case JSON_TRUE:
	case JSON_FALSE:
		return "a boolean";
	case JSON_NULL:
		return "null";
	}
	return "?";
}

/* The value for an error text: scalars as they are, lists and objects as their kind. */
static void describe_value(const json_t *j, char out[64])
{
	if (json_is_string(j))
		(void)snprintf(out, 64, "%s", json_string_value(j));
	else if (json_is_object(j) || json_is_array(j))
		(void)snprintf(out, 64, "%s", json_kind_of(j));
	else {
		auto_free char *s = json_dumps(j, JSON_ENCODE_ANY);

		(void)snprintf(out, 64, "%s", s ? s : "?");
	}
}

static int refuse_value(const struct field *f, const json_t *j, const char *path, struct err *e)
{
	char what[64], allowed[160];

	describe_value(j, what);
	switch (f->type) {
	case FIELD_STRING:
		(void)snprintf(allowed, sizeof(allowed),
			       "a string of %" PRId64 " to %" PRId64 " bytes%s", f->min, f->max,
			       f->flags & FIELD_PLAIN
				       ? ", one line without control or invisible characters"
				       : "");
		break;
	case FIELD_INT:
		(void)snprintf(allowed, sizeof(allowed),
			       "a whole number from %" PRId64 " to %" PRId64, f->min, f->max);
		break;
	case FIELD_BOOL:
		(void)snprintf(allowed, sizeof(allowed), "true or false");
		break;
	case FIELD_SWITCH:
		(void)snprintf(allowed, sizeof(allowed), "true, false, 1 or 0");
		break;
	case FIELD_WORD: {
		size_t n = (size_t)snprintf(allowed, sizeof(allowed), "one of");

		for (size_t i = 0; f->words[i] && n < sizeof(allowed); i++)
			n += (size_t)snprintf(allowed + n, sizeof(allowed) - n, "%s %s",
					      i ? "," : "", f->words[i]);
		break;
	}
	case FIELD_STRINGS:
		(void)snprintf(allowed, sizeof(allowed),
			       "a list of %" PRId64 " to %" PRId64 " strings", f->min, f->max);
		break;
	case FIELD_OBJECT:
		(void)snprintf(allowed, sizeof(allowed), "an object");
		break;
	case FIELD_OBJECTS:
		(void)snprintf(allowed, sizeof(allowed),
			       "a list of %" PRId64 " to %" PRId64 " objects", f->min, f->max);
		break;
	}
	return err_field(e, ERR_INVALID, path, what, "%s is %s (%.40s); allowed: %s%s%s", path,
			 json_kind_of(j), what, allowed, f->rule ? "; " : "",
			 f->rule ? f->rule : "");
}

static bool whole_number(const json_t *j, int64_t *ret)
{
	double d;

	if (json_is_integer(j)) {
		*ret = json_integer_value(j);
		return true;
	}
	if (!json_is_real(j))
		return false;
	d = json_real_value(j);
	if (d != floor(d) || fabs(d) > 9007199254740992.0)
		return false;
	*ret = (int64_t)d;
	return true;
}

static bool all_strings(const json_t *j)
{
	size_t i;
	json_t *v;

	json_array_foreach(j, i, v)
	{
		if (!json_is_string(v))
			return false;
	}
	return true;
}

static bool in_range(const struct field *f, size_t n)
{
	return (int64_t)n >= f->min && (int64_t)n <= f->max;
}

static int word_index(const struct field *f, const json_t *j)
{
	if (json_is_string(j))
		for (int i = 0; f->words[i]; i++)
			if (!strcasecmp(f->words[i], json_string_value(j)))
				return i;
	return -1;
}

static int read_objects(const struct field *f, const json_t *j, const char *path, struct err *e)
{
	char item[128];
	size_t i;
	json_t *v;
	int r = 0;

	if (!json_is_array(j) || !in_range(f, json_array_size(j)))
		return refuse_value(f, j, path, e);
	json_array_foreach(j, i, v)
	{
		(void)snprintf(item, sizeof(item), "%s[%zu]", path, i);
		if (!json_is_object(v))
			return err_field(e, ERR_INVALID, item, NULL, "%s is %s; allowed: an object",
					 item, json_kind_of(v));
		if (f->sub)
			r = fields_read(f->sub, v, item, NULL, e);
		if (r)
			return r;
	}
	return 0;
}

static int read_field(const struct field *f, json_t *j, const char *path, void *dst, struct err *e)
{
	void *at = dst && f->at != FIELD_NOWHERE ? (char *)dst + f->at : NULL;
	int64_t n;
	int w, r;

	switch (f->type) {
	case FIELD_STRING:
		if (!json_is_string(j) || !in_range(f, json_string_length(j)) ||
		    ((f->flags & FIELD_PLAIN) && !utf8_is_plain(json_string_value(j))))
			return refuse_value(f, j, path, e);
		if (at)
			*(const char **)at = json_string_value(j);
		return 0;
	case FIELD_INT:
		if (!whole_number(j, &n) || n < f->min || n > f->max)
			return refuse_value(f, j, path, e);
		if (at)
			*(int64_t *)at = n;
		return 0;
	case FIELD_BOOL:
		if (!json_is_boolean(j))
			return refuse_value(f, j, path, e);
		if (at)
			*(bool *)at = json_is_true(j);
		return 0;
	case FIELD_SWITCH:
		if (!json_is_boolean(j) && (!whole_number(j, &n) || n < 0 || n > 1))
			return refuse_value(f, j, path, e);
		if (at)
			*(bool *)at = json_is_true(j) || json_number_value(j) == 1;
		return 0;
	case FIELD_WORD:
		assert(f->words);
		w = word_index(f, j);
		if (w < 0)
			return refuse_value(f, j, path, e);
		if (at)
			*(int *)at = w;
		return 0;
	case FIELD_STRINGS:
		if (!json_is_array(j) || !in_range(f, json_array_size(j)) || !all_strings(j))
			return refuse_value(f, j, path, e);
		break;
	case FIELD_OBJECT:
		if (!json_is_object(j))
			return refuse_value(f, j, path, e);
		r = f->sub ? fields_read(f->sub, j, path, NULL, e) : 0;
		if (r)
			return r;
		break;
	case FIELD_OBJECTS:
		r = read_objects(f, j, path, e);
		if (r)
			return r;
		break;
	}
	if (at)
		*(json_t **)at = j;
	return 0;
}

static void join_field_path(char out[96], const char *prefix, const char *name)
{
	(void)snprintf(out, 96, "%s%s%s", prefix, *prefix ? "." : "", name);
}

static int refuse_unknown(const struct field_table *t, const json_t *j, const char *prefix,
			  struct err *e)
{
	const char *key;
	char path[96];
	json_t *v;

	json_object_foreach((json_t *)j, key, v)
	{
		size_t i = 0;

		while (i < t->n && strcmp(t->fields[i].name, key) != 0)
			i++;
		if (i < t->n)
			continue;
		join_field_path(path, prefix, key);
		return err_field(e, ERR_INVALID, *path ? path : "\"\"", NULL,
				 "%s is not a field of this request", *path ? path : "\"\"");
	}
	return 0;
}

int fields_read(const struct field_table *t, const json_t *j, const char *prefix, void *dst,
		struct err *e)
{
	char path[96];
	int r;

	assert(t->fields || !t->n);
	if (!json_is_object(j))
		return err_field(e, ERR_INVALID, *prefix ? prefix : "body", NULL,
				 "%s is %s; allowed: an object", *prefix ? prefix : "the body",
				 json_kind_of(j));
	if (t->strict) {
		r = refuse_unknown(t, j, prefix, e);
		if (r)
			return r;
	}
	for (size_t i = 0; i < t->n; i++) {
		const struct field *f = &t->fields[i];
		json_t *v = json_object_get(j, f->name);
		bool absent = !v || (json_is_null(v) && (f->flags & FIELD_NULLABLE));

		if (absent && !(f->flags & FIELD_REQUIRED))
			continue;
		join_field_path(path, prefix, f->name);
		if (absent)
			return err_field(e, ERR_INVALID, path, NULL, "%s is missing%s%s", path,
					 f->rule ? ": " : "", f->rule ? f->rule : "");
		r = read_field(f, v, path, dst, e);
		if (r)
			return r;
	}
	return 0;
}
