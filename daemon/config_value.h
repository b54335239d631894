/* SPDX-License-Identifier: Apache-2.0
 * config_value.h - kinds of single values: parse, format, describe.
 */
#ifndef TEEPOD_DAEMON_CONFIG_VALUE_H
#define TEEPOD_DAEMON_CONFIG_VALUE_H

#include "daemon/config_key.h"

/* A capacity amount: "auto" (measure the host), "none" (not configured: requests for the resource
 * are refused) or a number. */
struct config_amount {
	enum { AMOUNT_AUTO, AMOUNT_NONE, AMOUNT_NUMBER } kind;
	uint64_t value; /* AMOUNT_NUMBER */
};

/* Resolve @a: the number, or for "auto" @measured minus @reserve, at least 0. False for "none". */
bool config_amount(const struct config_amount *a, uint64_t measured, uint64_t reserve,
		   uint64_t *ret);

extern const struct value_type type_text, type_name, type_slug, type_host, type_url, type_path,
	type_uri;
extern const struct value_type type_networks;
extern const struct value_type type_hex; /* the key's .max is the exact number of digits */
extern const struct value_type type_int, type_size, type_mode, type_bool, type_word, type_amount,
	type_address;

/* Parsers shared with config_item.c. They return the normal form of @text, which the caller frees;
 * NULL if @text is not allowed. */
char *value_parse_url(const char *text);
char *value_parse_address(const char *text);
/* An IPv4 address that a port forward may bind. */
char *value_parse_host_address(const char *text);
/* Decimal digits only, at most @max. False: not allowed, *ret unchanged. */
bool value_parse_number(const char *text, size_t len, uint64_t max, uint64_t *ret);

/* Append the allowed values for operators: "a whole number from 1 to 65535". */
void value_rule(const struct config_key *k, struct buf *out);

#endif
