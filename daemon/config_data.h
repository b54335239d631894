/* SPDX-License-Identifier: Apache-2.0
 * config_data.h - the whole configuration in one plain struct.
 *
 * Each key has one row in the table in config_keys.c and one member here. The struct owns all its
 * strings and lists. A string is never NULL; "" means not set. Users: config_settings.c and main.c.
 */
#ifndef TEEPOD_DAEMON_CONFIG_DATA_H
#define TEEPOD_DAEMON_CONFIG_DATA_H

#include "daemon/config_guests.h"
#include "daemon/config_service.h"

struct config {
	struct config_node node;
	struct config_api api;
	struct config_hypervisor hypervisor;
	struct config_jobs jobs;
	struct config_host host;
	struct config_capacity capacity;
	struct config_ports ports;
	struct config_cvm cvm;
	struct config_gpu gpu;
	struct config_logs logs;
	struct config_images images;
	struct config_gateway gateway;
	struct config_kms kms;
	struct config_guest guest;
	struct config_restart restart;
	struct config_start start;
	struct config_operations operations;
	struct config_events events;
	struct config_idempotency idempotency;
	struct config_tokens tokens;
	struct config_records records;
	struct config_billing billing;

	char **origin; /* where each key was set, by config_key_row(): "default", "FILE:LINE", "-o"
			  ... */
};

/* NULL instead of "", for interfaces where NULL means not set. */
static inline const char *set_or_null(const char *s)
{
	return *s ? s : NULL;
}

#endif
