/* SPDX-License-Identifier: Apache-2.0
 * workspaces.c - the tenants of this node, and the limits of each. Quotas are checked in quota.c.
 */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "db/text.h"
#include "db/workspaces.h"
#include "vmm/account/workspaces.h"
#include "vmm/node/node.h"

static int workspace_refuse_unknown(const char *slug, struct err *e)
{
	return err_field(e, ERR_NOT_FOUND, "slug", slug, "no workspace is called %.64s", slug);
}

int vmm_workspace(struct vmm *v, int64_t id, struct workspace_row *ret, struct err *e)
{
	int r = workspaces_get(vmm_db(v), id, ret, e);

	return r == -ERR_NOT_FOUND ? err_set(e, ERR_NOT_FOUND, "no such workspace") : r;
}

int vmm_workspace_find(struct vmm *v, const char *slug, struct workspace_row *ret, struct err *e)
{
	int r = workspaces_find(vmm_db(v), slug, ret, e);

	return r == -ERR_NOT_FOUND ? workspace_refuse_unknown(slug, e) : r;
}

int vmm_workspaces(struct vmm *v, int64_t offset, int64_t limit, struct workspace_row **ret,
		   size_t *n, struct err *e)
{
	return workspaces_list(vmm_db(v), offset, limit, ret, n, e);
}

static int workspace_check_slug(const char *slug, struct err *e)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyz0123456789-";
	size_t n = strlen(slug);

	if (n > 0 && n < NAME_TEXT && strspn(slug, allowed) == n && slug[0] >= 'a')
		return 0;
	return err_field(e, ERR_INVALID, "slug", slug,
			 "slug must be 1 to %d lower-case letters, digits and hyphens, beginning "
			 "with a letter",
			 NAME_TEXT - 1);
}

static int workspace_set_limits(struct vmm *v, const struct workspace_request *req,
				struct workspace_row *w, struct err *e)
{
	if (req->name)
		(void)snprintf(w->name, sizeof(w->name), "%s", req->name);
	for (int q = 0; q < QUOTAS; q++)
		if (req->max[q] != QUOTA_KEEP)
			w->max[q] = req->max[q];
	return workspaces_set(vmm_db(v), w, e);
}

int vmm_workspace_add(struct vmm *v, const struct workspace_request *req, struct workspace_row *ret,
		      struct err *e)
{
	struct workspace_row w;
	int64_t id = 0;
	int r = workspace_check_slug(req->slug, e);

	if (r)
		return r;
	r = workspaces_add(vmm_db(v), req->slug, req->slug, &id, e);
	if (!r)
		return err_field(e, ERR_CONFLICT, "slug", req->slug,
				 "slug %s is in use by another workspace", req->slug);
	if (r > 0)
		r = vmm_workspace(v, id, &w, e);
	if (!r)
		r = workspace_set_limits(v, req, &w, e);
	if (!r)
		*ret = w;
	return r;
}

int vmm_workspace_change(struct vmm *v, const char *slug, const struct workspace_request *req,
			 struct workspace_row *ret, struct err *e)
{
	struct workspace_row w;
	int r = vmm_workspace_find(v, slug, &w, e);

	if (!r)
		r = workspace_set_limits(v, req, &w, e);
	if (!r)
		*ret = w;
	return r;
}

int vmm_workspace_delete(struct vmm *v, const char *slug, struct err *e)
{
	struct workspace_row w;
	int r = vmm_workspace_find(v, slug, &w, e);

	if (r)
		return r;
	if (w.id == vmm_default_workspace(v))
		return err_set(e, ERR_IN_USE,
			       "%s is the default workspace of this node (node.workspace)", w.slug);
	if (w.cvms) {
		err_set(e, ERR_IN_USE, "workspace %s has %lld CVMs", w.slug, (long long)w.cvms);
		return err_hint(e, "delete them first");
	}
	vmm_note_keys_revoked(v);
	return workspaces_delete(vmm_db(v), w.id, clock_wall_ms(), e);
}
