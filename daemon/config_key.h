/* SPDX-License-Identifier: Apache-2.0
 * config_key.h - what one row of the key table is made of.
 *
 * The lowest layer of the configuration: types only, no functions to link with. See config_keys.c
 * for the table, config_value.c and config_item.c for the kinds of values.
 */
#ifndef TEEPOD_DAEMON_CONFIG_KEY_H
#define TEEPOD_DAEMON_CONFIG_KEY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

struct config;
struct config_key;

/* How values of one kind are read and written. Scalars: @parse fills the member itself, which owns
 * what it held before. Lists (item_size > 0): @parse fills one item of that size; the rest is
 * common to all lists. */
struct value_type {
	size_t item_size;
	bool (*parse)(const struct config_key *k, const char *text,
		      void *dst); /* false: refused, @dst untouched */
	void (*format)(const struct config_key *k, const void *src, struct buf *out);
	void (*release)(void *value); /* NULL: owns nothing */
	size_t size;                  /* of the member */
	const char *rule; /* said of what is allowed, unless the row has a better rule */
};

struct config_word {
	const char *name; /* NULL ends */
	int value;
};

enum key_flag { KEY_RELOAD = 1 };

struct config_key {
	const char *section, *name;
	const struct value_type *type;
	size_t at;                       /* offset into struct config */
	const char *preset;              /* default, as one would write it */
	const char *doc;                 /* explanation; lines are wrapped when printed */
	const char *unit;                /* "s", "MiB", ...; NULL: none */
	const char *rule;                /* replaces the type's rule; NULL: the type's */
	const struct config_word *words; /* type_word */
	int64_t min, max;                /* numbers: value; texts: bytes (max 0: 255) */
	unsigned flags;
};

static inline void *config_key_member(const struct config_key *k, struct config *c)
{
	return (char *)c + k->at;
}

static inline const void *config_key_value(const struct config_key *k, const struct config *c)
{
	return (const char *)c + k->at;
}

#endif
