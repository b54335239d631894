/* SPDX-License-Identifier: Apache-2.0
 * print_domain.c - print the domain XML that a create would define, without a database, a daemon
 * or a hypervisor.
 *
 * The output must depend on the request, the settings and the image alone, because operators
 * compare it between hosts. What only a host can decide (NUMA nodes, devices) is refused. The
 * machine comes from machine.c.
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/own.h"
#include "base/strings.h"
#include "db/cvms.h"
#include "images/images.h"
#include "vmm/admit/admit.h"
#include "vmm/admit/admit_machine.h"
#include "vmm/admit/request.h"
#include "vmm/compose/compose.h"
#include "vmm/guest/machine.h"
#include "vmm/guest/print_domain.h"
#include "vmm/node/node.h"
#include "vmm/node/settings.h"
#include "vmm/tdx/mr_config.h"
#include "vmm/virt/domain_spec.h"

struct image_folder {
	char *dir; /* owned */
	struct image image;
	struct image_boot boot;
};

static void image_folder_free(struct image_folder *f)
{
	free(f->dir);
}

#define auto_image_folder __attribute__((cleanup(image_folder_free)))

/* ------------------------------------------------------------------ image */

/* True if folder @name is the image @wanted, or a newer version of the family @wanted than @best.
 */
static bool image_folder_is_better(const char *wanted, const char *name, const char *best)
{
	struct image a = { 0 }, b = { 0 };

	if (!image_name_split(name, a.family, a.version, a.v, &a.nv))
		return false;
	if (!strcmp(name, wanted))
		return true;
	if (strcmp(a.family, wanted) != 0 || !strcmp(best, wanted))
		return false;
	return !image_name_split(best, b.family, b.version, b.v, &b.nv) ||
	       image_version_compare(&a, &b) > 0;
}

static void image_folder_find(const char *store, const char *wanted, char best[IMAGE_NAME])
{
	DIR *d = store ? opendir(store) : NULL;

	if (!d)
		return;
	for (const struct dirent *de; (de = readdir(d));)
		if (strlen(de->d_name) < IMAGE_NAME &&
		    image_folder_is_better(wanted, de->d_name, best))
			memcpy(best, de->d_name, strlen(de->d_name) + 1);
	(void)closedir(d);
}

static int print_domain_image(const struct vmm_settings *s, const struct cvm_request *req,
			      struct image_folder *ret, struct err *e)
{
	const char *wanted = req->image ? req->image : s->default_image;
	const char *const stores[] = { s->images_dir, s->demo_images_dir };
	char best[IMAGE_NAME] = "";
	int r;

	if (!wanted)
		return err_field(e, ERR_IMAGE_NOT_FOUND, "image", NULL,
				 "image is required: no default image is configured");
	r = image_name_check("image", wanted, e);
	for (size_t i = 0; !r && !*best && i < ARRAY_SIZE(stores); i++) {
		image_folder_find(stores[i], wanted, best);
		if (*best)
			ret->dir = xasprintf("%s/%s", stores[i], best);
	}
	if (!r && !ret->dir)
		r = err_field(e, ERR_IMAGE_NOT_FOUND, "image", wanted, "no OS image %s in %s",
			      wanted, s->images_dir);
	return r ? r : image_verify(ret->dir, NULL, &ret->image, &ret->boot, e);
}

/* ------------------------------------------------------------------ the row of the CVM */

/* A UUID in the format of version 4, derived from a digest of the row. */
static void deterministic_uuid(const struct cvm_row *c, char out[UUID_TEXT])
{
	auto_free char *all =
		xasprintf("%s %s %s %s %lld %lld %lld %s %d", c->name, c->app_id, c->compose_hash,
			  c->image_hash, (long long)c->vcpus, (long long)c->memory_mib,
			  (long long)c->disk_gib, c->networks, (int)c->tdx);
	uint8_t h[SHA256_LEN];

	id_sha256(all, strlen(all), h);
	h[6] = (uint8_t)((h[6] & 0x0f) | 0x40);
	h[8] = (uint8_t)((h[8] & 0x3f) | 0x80);
	(void)snprintf(out, UUID_TEXT,
		       "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", h[0],
		       h[1], h[2], h[3], h[4], h[5], h[6], h[7], h[8], h[9], h[10], h[11], h[12],
		       h[13], h[14], h[15]);
}

static void row_set_image(const struct image *i, struct cvm_row *c)
{
	memcpy(c->image_name, i->name, sizeof(c->image_name));
	memcpy(c->image_version, i->version, sizeof(c->image_version));
	memcpy(c->image_hash, i->os_image_hash, sizeof(c->image_hash));
	c->image_dev = i->is_dev;
}

static bool request_wants_tdx(const struct vmm_settings *s, const struct cvm_request *req)
{
	return req->tee == TEE_AUTO ? s->tee != TEE_NONE : req->tee == TEE_TDX;
}

/* Refuse what depends on the host: NUMA nodes and devices. */
static int refuse_host_dependent(const struct cvm_request *req, struct err *e)
{
	const struct {
		const char *field;
		bool given;
	} no[] = { { "hugepages", req->hugepages },
		   { "pin_numa", req->pin_numa },
		   { "gpus", req->gpu_attach == GPU_ALL || req->n_gpus > 0 } };

	for (size_t i = 0; i < ARRAY_SIZE(no); i++)
		if (no[i].given)
			return err_field(e, ERR_UNSUPPORTED, no[i].field, NULL,
					 "cannot print a domain with %s: only a host can choose "
					 "its resources",
					 no[i].field);
	return 0;
}

static int print_domain_row(struct vmm *v, const struct cvm_request *req, const char *manifest,
			    const struct image *image, struct cvm_row *c, struct err *e)
{
	int r = admit_name(v, req->name, e);

	*c = (struct cvm_row){ .tdx = request_wants_tdx(vmm_settings(v), req),
			       .cid = vmm_settings(v)->cid_start };
	row_set_image(image, c);
	compose_hash(manifest, c->compose_hash);
	if (!r)
		r = refuse_host_dependent(req, e);
	if (!r)
		r = admit_resources(v, req, c, e);
	if (!r)
		r = admit_registers(req, c, e);
	if (!r)
		r = admit_networks(v, req, c, e);
	if (!r)
		r = compose_app_id(req->app_id, c->compose_hash, c->app_id, e);
	if (r)
		return r;
	(void)snprintf(c->name, sizeof(c->name), "%s", req->name);
	c->given_vcpus = c->vcpus;
	c->given_memory_mib = c->memory_mib;
	deterministic_uuid(c, c->uuid);
	return 0;
}

/* ------------------------------------------------------------------ printing */

static int print_domain(struct vmm *v, const struct cvm_request *req, const struct image_folder *f,
			char **ret, struct err *e)
{
	auto_free char *manifest = compose_text(req->manifest), *dir = NULL;
	auto_machine struct machine m = { 0 };
	uint8_t seed[INSTANCE_SEED_LEN];
	struct cvm_row c;
	char domain[80];
	int r = print_domain_row(v, req, manifest, &f->image, &c, e);

	if (r)
		return r;
	dir = cvm_dir(v, c.uuid);
	cvm_domain_name(c.uuid, domain);
	mr_config_seed("", c.uuid, seed);
	r = machine_make(&(struct machine_in){ .set = vmm_settings(v),
					       .cvm = &c,
					       .manifest = manifest,
					       .boot = &f->boot,
					       .dir = dir,
					       .image_dir = f->dir,
					       .domain = domain,
					       .vsock = true,
					       .instance_seed = seed },
			 &m, e);
	return r ? r : domain_xml(&m.spec, ret, e);
}

int vmm_print_domain(const struct vmm_settings *s, const struct cvm_request *req, char **ret,
		     struct err *e)
{
	auto_image_folder struct image_folder f = { 0 };
	struct vmm *v;
	int r = print_domain_image(s, req, &f, e);

	if (r)
		return r;
	v = vmm_new(s);
	r = print_domain(v, req, &f, ret, e);
	vmm_free(v);
	return r;
}
