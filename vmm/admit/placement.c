/* SPDX-License-Identifier: Apache-2.0
 * placement.c - choose NUMA nodes, then divide vCPUs and memory among them. Rules: placement.h.
 */
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "db/cvms.h"
#include "db/devices.h"
#include "db/numa.h"
#include "vmm/admit/placement.h"

enum { GIB_MIB = 1024, KIB_OF_MIB = 1024 };

struct chosen {
	const struct numa_row *node[PLACEMENT_NODES]; /* ascending */
	unsigned n;
};

static const struct numa_row *placement_find_node(const struct numa_row *nodes, size_t n,
						  unsigned id)
{
	for (size_t i = 0; i < n; i++)
		if (nodes[i].present && nodes[i].node == id)
			return &nodes[i];
	return NULL;
}

static uint64_t round_up(uint64_t value, uint64_t unit)
{
	return (value + unit - 1) / unit * unit;
}

int64_t numa_free_hugepages(const struct numa_row *n)
{
	int64_t left = n->hugepages_mib - n->foreign_mib - n->hugepages_promised;

	return left > 0 ? left : 0;
}

/* ------------------------------------------------------------------ which nodes */

static int placement_refuse_node_count(unsigned n, struct err *e)
{
	char given[16];

	(void)snprintf(given, sizeof(given), "%u", n);
	err_field(e, ERR_INCOMPATIBLE, "gpus", given,
		  "the GPUs are on more than %d NUMA nodes; allowed: GPUs on 1 to %d nodes",
		  PLACEMENT_NODES, PLACEMENT_NODES);
	return err_hint(e, "GET /api/v1/devices shows the numa_node of each GPU");
}

static int placement_refuse_lost_node(unsigned id, struct err *e)
{
	err_set(e, ERR_HOST, "this host has no NUMA node %u", id);
	return err_hint(e, "the CVM's measured topology needs it: see /sys/devices/system/node");
}

/* Insert a node in ascending order, unless it is in the list. */
static int placement_add_node(struct chosen *c, const struct numa_row *nodes, size_t n_nodes,
			      unsigned id, struct err *e)
{
	const struct numa_row *node = placement_find_node(nodes, n_nodes, id);
	unsigned at = c->n;

	assert(c->n <= PLACEMENT_NODES);
	if (!node)
		return placement_refuse_lost_node(id, e);
	for (unsigned i = 0; i < c->n; i++)
		if (c->node[i] == node)
			return 0;
	if (c->n == PLACEMENT_NODES)
		return placement_refuse_node_count(c->n + 1, e);
	for (; at > 0 && c->node[at - 1]->node > id; at--)
		c->node[at] = c->node[at - 1];
	c->node[at] = node;
	c->n++;
	return 0;
}

static int placement_add_gpu_nodes(const struct placement_request *a, struct chosen *c,
				   struct err *e)
{
	int r = 0;

	for (size_t i = 0; !r && i < a->n_devices; i++)
		if (a->devices[i].kind == DEVICE_GPU)
			r = placement_add_node(c, a->nodes, a->n_nodes, a->devices[i].numa_node, e);
	return r;
}

/* Ordinary memory that is not reserved for pinned CVMs, MiB. */
static int64_t numa_free_ordinary(const struct numa_row *n)
{
	return n->memory_mib - n->hugepages_mib - n->pinned_promised;
}

static bool placement_fits(const struct placement_request *a, const struct numa_row *n)
{
	if (a->hugepages)
		return numa_free_hugepages(n) >= (int64_t)round_up(a->memory_mib, GIB_MIB);
	return numa_free_ordinary(n) >= (int64_t)a->memory_mib;
}

/* Add the lowest node on which the CVM fits, else the lowest node. Nodes without CPUs (CXL memory)
 * are skipped: vCPUs could not run next to the memory. */
static void placement_add_lowest(const struct placement_request *a, struct chosen *c)
{
	const struct numa_row *lowest = NULL;

	for (size_t i = 0; i < a->n_nodes; i++) {
		const struct numa_row *n = &a->nodes[i];

		if (!n->present || n->vcpus <= 0)
			continue;
		if (!lowest)
			lowest = n;
		if (!placement_fits(a, n))
			continue;
		lowest = n;
		break;
	}
	if (lowest)
		c->node[c->n++] = lowest;
}

static int placement_choose_nodes(const struct placement_request *a, struct chosen *c,
				  struct err *e)
{
	int r;

	if (!a->hugepages && !a->pin_numa)
		return 0;
	if (!a->n_nodes) {
		err_field(e, ERR_UNAVAILABLE, a->hugepages ? "hugepages" : "pin_numa", "true",
			  "the NUMA nodes of this host are not known");
		return err_hint(e, "try again; the log names the file that could not be read");
	}
	r = placement_add_gpu_nodes(a, c, e);
	if (r || c->n)
		return r;
	placement_add_lowest(a, c);
	return c->n ? 0 : placement_refuse_lost_node(0, e);
}

/* ------------------------------------------------------------------ shares */

static int placement_refuse_hugepages(struct err *e)
{
	err_field(e, ERR_UNSUPPORTED, "hugepages", "true", "this host has no hugepages");
	return err_hint(e, "reserve some at boot, e.g. hugepagesz=1G hugepages=N on the kernel's "
			   "command line");
}

static int placement_refuse_uneven(uint64_t memory_mib, unsigned n, uint64_t page_kib,
				   struct err *e)
{
	char given[24];

	(void)snprintf(given, sizeof(given), "%" PRIu64, memory_mib);
	return err_field(
		e, ERR_INCOMPATIBLE, "memory", given,
		"memory %s MiB cannot be divided evenly among %u NUMA nodes in pages of %" PRIu64
		" KiB; allowed: multiples of %" PRIu64 " MiB",
		given, n, page_kib, page_kib / KIB_OF_MIB * n);
}

static void placement_divide(const struct chosen *c, struct placement *p)
{
	assert(c->n && p->vcpus % c->n == 0 && p->memory_mib % c->n == 0);
	p->n_cells = c->n;
	for (unsigned i = 0; i < c->n; i++) {
		p->cell[i].host_node = c->node[i]->node;
		p->cell[i].memory_mib = p->memory_mib / c->n;
		p->cell[i].cpus = p->vcpus / c->n;
		p->cell[i].first_cpu = i * p->cell[i].cpus;
	}
}

static int placement_use_hugepages(const struct chosen *c, struct placement *p, struct err *e)
{
	uint64_t page_kib;

	if (!c->n)
		return err_set(e, ERR_HOST, "a CVM with hugepages has no NUMA node in its row");
	page_kib = (uint64_t)c->node[0]->page_kib;
	if (!page_kib)
		return placement_refuse_hugepages(e);
	p->vcpus = (unsigned)round_up(p->vcpus, c->n);
	p->memory_mib = round_up(p->memory_mib, (uint64_t)c->n * GIB_MIB);
	if (p->memory_mib / c->n * KIB_OF_MIB % page_kib)
		return placement_refuse_uneven(p->memory_mib, c->n, page_kib, e);
	p->page_kib = page_kib;
	placement_divide(c, p);
	return 0;
}

static void placement_use_ordinary(const struct chosen *c, struct placement *p)
{
	p->n_cells = 1;
	p->cell[0].host_node = c->n ? c->node[0]->node : 0;
	p->cell[0].memory_mib = p->memory_mib;
	p->cell[0].cpus = p->vcpus;
}

/* ------------------------------------------------------------------ CPUs and names of nodes */

static int placement_pin(const struct chosen *c, struct placement *p, struct err *e)
{
	size_t used = 0;

	for (unsigned i = 0; i < c->n; i++) {
		if (!*c->node[i]->cpus)
			continue;
		used += (size_t)snprintf(p->cpuset + used, sizeof(p->cpuset) - used, "%s%s",
					 used ? "," : "", c->node[i]->cpus);
		if (used >= sizeof(p->cpuset))
			return err_field(e, ERR_UNSUPPORTED, "pin_numa", "true",
					 "the list of the CPUs of %u NUMA nodes is over %zu bytes",
					 c->n, sizeof(p->cpuset) - 1);
	}
	return used ? 0
		    : err_field(e, ERR_UNSUPPORTED, "pin_numa", "true", "NUMA node %u has no CPUs",
				c->n ? c->node[0]->node : 0);
}

static void placement_list_nodes(const struct chosen *c, struct placement *p)
{
	size_t used = 0;

	for (unsigned i = 0; i < c->n && used < sizeof(p->numa_nodes); i++)
		used += (size_t)snprintf(p->numa_nodes + used, sizeof(p->numa_nodes) - used, "%s%u",
					 i ? "," : "", c->node[i]->node);
}

static int placement_assign(const struct chosen *c, bool hugepages, bool pin_numa,
			    struct placement *p, struct err *e)
{
	int r = 0;

	if (hugepages)
		r = placement_use_hugepages(c, p, e);
	else
		placement_use_ordinary(c, p);
	if (!r && pin_numa)
		r = placement_pin(c, p, e);
	if (!r)
		placement_list_nodes(c, p);
	return r;
}

int placement_choose(const struct placement_request *a, struct placement *ret, struct err *e)
{
	struct placement p = { .vcpus = a->vcpus, .memory_mib = a->memory_mib };
	struct chosen c = { 0 };
	int r = placement_choose_nodes(a, &c, e);

	if (!r)
		r = placement_assign(&c, a->hugepages, a->pin_numa, &p, e);
	if (!r)
		*ret = p;
	return r;
}

int placement_of(const struct cvm_row *row, const struct numa_row *nodes, size_t n_nodes,
		 struct placement *ret, struct err *e)
{
	struct placement p = { .vcpus = (unsigned)row->vcpus,
			       .memory_mib = (uint64_t)row->memory_mib };
	const char *at = row->numa_nodes;
	struct chosen c = { 0 };
	int r = 0;

	while (!r && *at) {
		char *end;

		r = placement_add_node(&c, nodes, n_nodes, (unsigned)strtoul(at, &end, 10), e);
		at = *end == ',' ? end + 1 : "";
	}
	if (!r)
		r = placement_assign(&c, row->hugepages, row->pin_numa, &p, e);
	if (!r)
		*ret = p;
	return r;
}

/* Pinned ordinary memory comes from all nodes equally; the first node gives the remainder. */
size_t placement_shares(const struct placement *p, struct cvm_node_row ret[PLACEMENT_NODES])
{
	size_t n = 0;

	if (p->page_kib) {
		for (; n < p->n_cells; n++)
			ret[n] = (struct cvm_node_row){ .node = p->cell[n].host_node,
							.hugepages_mib =
								(int64_t)p->cell[n].memory_mib };
		return n;
	}
	if (!*p->cpuset)
		return 0;
	for (const char *at = p->numa_nodes; *at && n < PLACEMENT_NODES; n++) {
		char *end;

		ret[n] = (struct cvm_node_row){ .node = (unsigned)strtoul(at, &end, 10) };
		at = *end == ',' ? end + 1 : "";
	}
	for (size_t i = 0; i < n; i++)
		ret[i].pinned_mib = (int64_t)(p->memory_mib / n + (i ? 0 : p->memory_mib % n));
	return n;
}
