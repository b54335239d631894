/* SPDX-License-Identifier: Apache-2.0
 * revisions.c - read the history of an app.
 *
 * Entries are written by change_add_history() (change.c) and are not changed afterwards.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/own.h"
#include "db/apps.h"
#include "db/history.h"
#include "vmm/cvm/revisions.h"
#include "vmm/node/node.h"
#include "vmm/node/reads.h"

static void revision_info_fill(const struct history_row *h, struct revision_info *ret)
{
	*ret = (struct revision_info){
		.id = h->id, .number = h->number, .created_ms = h->created_ms, .current = h->current
	};
	memcpy(ret->compose_hash, h->compose_hash, sizeof(ret->compose_hash));
	memcpy(ret->caller, h->caller, sizeof(ret->caller));
	memcpy(ret->op_id, h->op, sizeof(ret->op_id));
	memcpy(ret->image, h->image, sizeof(ret->image));
	memcpy(ret->changed, h->changed, sizeof(ret->changed));
	memcpy(ret->cvm_uuid, h->cvm_uuid, sizeof(ret->cvm_uuid));
}

int vmm_revisions(struct vmm *v, int64_t workspace, const char *app_id, int64_t offset,
		  int64_t limit, struct revision_info **ret, size_t *ret_n, int64_t *ret_total,
		  struct err *e)
{
	auto_free struct history_row *rows = NULL;
	struct revision_info *list;
	struct app_row app;
	size_t n;
	int r = vmm_app(v, workspace, app_id, &app, e);

	if (!r)
		r = history_list(vmm_db(v), app.id, offset, limit, &rows, &n, ret_total, e);
	if (r)
		return r;
	list = xcalloc(n ? n : 1, sizeof(*list));
	for (size_t i = 0; i < n; i++)
		revision_info_fill(&rows[i], &list[i]);
	*ret = list;
	*ret_n = n;
	return 0;
}

void revisions_free(struct revision_info *list, size_t n)
{
	(void)n;
	free(list);
}

static int revision_not_found(const char *app_id, int64_t number, struct err *e)
{
	char given[24];

	(void)snprintf(given, sizeof(given), "%lld", (long long)number);
	return err_field(e, ERR_NOT_FOUND, "number", given, "app %s has no revision %s", app_id,
			 given);
}

int vmm_revision(struct vmm *v, int64_t workspace, const char *app_id, int64_t number,
		 struct revision_info *ret, struct err *e)
{
	struct history_row row;
	struct app_row app;
	int r = vmm_app(v, workspace, app_id, &app, e);

	if (r)
		return r;
	r = history_get(vmm_db(v), app.id, number, &row, e);
	if (r)
		return r == -ERR_NOT_FOUND ? revision_not_found(app.app_id, number, e) : r;
	revision_info_fill(&row, ret);
	return 0;
}

int vmm_revision_manifest(struct vmm *v, int64_t workspace, const char *app_id, int64_t number,
			  char **ret, struct err *e)
{
	struct app_row app;
	char given[24];
	int64_t id;
	int r = vmm_app(v, workspace, app_id, &app, e);

	if (r)
		return r;
	(void)snprintf(given, sizeof(given), "%lld", (long long)number);
	r = history_revision(vmm_db(v), app.id, number, &id, e);
	if (!r)
		r = revisions_manifest(vmm_db(v), id, ret, e);
	return r == -ERR_NOT_FOUND ? err_field(e, ERR_NOT_FOUND, "revision", given,
					       "app %s has no revision %s", app.app_id, given)
				   : r;
}
