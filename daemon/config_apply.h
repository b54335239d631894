/* SPDX-License-Identifier: Apache-2.0
 * config_apply.h - take the reloadable keys of a configuration that was read again.
 */
#ifndef TEEPOD_DAEMON_CONFIG_APPLY_H
#define TEEPOD_DAEMON_CONFIG_APPLY_H

#include "daemon/config_data.h"

/* What a reload found. Each list holds "section.key: old -> new", in the order of the table. */
struct config_changes {
	struct config_list applied; /* reloadable, now in the running struct */
	struct config_list restart; /* changed in the files, still the old value here */
};

/* Change in *@c what differs in @fresh and may change at run time. What it replaced is in @fresh
 * afterwards: free that when nobody uses the old values any more. -ERR_INVALID and nothing changed
 * when the result, with the old values of all that needs a restart, breaks a rule between keys. */
int config_apply(struct config *c, struct config *fresh, struct config_changes *ret,
		 struct buf *errors);

void config_changes_free(struct config_changes *ch);

#endif
