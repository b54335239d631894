/* SPDX-License-Identifier: Apache-2.0
 * config_keys.h - the table of keys and the table of sections.
 */
#ifndef TEEPOD_DAEMON_CONFIG_KEYS_H
#define TEEPOD_DAEMON_CONFIG_KEYS_H

#include "daemon/config_key.h"

extern const struct config_key config_keys[];
extern const size_t config_keys_n;

struct config_section {
	const char *name, *doc;
};

extern const struct config_section config_sections[];
extern const size_t config_sections_n;

/* The row of a key; NULL if the table has no such key. */
const struct config_key *config_key_find(const char *section, const char *name);

/* Index of @k, which is a row of config_keys. */
size_t config_key_row(const struct config_key *k);

#endif
