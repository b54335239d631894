/* SPDX-License-Identifier: Apache-2.0
 * reservation_change.c - other devices or NUMA shares for a CVM that is changed.
 *
 * The rules are those of a new CVM. The devices and shares that the CVM holds count as free for it.
 * They are not released before the change has succeeded, so for a while both the old and the new
 * ones are reserved, each share with the larger of its two sizes.
 */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/own.h"
#include "db/changes.h"
#include "db/cvms.h"
#include "db/devices.h"
#include "db/numa.h"
#include "vmm/admit/admission.h"
#include "vmm/admit/devices.h"
#include "vmm/admit/reservation.h"
#include "vmm/admit/reservation_change.h"
#include "vmm/admit/placement.h"
#include "vmm/admit/request.h"
#include "vmm/node/node.h"

/* Move the CVM's own devices to the front and mark them free. devices_choose() takes the first
 * match, so a CVM that requests any GPU of a product keeps the one it has. Both halves stay ordered
 * by address. */
static void change_own_first(struct device_row *rows, size_t n, int64_t cvm)
{
	auto_free struct device_row *own = xcalloc(n ? n : 1, sizeof(*own));
	size_t n_own = 0, others = 0;

	for (size_t i = 0; i < n; i++) {
		if (rows[i].cvm == cvm) {
			own[n_own] = rows[i];
			own[n_own].cvm = 0;
			own[n_own++].opened = false;
		}
	}
	if (!n_own)
		return;
	for (size_t i = n; i-- > 0;)
		if (rows[i].cvm != cvm)
			rows[n - ++others] = rows[i];
	memcpy(rows, own, n_own * sizeof(*rows));
}

static int device_compare(const void *a, const void *b)
{
	const struct device_row *p = a, *q = b;

	return p->kind != q->kind ? (p->kind > q->kind) - (p->kind < q->kind)
				  : strcmp(p->address, q->address);
}

static int change_choose_devices(struct vmm *v, const struct cvm_request *req, int64_t cvm,
				 struct admission *a, struct err *e)
{
	auto_free struct device_row *rows = NULL;
	size_t n;
	int r = devices_list(vmm_db(v), &rows, &n, e);

	if (r)
		return r;
	change_own_first(rows, n, cvm);
	r = devices_choose(&vmm_settings(v)->gpu, req, a->row.workspace, rows, n, &a->devices,
			   &a->n_devices, e);
	if (!r && a->n_devices)
		qsort(a->devices, a->n_devices, sizeof(*a->devices), device_compare);
	return r;
}

static bool devices_are_equal(const struct device_row *a, size_t n_a, const struct device_row *b,
			      size_t n_b)
{
	for (size_t i = 0; n_a == n_b && i < n_a; i++)
		if (strcmp(a[i].address, b[i].address) != 0)
			return false;
	return n_a == n_b;
}

/* The devices after the change into @a, and whether they differ from the present ones. */
static int change_find_devices(struct vmm *v, const struct cvm_row *cvm,
			       const struct update_request *req, const struct cvm_request *like,
			       struct admission *a, struct err *e)
{
	auto_free struct device_row *held = NULL;
	size_t n;
	int r = devices_of(vmm_db(v), cvm->id, &held, &n, e);

	if (r)
		return r;
	if (!req->set_gpus) {
		a->devices = take_ptr(&held);
		a->n_devices = n;
		return 0;
	}
	r = change_choose_devices(v, like, cvm->id, a, e);
	if (!r)
		a->devices_change =
			!devices_are_equal(a->devices, a->n_devices, held, n) ||
			(n && strcmp(cvm->gpu_attach, gpu_attach_word[like->gpu_attach]) != 0);
	return r;
}

/* ------------------------------------------------------------------ nodes */

static struct numa_row *change_find_node(struct numa_row *nodes, size_t n, unsigned id)
{
	for (size_t i = 0; i < n; i++)
		if (nodes[i].node == id)
			return &nodes[i];
	return NULL;
}

/* Subtract the CVM's own shares from what is reserved on the nodes. */
static void change_free_own_shares(struct numa_row *nodes, size_t n, const struct cvm_node_row *own,
				   size_t n_own)
{
	for (size_t i = 0; i < n_own; i++) {
		struct numa_row *node = change_find_node(nodes, n, own[i].node);

		if (!node)
			continue;
		node->hugepages_promised -= own[i].hugepages_mib;
		node->pinned_promised -= own[i].pinned_mib;
	}
}

/* The amounts that the new shares need beyond the present ones. */
static size_t change_additional_shares(const struct placement *p, const struct cvm_node_row *own,
				       size_t n_own, struct cvm_node_row ret[PLACEMENT_NODES])
{
	size_t n = placement_shares(p, ret);

	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; k < n_own; k++)
			if (own[k].node == ret[i].node)
				ret[i].hugepages_mib =
					ret[i].hugepages_mib > own[k].hugepages_mib
						? ret[i].hugepages_mib - own[k].hugepages_mib
						: 0;
	return n;
}

static int change_find_nodes(struct vmm *v, const struct cvm_row *cvm,
			     const struct cvm_request *like, struct admission *a, struct err *e)
{
	auto_free struct numa_row *nodes = NULL;
	auto_free struct cvm_node_row *own = NULL;
	struct cvm_node_row more[PLACEMENT_NODES];
	size_t n, n_own, n_more;
	int r = numa_list(vmm_db(v), &nodes, &n, e);

	if (!r)
		r = numa_of(vmm_db(v), cvm->id, &own, &n_own, e);
	if (r)
		return r;
	if (cvm->holds_cpu)
		change_free_own_shares(nodes, n, own, n_own);
	r = reservation_choose_nodes(v, like, nodes, n, a, e);
	if (r || !cvm->holds_cpu)
		return r;
	n_more = change_additional_shares(&a->placement, own, n_own, more);
	return hugepages_check(v, more, n_more, !a->n_devices, e);
}

/* ------------------------------------------------------------------ the change */

static enum gpu_attach gpu_attach_of(const struct cvm_row *c)
{
	for (int i = 0; i < GPU_ATTACHES; i++)
		if (!strcmp(c->gpu_attach, gpu_attach_word[i]))
			return (enum gpu_attach)i;
	return GPU_NONE;
}

static int change_check_inventory(const struct cvm_request *like, const struct update_request *req,
				  bool inspected, struct err *e)
{
	if (inspected)
		return 0;
	if (req->set_gpus &&
	    (like->gpu_attach == GPU_ALL || (like->gpu_attach == GPU_LISTED && like->n_gpus)))
		return inventory_is_stale("gpus", e);
	return like->hugepages ? inventory_is_stale("hugepages", e) : 0;
}

int reservation_change(struct vmm *v, const struct cvm_row *cvm, const struct update_request *req,
		       bool inspected, struct admission *a, struct err *e)
{
	const struct cvm_request like = { .hugepages = cvm->hugepages,
					  .pin_numa = cvm->pin_numa,
					  .gpu_attach = req->set_gpus ? req->gpu_attach
								      : gpu_attach_of(cvm),
					  .gpus = req->gpus,
					  .n_gpus = req->n_gpus };
	bool resized = (cvm->hugepages || cvm->pin_numa) &&
		       (a->row.vcpus != cvm->vcpus || a->row.memory_mib != cvm->memory_mib);
	int r;

	if (!req->set_gpus && !resized)
		return 0;
	r = change_check_inventory(&like, req, inspected, e);
	if (!r)
		r = change_find_devices(v, cvm, req, &like, a, e);
	if (r || (!a->devices_change && !resized))
		return r;
	r = change_find_nodes(v, cvm, &like, a, e);
	if (r)
		return r;
	reservation_fill_row(&like, a);
	a->nodes_change = true;
	return 0;
}

int reservation_plan(struct vmm *v, const struct cvm_row *cvm, const struct admission *a,
		     struct err *e)
{
	struct cvm_node_row shares[PLACEMENT_NODES];
	size_t n = placement_shares(&a->placement, shares);
	int r = a->devices_change ? devices_plan(vmm_db(v), cvm->id, a->devices, a->n_devices, e)
				  : 1;

	if (r > 0 && a->nodes_change)
		r = numa_plan(vmm_db(v), cvm->id, shares, n, cvm->holds_cpu, e);
	if (r)
		return r < 0 ? r : 0;
	return err_set(e, ERR_HOST,
		       "the free devices or NUMA nodes of the host changed during the request");
}
