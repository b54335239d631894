/* SPDX-License-Identifier: Apache-2.0
 * config_item.h - kinds of list items.
 */
#ifndef TEEPOD_DAEMON_CONFIG_ITEM_H
#define TEEPOD_DAEMON_CONFIG_ITEM_H

#include "daemon/config_key.h"

extern const struct value_type type_hosts, type_proxies, type_listen, type_urls, type_addresses,
	type_uids, type_ranges, type_types, type_products, type_slots;

#endif
