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

/* Every list is {v, n} in this order: config_member.c handles all lists alike, whatever the item
 * type. A list owns its array and what the items point to. */
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

/* Append @s, which is malloc'd; the list takes ownership. */
void config_list_add(struct config_list *l, char *s);

/* True if @l contains a string equal to @s. */
bool config_list_has(const struct config_list *l, const char *s);

/* Free the strings and the array. The list is empty afterwards. */
void config_list_free(struct config_list *l);

#endif
