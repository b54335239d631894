/* SPDX-License-Identifier: Apache-2.0
 * config_key.h - the type of one row of the key table, and the type of a kind of value.
 *
 * This is the lowest layer of the configuration. The layers above it, lowest first: config_value.c
 * and config_item.c (kinds of values), config_keys.c (the table), config_member.c (set and format a
 * member of struct config), config_read.c (files and -o), config_check.c (rules between keys),
 * config.c and config_apply.c (load, reload). A file may include only the layers below its own.
 */
#ifndef TEEPOD_DAEMON_CONFIG_KEY_H
#define TEEPOD_DAEMON_CONFIG_KEY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

struct config;
struct config_key;

/* One kind of value. Scalar (item_size 0): @parse replaces the member at @dst and frees its old
 * value. List (item_size > 0): @parse fills one zeroed item of that size; config_member.c does the
 * rest. @parse returns false, with @dst unchanged, if @text is not allowed. */
struct value_type {
	size_t item_size;
	bool (*parse)(const struct config_key *k, const char *text, void *dst);
	void (*format)(const struct config_key *k, const void *src, struct buf *out);
	void (*release)(void *value); /* free a member or an item; NULL: it owns no memory */
	size_t size;                  /* bytes of the member in struct config */
	const char *rule;             /* allowed values, for operators; NULL: see value_rule() */
};

struct config_word {
	const char *name; /* NULL in the last row */
	int value;
};

enum key_flag { KEY_RELOAD = 1 }; /* SIGHUP may change it; without: only a restart */

struct config_key {
	const char *section, *name;
	const struct value_type *type;
	size_t at;                       /* offset of the member in struct config */
	const char *preset;              /* default value, as written in a file; "" = not set */
	const char *doc;                 /* explanation for operators; wrapped when printed */
	const char *unit;                /* "s", "MiB", ...; NULL: no unit */
	const char *rule;                /* overrides type->rule; NULL: use that of the type */
	const struct config_word *words; /* type_word only */
	int64_t min, max;                /* numbers: range; texts: max bytes, 0 = 255 */
	unsigned flags;                  /* enum key_flag */
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
