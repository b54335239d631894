/* SPDX-License-Identifier: Apache-2.0
 * json.h - JSON from strangers, and tables that say what it may hold.
 *
 * One struct field table per request body: it validates, fills a C struct, and is held against
 * api/openapi.yaml by a test, so that the three can not drift apart.
 */
#ifndef TEEPOD_BASE_JSON_H
#define TEEPOD_BASE_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "base/err.h"

enum { JSON_DEPTH_MAX = 32, JSON_VALUES_MAX = 65536, JSON_MEMBERS_MAX = 16384 };

/* Parse a whole document. Refuses (ERR_INVALID): not JSON, duplicate keys, bad UTF-8, NUL
 * characters, numbers that fit no int64/double (the error names their field), nesting deeper
 * than JSON_DEPTH_MAX, more than JSON_VALUES_MAX commas and opening brackets, more than
 * JSON_MEMBERS_MAX members, lists and objects, bytes after the value. NULL with *e filled on
 * failure; else a new reference. */
json_t *json_read(const char *text, size_t len, struct err *e);

/* @s as a JSON string; what is no UTF-8 in it becomes '?'. Never NULL: json_string() is, for such
 * text. */
json_t *json_text(const char *s);
/* JSON from our own database; SQLite takes text that is not UTF-8, which is repaired. NULL: none,
 * or it is no JSON. */
json_t *json_stored(const char *text);
/* Keys sorted, no spaces: the form that digests are taken of. malloc'd, never NULL. */
char *json_canonical(const json_t *j);

enum field_type {
	FIELD_STRING,  /* at: const char *, borrowed from the document; min/max: bytes */
	FIELD_INT,     /* at: int64_t; min/max: value; a real with no fraction (2.0) is taken */
	FIELD_BOOL,    /* at: bool */
	FIELD_WORD,    /* at: int, index into words[]; case-insensitive */
	FIELD_STRINGS, /* at: json_t *, borrowed array of strings; min/max: items */
	FIELD_OBJECT, /* at: json_t *, borrowed object (and checked against sub, if there is one) */
	FIELD_OBJECTS, /* at: json_t *, borrowed array of objects, each checked against sub;
			  min/max: items */
	FIELD_SWITCH,  /* at: bool; true, false, 1 or 0: some clients send numbers */
};

enum field_flag {
	FIELD_REQUIRED = 1,
	FIELD_NULLABLE = 2, /* null counts as absent; without it null is an error */
	FIELD_PLAIN = 4,    /* a string that is shown to people: utf8_is_plain() */
};

struct field {
	const char *name;
	enum field_type type;
	unsigned flags;
	int64_t min, max;
	size_t at;                /* offset into the destination; FIELD_NOWHERE: only checked */
	const char *const *words; /* FIELD_WORD: NULL-terminated */
	const struct field_table *sub;
	const char *rule; /* said in errors and in the API description, e.g. "letters, digits,
			     hyphens" */
};

#define FIELD_NOWHERE ((size_t)-1)

struct field_table {
	const char *name; /* schema name in api/openapi.yaml */
	const struct field *fields;
	size_t n;
	bool strict; /* unknown keys are errors; the cloud's own bodies pass extras through */
};

/* Check object @j against @t and fill @dst (NULL: check only). Absent keys leave their destination
 * alone. The error names the dotted field (under @prefix, "" at the top), what was given and what
 * is allowed. */
int fields_read(const struct field_table *t, const json_t *j, const char *prefix, void *dst,
		struct err *e);

#endif
