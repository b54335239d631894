/* SPDX-License-Identifier: Apache-2.0
 * account.c - GET /auth/me and GET /teepods/available: the caller, and the node that it may use.
 *
 * There is one node. Fields of the cloud that have no meaning here are answered with constants.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "api/cloud/authenticate.h"
#include "api/cloud/context.h"
#include "api/cloud/lookup.h"
#include <jansson.h>
#include "api/cloud/route_tables.h"
#include "api/cloud/serialize_workspace.h"
#include "api/http/call.h"
#include "api/http/reply.h"
#include "base/array.h"
#include "base/json.h"
#include "base/own.h"
#include "db/capacity.h"
#include "db/images.h"
#include "db/node.h"
#include "db/policies.h"
#include "vmm/account/balance.h"
#include "vmm/cvm/maintenance.h"
#include "vmm/node/node.h"
#include "vmm/node/settings.h"
#include "vmm/vmm.h"

/* Credit left in micro-units; 0 if billing is off or cannot be read. */
static int64_t account_credit_left(const struct call *c)
{
	struct balance b;
	struct err ignored;

	if (vmm_balance(api_of(c)->vmm, c->caller.workspace, &b, &ignored) || !b.enabled)
		return 0;
	return b.left;
}

static json_t *serialize_me_v25(const struct call *c)
{
	return json_pack("{s:s,s:s,s:i,s:i,s:s,s:s,s:s}", "username", c->caller.name, "email", "",
			 "credits", (int)(account_credit_left(c) / 1000000), "granted_credits", 0,
			 "avatar", "", "team_name", c->caller.workspace_slug, "team_tier", "local");
}

static json_t *serialize_me_v26(const struct call *c)
{
	char id[32], credit[MONEY_TEXT];

	(void)snprintf(id, sizeof(id), "ws_%" PRId64, c->caller.workspace);
	return json_pack(
		"{s:{s:s,s:s,s:s,s:s,s:b,s:b,s:b,s:b},s:{s:s,s:s,s:s,s:s,s:s},s:{s:s,s:s,s:b,s:n}}",
		"user", "username", c->caller.name, "email", "", "role",
		c->caller.role >= ROLE_ADMIN ? "admin" : "user", "avatar", "", "email_verified", 0,
		"totp_enabled", 0, "has_backup_codes", 0, "flag_has_password", 0, "workspace", "id",
		id, "name", c->caller.workspace_slug, "slug", c->caller.workspace_slug, "tier",
		"local", "role", role_text(c->caller.role), "credits", "balance",
		money_text(account_credit_left(c), credit), "granted_balance", "0", "is_post_paid",
		0, "outstanding_amount");
}

static void get_me(struct call *c)
{
	call_reply(c, 200, c->version == 25 ? serialize_me_v25(c) : serialize_me_v26(c));
}

/* ------------------------------------------------------------------ /teepods/available */

static int64_t capacity_total(const struct capacity_row *rows, const char *resource)
{
	for (int i = 0; i < CAPACITY_ROWS; i++) {
		if (!strcmp(rows[i].resource, resource))
			return rows[i].total;
	}
	return -1;
}

static int64_t account_free_capacity(const struct capacity_row *rows, const char *resource)
{
	for (int i = 0; i < CAPACITY_ROWS; i++) {
		if (!strcmp(rows[i].resource, resource) && rows[i].total > rows[i].promised)
			return rows[i].total - rows[i].promised;
	}
	return 0;
}

/* The free share of the scarcest resource, 0 to 1. */
static double capacity_score(const struct capacity_row *rows)
{
	static const char *const counted[] = { "vcpus", "memory_mib", "disk_gib", "slots" };
	double least = 1;

	for (size_t i = 0; i < ARRAY_SIZE(counted); i++) {
		int64_t total = capacity_total(rows, counted[i]);
		double left =
			total > 0 ? (double)account_free_capacity(rows, counted[i]) / (double)total
				  : 0;

		least = left < least ? left : least;
	}
	return least;
}

static json_t *capacity_limit(const struct capacity_row *rows, const char *resource)
{
	int64_t total = capacity_total(rows, resource);

	return total < 0 ? json_null() : json_integer(total);
}

static json_t *serialize_node_images(const struct image_row *rows, size_t n)
{
	json_t *a = json_array();

	for (size_t i = 0; i < n; i++) {
		json_t *version = json_array();

		for (unsigned k = 0; k < (rows[i].nv == 4 ? 4U : 3U); k++)
			json_array_append_new(version, json_integer(rows[i].v[k]));
		json_array_append_new(a, json_pack("{s:s,s:b,s:o,s:s}", "name", rows[i].name,
						   "is_dev", rows[i].is_dev, "version", version,
						   "os_image_hash", rows[i].os_image_hash));
	}
	return a;
}

/* `listed` is false during maintenance. A create is then refused with the reason. */
static json_t *serialize_available_node(const struct vmm_settings *s,
					const struct capacity_row *rows, json_t *images,
					const struct maintenance_row *m)
{
	json_t *o =
		json_pack("{s:I,s:s,s:b,s:f,s:I,s:I,s:I,s:o,s:b,s:n,s:n,s:s,s:n,s:[]}", "teepod_id",
			  (json_int_t)s->node_id, "name", s->node_name, "listed", !m->on,
			  "resource_score", m->on ? 0.0 : capacity_score(rows), "remaining_vcpu",
			  (json_int_t)account_free_capacity(rows, "vcpus"), "remaining_memory",
			  (json_int_t)account_free_capacity(rows, "memory_mib"),
			  "remaining_cvm_slots", (json_int_t)account_free_capacity(rows, "slots"),
			  "images", images, "support_onchain_kms", 0, "fmspc", "device_id",
			  "region_identifier", s->region, "default_kms", "kms_list");

	json_object_set_new(o, "maintenance", m->on ? json_text(m->reason) : json_null());
	return o;
}

static void get_available(struct call *c)
{
	struct capacity_row rows[CAPACITY_ROWS];
	auto_free struct image_row *images = NULL;
	struct vmm *v = api_of(c)->vmm;
	struct maintenance_row m = { 0 };
	struct drain_counts ignored;
	json_t *capacity;
	struct err e;
	size_t n = 0;

	if (api_visible_capacity(c, rows, &e) || vmm_maintenance(v, &m, &ignored, &e) ||
	    vmm_images(v, -1, 0, 1000, &images, &n, &e) < 0) {
		call_reply_err(c, &e);
		return;
	}
	capacity = json_pack("{s:o,s:o,s:o,s:o}", "max_instances", capacity_limit(rows, "slots"),
			     "max_vcpu", capacity_limit(rows, "vcpus"), "max_memory",
			     capacity_limit(rows, "memory_mib"), "max_disk",
			     capacity_limit(rows, "disk_gib"));
	call_reply(c, 200,
		   json_pack("{s:s,s:o,s:[o],s:[]}", "tier", "local", "capacity", capacity, "nodes",
			     serialize_available_node(vmm_settings(v), rows,
						      serialize_node_images(images, n), &m),
			     "kms_list"));
}

const struct route account_routes[] = {
	{ "GET", "/api/v1/auth/me", ROLE_READER, 0, 0, get_me, NULL },
	{ "GET", "/api/v1/teepods/available", ROLE_READER, 0, 0, get_available, NULL },
	{ 0 },
};
