/* SPDX-License-Identifier: Apache-2.0
 * admit.c - rules for create and change requests: from a request to the row of its CVM.
 *
 * Nothing is reserved here, and capacity is not checked: see capacity.c and reservation.c.
 *
 * Sizes that a request does not give come from the instance type (the named one, or the node's
 * first); sizes it gives take precedence. If it names no image, the configured default is used,
 * else the newest image (a production image unless the request prefers a dev one).
 */
#include <assert.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "base/clock.h"
#include "base/loop.h"
#include "base/own.h"
#include "base/strings.h"
#include "db/apps.h"
#include "db/cvms.h"
#include "db/images.h"
#include "db/policies.h"
#include "images/images.h"
#include "vmm/admit/admit.h"
#include "vmm/admit/admit_machine.h"
#include "vmm/admit/request.h"
#include "vmm/compose/compose.h"
#include "vmm/node/find.h"
#include "vmm/admit/policy.h"
#include "vmm/node/node.h"
#include "vmm/node/settings.h"
#include "vmm/tdx/mr_config.h"
#include "vmm/node/reads.h"

static int admit_refuse_name(const char *name, struct err *e)
{
	return err_field(e, ERR_INVALID, "name", name,
			 "name %.70s is not allowed; allowed: 5 to 63 letters, digits and hyphens, "
			 "a letter first, no hyphen last, no two hyphens in a row",
			 name);
}

/* The same path segment holds any form of identifier, and words of routes. A name must not clash
 * with either. */
static int admit_name_check_reserved(const struct vmm *v, const char *name, struct err *e)
{
	name_is_reserved_fn *is_reserved = vmm_reserved_names(v);

	if (!identifier_is_name(name))
		return err_field(
			e, ERR_INVALID, "name", name,
			"name %.70s is not allowed: it has the form of a UUID or of an app id",
			name);
	if (is_reserved && is_reserved(name))
		return err_field(e, ERR_INVALID, "name", name,
				 "name %.70s is not allowed: it is a word of this API's paths",
				 name);
	return 0;
}

/* The rule of the control plane: 5 to 63 letters, digits and hyphens, a letter first, no "--", no
 * '-' at the end. */
int admit_name(const struct vmm *v, const char *name, struct err *e)
{
	size_t n = name ? strlen(name) : 0;

	if (!name)
		return err_field(e, ERR_INVALID, "name", NULL, "name is missing");
	if (n < 5 || n > 63 || !isalpha((unsigned char)name[0]) || name[n - 1] == '-' ||
	    strstr(name, "--"))
		return admit_refuse_name(name, e);
	for (size_t i = 0; i < n; i++)
		if (!isascii(name[i]) || (!isalnum((unsigned char)name[i]) && name[i] != '-'))
			return admit_refuse_name(name, e);
	return admit_name_check_reserved(v, name, e);
}

static int admit_check_node(const struct vmm *v, const struct cvm_request *req, struct err *e)
{
	char given[24];

	(void)snprintf(given, sizeof(given), "%lld", (long long)req->node_id);
	if (req->node_id && req->node_id != vmm_settings(v)->node_id) {
		err_field(e, ERR_NODE_NOT_FOUND, "node_id", given,
			  "no node %s; this is node %lld (%s)", given,
			  (long long)vmm_settings(v)->node_id, vmm_settings(v)->node_name);
		return err_hint(e, "leave node_id out, or use %lld",
				(long long)vmm_settings(v)->node_id);
	}
	if (req->region && *req->region && strcmp(req->region, vmm_settings(v)->region) != 0)
		return err_field(e, ERR_INVALID, "region", req->region,
				 "no node in region %.60s; allowed: %s", req->region,
				 vmm_settings(v)->region);
	return 0;
}

static const struct instance_type *admit_find_type(const struct vmm *v, const char *name)
{
	for (size_t i = 0; i < vmm_settings(v)->n_types; i++)
		if (!strcmp(vmm_settings(v)->types[i].name, name))
			return &vmm_settings(v)->types[i];
	return NULL;
}

static int admit_refuse_type(const struct vmm *v, const char *name, struct err *e)
{
	char known[160] = "";
	size_t n = 0;

	for (size_t i = 0; i < vmm_settings(v)->n_types && n < sizeof(known); i++)
		n += (size_t)snprintf(known + n, sizeof(known) - n, "%s%s", i ? ", " : "",
				      vmm_settings(v)->types[i].name);
	err_field(e, ERR_TYPE_NOT_FOUND, "instance_type", name, "no instance type %.60s", name);
	return err_hint(e, "one of: %s", known);
}

static int admit_check_limit(const char *field, int64_t value, int64_t limit, const char *unit,
			     struct err *e)
{
	char given[24];

	if (!limit || value <= limit)
		return 0;
	(void)snprintf(given, sizeof(given), "%lld", (long long)value);
	return err_field(e, ERR_INVALID, field, given,
			 "%s %s is over this node's limit for one CVM; allowed: 1 to %lld %s",
			 field, given, (long long)limit, unit);
}

static int admit_check_limits(const struct vmm *v, const struct cvm_row *c, struct err *e)
{
	int r = admit_check_limit("vcpu", c->vcpus, vmm_settings(v)->max_vcpus, "vCPUs", e);

	if (!r)
		r = admit_check_limit("memory", c->memory_mib, vmm_settings(v)->max_memory_mib,
				      "MiB", e);
	if (!r)
		r = admit_check_limit("disk_size", c->disk_gib, vmm_settings(v)->max_disk_gib,
				      "GiB", e);
	return r;
}

int admit_resources(const struct vmm *v, const struct cvm_request *req, struct cvm_row *c,
		    struct err *e)
{
	const struct instance_type *type = NULL;

	if (req->instance_type && *req->instance_type) {
		type = admit_find_type(v, req->instance_type);
		if (!type)
			return admit_refuse_type(v, req->instance_type, e);
	} else if (vmm_settings(v)->n_types && (!req->vcpus || !req->memory_mib)) {
		type = &vmm_settings(v)->types[0];
	}
	if (type)
		(void)snprintf(c->instance_type, sizeof(c->instance_type), "%s", type->name);
	c->vcpus = req->vcpus ? req->vcpus : type ? type->vcpus : 1;
	c->memory_mib = req->memory_mib ? req->memory_mib : type ? type->memory_mib : 2048;
	c->disk_gib = req->disk_gib ? req->disk_gib : type ? type->disk_gib : 20;
	return admit_check_limits(v, c, e);
}

static int admit_refuse_image(struct vmm *v, const char *wanted, int dev, struct err *e)
{
	struct image_row any;
	struct err ignored;

	if (images_newest(vmm_db(v), "", -1, &any, &ignored)) {
		err_field(e, ERR_IMAGE_NOT_FOUND, "image", wanted, "this node has no OS image");
		return err_hint(e, "import one: POST /api/v1/images");
	}
	err_field(e, ERR_IMAGE_NOT_FOUND, "image", wanted, "no %sOS image %.65s on this node",
		  dev == 1   ? "dev "
		  : dev == 0 ? "production "
			     : "",
		  wanted);
	return err_hint(e, "GET /api/v1/os-images lists the images of this node, e.g. %s",
			any.name);
}

static int admit_pick_image(struct vmm *v, const struct cvm_request *req, struct image_row *ret,
			    struct err *e)
{
	const char *wanted =
		req->image && *req->image ? req->image : vmm_settings(v)->default_image;
	int r;

	if (wanted && *wanted) {
		r = image_name_check("image", wanted, e);
		if (r)
			return r;
		r = images_by_name(vmm_db(v), wanted, ret, e);
		if (r == -ERR_NOT_FOUND)
			r = images_newest(vmm_db(v), wanted, req->prefer_dev, ret, e);
		return r == -ERR_NOT_FOUND ? admit_refuse_image(v, wanted, req->prefer_dev, e) : r;
	}
	r = images_newest(vmm_db(v), "", req->prefer_dev < 0 ? 0 : req->prefer_dev, ret, e);
	if (r == -ERR_NOT_FOUND && req->prefer_dev < 0)
		r = images_newest(vmm_db(v), "", -1, ret, e);
	return r == -ERR_NOT_FOUND ? admit_refuse_image(v, "", req->prefer_dev, e) : r;
}

static bool manifest_flag(const json_t *m, const char *key, bool def)
{
	const json_t *j = json_object_get(m, key);

	return json_is_boolean(j) ? json_is_true(j) : def;
}

static int admit_set_manifest(const struct cvm_request *req, struct admission *a, struct err *e)
{
	const char *fs = json_string_value(json_object_get(req->manifest, "storage_fs"));
	struct revision_row *r = &a->revision;

	if (!req->manifest) {
		err_field(e, ERR_COMPOSE_MISSING, "compose_file", NULL, "compose_file is missing");
		return err_hint(e,
				"send compose_file: {\"docker_compose_file\": \"services: ...\"}");
	}
	a->manifest =
		req->manifest_text ? xstrdup(req->manifest_text) : compose_text(req->manifest);
	compose_hash(a->manifest, r->compose_hash);
	r->manifest = a->manifest;
	/* The defaults that the guest uses for an absent key (AppCompose). */
	r->public_logs = manifest_flag(req->manifest, "public_logs", false);
	r->public_sysinfo = manifest_flag(req->manifest, "public_sysinfo", false);
	r->public_tcbinfo = manifest_flag(req->manifest, "public_tcbinfo", true);
	r->gateway_enabled = manifest_flag(req->manifest, "gateway_enabled",
					   manifest_flag(req->manifest, "tproxy_enabled", false));
	r->kms_enabled = manifest_flag(req->manifest, "kms_enabled", false);
	r->secure_time = manifest_flag(req->manifest, "secure_time", true);
	(void)snprintf(r->storage_fs, sizeof(r->storage_fs), "%.7s", fs ? fs : "zfs");
	memcpy(a->row.compose_hash, r->compose_hash, sizeof(a->row.compose_hash));
	return compose_app_id(req->app_id, r->compose_hash, a->row.app_id, e);
}

static int admit_check_name_is_free(struct vmm *v, int64_t workspace, const char *name,
				    struct err *e)
{
	struct cvm_row other;
	int n = cvms_find(vmm_db(v), workspace, CVM_BY_NAME, name, &other, 1, e);

	if (n <= 0)
		return n;
	err_field(e, ERR_NAME_TAKEN, "name", name, "name %s is used by CVM %s", name, other.uuid);
	return err_hint(e, "choose another name, or delete that CVM");
}

static void admit_set_image(struct cvm_row *c, const struct image_row *image)
{
	c->image = image->id;
	memcpy(c->image_name, image->name, sizeof(c->image_name));
	memcpy(c->image_version, image->version, sizeof(c->image_version));
	memcpy(c->image_hash, image->os_image_hash, sizeof(c->image_hash));
	c->image_dev = image->is_dev;
	c->serial_progress = image->serial_progress;
}

static void admit_set_revision(struct cvm_row *c, const struct revision_row *r)
{
	c->public_logs = r->public_logs;
	c->public_sysinfo = r->public_sysinfo;
	c->public_tcbinfo = r->public_tcbinfo;
	c->gateway_enabled = r->gateway_enabled;
	c->secure_time = r->secure_time;
	memcpy(c->storage_fs, r->storage_fs, sizeof(c->storage_fs));
}

/* Refuse a manifest that the image cannot bind to a TD by MRCONFIGID. */
static int admit_check_mr_config(const struct cvm_row *c, const char *manifest,
				 const struct image_row *image, struct err *e)
{
	const struct mr_config_input in = { .manifest = manifest,
					    .app_id = c->app_id,
					    .image_family = image->family,
					    .image_version = image->version,
					    .tdx = c->tdx };
	auto_mr_config struct mr_config ignored = { 0 };

	return mr_config_choose(&in, &ignored, e);
}

int admit_create(struct vmm *v, int64_t workspace, const struct cvm_request *req,
		 struct admission *a, struct err *e)
{
	struct cvm_row *c = &a->row;
	int r;

	assert_loop_thread();
	*a = (struct admission){
		.row = { .workspace = workspace,
			 .holds_cpu = !(req->stopped && vmm_settings(v)->release_on_stop),
			 .listed = req->listed,
			 .desired = req->stopped ? DESIRED_STOPPED : DESIRED_RUNNING,
			 .created_ms = clock_wall_ms(),
			 .policy = { .restart = RESTART_ON_CRASH, .auto_start = true } }
	};
	policy_apply_request(&c->policy, &req->policy);
	r = admit_name(v, req->name, e);
	if (!r)
		r = admit_check_node(v, req, e);
	if (!r)
		r = admit_resources(v, req, c, e);
	if (!r)
		r = admit_pick_image(v, req, &a->image, e);
	if (!r) {
		memcpy(c->image_name, a->image.name, sizeof(c->image_name));
		c->image_dev = a->image.is_dev;
		r = admit_tee(v, req, c, e);
	}
	if (!r)
		r = admit_networks(v, req, c, e);
	if (!r)
		r = admit_set_manifest(req, a, e);
	if (!r)
		r = admit_volumes(v, req->manifest, e);
	if (!r)
		r = admit_check_mr_config(c, a->manifest, &a->image, e);
	if (!r)
		r = admit_check_name_is_free(v, workspace, req->name, e);
	if (r)
		return r;
	(void)snprintf(c->name, sizeof(c->name), "%s", req->name);
	admit_set_image(c, &a->image);
	admit_set_revision(c, &a->revision);
	return 0;
}

/* ------------------------------------------------------------------ changes */

static int admit_refuse_smaller_disk(const struct vmm *v, const struct cvm_row *c,
				     int64_t requested, struct err *e)
{
	char given[24], most[32] = "";

	(void)snprintf(given, sizeof(given), "%lld", (long long)requested);
	if (vmm_settings(v)->max_disk_gib)
		(void)snprintf(most, sizeof(most), " to %lld",
			       (long long)vmm_settings(v)->max_disk_gib);
	err_field(e, ERR_INVALID, "disk_size", given,
		  "disk_size %s is less than the present %lld GiB: a disk only grows; allowed: "
		  "%lld%s GiB",
		  given, (long long)c->disk_gib, (long long)c->disk_gib, *most ? most : " or more");
	return err_hint(e, "leave disk_size out to keep the disk as it is");
}

/* A new size replaces what was requested and what was given; the same size changes nothing. */
static void admit_set_size(int64_t wanted, int64_t *requested, int64_t *given)
{
	if (wanted && wanted != *requested)
		*requested = *given = wanted;
}

/* Sizes in the request take precedence over those of the type, as in a create. A type with a
 * smaller disk leaves the disk as it is. */
static int admit_change_resources(const struct vmm *v, const struct update_request *req,
				  struct cvm_row *c, struct err *e)
{
	const bool named = req->instance_type && *req->instance_type;
	const struct instance_type *type = named ? admit_find_type(v, req->instance_type) : NULL;
	int64_t vcpus = c->vcpus, memory = c->memory_mib;

	if (named && !type)
		return admit_refuse_type(v, req->instance_type, e);
	if (req->disk_gib && req->disk_gib < c->disk_gib)
		return admit_refuse_smaller_disk(v, c, req->disk_gib, e);
	admit_set_size(req->vcpus ? req->vcpus
		       : type     ? type->vcpus
				  : 0,
		       &c->vcpus, &c->given_vcpus);
	admit_set_size(req->memory_mib ? req->memory_mib
		       : type          ? type->memory_mib
				       : 0,
		       &c->memory_mib, &c->given_memory_mib);
	if (req->disk_gib)
		c->disk_gib = req->disk_gib;
	else if (type && type->disk_gib > c->disk_gib)
		c->disk_gib = type->disk_gib;
	if (type)
		(void)snprintf(c->instance_type, sizeof(c->instance_type), "%s", type->name);
	else if (c->vcpus != vcpus || c->memory_mib != memory)
		c->instance_type[0] = '\0'; /* no longer the sizes of a type */
	return admit_check_limits(v, c, e);
}

static int admit_change_software(struct vmm *v, const struct cvm_row *cvm,
				 const struct update_request *req, struct admission *a,
				 struct err *e)
{
	/* An app keeps its id when its manifest changes. */
	const struct cvm_request like = { .image = req->image,
					  .prefer_dev = -1,
					  .manifest = req->manifest,
					  .manifest_text = req->manifest_text,
					  .app_id = cvm->app_id };
	auto_free char *present = NULL;
	int r = 0;

	if (req->image)
		r = admit_pick_image(v, &like, &a->image, e);
	else
		r = images_by_name(vmm_db(v), cvm->image_name, &a->image, e);
	if (r)
		return r == -ERR_NOT_FOUND
			       ? err_set(e, ERR_HOST, "the image of %s is missing", cvm->name)
			       : r;
	admit_set_image(&a->row, &a->image);
	r = tee_allows(v, &a->row, e);
	if (!r && req->manifest) {
		r = admit_set_manifest(&like, a, e);
		if (!r)
			admit_set_revision(&a->row, &a->revision);
		if (!r)
			r = admit_volumes(v, req->manifest, e);
	} else if (!r) {
		r = vmm_manifest(v, cvm, &present, e);
	}
	return r ? r
		 : admit_check_mr_config(&a->row, req->manifest ? a->manifest : present, &a->image,
					 e);
}

int admit_change(struct vmm *v, const struct cvm_row *cvm, const struct update_request *req,
		 struct admission *a, struct err *e)
{
	int r;

	assert_loop_thread();
	assert(cvm->id > 0);
	*a = (struct admission){ .row = *cvm };
	r = admit_change_resources(v, req, &a->row, e);
	if (!r && (req->image || req->manifest))
		r = admit_change_software(v, cvm, req, a, e);
	if (!r && req->listed >= 0)
		a->row.listed = req->listed;
	return r;
}

void admission_free(struct admission *a)
{
	free(a->manifest);
	free(a->devices);
	a->manifest = NULL;
	a->devices = NULL;
}
