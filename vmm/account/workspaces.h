/* SPDX-License-Identifier: Apache-2.0
 * workspaces.h - workspaces: their limits, and which of them exist. Loop thread only.
 */
#ifndef TEEPOD_VMM_ACCOUNT_WORKSPACES_H
#define TEEPOD_VMM_ACCOUNT_WORKSPACES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "db/workspaces.h"

struct vmm;

int vmm_workspace(struct vmm *v, int64_t id, struct workspace_row *ret, struct err *e);

/* By slug or "ws_<n>". ERR_NOT_FOUND. */
int vmm_workspace_find(struct vmm *v, const char *slug, struct workspace_row *ret, struct err *e);
/* By slug. *ret malloc'd. Returns the total. */
int vmm_workspaces(struct vmm *v, int64_t offset, int64_t limit, struct workspace_row **ret,
		   size_t *n, struct err *e);

enum { QUOTA_KEEP = -2, QUOTA_UNLIMITED = -1 };

struct workspace_request {
	const char *slug; /* of a new one: 1 to 63 lower-case letters, digits and hyphens, a letter
			     first */
	const char *name; /* NULL: the slug, or as it is */
	int64_t max[QUOTAS];
};
/* [turn] ERR_CONFLICT if there is one of that slug. */
int vmm_workspace_add(struct vmm *v, const struct workspace_request *req, struct workspace_row *ret,
		      struct err *e);
/* [turn] Its name and limits. Limits below what is held refuse what comes, and take nothing away.
 */
int vmm_workspace_change(struct vmm *v, const char *slug, const struct workspace_request *req,
			 struct workspace_row *ret, struct err *e);
/* [turn] ERR_IN_USE while it has CVMs, and of the node's default one. Its keys open nothing any
 * more. */
int vmm_workspace_delete(struct vmm *v, const char *slug, struct err *e);

#endif
