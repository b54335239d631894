/* SPDX-License-Identifier: Apache-2.0
 * config_value.h - kinds of single values: parse, format, describe.
 */
#ifndef TEEPOD_DAEMON_CONFIG_VALUE_H
#define TEEPOD_DAEMON_CONFIG_VALUE_H

#include "daemon/config_key.h"

/* "auto" (measure the host), "none" (not configured: every request for it is refused), or a number.
 */
struct config_amount {
	enum { AMOUNT_AUTO, AMOUNT_NONE, AMOUNT_NUMBER } kind;
	uint64_t value; /* AMOUNT_NUMBER */
};

/* The amount to promise: the number; or @measured less @reserve, but at least 1; or false for
 * "none". */
bool config_amount(const struct config_amount *a, uint64_t measured, uint64_t reserve,
		   uint64_t *ret);

extern const struct value_type type_text, type_name, type_slug, type_host, type_url, type_path,
	type_uri;
extern const struct value_type type_networks;
extern const struct value_type type_hex; /* .max: how many digits, exactly */
extern const struct value_type type_int, type_size, type_mode, type_bool, type_word, type_amount,
	type_address;

/* Pieces that single values and list items share. NULL or false: refused. Malloc'd: the normal form
 * of @text. */
char *value_parse_url(const char *text);
char *value_parse_address(const char *text);
/* One that a port forward may bind, malloc'd; NULL: it is none. */
char *value_parse_host_address(const char *text);
bool value_parse_number(const char *text, size_t len, uint64_t max, uint64_t *ret);

/* What is allowed, for people: "a whole number from 1 to 65535". */
void value_rule(const struct config_key *k, struct buf *out);

#endif
