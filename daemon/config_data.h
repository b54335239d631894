/* SPDX-License-Identifier: Apache-2.0
 * config_data.h - the whole configuration in one plain struct.
 *
 * Every key is one row of the table in config_keys.c and one member here. Strings are never NULL:
 * "" means not set (see set_or_null()).
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

	char **origin; /* by row of the table: "default", "/etc/teepod/teepod.conf:12", "-o", ... */
};

static inline const char *set_or_null(const char *s)
{
	return *s ? s : NULL;
}

#endif
