/* SPDX-License-Identifier: Apache-2.0
 * devices.c - choose the GPUs of a CVM.
 *
 * The error depends on the obstacle, because the caller's remedy does. ERR-02-006: the entry can
 * never be met on this node. ERR-02-007, with numbers: too few GPUs are free. ERR-02-016: a GPU is
 * not reserved, but a driver or a program of the host uses it. Entries with a slot are chosen
 * before entries with only a product, so that the latter never take a slot that another entry
 * names.
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/alloc.h"
#include "base/own.h"
#include "db/capacity.h"
#include "db/devices.h"
#include "vmm/admit/devices.h"
#include "vmm/admit/request.h"
#include "vmm/host/device_state.h"
#include "vmm/host/pci.h"
#include "vmm/node/settings.h"

const char *const gpu_attach_word[GPU_ATTACHES] = {
	[GPU_NONE] = "",
	[GPU_LISTED] = "listed",
	[GPU_ALL] = "all",
};

/* ------------------------------------------------------------------ state */

static bool device_is_free(const struct device_row *d)
{
	char why[DEVICE_WHY];

	return device_state(d, why) == DEVICE_FREE;
}

static bool device_is_broken(const struct device_row *d)
{
	char why[DEVICE_WHY];

	return device_state(d, why) == DEVICE_BROKEN;
}

static bool device_is_busy(const struct device_row *d)
{
	return !d->cvm && !device_is_free(d) && !device_is_broken(d);
}

static bool device_is_offered_gpu(const struct device_row *d)
{
	return d->kind == DEVICE_GPU && d->offered;
}

void devices_count(const struct device_row *rows, size_t n, struct capacity_row *ret)
{
	*ret = (struct capacity_row){ .resource = "gpus" };
	for (size_t i = 0; i < n; i++) {
		if (!device_is_offered_gpu(&rows[i]) || device_is_broken(&rows[i]) ||
		    device_is_busy(&rows[i]))
			continue;
		ret->total++;
		ret->promised += rows[i].cvm != 0;
	}
}

/* ------------------------------------------------------------------ one entry */

struct choice {
	const struct gpu_settings *g;
	const struct cvm_request *req;
	int64_t workspace;
	const struct device_row *rows;
	size_t n;
	bool *taken; /* by row */
};

static void gpu_entry_field(size_t entry, const char *key, char out[48])
{
	(void)snprintf(out, 48, "gpus.gpus[%zu].%s", entry, key);
}

static int device_hint_list(struct err *e)
{
	return err_hint(
		e,
		"GET /api/v1/devices lists the GPUs of this node, with what is offered and free");
}

/* The error for an offered GPU that is not free. */
static int device_refuse(const struct choice *c, const struct device_row *d, const char *field,
			 struct err *e)
{
	char why[DEVICE_WHY];
	enum device_state s = device_state(d, why);

	if (s == DEVICE_BROKEN)
		return err_field(e, ERR_GPU, field, d->address, "%s %s is broken: %s",
				 device_kind_word[d->kind], d->address, why);
	if (!d->cvm) {
		err_field(e, ERR_GPU_BUSY, field, d->address, "%s %s is free, but %s",
			  device_kind_word[d->kind], d->address, why);
		return err_hint(e, "the node's operator can bind it to vfio-pci: see docs/gpus.md");
	}
	if (d->workspace == c->workspace)
		return err_field(e, ERR_GPU, field, d->address, "%s %s is reserved by CVM %s",
				 device_kind_word[d->kind], d->address, d->cvm_uuid);
	return err_field(e, ERR_GPU, field, d->address, "%s %s is reserved by another CVM",
			 device_kind_word[d->kind], d->address);
}

static int gpu_take_slot(struct choice *c, size_t entry, struct err *e)
{
	const struct gpu_request *a = &c->req->gpus[entry];
	char address[PCI_TEXT], field[48];
	size_t i = 0;

	gpu_entry_field(entry, "slot", field);
	if (!pci_address(a->slot, address))
		return err_field(
			e, ERR_INVALID, field, a->slot,
			"%s %.40s is no PCI address; allowed: such as 18:00.0 or 0000:18:00.0",
			field, a->slot);
	while (i < c->n &&
	       (strcmp(c->rows[i].address, address) != 0 || !device_is_offered_gpu(&c->rows[i])))
		i++;
	if (i == c->n) {
		err_field(e, ERR_GPU, field, a->slot, "no GPU is offered at %s", address);
		return device_hint_list(e);
	}
	if (c->taken[i])
		return err_field(e, ERR_GPU, field, a->slot, "%s is requested twice", address);
	if (a->product_id && strcasecmp(a->product_id, c->rows[i].product_id) != 0) {
		gpu_entry_field(entry, "product_id", field);
		return err_field(e, ERR_GPU, field, a->product_id, "the GPU at %s is %s", address,
				 c->rows[i].product_id);
	}
	if (!device_is_free(&c->rows[i]))
		return device_refuse(c, &c->rows[i], field, e);
	c->taken[i] = true;
	return 0;
}

/* Product @id: entries that request any GPU of it, and GPUs of it on this node. */
struct supply {
	size_t wanted, offered, working, free, busy, broken;
};

static bool gpu_is_any_of(const struct gpu_request *a, const char *id)
{
	return !a->slot && a->product_id && !strcasecmp(a->product_id, id);
}

static struct supply gpu_supply(const struct choice *c, const char *id)
{
	struct supply s = { 0 };

	for (size_t i = 0; i < c->req->n_gpus; i++)
		s.wanted += gpu_is_any_of(&c->req->gpus[i], id);
	for (size_t i = 0; i < c->n; i++) {
		const struct device_row *d = &c->rows[i];

		if (!device_is_offered_gpu(d) || strcasecmp(d->product_id, id) != 0)
			continue;
		s.offered++;
		s.broken += device_is_broken(d);
		s.working += !device_is_broken(d);
		s.free += device_is_free(d) && !c->taken[i];
		s.busy += device_is_busy(d);
	}
	return s;
}

static int gpu_refuse_busy(const struct choice *c, const char *id, const char *field, struct err *e)
{
	for (size_t i = 0; i < c->n; i++)
		if (device_is_offered_gpu(&c->rows[i]) && !strcasecmp(c->rows[i].product_id, id) &&
		    device_is_busy(&c->rows[i]))
			return device_refuse(c, &c->rows[i], field, e);
	return err_field(e, ERR_GPU_BUSY, field, id, "the GPUs left are in use on the host");
}

/* Called before a GPU of a product is chosen: are enough of them free for all entries? */
static int gpu_check_supply(const struct choice *c, size_t entry, struct err *e)
{
	const char *id = c->req->gpus[entry].product_id;
	struct supply s = gpu_supply(c, id);
	char field[48];

	gpu_entry_field(entry, "product_id", field);
	if (!s.offered) {
		err_field(e, ERR_GPU, field, id, "no GPU with product id %.20s is offered", id);
		return device_hint_list(e);
	}
	if (s.free >= s.wanted)
		return 0;
	if (s.free + s.busy >= s.wanted)
		return gpu_refuse_busy(c, id, field, e);
	err_capacity(e, "gpus", s.wanted, s.free, s.working);
	(void)snprintf(e->field, sizeof(e->field), "%s", field);
	(void)snprintf(e->value, sizeof(e->value), "%.20s", id);
	if (s.broken)
		return err_hint(e, "%zu more are broken: GET /api/v1/devices shows the reason",
				s.broken);
	return s.free ? err_hint(e, "%zu would fit now", s.free)
		      : err_hint(e, "delete a CVM that has one, or use another node");
}

static int gpu_take_product(struct choice *c, size_t entry, struct err *e)
{
	const char *id = c->req->gpus[entry].product_id;
	char field[48];

	for (size_t i = 0; i < c->n; i++) {
		if (c->taken[i] || !device_is_offered_gpu(&c->rows[i]) ||
		    strcasecmp(c->rows[i].product_id, id) != 0 || !device_is_free(&c->rows[i]))
			continue;
		c->taken[i] = true;
		return 0;
	}
	gpu_entry_field(entry, "product_id", field);
	return err_field(e, ERR_GPU, field, id, "no free GPU with product id %.20s", id);
}

static int gpu_refuse_empty_entry(size_t entry, struct err *e)
{
	char field[48];

	gpu_entry_field(entry, "slot", field);
	return err_field(
		e, ERR_INVALID, field, NULL,
		"gpus.gpus[%zu] has neither slot nor product_id; allowed: one of them, or both",
		entry);
}

/* ------------------------------------------------------------------ modes */

static int gpus_choose_listed(struct choice *c, struct err *e)
{
	size_t n = c->req->n_gpus;
	int r = 0;

	for (size_t i = 0; !r && i < n; i++)
		if (!c->req->gpus[i].slot && !c->req->gpus[i].product_id)
			r = gpu_refuse_empty_entry(i, e);
	for (size_t i = 0; !r && i < n; i++)
		if (c->req->gpus[i].slot)
			r = gpu_take_slot(c, i, e);
	for (size_t i = 0; !r && i < n; i++)
		if (!c->req->gpus[i].slot)
			r = gpu_check_supply(c, i, e);
	for (size_t i = 0; !r && i < n; i++)
		if (!c->req->gpus[i].slot)
			r = gpu_take_product(c, i, e);
	return r;
}

static int gpu_refuse_all(const struct capacity_row *gpus, struct err *e)
{
	uint64_t total = (uint64_t)gpus->total;

	err_capacity(e, "gpus", total ? total : 1, total - (uint64_t)gpus->promised, total);
	(void)snprintf(e->field, sizeof(e->field), "gpus.attach_mode");
	(void)snprintf(e->value, sizeof(e->value), "all");
	return gpus->total ? err_hint(e, "attach_mode all needs every offered GPU to be free")
			   : err_hint(e, "this node offers no GPU");
}

static int gpus_choose_all(struct choice *c, struct err *e)
{
	struct capacity_row gpus;

	if (!c->g->allow_attach_all) {
		err_field(e, ERR_GPU, "gpus.attach_mode", "all",
			  "attach_mode all is not allowed on this node; allowed: listed");
		return err_hint(e, "the operator can set gpu.allow_attach_all in teepod.conf");
	}
	if (c->req->n_gpus)
		return err_field(e, ERR_INCOMPATIBLE, "gpus.gpus", NULL,
				 "gpus.gpus must be empty with attach_mode all; allowed: none, or "
				 "attach_mode listed");
	devices_count(c->rows, c->n, &gpus);
	if (gpus.promised)
		return gpu_refuse_all(&gpus, e);
	for (size_t i = 0; i < c->n; i++) {
		if (!c->rows[i].offered)
			continue;
		if (!device_is_free(&c->rows[i]))
			return device_refuse(c, &c->rows[i], "gpus.attach_mode", e);
		c->taken[i] = true;
	}
	return gpus.total ? 0 : gpu_refuse_all(&gpus, e);
}

/* An IOMMU group is the smallest unit of isolation: a CVM with one device of a group can access the
 * others. */
static int gpus_check_groups(const struct choice *c, struct err *e)
{
	for (size_t i = 0; i < c->n; i++)
		for (size_t k = 0; c->taken[i] && k < c->n; k++)
			if (!c->taken[k] && c->rows[k].iommu_group == c->rows[i].iommu_group)
				return err_field(e, ERR_GPU, "gpus", c->rows[i].address,
						 "%s is in IOMMU group %d together with %s: both "
						 "must be attached to the same CVM",
						 c->rows[i].address, c->rows[i].iommu_group,
						 c->rows[k].address);
	return 0;
}

static void devices_collect(const struct choice *c, struct device_row **ret, size_t *ret_n)
{
	struct device_row *out = xcalloc(c->n ? c->n : 1, sizeof(*out));
	size_t n = 0;

	for (int kind = 0; kind < DEVICE_KINDS; kind++)
		for (size_t i = 0; i < c->n; i++)
			if (c->taken[i] && c->rows[i].kind == (enum device_kind)kind) {
				assert(!c->rows[i].cvm);
				out[n++] = c->rows[i];
			}
	*ret = out;
	*ret_n = n;
}

int devices_choose(const struct gpu_settings *g, const struct cvm_request *req, int64_t workspace,
		   const struct device_row *rows, size_t n, struct device_row **ret, size_t *ret_n,
		   struct err *e)
{
	auto_free bool *taken = xcalloc(n ? n : 1, sizeof(*taken));
	struct choice c = {
		.g = g, .req = req, .workspace = workspace, .rows = rows, .n = n, .taken = taken
	};
	int r;

	if (req->gpu_attach == GPU_NONE || (req->gpu_attach == GPU_LISTED && !req->n_gpus)) {
		*ret = NULL;
		*ret_n = 0;
		return 0;
	}
	if (!g->enabled) {
		err_field(e, ERR_GPU, "gpus", NULL, "this node does not attach GPUs to CVMs");
		return err_hint(e, "the operator can set gpu.enabled in teepod.conf");
	}
	r = req->gpu_attach == GPU_ALL ? gpus_choose_all(&c, e) : gpus_choose_listed(&c, e);
	if (!r)
		r = gpus_check_groups(&c, e);
	if (!r)
		devices_collect(&c, ret, ret_n);
	return r;
}
