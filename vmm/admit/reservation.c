/* SPDX-License-Identifier: Apache-2.0
 * reservation.c - reserve devices and shares of NUMA nodes for a CVM.
 *
 * As in capacity.c, all of it is reserved in the transaction that writes the CVM's row. Devices
 * stay with the CVM until it is deleted, even with capacity.release_on_stop: the GPUs are
 * measured, so another GPU would change the measurements. The nodes stay for the same reason; their
 * hugepages are released and reserved again together with the vCPUs.
 *
 * See devices.c and placement.c for the choice, reservation_change.c for changes of a CVM.
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "db/cvms.h"
#include "db/devices.h"
#include "db/numa.h"
#include "vmm/admit/admission.h"
#include "vmm/admit/devices.h"
#include "vmm/admit/reservation.h"
#include "vmm/admit/placement.h"
#include "vmm/admit/request.h"
#include "vmm/host/inventory.h"
#include "vmm/node/node.h"
#include "vmm/node/settings.h"

enum { GIB_MIB = 1024 };

/* ------------------------------------------------------------------ choice */

static int placement_over_limit(const char *field, uint64_t given, int64_t requested, int64_t limit,
				const char *unit, const struct placement *p, struct err *e)
{
	char value[24];

	(void)snprintf(value, sizeof(value), "%lld", (long long)requested);
	return err_field(e, ERR_INVALID, field, value,
			 "%s %s becomes %llu %s with hugepages on %u NUMA nodes, over this node's "
			 "limit for one CVM; allowed: up to %lld %s",
			 field, value, (unsigned long long)given, unit, p->n_cells,
			 (long long)limit, unit);
}

/* The limits of one CVM apply to what it is given after rounding, not only to what it requested. */
static int placement_check_limits(const struct vmm *v, const struct cvm_row *c,
				  const struct placement *p, struct err *e)
{
	if (vmm_settings(v)->max_vcpus && p->vcpus > (uint64_t)vmm_settings(v)->max_vcpus)
		return placement_over_limit("vcpu", p->vcpus, c->vcpus, vmm_settings(v)->max_vcpus,
					    "vCPUs", p, e);
	if (vmm_settings(v)->max_memory_mib &&
	    p->memory_mib > (uint64_t)vmm_settings(v)->max_memory_mib)
		return placement_over_limit("memory", p->memory_mib, c->memory_mib,
					    vmm_settings(v)->max_memory_mib, "MiB", p, e);
	return 0;
}

int inventory_is_stale(const char *field, struct err *e)
{
	err_field(e, ERR_UNAVAILABLE, field, NULL, "the host was not inspected for this request");
	return err_hint(e, "try again");
}

/* Devices and hugepages need a fresh inventory. CPU pinning reserves nothing, so the last one
 * suffices. */
static int reserve_check_inventory(const struct cvm_request *req, struct err *e)
{
	if (req->inspected)
		return 0;
	if (req->gpu_attach == GPU_ALL || (req->gpu_attach == GPU_LISTED && req->n_gpus))
		return inventory_is_stale("gpus", e);
	return req->hugepages ? inventory_is_stale("hugepages", e) : 0;
}

static int reserve_choose_devices(struct vmm *v, const struct cvm_request *req, struct admission *a,
				  struct err *e)
{
	auto_free struct device_row *rows = NULL;
	size_t n;
	int r = devices_list(vmm_db(v), &rows, &n, e);

	return r ? r
		 : devices_choose(&vmm_settings(v)->gpu, req, a->row.workspace, rows, n,
				  &a->devices, &a->n_devices, e);
}

int reservation_choose_nodes(struct vmm *v, const struct cvm_request *req,
			     const struct numa_row *nodes, size_t n, struct admission *a,
			     struct err *e)
{
	const struct placement_request p = { .vcpus = (unsigned)a->row.vcpus,
					     .memory_mib = (uint64_t)a->row.memory_mib,
					     .hugepages = req->hugepages,
					     .pin_numa = req->pin_numa,
					     .nodes = nodes,
					     .n_nodes = n,
					     .devices = a->devices,
					     .n_devices = a->n_devices };
	int r = placement_choose(&p, &a->placement, e);

	if (r == -ERR_UNAVAILABLE && *inventory_error(v))
		return err_hint(e, "%s", inventory_error(v));
	return r ? r : placement_check_limits(v, &a->row, &a->placement, e);
}

static int reserve_choose_nodes(struct vmm *v, const struct cvm_request *req, struct admission *a,
				struct err *e)
{
	auto_free struct numa_row *nodes = NULL;
	size_t n;
	int r = numa_list(vmm_db(v), &nodes, &n, e);

	return r ? r : reservation_choose_nodes(v, req, nodes, n, a, e);
}

static void admission_count_devices(const struct admission *a, struct cvm_row *c)
{
	c->gpus = c->nvswitches = 0;
	for (size_t i = 0; i < a->n_devices; i++) {
		c->gpus += a->devices[i].kind == DEVICE_GPU;
		c->nvswitches += a->devices[i].kind == DEVICE_NVSWITCH;
	}
}

void reservation_fill_row(const struct cvm_request *req, struct admission *a)
{
	struct cvm_row *c = &a->row;

	c->hugepages = req->hugepages;
	c->pin_numa = req->pin_numa;
	c->given_vcpus = a->placement.vcpus;
	c->given_memory_mib = (int64_t)a->placement.memory_mib;
	memcpy(c->numa_nodes, a->placement.numa_nodes, sizeof(c->numa_nodes));
	admission_count_devices(a, c);
	(void)snprintf(c->gpu_attach, sizeof(c->gpu_attach), "%s",
		       a->n_devices ? gpu_attach_word[req->gpu_attach] : "");
}

int reservation_choose(struct vmm *v, const struct cvm_request *req, struct admission *a,
		       struct err *e)
{
	int r = reserve_check_inventory(req, e);

	if (!r)
		r = reserve_choose_devices(v, req, a, e);
	if (!r)
		r = reserve_choose_nodes(v, req, a, e);
	if (!r)
		reservation_fill_row(req, a);
	return r;
}

/* ------------------------------------------------------------------ hugepages */

static const struct numa_row *numa_row_find(const struct numa_row *nodes, size_t n, unsigned id)
{
	for (size_t i = 0; i < n; i++)
		if (nodes[i].node == id)
			return &nodes[i];
	return NULL;
}

static bool hugepages_has_share(const struct cvm_node_row *shares, size_t n, unsigned id)
{
	for (size_t i = 0; i < n; i++)
		if (shares[i].node == id)
			return true;
	return false;
}

/* Hugepages that are requested, and the nodes that could give them: with GPUs only the nodes of
 * these, else any node with CPUs (@any_node). */
struct shortage {
	const struct numa_row *nodes;
	size_t n_nodes;
	const struct cvm_node_row *shares;
	size_t n_shares;
	bool any_node;
};

static bool hugepages_candidate(const struct shortage *s, const struct numa_row *n)
{
	return s->any_node ? n->present && n->vcpus > 0
			   : hugepages_has_share(s->shares, s->n_shares, n->node);
}

static void hugepages_list_other_nodes(const struct shortage *s, unsigned except, struct err *e)
{
	size_t used = strlen(e->text);

	for (size_t i = 0; i < s->n_nodes && used < sizeof(e->text); i++) {
		const struct numa_row *n = &s->nodes[i];

		if (n->node == except || !hugepages_candidate(s, n))
			continue;
		used += (size_t)snprintf(
			e->text + used, sizeof(e->text) - used, "; node %u: free %lld of %lld MiB",
			n->node, (long long)numa_free_hugepages(n), (long long)n->hugepages_mib);
	}
}

/* The largest request that would fit now, MiB, in whole GiB of each node. */
static int64_t hugepages_would_fit(const struct shortage *s)
{
	int64_t most = 0, least = INT64_MAX;

	for (size_t i = 0; i < s->n_nodes; i++) {
		int64_t left = numa_free_hugepages(&s->nodes[i]) / GIB_MIB * GIB_MIB;

		if (!hugepages_candidate(s, &s->nodes[i]))
			continue;
		most = left > most ? left : most;
		least = left < least ? left : least;
	}
	if (s->any_node)
		return most;
	return least == INT64_MAX ? 0 : least * (int64_t)s->n_shares;
}

static int hugepages_refuse(const struct shortage *s, const struct cvm_node_row *share,
			    struct err *e)
{
	const struct numa_row *n = numa_row_find(s->nodes, s->n_nodes, share->node);
	int64_t left = n ? numa_free_hugepages(n) : 0, total = n ? n->hugepages_mib : 0,
		fit = hugepages_would_fit(s);

	err_capacity(e, "hugepages_mib", (uint64_t)share->hugepages_mib, (uint64_t)left,
		     (uint64_t)total);
	e->cap.numa_node = (int)share->node;
	(void)snprintf(
		e->text, sizeof(e->text),
		"not enough hugepages: asked %lld MiB of NUMA node %u, free %lld of %lld MiB",
		(long long)share->hugepages_mib, share->node, (long long)left, (long long)total);
	hugepages_list_other_nodes(s, share->node, e);
	if (fit)
		return err_hint(e, "%lld MiB would fit now", (long long)fit);
	return err_hint(e, "reserve more hugepages on the host, delete a CVM that has some, or set "
			   "hugepages to false");
}

int hugepages_check(struct vmm *v, const struct cvm_node_row *shares, size_t n_shares,
		    bool any_node, struct err *e)
{
	auto_free struct numa_row *nodes = NULL;
	struct shortage s = { .shares = shares, .n_shares = n_shares, .any_node = any_node };
	int r = n_shares ? numa_list(vmm_db(v), &nodes, &s.n_nodes, e) : 0;

	s.nodes = nodes;
	for (size_t i = 0; !r && i < n_shares; i++) {
		const struct numa_row *n = numa_row_find(nodes, s.n_nodes, shares[i].node);

		if (shares[i].hugepages_mib &&
		    (!n || numa_free_hugepages(n) < shares[i].hugepages_mib))
			r = hugepages_refuse(&s, &shares[i], e);
	}
	return r;
}

static int reserve_refuse_changed(struct err *e)
{
	return err_set(e, ERR_HOST,
		       "the free devices or NUMA nodes of the host changed during the request");
}

int reservation_would_fit(struct vmm *v, const struct admission *a, struct err *e)
{
	struct cvm_node_row shares[PLACEMENT_NODES];
	size_t n = placement_shares(&a->placement, shares);

	return a->row.holds_cpu ? hugepages_check(v, shares, n, !a->row.gpus, e) : 0;
}

/* ------------------------------------------------------------------ reservation */

int reservation_make(struct vmm *v, int64_t id, const struct admission *a, struct err *e)
{
	struct cvm_node_row shares[PLACEMENT_NODES];
	size_t n = placement_shares(&a->placement, shares);
	int r = 1;

	assert(id > 0);
	for (size_t i = 0; r > 0 && i < a->n_devices; i++)
		r = devices_reserve(vmm_db(v), a->devices[i].address, id, e);
	for (size_t i = 0; r > 0 && i < n; i++)
		r = numa_reserve(vmm_db(v), id, &shares[i], a->row.holds_cpu, e);
	if (r)
		return r < 0 ? r : 0;
	r = reservation_would_fit(v, a, e);
	return r ? r : reserve_refuse_changed(e);
}

int reservation_hold_hugepages(struct vmm *v, const struct cvm_row *c, bool hold, struct err *e)
{
	auto_free struct cvm_node_row *shares = NULL;
	size_t n;
	int r = numa_hold(vmm_db(v), c->id, hold, e);

	if (r)
		return r < 0 ? r : 0;
	r = numa_of(vmm_db(v), c->id, &shares, &n, e);
	if (!r)
		r = hugepages_check(v, shares, n, false, e);
	return r ? r : reserve_refuse_changed(e);
}

/* ------------------------------------------------------------------ placement of a CVM */

int placement_of_cvm(struct vmm *v, const struct cvm_row *c, struct placement *ret, struct err *e)
{
	auto_free struct numa_row *nodes = NULL;
	size_t n = 0;
	int r = *c->numa_nodes ? numa_list(vmm_db(v), &nodes, &n, e) : 0;

	return r ? r : placement_of(c, nodes, n, ret, e);
}

/* ------------------------------------------------------------------ reads */

int vmm_devices(struct vmm *v, struct device_row **ret, size_t *n, struct err *e)
{
	return devices_list(vmm_db(v), ret, n, e);
}

int vmm_devices_of(struct vmm *v, int64_t cvm, struct device_row **ret, size_t *n, struct err *e)
{
	return devices_of(vmm_db(v), cvm, ret, n, e);
}

int vmm_numa_nodes(struct vmm *v, struct numa_row **ret, size_t *n, struct err *e)
{
	return numa_list(vmm_db(v), ret, n, e);
}
