/* SPDX-License-Identifier: Apache-2.0
 * config_key.h - one row a key: shared by the files that read, check and print the configuration.
 */
#ifndef TEEPOD_DAEMON_CONFIG_KEY_H
#define TEEPOD_DAEMON_CONFIG_KEY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "daemon/config.h"

struct key;

/* How values of one kind are read and written. Scalars: @parse fills the member itself, which owns
 * what it held before. Lists (item_size > 0): @parse fills one item of that size; the rest is
 * common to all lists. */
struct value_type {
	size_t item_size;
	bool (*parse)(const struct key *k, const char *text,
		      void *dst); /* false: refused, @dst untouched */
	void (*format)(const struct key *k, const void *src, struct buf *out);
	void (*release)(void *value); /* NULL: owns nothing */
	size_t size;                  /* of the member */
	const char *rule; /* said of what is allowed, unless the row has a better rule */
};

extern const struct value_type type_text, type_name, type_slug, type_host, type_url, type_path,
	type_uri;
extern const struct value_type type_networks;
extern const struct value_type type_hex; /* .max: how many digits, exactly */
extern const struct value_type type_int, type_size, type_mode, type_bool, type_word, type_amount,
	type_address;
extern const struct value_type type_hosts, type_proxies, type_listen, type_urls, type_addresses,
	type_uids, type_ranges, type_types, type_products, type_slots;

struct word {
	const char *name; /* NULL ends */
	int value;
};

enum key_flag { KEY_RELOAD = 1 };

struct key {
	const char *section, *name;
	const struct value_type *type;
	size_t at;                /* offset into struct config */
	const char *preset;       /* default, as one would write it */
	const char *doc;          /* explanation; lines are wrapped when printed */
	const char *unit;         /* "s", "MiB", ...; NULL: none */
	const char *rule;         /* replaces the type's rule; NULL: the type's */
	const struct word *words; /* type_word */
	int64_t min, max;         /* numbers: value; texts: bytes (max 0: 255) */
	unsigned flags;
};

extern const struct key config_keys[];
extern const size_t config_keys_n;

struct section {
	const char *name, *doc;
};

extern const struct section config_sections[];
extern const size_t config_sections_n;

/* The row, or NULL. */
const struct key *key_find(const char *section, const char *name);

static inline size_t key_row(const struct key *k)
{
	return (size_t)(k - config_keys);
}

static inline void *key_member(const struct key *k, struct config *c)
{
	return (char *)c + k->at;
}

static inline const void *key_value(const struct key *k, const struct config *c)
{
	return (const char *)c + k->at;
}

/* Set @k in @c from @text. Lists: items separated by commas, appended to the list if @append; an
 * empty text empties it. On refusal false, with `"x" is not allowed: what is` in @why. */
bool value_set(const struct key *k, struct config *c, const char *text, bool append,
	       struct buf *why);

/* The value as one would write it in the file. */
void value_format(const struct key *k, const struct config *c, struct buf *out);
char *value_text(const struct key *k, const struct config *c);

void value_release(const struct key *k, struct config *c);

/* Pieces that single values and list items share. NULL or false: refused. Malloc'd: the normal form
 * of @text. */
char *value_url(const char *text);
char *value_address(const char *text);
/* One that a port forward may bind, malloc'd; NULL: it is none. */
char *value_host_address(const char *text);
bool value_number(const char *text, size_t len, uint64_t max, uint64_t *ret);

/* What is allowed, for people: "a whole number from 1 to 65535". */
void value_rule(const struct key *k, struct buf *out);

/* One file and its drop-ins into @c; every problem is a line in @errors. @required: a missing file
 * is one. */
void config_read_files(struct config *c, const char *file, bool required, struct buf *errors);

/* `section.key=value`, as of -o. */
void config_read_option(struct config *c, const char *text, struct buf *errors);

/* Rules between keys; config_check() looks also at the files that are named. */
void config_check(const struct config *c, struct buf *errors);
void config_check_rules(const struct config *c, struct buf *errors);

/* Set the key, or say why not: `ORIGIN: [section] key: "x" is not allowed: ...`. */
void config_assign(struct config *c, const struct key *k, const char *text, bool append,
		   const char *origin, struct buf *errors);

/* Remember where the value of @k came from. */
void config_set_origin(struct config *c, const struct key *k, const char *origin);

#endif
