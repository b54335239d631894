/* SPDX-License-Identifier: Apache-2.0
 * hv_lease.c - hands out connections to libvirt to jobs.
 *
 * The embedded driver and the test driver have one connection for all jobs. With a remote driver
 * each job gets a connection of its own: libvirt's client lets the first caller read for all
 * others, so a call that waits for a hung QEMU would delay them (hypervisor.c).
 *
 * What must hold: h->leases is the number of leases that were begun and not ended. hypervisor.c
 * closes the connection only when it is 0.
 */
#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/lanes.h"
#include "vmm/virt/hv_lease.h"
#include "vmm/virt/hypervisor_context.h"
#include "vmm/virt/virt_error.h"

enum { KEEPALIVE_S = 5, KEEPALIVE_COUNT = 3 };
enum { QEMU_LEASES_MAX = 12, QEMU_LEASE_POLL_MS = 20 };

virConnectPtr hv_connect(const char *uri)
{
	virConnectPtr conn = virConnectOpen(uri);

	/* Fails for local drivers, which need no keepalive. */
	if (conn)
		(void)virConnectSetKeepAlive(conn, KEEPALIVE_S, KEEPALIVE_COUNT);
	return conn;
}

static int lease_connection(struct hypervisor *h, struct hv_lease *ret, struct err *e)
{
	struct hv_lease lease = { .h = h };

	hypervisor_lock(h);
	bool connected = h->conn != NULL;
	lease.generation = h->generation;
	if (connected)
		h->leases++;
	if (connected && !h->remote && !virConnectRef(h->conn))
		lease.conn = h->conn;
	else if (connected && h->spares)
		lease.conn = h->spare[--h->spares];
	hypervisor_unlock(h);
	if (!connected)
		return err_set(e, ERR_UNAVAILABLE, "hypervisor is not connected");
	if (!lease.conn)
		lease.conn = hv_connect(h->uri);
	if (!lease.conn) {
		int r = virt_err(e, "connect to the hypervisor");

		hv_lease_end(&lease);
		return r;
	}
	/* Connecting may have taken so long that the caller does not wait any more. */
	if (job_is_cancelled()) {
		hv_lease_end(&lease);
		return err_set(e, job_time_left_ms() ? ERR_CANCELLED : ERR_TIMEOUT,
			       "cancelled before libvirt was called");
	}
	*ret = lease;
	return 0;
}

static bool reserve_qemu_lease(struct hypervisor *h)
{
	hypervisor_lock(h);
	bool is_free = !h->remote || h->qemu_leases < QEMU_LEASES_MAX;
	if (is_free)
		h->qemu_leases++;
	hypervisor_unlock(h);
	return is_free;
}

static int lease_for_qemu(struct hypervisor *h, struct hv_lease *ret, struct err *e)
{
	int r;

	while (!reserve_qemu_lease(h)) {
		if (job_is_cancelled())
			return err_set(e, ERR_TIMEOUT, "%d other guests do not answer libvirt",
				       QEMU_LEASES_MAX);
		(void)usleep(QEMU_LEASE_POLL_MS * 1000);
	}
	r = lease_connection(h, ret, e);
	if (r) {
		hypervisor_lock(h);
		assert(h->qemu_leases);
		h->qemu_leases--;
		hypervisor_unlock(h);
	} else {
		ret->answer = HV_QEMU;
	}
	return r;
}

int hv_lease_begin(struct hypervisor *h, enum hv_answer answer, struct hv_lease *ret, struct err *e)
{
	return answer == HV_QEMU ? lease_for_qemu(h, ret, e) : lease_connection(h, ret, e);
}

void hv_lease_end(struct hv_lease *lease)
{
	struct hypervisor *h = lease->h;
	virConnectPtr conn = lease->conn;

	if (!h)
		return;
	bool good = h->remote && conn && virConnectIsAlive(conn) == 1;
	hypervisor_lock(h);
	assert(h->spares <= HV_SPARES);
	if (good && h->conn && lease->generation == h->generation && h->spares < HV_SPARES) {
		h->spare[h->spares++] = conn;
		conn = NULL;
	}
	hypervisor_unlock(h);
	if (conn)
		(void)virConnectClose(conn);
	hypervisor_lock(h);
	assert(h->leases);
	assert(lease->answer != HV_QEMU || h->qemu_leases);
	if (lease->answer == HV_QEMU)
		h->qemu_leases--;
	if (!--h->leases)
		hypervisor_wake(h);
	hypervisor_unlock(h);
	lease->h = NULL;
}

/* False if the driver's folders are not known. */
static bool driver_folder(const struct hypervisor *h, const char *embedded, const char *system,
			  char *out, size_t n)
{
	if (h->embed_root)
		(void)snprintf(out, n, "%s/%s", h->embed_root, embedded);
	else if (!strncmp(h->uri, "qemu", 4) && strstr(h->uri, "/system"))
		(void)snprintf(out, n, "%s", system);
	else
		return false;
	return true;
}

int hv_log_folder(const struct hypervisor *h, char *out, size_t n, struct err *e)
{
	if (driver_folder(h, "log/qemu", "/var/log/libvirt/qemu", out, n))
		return 0;
	return err_set(e, ERR_UNSUPPORTED,
		       "the folder of QEMU's logs is not known for hypervisor %s", h->uri);
}

bool hv_run_folder(const struct hypervisor *h, char *out, size_t n)
{
	return driver_folder(h, "run/qemu", "/run/libvirt/qemu", out, n);
}
