/* SPDX-License-Identifier: Apache-2.0
 * lookup.c - the workspaces, CVMs, apps and capacity that a caller may see.
 *
 * A caller must not learn what other workspaces hold: "does not exist" and "not yours" are the same
 * answer. Operators and admins see all workspaces. vmm/node/find.h says what an identifier may be.
 */
#include "api/cloud/lookup.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include <jansson.h>

#include "api/cloud/context.h"
#include "api/http/call.h"
#include "base/id.h"
#include "base/own.h"
#include "db/apps.h"
#include "db/capacity.h"
#include "db/cvms.h"
#include "db/text.h"
#include "db/workspaces.h"
#include "vmm/account/workspaces.h"
#include "vmm/node/find.h"
#include "vmm/vmm.h"

int api_find_workspace(const struct call *c, const char *slug, struct workspace_row *ret,
		       struct err *e)
{
	struct vmm *v = api_of(c)->vmm;
	char id[32];

	(void)snprintf(id, sizeof(id), "ws_%" PRId64, c->caller.workspace);
	if (!strcmp(slug, c->caller.workspace_slug) || !strcmp(slug, id))
		return vmm_workspace(v, c->caller.workspace, ret, e);
	if (api_scope(c) == 0)
		return vmm_workspace_find(v, slug, ret, e);
	return err_field(e, ERR_NOT_FOUND, "slug", slug, "workspace %.64s does not exist", slug);
}

int api_named_workspace(const struct call *c, const char *slug, struct workspace_row *ret,
			struct err *e)
{
	int r;

	*ret = (struct workspace_row){ .id = -1 };
	r = api_find_workspace(c, slug, ret, e);
	return r == -ERR_NOT_FOUND && api_scope(c) ? 0 : r;
}

/* Find a CVM in the workspace that ?workspace=@slug selects. Only operators and admins learn that
 * the CVM is in another workspace. */
static int find_cvm_in_workspace(const struct call *c, const char *slug, const char *identifier,
				 struct cvm_row *ret, struct err *e)
{
	struct vmm *v = api_of(c)->vmm;
	struct workspace_row w;
	struct cvm_row ignored;
	struct err other;
	int r = api_named_workspace(c, slug, &w, e);

	if (r)
		return r;
	r = vmm_find(v, w.id, identifier, ret, e);
	if (r != -ERR_CVM_NOT_FOUND || api_scope(c))
		return r;
	r = vmm_find(v, 0, identifier, &ignored, &other);
	if (r && r != -ERR_CVM_AMBIGUOUS)
		return -(int)e->code;
	return err_field(e, ERR_CVM_ELSEWHERE, "cvm_id", identifier,
			 "CVM %.60s is not in workspace %s", identifier, w.slug);
}

int api_find_cvm(struct call *c, const char *identifier, struct cvm_row *ret, struct err *e)
{
	const char *slug = call_query(c, "workspace", 0);
	struct vmm *v = api_of(c)->vmm;
	int r;

	if (slug)
		return find_cvm_in_workspace(c, slug, identifier, ret, e);
	r = vmm_find(v, c->caller.workspace, identifier, ret, e);
	if (api_scope(c))
		return r;
	/* The name of an own CVM may look like a UUID or app id, which another workspace may have.
	 */
	if (r == -ERR_CVM_NOT_FOUND || (!r && found_by_odd_name(identifier, ret)))
		r = vmm_find(v, 0, identifier, ret, e);
	return r;
}

int api_find_first_cvm(struct call *c, const char *identifier, struct cvm_row *ret, struct err *e)
{
	const char *slug = call_query(c, "workspace", 0);
	struct workspace_row w = { .id = c->caller.workspace };
	char app_id[APP_ID_TEXT];
	int r = api_find_cvm(c, identifier, ret, e);

	if (r != -ERR_CVM_AMBIGUOUS || !identifier_app(identifier, app_id))
		return r;
	r = slug ? api_find_workspace(c, slug, &w, e) : 0;
	if (!r)
		r = vmm_find_first(api_of(c)->vmm, w.id, identifier, ret, e);
	if (r == -ERR_CVM_NOT_FOUND && !slug && api_scope(c) == 0)
		r = vmm_find_first(api_of(c)->vmm, 0, identifier, ret, e);
	return r;
}

/* Equal compose files have equal app ids, also in different workspaces. Without ?workspace= the
 * caller's own workspace is searched first. An operator gets ERR_CVM_AMBIGUOUS if the app is only
 * in other workspaces, and in more than one of them. */
static int find_app_by_id(struct call *c, const char *app_id, struct app_row *ret, struct err *e)
{
	const char *slug = call_query(c, "workspace", 0);
	struct vmm *v = api_of(c)->vmm;
	struct workspace_row w = { .id = c->caller.workspace };
	int r = slug ? api_named_workspace(c, slug, &w, e) : 0;

	if (r)
		return r;
	r = vmm_app(v, w.id, app_id, ret, e);
	if (r == -ERR_NOT_FOUND && !slug && api_scope(c) == 0)
		r = vmm_app(v, 0, app_id, ret, e);
	if (r == -ERR_CVM_AMBIGUOUS)
		return err_hint(e, "select a workspace: ?workspace=SLUG");
	return r;
}

/* "app_<40 hex>", "0x<40 hex>" or plain, in either case. */
int api_find_app(struct call *c, const char *identifier, struct app_row *ret, struct err *e)
{
	const char *id = identifier;
	char app_id[APP_ID_TEXT];
	uint8_t raw[(APP_ID_TEXT - 1) / 2];
	int r;

	if (!strncasecmp(id, "app_", 4))
		id += 4;
	else if (!strncasecmp(id, "0x", 2))
		id += 2;
	if (!id_unhex(id, raw, sizeof(raw)))
		return err_field(e, ERR_NOT_FOUND, "app_id", identifier, "app %.64s does not exist",
				 identifier);
	id_hex(raw, sizeof(raw), app_id);
	r = find_app_by_id(c, app_id, ret, e);
	if (r == -ERR_NOT_FOUND && !strcmp(e->field, "app_id"))
		return err_field(e, ERR_NOT_FOUND, "app_id", identifier, "app %.64s does not exist",
				 identifier);
	return r;
}

int api_load_manifest(const struct call *c, const struct cvm_row *row, json_t **ret, struct err *e)
{
	auto_free char *text = NULL;
	json_t *manifest;
	int r = vmm_manifest(api_of(c)->vmm, row, &text, e);

	if (r)
		return r;
	manifest = json_loads(text, 0, NULL);
	if (!manifest)
		return err_set(e, ERR_HOST, "the manifest of %s cannot be read", row->name);
	*ret = manifest;
	return 0;
}

/* ------------------------------------------------------------------ capacity */

const char *quota_resource(int quota)
{
	assert(quota >= 0 && quota < QUOTAS);
	return quota == QUOTA_CVMS ? "slots" : quota_word[quota];
}

static void limit_capacity_row(const struct workspace_row *w, struct capacity_row *row)
{
	int64_t left = row->total > row->promised ? row->total - row->promised : 0;
	int q = 0;

	while (q < QUOTAS && strcmp(row->resource, quota_resource(q)) != 0)
		q++;
	if (q == QUOTAS) {
		row->total = -1;
		row->promised = 0;
		return;
	}
	if (w->max[q] >= 0 && w->max[q] - w->held[q] < left)
		left = w->max[q] > w->held[q] ? w->max[q] - w->held[q] : 0;
	assert(left >= 0);
	row->promised = w->held[q];
	if (row->total >= 0)
		row->total = row->promised + left;
}

int api_visible_capacity(const struct call *c, struct capacity_row rows[CAPACITY_ROWS],
			 struct err *e)
{
	struct vmm *v = api_of(c)->vmm;
	struct workspace_row w;
	int r = vmm_capacity(v, rows, e);

	if (r || !api_scope(c))
		return r;
	r = vmm_workspace(v, api_scope(c), &w, e);
	for (int i = 0; !r && i < CAPACITY_ROWS; i++)
		limit_capacity_row(&w, &rows[i]);
	return r;
}
