/* SPDX-License-Identifier: Apache-2.0
 * workspaces.h - workspaces and their limits. Loop thread only.
 */
#ifndef TEEPOD_VMM_ACCOUNT_WORKSPACES_H
#define TEEPOD_VMM_ACCOUNT_WORKSPACES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "db/workspaces.h"

struct vmm;

/* By number. ERR_NOT_FOUND. */
int vmm_workspace(struct vmm *v, int64_t id, struct workspace_row *ret, struct err *e);

/* By slug or "ws_<n>". ERR_NOT_FOUND. */
int vmm_workspace_find(struct vmm *v, const char *slug, struct workspace_row *ret, struct err *e);
/* All workspaces, ordered by slug. *ret malloc'd. Returns the total, or a negative error. */
int vmm_workspaces(struct vmm *v, int64_t offset, int64_t limit, struct workspace_row **ret,
		   size_t *n, struct err *e);

enum { QUOTA_KEEP = -2, QUOTA_UNLIMITED = -1 };

struct workspace_request {
	const char *slug;    /* of a new one: 1 to 63 lower-case letters, digits and hyphens,
				beginning with a letter */
	const char *name;    /* NULL: the slug for a new one, else unchanged */
	int64_t max[QUOTAS]; /* limits, or one of the values above */
};
/* [turn] ERR_CONFLICT if the slug is in use. */
int vmm_workspace_add(struct vmm *v, const struct workspace_request *req, struct workspace_row *ret,
		      struct err *e);
/* [turn] Set its name and limits. A limit may be lower than what the workspace holds: it keeps
 * that, and requests for more are refused. */
int vmm_workspace_change(struct vmm *v, const char *slug, const struct workspace_request *req,
			 struct workspace_row *ret, struct err *e);
/* [turn] Delete a workspace and its keys. ERR_IN_USE if it has CVMs, or is the node's default. */
int vmm_workspace_delete(struct vmm *v, const char *slug, struct err *e);

#endif
