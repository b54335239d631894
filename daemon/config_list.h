/* SPDX-License-Identifier: Apache-2.0
 * config_list.h - members of struct config that hold a list of values.
 */
#ifndef TEEPOD_DAEMON_CONFIG_LIST_H
#define TEEPOD_DAEMON_CONFIG_LIST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct port_range;
struct instance_type;

/* All lists are {v, n} in this order: config_member.c reads and writes them without knowing the
 * type of the items. A list owns its array and what the items point to. */
struct config_list {
	char **v;
	size_t n;
};

struct config_uids {
	uint32_t *v;
	size_t n;
};

struct config_ranges {
	struct port_range *v;
	size_t n;
};

struct config_types {
	struct instance_type *v;
	size_t n;
};

/* Append @s, which the list owns from now on. */
void config_list_add(struct config_list *l, char *s);

bool config_list_has(const struct config_list *l, const char *s);

/* Free the strings and the array. The list is empty afterwards. */
void config_list_free(struct config_list *l);

#endif
