/* SPDX-License-Identifier: Apache-2.0
 * route_tables.h - the route tables, each defined in the file of its resource; routes.c lists them.
 */
#ifndef TEEPOD_API_CLOUD_ROUTE_TABLES_H
#define TEEPOD_API_CLOUD_ROUTE_TABLES_H

#include "api/http/route.h"

extern const struct route account_routes[], app_routes[], catalog_routes[], cvm_routes[],
	event_routes[], health_routes[], image_routes[], log_routes[], measurement_routes[],
	node_routes[], ledger_routes[], operation_routes[], power_routes[], state_routes[],
	policy_routes[], maintenance_routes[], token_routes[], workspace_routes[], replica_routes[],
	revision_routes[], software_routes[], update_routes[];

#endif
