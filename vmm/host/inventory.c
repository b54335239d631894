/* SPDX-License-Identifier: Apache-2.0
 * inventory.c - which GPUs, NVSwitches and NUMA nodes the host has.
 *
 * A job reads the kernel's files. One turn then writes the result to the tables devices and
 * numa_nodes. The host is read at start, after a reload of the configuration, and before each
 * request that wants devices or hugepages is admitted: a driver of the host may have taken a GPU
 * since the last time.
 *
 * Reads do not overlap. A request that arrives during a read waits for the next one: what is being
 * read may be older than the request. If a file cannot be read, the rows stay as they are. The row
 * of a device that was removed stays while a CVM holds the device.
 *
 * See also: pci.c and numa.c (the files), waiters.c (waiting requests), admit/reservation.c (use).
 */
#include <assert.h>
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
#include "vmm/host/device_state.h"
#include "vmm/host/kernel_file.h"
#include "vmm/host/inventory.h"
#include "vmm/host/numa.h"
#include "vmm/host/pci.h"
#include "vmm/host/waiters.h"
#include "vmm/logs/serial_scan.h"
#include "vmm/node/node.h"
#include "vmm/node/settings.h"
#include "vmm/virt/xml_out.h"

struct inventory {
	struct host_waiter *waiting; /* for the next read */
	bool running;                /* a read is under way */
	bool again;                  /* start another read when this one ends */
	bool late;                   /* the read that runs is past its deadline */
	struct loop_timer *call_timer;
	char error[200];  /* why the last read was incomplete; "" if it was complete */
	char logged[120]; /* the summary in the log, written again only when it changes */
};

/* One read of the host: the job fills it, the turn writes it to the database. */
struct inventory_run {
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

static void inventory_keep_error(struct inventory_run *l, const struct err *e)
{
	if (!l->error[0])
		(void)snprintf(l->error, sizeof(l->error), "%.*s", (int)sizeof(l->error) - 1,
			       e->text);
}

/* Size of the kernel's default hugepages in KiB; 0 if it has none. */
static uint64_t default_page_kib(const char *root)
{
	auto_free char *text = kernel_text(root, "/proc/meminfo");
	const char *value = kernel_line(text, "Hugepagesize");

	return value ? strtoull(value, NULL, 10) : 0;
}

static void inventory_read(void *arg)
{
	struct inventory_run *l = arg;
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

/* Whether a device is offered follows from the current settings: they may have been reloaded since
 * the job began. */
static int inventory_put_devices(const struct inventory_run *l, struct err *e)
{
	struct db *db = vmm_db(l->v);
	int r = devices_begin(db, e);

	for (size_t i = 0; !r && i < l->n_devices; i++) {
		l->devices[i].offered = device_offered(&vmm_settings(l->v)->gpu, &l->devices[i]);
		r = devices_put(db, &l->devices[i], e);
	}
	return r ? r : devices_end(db, e);
}

static int inventory_put_node(struct inventory_run *l, const struct numa_node *n, struct err *e)
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

static int inventory_put_nodes(struct inventory_run *l, struct err *e)
{
	struct db *db = vmm_db(l->v);
	int r = numa_begin(db, e);

	for (size_t i = 0; !r && i < l->nodes.n; i++)
		r = inventory_put_node(l, &l->nodes.node[i], e);
	return r ? r : numa_end(db, e);
}

static int inventory_put(void *arg, struct err *e)
{
	struct inventory_run *l = arg;
	int r = l->has_devices ? inventory_put_devices(l, e) : 0;

	return r || !l->has_nodes ? r : inventory_put_nodes(l, e);
}

/* ------------------------------------------------------------------ log and waiters */

static void inventory_log(const struct inventory_run *l)
{
	struct inventory *inv = vmm_inventory(l->v);
	size_t gpus = 0, offered = 0, broken = 0, bridges = 0;
	char text[sizeof(inv->logged)];

	if (!l->has_devices || !l->has_nodes)
		return; /* the error is logged instead */
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
	if (!strcmp(text, inv->logged))
		return;
	memcpy(inv->logged, text, sizeof(text));
	log_info("host: %s", text);
	for (size_t i = 0; i < l->n_devices; i++)
		if (l->devices[i].broken_reason[0])
			log_warn("%s %s: %s", device_kind_word[l->devices[i].kind],
				 l->devices[i].address, l->devices[i].broken_reason);
}

static void inventory_begin(struct vmm *v);

static void inventory_end(struct inventory_run *l)
{
	waiters_call(&l->waiters);
	free(l->devices);
	numa_free(&l->nodes);
	free(l);
}

/* After the turn, committed or not. If it failed, the rows keep their old content. */
static void inventory_committed(void *arg, const struct err *e)
{
	struct inventory_run *l = arg;
	struct vmm *v = l->v;
	struct inventory *inv = vmm_inventory(v);

	assert_loop_thread();
	assert(inv->running);
	if (e)
		log_error("cannot write the inventory of the host to the database: %s", e->text);
	else
		inventory_log(l);
	if (l->error[0] && strcmp(l->error, inv->error) != 0)
		log_warn("host: %s", l->error);
	memcpy(inv->error, l->error, sizeof(inv->error));
	inventory_end(l);
	inv->running = inv->late = false;
	if (vmm_is_closing(v))
		waiters_call(&inv->waiting);
	else if (inv->waiting || inv->again)
		inventory_begin(v);
	vmm_job_end(v);
}

/* The kernel does not answer. All waiters continue with the previous inventory, including those of
 * the next read, because it is not known when this read will end. */
static void inventory_late(void *arg)
{
	struct inventory_run *l = arg;
	struct inventory *inv = vmm_inventory(l->v);

	assert_loop_thread();
	inv->late = true;
	waiters_call(&l->waiters);
	waiters_call(&inv->waiting);
}

/* A dropped job has has_devices and has_nodes unset: the turn changes no row. */
static void inventory_read_done(void *arg, enum job_end how)
{
	struct inventory_run *l = arg;

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
	struct inventory *inv = vmm_inventory(v);
	struct inventory_run *l = xcalloc(1, sizeof(*l));

	assert(!inv->running);
	*l = (struct inventory_run){ .v = v,
				     .root = vmm_settings(v)->host_root ? vmm_settings(v)->host_root
									: "",
				     .waiters = waiters_take(&inv->waiting) };
	inv->running = true;
	inv->again = false;
	vmm_job_begin(v);
	(void)job_start(vmm_settings(v)->loop, &calls, l);
}

static void inventory_call_waiting(void *arg)
{
	struct inventory *inv = arg;

	waiters_call(&inv->waiting);
}

void inventory_refresh(struct vmm *v, void (*done)(void *arg), void *arg)
{
	struct inventory *inv = vmm_inventory(v);

	assert_loop_thread();
	if (done)
		waiters_add(&inv->waiting, 1, done, arg);
	if (!inv->running)
		inventory_begin(v);
	else
		inv->again = true;
	if (inv->late && !inv->call_timer) /* it is not known when that read will end */
		(void)loop_after(vmm_settings(v)->loop, 0, inventory_call_waiting, inv,
				 &inv->call_timer);
}

struct inventory *inventory_new(void)
{
	return xcalloc(1, sizeof(struct inventory));
}

void inventory_close(struct vmm *v)
{
	struct inventory *inv = vmm_inventory(v);

	assert(vmm_is_closing(v));
	loop_after_cancel(&inv->call_timer);
	waiters_call(&inv->waiting);
}

void inventory_free(struct inventory *inv)
{
	free(inv);
}

const char *inventory_error(const struct vmm *v)
{
	return vmm_inventory(v)->error;
}

bool inventory_is_reading(const struct vmm *v)
{
	return vmm_inventory(v)->running;
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
