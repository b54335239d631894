/* SPDX-License-Identifier: Apache-2.0
 * workspaces.c - /workspaces: list, read and change workspaces, and their quotas.
 *
 * Tenants and readers see only their own workspace and must not learn whether there are others.
 * Operators see all; admins change them.
 */
#include <inttypes.h>
#include <string.h>

#include <jansson.h>
#include "api/cloud/body_account.h"
#include "api/cloud/context.h"
#include "api/cloud/json_or_null.h"
#include "api/cloud/lookup.h"
#include "api/cloud/mutation_call.h"
#include "api/cloud/paging.h"
#include "api/cloud/route_tables.h"
#include "api/cloud/serialize_cvm.h"
#include "api/cloud/serialize_workspace.h"
#include "api/http/call.h"
#include "api/http/reply.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/own.h"
#include "db/capacity.h"
#include "db/devices.h"
#include "db/workspaces.h"
#include "vmm/account/workspaces.h"
#include "vmm/admit/devices.h"
#include "vmm/host/device_state.h"
#include "vmm/admit/reservation.h"
#include "vmm/node/node.h"
#include "vmm/op/mutation.h"
#include "vmm/vmm.h"

enum { LIST_DEFAULT = 100, LIST_MAX = 1000, BODY_MAX = 4096 };

/* ------------------------------------------------------------------ reading */

static void workspaces_reply(struct call *c, const struct workspace_row *rows, size_t n,
			     int64_t next, int64_t total)
{
	json_t *data = json_array(),
	       *cursor = next < total ? json_sprintf("%" PRId64, next) : json_null();

	for (size_t i = 0; i < n; i++)
		json_array_append_new(data, serialize_workspace(c, &rows[i]));
	call_reply(c, 200,
		   json_pack("{s:o,s:{s:b,s:o,s:I}}", "data", data, "pagination", "has_more",
			     next < total, "next_cursor", cursor, "total", (json_int_t)total));
}

static void get_workspaces(struct call *c)
{
	struct vmm *v = api_of(c)->vmm;
	auto_free struct workspace_row *rows = NULL;
	struct workspace_row own = { 0 };
	int64_t from = 0, limit = 0;
	struct err e;
	size_t n = 0;
	int r = call_query_int(c, "cursor", 0, INT32_MAX, 0, &from, &e);

	if (!r)
		r = call_query_int(c, "limit", 1, LIST_MAX, LIST_DEFAULT, &limit, &e);
	if (!r && api_scope(c))
		r = vmm_workspace(v, api_scope(c), &own, &e);
	else if (!r)
		r = vmm_workspaces(v, from, limit, &rows, &n, &e);
	if (r < 0)
		call_reply_err(c, &e);
	else if (api_scope(c))
		workspaces_reply(c, &own, 1, 1, 1);
	else
		workspaces_reply(c, rows, n, from + (int64_t)n, r);
}

static void get_workspace(struct call *c)
{
	struct workspace_row w = { 0 };
	struct err e;

	if (api_find_workspace(c, c->param[0], &w, &e))
		call_reply_err(c, &e);
	else
		call_reply(c, 200, serialize_workspace(c, &w));
}

static void get_workspace_nodes(struct call *c)
{
	auto_cvm_serializer struct cvm_serializer s = { 0 };
	struct workspace_row w;
	json_t *items;
	struct page p;
	struct err e;

	if (api_find_workspace(c, c->param[0], &w, &e) || page_read(c, 30, 100, &p, &e)) {
		call_reply_err(c, &e);
		return;
	}
	cvm_serializer_init(&s, c);
	items = json_array();
	if (p.page == 1)
		json_array_append(items, serialize_cvm_node(&s)->value);
	page_reply(c, items, &p, 1);
}

/* ------------------------------------------------------------------ quotas */

static const struct capacity_row *find_capacity_row(const struct capacity_row *rows,
						    const char *resource)
{
	for (int i = 0; i < CAPACITY_ROWS; i++) {
		if (!strcmp(rows[i].resource, resource))
			return &rows[i];
	}
	return NULL;
}

/* Clients require a number as limit. Without a quota it is the total of the node, and the rest is
 * what the node has free. */
static json_t *serialize_quota(const struct workspace_row *w, int q,
			       const struct capacity_row *rows)
{
	const struct capacity_row *node = find_capacity_row(rows, quota_resource(q));
	int64_t limit = w->max[q], left;

	if (limit >= 0) {
		left = limit > w->held[q] ? limit - w->held[q] : 0;
	} else {
		limit = node && node->total > 0 ? node->total : 0;
		left = node && limit > node->promised ? limit - node->promised : 0;
	}
	return json_pack("{s:I,s:I,s:I,s:b}", "limit", (json_int_t)limit, "remaining",
			 (json_int_t)left, "used", (json_int_t)w->held[q], "unlimited",
			 w->max[q] < 0);
}

/* Number of GPUs assigned to the workspace that cannot be used now. */
static int count_broken_gpus(struct vmm *v, int64_t workspace, int64_t *ret, struct err *e)
{
	auto_free struct device_row *rows = NULL;
	char why[DEVICE_WHY];
	size_t n;
	int r = vmm_devices(v, &rows, &n, e);

	*ret = 0;
	for (size_t i = 0; !r && i < n; i++)
		*ret += rows[i].kind == DEVICE_GPU && rows[i].cvm &&
			rows[i].workspace == workspace &&
			device_state(&rows[i], why) == DEVICE_BROKEN;
	return r;
}

static void get_workspace_quotas(struct call *c)
{
	struct vmm *v = api_of(c)->vmm;
	struct capacity_row rows[CAPACITY_ROWS];
	struct workspace_row w = { 0 };
	int64_t broken;
	json_t *quotas;
	struct err e;

	if (api_find_workspace(c, c->param[0], &w, &e) || api_visible_capacity(c, rows, &e) ||
	    count_broken_gpus(v, w.id, &broken, &e)) {
		call_reply_err(c, &e);
		return;
	}
	quotas = json_pack("{s:o,s:o,s:o,s:o,s:o}", "vm_slots",
			   serialize_quota(&w, QUOTA_CVMS, rows), "vcpu",
			   serialize_quota(&w, QUOTA_VCPUS, rows), "memory_mb",
			   serialize_quota(&w, QUOTA_MEMORY, rows), "disk_gb",
			   serialize_quota(&w, QUOTA_DISK, rows), "host_ports",
			   serialize_quota(&w, QUOTA_PORTS, rows));
	call_reply(c, 200,
		   json_pack("{s:s,s:s,s:o,s:{s:i,s:i},s:{s:o,s:I,s:I},s:o}", "team_slug", w.slug,
			     "tier", "local", "quotas", quotas, "reserved_nodes", "limit", 0,
			     "remaining", 0, "reserved_gpu", "gpus",
			     serialize_quota(&w, QUOTA_GPUS, rows), "in_use",
			     (json_int_t)w.held[QUOTA_GPUS], "misconfigured", (json_int_t)broken,
			     "as_of", json_time_or_null(clock_wall_ms())));
}

/* ------------------------------------------------------------------ changing */

struct workspace_call {
	struct mutation_call ch;
	const struct field_table *table;
	struct workspace_request req; /* points into ch.body */
};

static int workspace_call_parse(struct mutation_call *ch, struct err *e)
{
	struct workspace_call *m = (struct workspace_call *)ch;

	return parse_workspace_body(m->table, ch->body, &m->req, e);
}

static int workspace_add_apply(struct mutation_call *ch, struct answer *ret, struct err *e)
{
	const struct workspace_call *m = (const struct workspace_call *)ch;
	struct workspace_row w;
	int r = vmm_workspace_add(api_of(ch->call)->vmm, &m->req, &w, e);

	if (!r)
		*ret = (struct answer){ .status = 201, .body = serialize_workspace(ch->call, &w) };
	return r;
}

static int workspace_change_apply(struct mutation_call *ch, struct answer *ret, struct err *e)
{
	const struct workspace_call *m = (const struct workspace_call *)ch;
	struct workspace_row w;
	int r = vmm_workspace_change(api_of(ch->call)->vmm, ch->call->param[0], &m->req, &w, e);

	if (!r)
		*ret = (struct answer){ .status = 200, .body = serialize_workspace(ch->call, &w) };
	return r;
}

static int workspace_delete_apply(struct mutation_call *ch, struct answer *ret, struct err *e)
{
	int r = vmm_workspace_delete(api_of(ch->call)->vmm, ch->call->param[0], e);

	if (!r)
		*ret = (struct answer){ .status = 204 };
	return r;
}

static const struct mutation_call_ops workspace_add_ops = { .parse = workspace_call_parse,
							    .apply = workspace_add_apply };
static const struct mutation_call_ops workspace_change_ops = { .parse = workspace_call_parse,
							       .apply = workspace_change_apply };
static const struct mutation_call_ops workspace_delete_ops = { .apply = workspace_delete_apply };

static void workspace_run(struct call *c, const struct field_table *table,
			  const struct mutation_call_ops *ops)
{
	struct workspace_call *m = xcalloc(1, sizeof(*m));

	m->table = table;
	mutation_call_run_json(&m->ch, c, false, ops);
}

static void post_workspaces(struct call *c)
{
	workspace_run(c, &workspace_table, &workspace_add_ops);
}

static void patch_workspace(struct call *c)
{
	workspace_run(c, &workspace_change_table, &workspace_change_ops);
}

static void delete_workspace(struct call *c)
{
	mutation_call_run(xcalloc(1, sizeof(struct mutation_call)), c, NULL, &workspace_delete_ops);
}

const struct route workspace_routes[] = {
	{ "GET", "/api/v1/workspaces", ROLE_READER, 0, 0, get_workspaces, NULL },
	{ "POST", "/api/v1/workspaces", ROLE_ADMIN, ROUTE_MUTATION, BODY_MAX, post_workspaces,
	  &workspace_table },
	{ "GET", "/api/v1/workspaces/{slug}", ROLE_READER, 0, 0, get_workspace, NULL },
	{ "PATCH", "/api/v1/workspaces/{slug}", ROLE_ADMIN, ROUTE_MUTATION, BODY_MAX,
	  patch_workspace, &workspace_change_table },
	{ "DELETE", "/api/v1/workspaces/{slug}", ROLE_ADMIN, ROUTE_MUTATION | ROUTE_EMPTY_OK, 1024,
	  delete_workspace, NULL },
	{ "GET", "/api/v1/workspaces/{slug}/nodes", ROLE_READER, 0, 0, get_workspace_nodes, NULL },
	{ "GET", "/api/v1/workspaces/{slug}/quotas", ROLE_READER, 0, 0, get_workspace_quotas,
	  NULL },
	{ 0 },
};
