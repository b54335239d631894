/* SPDX-License-Identifier: Apache-2.0
 * routes.c - the list of all routes under /api/v1.
 *
 * This is the top of api/cloud/: it knows all resources, and no resource includes it.
 */
#include "api/cloud/routes.h"

#include <string.h>
#include <strings.h>

#include "api/cloud/route_tables.h"

const struct route *const api_routes[] = {
	account_routes,
	app_routes,
	catalog_routes,
	cvm_routes,
	event_routes,
	health_routes,
	image_routes,
	log_routes,
	measurement_routes,
	node_routes,
	operation_routes,
	power_routes,
	state_routes,
	policy_routes,
	maintenance_routes,
	ledger_routes,
	token_routes,
	workspace_routes,
	replica_routes,
	revision_routes,
	software_routes,
	update_routes,
	NULL,
};

bool routes_reserve_name(const char *name)
{
	static const char above[] = "/api/v1/cvms/";

	for (const struct route *const *t = api_routes; *t; t++) {
		for (const struct route *route = *t; route->method; route++) {
			const char *word = route->pattern + sizeof(above) - 1;

			if (!strncmp(route->pattern, above, sizeof(above) - 1) &&
			    strcspn(word, "/") == strlen(name) &&
			    !strncasecmp(word, name, strlen(name)))
				return true;
		}
	}
	return false;
}
