/* SPDX-License-Identifier: Apache-2.0
 * serialize_workspace.c - workspaces and amounts of money as JSON.
 */
#include "api/cloud/serialize_workspace.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

#include "api/cloud/authenticate.h"
#include "api/cloud/context.h"
#include "api/cloud/json_or_null.h"
#include "api/http/call.h"
#include "db/workspaces.h"
#include "vmm/account/workspaces.h"
#include "vmm/node/node.h"

enum { MICRO = 1000000 };

static json_t *serialize_quota_amounts(const int64_t amount[QUOTAS])
{
	json_t *o = json_object();

	for (int q = 0; q < QUOTAS; q++)
		json_object_set_new(o, quota_word[q],
				    amount[q] < 0 ? json_null() : json_integer(amount[q]));
	return o;
}

json_t *serialize_workspace(const struct call *c, const struct workspace_row *w)
{
	bool is_default = w->id == vmm_default_workspace(api_of(c)->vmm);
	char id[32];

	(void)snprintf(id, sizeof(id), "ws_%" PRId64, w->id);
	return json_pack("{s:s,s:s,s:s,s:s,s:s,s:b,s:o,s:I,s:I,s:o,s:o}", "id", id, "name", w->name,
			 "slug", w->slug, "tier", "local", "role", role_text(c->caller.role),
			 "is_default", is_default, "created_at", json_time_or_null(w->created_ms),
			 "apps", (json_int_t)w->apps, "cvms", (json_int_t)w->cvms, "quotas",
			 serialize_quota_amounts(w->max), "held", serialize_quota_amounts(w->held));
}

json_t *serialize_workspace_ref(struct vmm *v, int64_t id)
{
	struct workspace_row ws;
	char ref[32];
	struct err e;

	if (vmm_workspace(v, id, &ws, &e))
		return json_null();
	(void)snprintf(ref, sizeof(ref), "ws_%" PRId64, id);
	return json_pack("{s:s,s:s,s:s,s:s,s:n}", "object_type", "workspace", "id", ref, "name",
			 ws.name, "slug", ws.slug, "avatar_url");
}

char *money_text(int64_t micro, char out[MONEY_TEXT])
{
	uint64_t n = micro < 0 ? -(uint64_t)micro : (uint64_t)micro;
	size_t end = (size_t)snprintf(out, MONEY_TEXT, "%s%" PRIu64 ".%06" PRIu64,
				      micro < 0 ? "-" : "", n / MICRO, n % MICRO);

	assert(end > 0 && end < MONEY_TEXT);
	while (out[end - 1] == '0')
		out[--end] = 0;
	if (out[end - 1] == '.')
		out[end - 1] = 0;
	return out;
}
