/* SPDX-License-Identifier: Apache-2.0
 * json.h - parsing of untrusted JSON, and tables of fields that validate it.
 *
 * Each request body has one field table. It validates the JSON and fills a C struct; a test
 * compares it with api/openapi.yaml.
 */
#ifndef TEEPOD_BASE_JSON_H
#define TEEPOD_BASE_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "base/err.h"

static inline void own_json(json_t **j)
{
	json_decref(*j);
}

/* A reference that is released when its variable leaves scope. */
#define auto_json __attribute__((cleanup(own_json)))

enum { JSON_DEPTH_MAX = 32, JSON_VALUES_MAX = 65536, JSON_MEMBERS_MAX = 16384 };

/* Parse one document. Returns a new reference, or NULL with *e filled (ERR_INVALID): invalid JSON,
 * duplicate keys, invalid UTF-8, NUL characters, numbers that fit no int64 or double (the error
 * names the field), nesting deeper than JSON_DEPTH_MAX, more than JSON_VALUES_MAX commas and
 * opening brackets, more than JSON_MEMBERS_MAX members, lists and objects, trailing bytes. */
json_t *json_read(const char *text, size_t len, struct err *e);

/* @s as a JSON string, with '?' for each invalid byte. Never NULL, unlike json_string(). */
json_t *json_text(const char *s);
/* Parse JSON from the database; invalid UTF-8, which SQLite accepts, is repaired. NULL if @text is
 * NULL or not JSON. */
json_t *json_stored(const char *text);
/* Sorted keys, no spaces: the form used for digests. malloc'd, never NULL. */
char *json_canonical(const json_t *j);

enum field_type {
	FIELD_STRING,  /* at: const char *, borrowed from the document; min/max: bytes */
	FIELD_INT,     /* at: int64_t; min/max: value; accepts 2.0, too */
	FIELD_BOOL,    /* at: bool */
	FIELD_WORD,    /* at: int, index into words[]; case-insensitive */
	FIELD_STRINGS, /* at: json_t *, borrowed array of strings; min/max: items */
	FIELD_OBJECT,  /* at: json_t *, borrowed object, validated by sub unless that is NULL */
	FIELD_OBJECTS, /* at: json_t *, borrowed array of objects, each validated by sub;
			  min/max: items */
	FIELD_SWITCH,  /* at: bool; true, false, 1 or 0, because some clients send numbers */
};

enum field_flag {
	FIELD_REQUIRED = 1,
	FIELD_NULLABLE = 2, /* null means absent; without this flag it is an error */
	FIELD_PLAIN = 4,    /* a string shown to people: utf8_is_plain() */
};

struct field {
	const char *name;
	enum field_type type;
	unsigned flags;
	int64_t min, max;
	size_t at;                /* offset in the destination; FIELD_NOWHERE: only validate */
	const char *const *words; /* FIELD_WORD: NULL-terminated */
	const struct field_table *sub;
	const char
		*rule; /* shown in errors and in the API description: "letters, digits, hyphens" */
};

#define FIELD_NOWHERE ((size_t)-1)

struct field_table {
	const char *name; /* schema name in api/openapi.yaml */
	const struct field *fields;
	size_t n;
	bool strict; /* unknown keys are errors; without it they are ignored */
};

/* Validate object @j by @t and fill @dst (NULL: only validate). An absent key leaves its
 * destination untouched. The error names the dotted field (below @prefix, "" at the top), its value
 * and what is allowed. */
int fields_read(const struct field_table *t, const json_t *j, const char *prefix, void *dst,
		struct err *e);

#endif
