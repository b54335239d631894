/* SPDX-License-Identifier: Apache-2.0
 * inventory.c - looking at the host: which GPUs, NVSwitches and NUMA nodes there are.
 *
 * The kernel's files are read by a job, what it found is written in one turn: at start, when the
 * configuration was read again, and for each request that wants devices or hugepages, before it is
 * admitted: a driver of the host may have taken a GPU since. Looks do not overlap; who comes while
 * one is under way waits for the next. A look serves WAITERS_PER_RUN of those who wait, the next
 * one begins at once. What can not be read leaves the rows as they are. A device that is gone stays
 * known while a CVM holds it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/lanes.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/own.h"
#include "db/devices.h"
#include "db/numa.h"
#include "db/turn.h"
#include "vmm/admit/devices.h"
#include "vmm/host/kernel_file.h"
#include "vmm/host/inventory.h"
#include "vmm/host/numa.h"
#include "vmm/host/pci.h"
#include "vmm/logs/serial_scan.h"
#include "vmm/node/node.h"
#include "vmm/node/world.h"
#include "vmm/virt/xml_out.h"

struct look {
	struct vmm *v;
	const char *root;
	struct device_row *devices;
	size_t n_devices;
	struct numa_host nodes;
	uint64_t page_kib;
	bool has_devices, has_nodes;
	char error[200];
	struct host_waiter *waiters;
};

/* ------------------------------------------------------------------ the job */

static void inventory_keep_error(struct look *l, const struct err *e)
{
	if (!l->error[0])
		(void)snprintf(l->error, sizeof(l->error), "%.*s", (int)sizeof(l->error) - 1,
			       e->text);
}

/* The size that /dev/hugepages and a plain request for hugepages stand for. 0 = the kernel has
 * none. */
static uint64_t default_page_kib(const char *root)
{
	auto_free char *text = kernel_text(root, "/proc/meminfo");
	const char *value = kernel_line(text, "Hugepagesize");

	return value ? strtoull(value, NULL, 10) : 0;
}

static void inventory_read(void *arg)
{
	struct look *l = arg;
	struct err e;

	if (!pci_devices(l->root, &l->devices, &l->n_devices, &e))
		l->has_devices = true;
	else
		inventory_keep_error(l, &e);
	if (!numa_read(l->root, &l->nodes, &e))
		l->has_nodes = true;
	else
		inventory_keep_error(l, &e);
	l->page_kib = default_page_kib(l->root);
}

/* ------------------------------------------------------------------ the turn */

/* What is offered follows from the settings of now: a reload may have changed them since the job
 * began. */
static int inventory_put_devices(const struct look *l, struct err *e)
{
	struct db *db = vmm_db(l->v);
	int r = devices_begin(db, e);

	for (size_t i = 0; !r && i < l->n_devices; i++) {
		l->devices[i].offered = device_offered(&vmm_settings(l->v)->gpu, &l->devices[i]);
		r = devices_put(db, &l->devices[i], e);
	}
	return r ? r : devices_end(db, e);
}

static int inventory_put_node(struct look *l, const struct numa_node *n, struct err *e)
{
	const struct numa_pages *p = numa_pages(n, l->page_kib);
	struct numa_row row = {
		.node = n->id,
		.vcpus = n->cpus,
		.memory_mib = (int64_t)n->memory_mib,
		.page_kib = (int64_t)l->page_kib,
		.hugepages_mib = p ? (int64_t)(p->total * p->size_kib / 1024) : 0,
	};

	if (strlen(n->cpulist) >= sizeof(row.cpus)) {
		(void)snprintf(l->error, sizeof(l->error),
			       "NUMA node %u: the list of its CPUs is over %zu bytes", n->id,
			       sizeof(row.cpus) - 1);
		return 0;
	}
	memcpy(row.cpus, n->cpulist, strlen(n->cpulist) + 1);
	return numa_put(vmm_db(l->v), &row, p ? (int64_t)(p->free * p->size_kib / 1024) : 0, e);
}

static int inventory_put_nodes(struct look *l, struct err *e)
{
	struct db *db = vmm_db(l->v);
	int r = numa_begin(db, e);

	for (size_t i = 0; !r && i < l->nodes.n; i++)
		r = inventory_put_node(l, &l->nodes.node[i], e);
	return r ? r : numa_end(db, e);
}

static int inventory_put(void *arg, struct err *e)
{
	struct look *l = arg;
	int r = l->has_devices ? inventory_put_devices(l, e) : 0;

	return r || !l->has_nodes ? r : inventory_put_nodes(l, e);
}

/* ------------------------------------------------------------------ telling */

static void inventory_log(const struct look *l)
{
	struct vmm *v = l->v;
	size_t gpus = 0, offered = 0, broken = 0, bridges = 0;
	char text[sizeof(v->look.said)];

	if (!l->has_devices || !l->has_nodes)
		return; /* the error says more */
	for (size_t i = 0; i < l->n_devices; i++) {
		const struct device_row *d = &l->devices[i];

		gpus += d->kind == DEVICE_GPU;
		bridges += d->kind == DEVICE_NVSWITCH;
		offered += d->kind == DEVICE_GPU && d->offered;
		broken += d->broken_reason[0] != '\0';
	}
	(void)snprintf(text, sizeof(text),
		       "GPUs: %zu, offered: %zu; NVSwitches: %zu; broken: %zu; NUMA nodes: %zu",
		       gpus, offered, bridges, broken, l->nodes.n);
	if (!strcmp(text, v->look.said))
		return;
	memcpy(v->look.said, text, sizeof(text));
	log_info("host: %s", text);
	for (size_t i = 0; i < l->n_devices; i++)
		if (l->devices[i].broken_reason[0])
			log_warn("%s %s: %s", device_kind_word[l->devices[i].kind],
				 l->devices[i].address, l->devices[i].broken_reason);
}

struct host_waiter {
	struct host_waiter *next;
	unsigned weight;
	void (*done)(void *arg);
	void *arg;
};

void waiters_add(struct host_waiter **list, unsigned weight, void (*done)(void *arg), void *arg)
{
	while (*list)
		list = &(*list)->next;
	*list = xcalloc(1, sizeof(**list));
	**list = (struct host_waiter){ .weight = weight, .done = done, .arg = arg };
}

void waiters_call(struct host_waiter **list)
{
	while (*list) {
		struct host_waiter *w = *list;

		*list = w->next;
		w->done(w->arg);
		free(w);
	}
}

struct host_waiter *waiters_take(struct host_waiter **list)
{
	struct host_waiter *first = *list, **at = list;

	for (unsigned sum = 0; *at && (!sum || sum + (*at)->weight <= WAITERS_PER_RUN);
	     at = &(*at)->next)
		sum += (*at)->weight;
	*list = *at;
	if (first != *list)
		*at = NULL;
	return first == *list ? NULL : first;
}

static void inventory_begin(struct vmm *v);

static void inventory_end(struct look *l)
{
	waiters_call(&l->waiters);
	free(l->devices);
	numa_free(&l->nodes);
	free(l);
}

/* After the commit, or what stood in its way: either way the rows are as good as they get. */
static void inventory_committed(void *arg, const struct err *e)
{
	struct look *l = arg;
	struct vmm *v = l->v;

	if (e)
		log_error("cannot record what devices the host has: %s", e->text);
	else
		inventory_log(l);
	if (l->error[0] && strcmp(l->error, v->look.error) != 0)
		log_warn("host: %s", l->error);
	memcpy(v->look.error, l->error, sizeof(v->look.error));
	inventory_end(l);
	v->look.running = v->look.late = false;
	if (vmm_is_closing(v))
		waiters_call(&v->look.waiting);
	else if (v->look.waiting || v->look.again)
		inventory_begin(v);
	vmm_job_end(v);
}

/* The kernel does not answer: those who wait go on with what is known, also those that would have
 * waited for the next look. */
static void inventory_late(void *arg)
{
	struct look *l = arg;

	l->v->look.late = true;
	waiters_call(&l->waiters);
	waiters_call(&l->v->look.waiting);
}

/* A job that was dropped has found nothing, and changes nothing. */
static void inventory_read_done(void *arg, enum job_end how)
{
	struct look *l = arg;

	(void)how;
	turn_run(vmm_turn(l->v), inventory_put, inventory_committed, l);
}

static void inventory_begin(struct vmm *v)
{
	static const struct job_calls calls = { .lane = LANE_SHORT,
						.what = "devices and nodes of the host",
						.deadline_ms = 30000,
						.work = inventory_read,
						.done = inventory_read_done,
						.late = inventory_late };
	struct look *l = xcalloc(1, sizeof(*l));

	*l = (struct look){ .v = v,
			    .root = vmm_settings(v)->host_root ? vmm_settings(v)->host_root : "",
			    .waiters = waiters_take(&v->look.waiting) };
	v->look.running = true;
	v->look.again = false;
	vmm_job_begin(v);
	(void)job_start(vmm_settings(v)->loop, &calls, l);
}

static void inventory_call_waiting(void *arg)
{
	struct vmm *v = arg;

	waiters_call(&v->look.waiting);
}

void inventory_refresh(struct vmm *v, void (*done)(void *arg), void *arg)
{
	if (done)
		waiters_add(&v->look.waiting, 1, done, arg);
	if (!v->look.running)
		inventory_begin(v);
	else
		v->look.again = true;
	if (v->look.late && !v->look.tell) /* nobody knows when that one ends */
		(void)loop_after(vmm_settings(v)->loop, 0, inventory_call_waiting, v,
				 &v->look.tell);
}

bool inventory_may_allow(const struct err *e)
{
	if (e->code == ERR_CAPACITY)
		return !strcmp(e->cap.resource, "gpus") ||
		       !strcmp(e->cap.resource, "hugepages_mib");
	if (e->code == ERR_UNAVAILABLE || e->code == ERR_UNSUPPORTED)
		return !strcmp(e->field, "hugepages") || !strcmp(e->field, "pin_numa") ||
		       !strcmp(e->field, "gpus");
	return e->code == ERR_GPU || e->code == ERR_GPU_BUSY;
}
