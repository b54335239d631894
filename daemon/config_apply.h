/* SPDX-License-Identifier: Apache-2.0
 * config_apply.h - apply the reloadable keys of a newly read configuration.
 */
#ifndef TEEPOD_DAEMON_CONFIG_APPLY_H
#define TEEPOD_DAEMON_CONFIG_APPLY_H

#include "daemon/config_data.h"

/* The keys whose value differs. Each item is "section.key: old -> new"; items are in table order.
 */
struct config_changes {
	struct config_list applied; /* KEY_RELOAD: the new value is in effect */
	struct config_list restart; /* others: the old value stays in effect */
};

/* Swap the values of reloadable keys that differ between *@c and @fresh. Afterwards @fresh owns the
 * old values: free it when nothing points to them. -ERR_INVALID, with both unchanged, if the
 * resulting mix of new values and old ones that need a restart breaks a rule between keys. */
int config_apply(struct config *c, struct config *fresh, struct config_changes *ret,
		 struct buf *errors);

void config_changes_free(struct config_changes *ch);

#endif
