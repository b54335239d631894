/* SPDX-License-Identifier: Apache-2.0
 * numa.c - NUMA nodes from sysfs.
 *
 * A node that is online has a folder nodeN; numbers may have gaps. Huge pages have one folder per
 * size in each node, and one per size for the whole machine; a kernel without NUMA has only the
 * latter.
 */
#include <ctype.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "base/alloc.h"
#include "base/own.h"
#include "base/strings.h"
#include "vmm/host/kernel_file.h"
#include "vmm/host/numa.h"

#define NODES "/sys/devices/system/node"

enum { NODE_ID_MAX = 1023 }; /* MAX_NUMNODES - 1 of the largest kernel configuration */

static int numa_refuse_file(struct err *e, const char *root, const char *path)
{
	return err_set(e, ERR_HOST, "%s%s: missing, or not what the kernel writes there", root,
		       path);
}

/* ------------------------------------------------------------------ one node */

static void numa_count_cpus(void *arg, unsigned from, unsigned to)
{
	*(unsigned *)arg += to - from + 1;
}

static int read_cpus(const char *root, const char *path, struct numa_node *n, struct err *e)
{
	n->cpulist = kernel_text(root, path);
	if (!n->cpulist || !kernel_ranges(n->cpulist, numa_count_cpus, &n->cpus))
		return numa_refuse_file(e, root, path);
	return 0;
}

/* "Node 0 MemTotal:  527988284 kB" in a node's file, "MemTotal:  ..." in /proc/meminfo. */
static int read_memory(const char *root, const char *path, struct numa_node *n, struct err *e)
{
	auto_free char *text = kernel_text(root, path);
	const char *total = text ? strstr(text, "MemTotal:") : NULL;
	unsigned long long kib;
	char unit[4];

	if (!total || sscanf(total, "MemTotal: %19llu %3s", &kib, unit) != 2 ||
	    strcmp(unit, "kB") != 0)
		return numa_refuse_file(e, root, path);
	n->memory_mib = kib / 1024;
	return 0;
}

static int read_pool(const char *root, const char *folder, const char *name, struct numa_node *n,
		     struct err *e)
{
	auto_free char *total = xasprintf("%s/%s/nr_hugepages", folder, name);
	auto_free char *left = xasprintf("%s/%s/free_hugepages", folder, name);
	struct numa_pages p;
	int end = 0;

	/* Guests use pages of 2 MiB or 1 GiB: pools of further sizes are skipped. */
	if (sscanf(name, "hugepages-%19lukB%n", &p.size_kib, &end) != 1 || name[end] ||
	    n->n_pages == NUMA_PAGE_SIZES)
		return 0;
	if (!kernel_number(root, total, &p.total))
		return numa_refuse_file(e, root, total);
	if (!kernel_number(root, left, &p.free))
		return numa_refuse_file(e, root, left);
	n->pages[n->n_pages++] = p;
	return 0;
}

static int by_size(const void *a, const void *b)
{
	const struct numa_pages *p = a, *q = b;

	return (p->size_kib > q->size_kib) - (p->size_kib < q->size_kib);
}

/* A kernel without huge pages has no such folder: the node then has no pools. */
static int read_pools(const char *root, const char *folder, struct numa_node *n, struct err *e)
{
	auto_free char *full = xasprintf("%s%s", root, folder);
	auto_closedir DIR *d = opendir(full);
	struct dirent *item;
	int r = 0;

	while (d && !r && (item = readdir(d)))
		r = read_pool(root, folder, item->d_name, n, e);
	qsort(n->pages, n->n_pages, sizeof(*n->pages), by_size);
	return r;
}

static int numa_read_node(const char *root, struct numa_node *n, struct err *e)
{
	auto_free char *cpus = xasprintf(NODES "/node%u/cpulist", n->id);
	auto_free char *memory = xasprintf(NODES "/node%u/meminfo", n->id);
	auto_free char *pools = xasprintf(NODES "/node%u/hugepages", n->id);
	int r = read_cpus(root, cpus, n, e);

	if (!r)
		r = read_memory(root, memory, n, e);
	return r ? r : read_pools(root, pools, n, e);
}

static int read_whole(const char *root, struct numa_node *n, struct err *e)
{
	int r = read_cpus(root, "/sys/devices/system/cpu/online", n, e);

	if (!r)
		r = read_memory(root, "/proc/meminfo", n, e);
	return r ? r : read_pools(root, "/sys/kernel/mm/hugepages", n, e);
}

/* ------------------------------------------------------------------ all of them */

static bool node_id(const char *name, unsigned *ret)
{
	unsigned id;
	int end = 0;

	if (strncmp(name, "node", 4) != 0 || !isdigit((unsigned char)name[4]) ||
	    sscanf(name + 4, "%9u%n", &id, &end) != 1 || name[4 + end] || id > NODE_ID_MAX)
		return false;
	*ret = id;
	return true;
}

static void numa_add_node(struct numa_host *h, unsigned id)
{
	h->node = xrealloc(h->node, (h->n + 1) * sizeof(*h->node));
	h->node[h->n++] = (struct numa_node){ .id = id };
}

static int by_id(const void *a, const void *b)
{
	const struct numa_node *p = a, *q = b;

	return (p->id > q->id) - (p->id < q->id);
}

static void list_nodes(const char *root, struct numa_host *h)
{
	auto_free char *full = xasprintf("%s" NODES, root);
	auto_closedir DIR *d = opendir(full);
	struct dirent *item;
	unsigned id;

	while (d && (item = readdir(d)))
		if (node_id(item->d_name, &id))
			numa_add_node(h, id);
	if (h->n)
		qsort(h->node, h->n, sizeof(*h->node), by_id);
}

int numa_read(const char *root, struct numa_host *ret, struct err *e)
{
	auto_numa struct numa_host h = { 0 };
	int r = 0;

	list_nodes(root, &h);
	for (size_t i = 0; !r && i < h.n; i++)
		r = numa_read_node(root, &h.node[i], e);
	if (!h.n) {
		numa_add_node(&h, 0);
		r = read_whole(root, &h.node[0], e);
	}
	if (r)
		return r;
	*ret = h;
	h = (struct numa_host){ 0 };
	return 0;
}

void numa_free(struct numa_host *h)
{
	for (size_t i = 0; i < h->n; i++)
		free(h->node[i].cpulist);
	free(h->node);
	*h = (struct numa_host){ 0 };
}

const struct numa_node *numa_find(const struct numa_host *h, unsigned id)
{
	for (size_t i = 0; i < h->n; i++)
		if (h->node[i].id == id)
			return &h->node[i];
	return NULL;
}

const struct numa_pages *numa_pages(const struct numa_node *n, uint64_t size_kib)
{
	for (size_t i = 0; i < n->n_pages; i++)
		if (n->pages[i].size_kib == size_kib)
			return &n->pages[i];
	return NULL;
}
