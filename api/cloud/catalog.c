/* SPDX-License-Identifier: Apache-2.0
 * catalog.c - GET /instance-types, /os-images and /kms: what a create request may name.
 *
 * Clients reject extra keys in the answers of /instance-types and /kms.
 */
#include <inttypes.h>
#include <string.h>

#include "api/cloud/context.h"
#include "api/cloud/paging.h"
#include <jansson.h>
#include "api/cloud/route_tables.h"
#include "api/cloud/serialize_workspace.h"
#include "api/http/call.h"
#include "api/http/reply.h"
#include "base/own.h"
#include "db/images.h"
#include "vmm/account/balance.h"
#include "vmm/node/node.h"
#include "vmm/node/settings.h"
#include "vmm/vmm.h"

/* Types without GPUs are one family. */
static const char cpu_family[] = "cpu";

static json_t *serialize_instance_type(const struct vmm *v, const struct instance_type *t)
{
	char rate[MONEY_TEXT];
	json_t *about = json_sprintf("%" PRId64 " vCPU, %" PRId64 " MB memory, %" PRId64 " GB disk",
				     t->vcpus, t->memory_mib, t->disk_gib);

	return json_pack(
		"{s:s,s:s,s:o,s:I,s:I,s:s,s:b,s:s,s:I}", "id", t->name, "name", t->name,
		"description", about, "vcpu", (json_int_t)t->vcpus, "memory_mb",
		(json_int_t)t->memory_mib, "hourly_rate",
		money_text(vmm_hourly_rate(v, t->vcpus, t->memory_mib, t->disk_gib, 0), rate),
		"requires_gpu", 0, "family", cpu_family, "default_disk_size_gb",
		(json_int_t)t->disk_gib);
}

static json_t *serialize_all_types(const struct vmm *v)
{
	const struct vmm_settings *s = vmm_settings(v);
	json_t *a = json_array();

	for (size_t i = 0; i < s->n_types; i++)
		json_array_append_new(a, serialize_instance_type(v, &s->types[i]));
	return a;
}

static void get_instance_types(struct call *c)
{
	const struct vmm_settings *s = vmm_settings(api_of(c)->vmm);

	call_reply(c, 200,
		   json_pack("{s:[{s:s,s:o,s:I}]}", "result", "name", cpu_family, "items",
			     serialize_all_types(api_of(c)->vmm), "total", (json_int_t)s->n_types));
}

static void get_instance_family(struct call *c)
{
	const struct vmm_settings *s = vmm_settings(api_of(c)->vmm);
	struct err e;

	if (strcmp(c->param[0], cpu_family) != 0) {
		err_field(&e, ERR_NOT_FOUND, "family", c->param[0],
			  "instance type family %.64s does not exist; the only family is %s",
			  c->param[0], cpu_family);
		call_reply_err(c, &e);
		return;
	}
	call_reply(c, 200,
		   json_pack("{s:o,s:I,s:s}", "items", serialize_all_types(api_of(c)->vmm), "total",
			     (json_int_t)s->n_types, "family", cpu_family));
}

static json_t *serialize_os_image(const struct image_row *row)
{
	return json_pack("{s:s,s:s,s:s,s:s,s:b,s:b}", "name", row->name, "slug", row->name,
			 "version", row->version, "os_image_hash", row->os_image_hash, "is_dev",
			 row->is_dev, "requires_gpu", 0);
}

static int read_is_dev(struct call *c, int *ret, struct err *e)
{
	bool dev = false;
	int r;

	*ret = -1;
	if (!call_query(c, "is_dev", 0))
		return 0;
	r = call_query_bool(c, "is_dev", false, &dev, e);
	if (!r)
		*ret = dev;
	return r;
}

static void get_os_images(struct call *c)
{
	auto_free struct image_row *rows = NULL;
	json_t *items;
	struct page p;
	struct err e;
	size_t n = 0;
	int dev, total = 0;

	if (page_read(c, 20, 100, &p, &e) || read_is_dev(c, &dev, &e) ||
	    (total = vmm_images(api_of(c)->vmm, dev, page_offset(&p), p.size, &rows, &n, &e)) < 0) {
		call_reply_err(c, &e);
		return;
	}
	items = json_array();
	for (size_t i = 0; i < n; i++)
		json_array_append_new(items, serialize_os_image(&rows[i]));
	page_reply(c, items, &p, total);
}

/* The node knows no on-chain KMS, so the list is empty. Guests get the URLs of the KMS that the
 * operator configured. */
static void get_kms(struct call *c)
{
	struct page p;
	struct err e;

	if (page_read(c, 20, 100, &p, &e)) {
		call_reply_err(c, &e);
		return;
	}
	page_reply(c, json_array(), &p, 0);
}

const struct route catalog_routes[] = {
	{ "GET", "/api/v1/instance-types", ROLE_READER, 0, 0, get_instance_types, NULL },
	{ "GET", "/api/v1/instance-types/{family}", ROLE_READER, 0, 0, get_instance_family, NULL },
	{ "GET", "/api/v1/os-images", ROLE_READER, 0, 0, get_os_images, NULL },
	{ "GET", "/api/v1/kms", ROLE_READER, 0, 0, get_kms, NULL },
	{ 0 },
};
