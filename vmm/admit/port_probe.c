/* SPDX-License-Identifier: Apache-2.0
 * port_probe.c - find out, in a job, which host ports other processes use.
 *
 * A job tries bind() on each port, as QEMU will (SO_REUSEADDR for TCP). A request whose ports were
 * not probed is refused with the error of port_probe_missing(), and applied again after the job:
 *
 *	admission: port_probe_want(), refused -> admission_retry() -> job -> waiters:
 *	admission again, port_probe_known()
 *
 * The result of a probe is valid only while the waiters of that probe are called, and they apply
 * their requests at once: no request is admitted on an old result. Probes do not overlap. Requests
 * that arrive during a probe share the next ones, WAITERS_PER_RUN in each, which limits the work in
 * one iteration of the loop. A request with many ports has the weight of several requests, and one
 * that needs every port tried is served alone: 64 replicas with 64 ports take about 50 ms.
 *
 * The first probe of a request tries the ports that it names, and a few for each port that is to be
 * chosen. If all of these are taken, a second probe tries every allowed port; its result is final.
 * That two CVMs do not get the same port is ensured by ports.c, inside the transaction.
 */
#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/fd.h"
#include "base/lanes.h"
#include "base/loop.h"
#include "db/ports.h"
#include "vmm/admit/reservation.h"
#include "vmm/admit/port_probe.h"
#include "vmm/host/inventory.h"
#include "vmm/host/waiters.h"
#include "vmm/logs/serial_scan.h"
#include "vmm/node/node.h"
#include "vmm/node/settings.h"

enum { PROBE_MS = 10 * 1000 };

/* A host port to be tried; @address: index into the settings' port_addresses. */
struct port_probe {
	bool udp;
	uint16_t address, port;
	int result; /* 0: free; -errno of bind() */
};

/* State of the room: what the next probe tries, and what the last one found. */
struct probing {
	struct port_probe wanted[PROBES_WANTED];
	size_t n_wanted;
	size_t n_counted; /* ports in @wanted whose waiter was added */
	uint64_t wanted_ports[2]
			     [1024]; /* tcp, udp: one bit per port; set if it may be in @wanted */
	bool heavy;                  /* the request that is being refused needs every port tried */
	bool want_all, running;
	struct host_waiter *waiting;
	const struct port_probes *known; /* set only while the waiters of that probe are called */
};

struct port_probes {
	struct vmm *v;
	const char *const *addresses;
	struct port_probe *list; /* sorted by the job */
	size_t n;
	bool all, dropped;
	struct host_waiter *waiters;
};

/* ------------------------------------------------------------------ the job */

/* Try bind(). 0 if the port is free on the host now, or -errno. */
static int port_probe_bind(bool udp, const char *address, uint16_t port)
{
	struct sockaddr_in sa = { .sin_family = AF_INET, .sin_port = htons(port) };
	auto_close int fd = -1;
	int one = 1;

	if (inet_pton(AF_INET, address, &sa.sin_addr) != 1)
		return -EINVAL;
	fd = socket(AF_INET, (udp ? SOCK_DGRAM : SOCK_STREAM) | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (!udp)
		(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	return bind(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0 ? -errno : 0;
}

static int port_probe_compare(const void *a, const void *b)
{
	const struct port_probe *x = a, *y = b;

	if (x->port != y->port)
		return x->port < y->port ? -1 : 1;
	if (x->address != y->address)
		return x->address < y->address ? -1 : 1;
	return x->udp - y->udp;
}

static void port_probe_work(void *arg)
{
	struct port_probes *p = arg;

	for (size_t i = 0; i < p->n; i++)
		p->list[i].result = port_probe_bind(
			p->list[i].udp, p->addresses[p->list[i].address], p->list[i].port);
	qsort(p->list, p->n, sizeof(*p->list), port_probe_compare);
}

/* ------------------------------------------------------------------ what to probe */

static bool port_probe_of_row(const struct vmm *v, const struct port_row *row,
			      struct port_probe *ret)
{
	for (unsigned i = 0; vmm_settings(v)->port_addresses[i]; i++) {
		if (strcmp(vmm_settings(v)->port_addresses[i], row->host_address) != 0)
			continue;
		*ret = (struct port_probe){ .udp = row->udp,
					    .address = (uint16_t)i,
					    .port = row->host_port };
		return true;
	}
	return false;
}

/* The bit of a port and protocol, for all addresses. */
static uint64_t *wanted_bits(struct vmm *v, bool udp, uint16_t port, uint64_t *ret_bit)
{
	*ret_bit = UINT64_C(1) << (port % 64);
	return &vmm_probing(v)->wanted_ports[udp][port / 64];
}

bool port_probe_may_be_wanted(struct vmm *v, const struct port_row *row)
{
	uint64_t bit, *word = wanted_bits(v, row->udp, row->host_port, &bit);

	return (*word & bit) != 0;
}

bool port_probe_want(struct vmm *v, const struct port_row *row)
{
	uint64_t bit, *word = wanted_bits(v, row->udp, row->host_port, &bit);
	struct port_probe p;

	if (!port_probe_of_row(v, row, &p))
		return false;
	for (size_t i = 0; *word & bit && i < vmm_probing(v)->n_wanted; i++)
		if (!port_probe_compare(&vmm_probing(v)->wanted[i], &p))
			return false;
	*word |= bit;
	assert(vmm_probing(v)->n_wanted <= PROBES_WANTED);
	if (vmm_probing(v)->n_wanted == PROBES_WANTED)
		port_probe_want_all(v);
	else
		vmm_probing(v)->wanted[vmm_probing(v)->n_wanted++] = p;
	return true;
}

void port_probe_want_all(struct vmm *v)
{
	vmm_probing(v)->want_all = vmm_probing(v)->heavy = true;
}

static void port_probe_add_range(struct port_probes *p, const struct port_range *r,
				 uint16_t address)
{
	for (uint32_t port = r->from; port <= r->to; port++)
		for (int udp = 0; udp < 2; udp++)
			if (udp ? r->udp : r->tcp)
				p->list[p->n++] = (struct port_probe){ .udp = udp,
								       .address = address,
								       .port = (uint16_t)port };
}

static void port_probe_list_all(struct vmm *v, struct port_probes *p)
{
	/* Ranges may overlap; a port that is probed twice does no harm. */
	size_t room = 0;

	for (size_t i = 0; i < vmm_settings(v)->n_port_ranges; i++)
		room += 2 * (size_t)(vmm_settings(v)->port_ranges[i].to -
				     vmm_settings(v)->port_ranges[i].from + 1);
	for (unsigned a = 0; vmm_settings(v)->port_addresses[a]; a++) {
		p->list = xrealloc(p->list, (p->n + room) * sizeof(*p->list));
		for (size_t i = 0; i < vmm_settings(v)->n_port_ranges; i++)
			port_probe_add_range(p, &vmm_settings(v)->port_ranges[i], (uint16_t)a);
	}
}

/* ------------------------------------------------------------------ running probes */

static void port_probe_begin(struct vmm *v);

static void port_probe_done(void *arg, enum job_end end)
{
	struct port_probes *p = arg;
	struct vmm *v = p->v;

	assert_loop_thread();
	assert(vmm_probing(v)->running && !vmm_probing(v)->known);
	p->dropped = end == JOB_DROPPED;
	vmm_probing(v)->known = p;
	waiters_call(&p->waiters);
	vmm_probing(v)->known = NULL;
	vmm_probing(v)->running = false;
	free(p->list);
	free(p);
	if (vmm_probing(v)->waiting)
		port_probe_begin(v);
	vmm_job_end(v);
}

static void port_probe_begin(struct vmm *v)
{
	static const struct job_calls calls = { .lane = LANE_SHORT,
						.what = "probe host ports",
						.deadline_ms = PROBE_MS,
						.work = port_probe_work,
						.done = port_probe_done };
	struct port_probes *p = xcalloc(1, sizeof(*p));

	assert(!vmm_probing(v)->running && vmm_probing(v)->waiting);
	*p = (struct port_probes){ .v = v,
				   .addresses = vmm_settings(v)->port_addresses,
				   .list = xcalloc(PROBES_WANTED, sizeof(*p->list)),
				   .n = vmm_probing(v)->n_wanted,
				   .all = vmm_probing(v)->want_all,
				   .waiters = waiters_take(&vmm_probing(v)->waiting) };
	memcpy(p->list, vmm_probing(v)->wanted, p->n * sizeof(*p->list));
	if (p->all)
		port_probe_list_all(v, p);
	/* Requests that wait for the next probe may share ports with the ones that this one serves.
	 */
	if (!vmm_probing(v)->waiting) {
		memset(vmm_probing(v)->wanted_ports, 0, sizeof(vmm_probing(v)->wanted_ports));
		vmm_probing(v)->n_wanted = vmm_probing(v)->n_counted = 0;
		vmm_probing(v)->want_all = false;
	}
	vmm_probing(v)->running = true;
	vmm_job_begin(v);
	(void)job_start(vmm_settings(v)->loop, &calls, p);
}

static void port_probe_wait(struct vmm *v, void (*fn)(void *arg), void *arg)
{
	unsigned weight =
		(unsigned)(vmm_probing(v)->n_wanted - vmm_probing(v)->n_counted) / PICK_PROBES;

	if (vmm_probing(v)->heavy)
		weight = WAITERS_PER_RUN;
	vmm_probing(v)->heavy = false;
	vmm_probing(v)->n_counted = vmm_probing(v)->n_wanted;
	waiters_add(&vmm_probing(v)->waiting, weight ? weight : 1, fn, arg);
	if (!vmm_probing(v)->running)
		port_probe_begin(v);
}

/* ------------------------------------------------------------------ for tests and the node */

struct probing *probing_new(void)
{
	return xcalloc(1, sizeof(struct probing));
}

void probing_free(struct probing *p)
{
	free(p);
}

size_t port_probe_wanted_count(const struct vmm *v)
{
	return vmm_probing(v)->n_wanted;
}

bool port_probe_has_waiters(const struct vmm *v)
{
	return vmm_probing(v)->waiting != NULL;
}

/* ------------------------------------------------------------------ results */

enum port_probe_state port_probe_known(const struct vmm *v, const struct port_row *row, int *ret)
{
	const struct port_probes *known = vmm_probing(v)->known;
	const struct port_probe *found;
	struct port_probe p;

	if (!known || known->dropped || !port_probe_of_row(v, row, &p))
		return PORT_UNPROBED;
	found = bsearch(&p, known->list, known->n, sizeof(p), port_probe_compare);
	*ret = -EADDRINUSE;
	if (!found)
		return known->all ? PORT_TAKEN : PORT_UNPROBED;
	*ret = found->result;
	return found->result ? PORT_TAKEN : PORT_FREE;
}

/* After a dropped probe the request fails: another probe would be dropped as well. */
int port_probe_missing(const struct vmm *v, struct err *e)
{
	if (vmm_probing(v)->known && vmm_probing(v)->known->dropped)
		return err_set(e, ERR_UNAVAILABLE, "the node is too busy to probe host ports");
	return inventory_is_stale("ports", e);
}

bool port_probe_is_missing(const struct err *e)
{
	return e->code == ERR_UNAVAILABLE && !strcmp(e->field, "ports");
}

bool admission_retry(struct vmm *v, const struct err *why, bool inspected, void (*done)(void *arg),
		     void *arg)
{
	if (port_probe_is_missing(why))
		port_probe_wait(v, done, arg);
	else if (!inspected && inventory_may_allow(why))
		inventory_refresh(v, done, arg);
	else
		return false;
	return true;
}
