/* SPDX-License-Identifier: Apache-2.0
 * workspaces.c - /workspaces: who shares the node, what each may hold, and what is left of that.
 *
 * Tenants and readers see their own and nothing that tells whether there are others; operators see
 * all, admins change them.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "api/cloud/account.h"
#include "api/cloud/body_account.h"
#include "api/cloud/mutation_call.h"
#include "api/cloud/route_tables.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "base/own.h"
#include "db/capacity.h"
#include "db/devices.h"
#include "db/workspaces.h"
#include "vmm/account/account.h"
#include "vmm/account/workspaces.h"
#include "vmm/admit/devices.h"
#include "vmm/host/device_state.h"
#include "vmm/admit/reservation.h"
#include "vmm/node/node.h"
#include "vmm/op/mutation.h"
#include "vmm/vmm.h"

enum { LIST_DEFAULT = 100, LIST_MAX = 1000, BODY_MAX = 4096 };

const char *role_text(enum role r)
{
	static const char *const words[] = { "none", "reader", "tenant", "operator", "admin" };

	return words[r];
}

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
	return err_field(e, ERR_NOT_FOUND, "slug", slug, "no workspace is called %.64s", slug);
}

/* ------------------------------------------------------------------ looking */

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
	json_t *body, *items;
	struct page p;
	struct err e;

	if (api_find_workspace(c, c->param[0], &w, &e) || page_read(c, 30, 100, &p, &e)) {
		call_reply_err(c, &e);
		return;
	}
	cvm_serializer_init(&s, c);
	items = json_array();
	if (p.page == 1)
		json_array_append(items, s.node);
	body = json_pack("{s:o}", "items", items);
	page_put(body, &p, 1);
	call_reply(c, 200, body);
}

/* ------------------------------------------------------------------ what is left */

static const char *quota_resource(int quota)
{
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

static const struct capacity_row *find_capacity_row(const struct capacity_row *rows,
						    const char *resource)
{
	for (int i = 0; i < CAPACITY_ROWS; i++) {
		if (!strcmp(rows[i].resource, resource))
			return &rows[i];
	}
	return NULL;
}

/* Clients want a number for the limit: without one of its own it is what it could have, and what is
 * left is what is free on the node. */
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

/* GPUs of the workspace that can not be used just now. */
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
	struct workspace_ask ask; /* points into ch.body */
};

static int workspace_add_apply(struct mutation_call *ch, struct answer *ret, struct err *e)
{
	const struct workspace_call *m = (const struct workspace_call *)ch;
	struct workspace_row w;
	int r = vmm_workspace_add(api_of(ch->call)->vmm, &m->ask, &w, e);

	if (!r)
		*ret = (struct answer){ .status = 201, .body = serialize_workspace(ch->call, &w) };
	return r;
}

static int workspace_change_apply(struct mutation_call *ch, struct answer *ret, struct err *e)
{
	const struct workspace_call *m = (const struct workspace_call *)ch;
	struct workspace_row w;
	int r = vmm_workspace_change(api_of(ch->call)->vmm, ch->call->param[0], &m->ask, &w, e);

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

static const struct mutation_call_ops workspace_add_ops = { .apply = workspace_add_apply };
static const struct mutation_call_ops workspace_change_ops = { .apply = workspace_change_apply };
static const struct mutation_call_ops workspace_delete_ops = { .apply = workspace_delete_apply };

static void workspace_run(struct call *c, const struct field_table *table,
			  const struct mutation_call_ops *ops)
{
	struct workspace_call *m = xcalloc(1, sizeof(*m));
	struct err e;
	json_t *body = call_json(c, false, &e);

	if (body && !parse_workspace_body(table, body, &m->ask, &e)) {
		mutation_call_run(&m->ch, c, body, ops);
		return;
	}
	call_reply_err(c, &e);
	json_decref(body);
	free(m);
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
