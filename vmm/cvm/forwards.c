/* SPDX-License-Identifier: Apache-2.0
 * forwards.c - host port forwards, re-applied whenever QEMU is restarted.
 *
 * QEMU holds the forwards: they are added through its monitor and end with the process. An ordinary
 * guest keeps its QEMU when it reboots. A TD does not: libvirt ends the process and starts another
 * one for the same domain (12.8: "stopped", then "started" 160 ms later), and the new QEMU has no
 * forwards. So the forwards are added whenever a TD has started. The operation that starts a TD
 * adds them at the same time; adding an existing forward is success. They are also added to adopted
 * TDs, which may have rebooted while the daemon did not run.
 */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/lanes.h"
#include "base/log.h"
#include "base/loop.h"
#include "db/cvms.h"
#include "db/ports.h"
#include "vmm/admit/networks.h"
#include "vmm/admit/ports.h"
#include "vmm/cvm/forwards.h"
#include "vmm/node/node.h"
#include "vmm/node/settings.h"
#include "vmm/virt/domain_spec.h"
#include "vmm/virt/hypervisor.h"

int forwards_add(struct hypervisor *hv, const struct cvm_row *c, const struct port_row *ports,
		 size_t n, bool fresh, struct err *e)
{
	struct network nics[DOMAIN_NICS];
	unsigned n_nics;
	int r = networks_parse("networks", c->networks, nics, &n_nics, e),
	    nic = r ? -1 : networks_first_user(nics, n_nics);

	if (!r && n && nic < 0)
		return err_set(e, ERR_UNSUPPORTED,
			       "ports can be forwarded only to an interface on a user network");
	for (size_t i = 0; !r && i < n; i++)
		r = hv_forward_add(hv, c->uuid, (unsigned)nic, ports[i].udp, ports[i].host_address,
				   ports[i].host_port, ports[i].vm_port, fresh, e);
	return r;
}

static int forwards_remove(struct hypervisor *hv, const struct cvm_row *c,
			   const struct port_row *ports, size_t n, const struct port_row *keep,
			   size_t n_keep, struct err *e)
{
	struct network nics[DOMAIN_NICS];
	unsigned n_nics;
	int r = networks_parse("networks", c->networks, nics, &n_nics, e),
	    nic = r ? -1 : networks_first_user(nics, n_nics);

	for (size_t i = 0; !r && nic >= 0 && i < n; i++)
		if (!ports_have(keep, n_keep, &ports[i]))
			r = hv_forward_remove(hv, c->uuid, (unsigned)nic, ports[i].udp,
					      ports[i].host_address, ports[i].host_port, e);
	return r;
}

int forwards_change(struct hypervisor *hv, const struct cvm_row *c, const struct port_row *from,
		    size_t n_from, const struct port_row *to, size_t n_to, struct err *e)
{
	int r = forwards_remove(hv, c, from, n_from, to, n_to, e);

	if (!r)
		r = forwards_add(hv, c, to, n_to, false, e);
	return r == -ERR_NOT_FOUND ? 0 : r;
}

struct forward_renewal {
	struct vmm *v;
	struct cvm_row cvm;
	struct port_row *ports;
	size_t n;
	bool fresh;
	int result;
	struct err err;
};

static void renew_work(void *arg)
{
	struct forward_renewal *n = arg;

	n->result = forwards_add(vmm_hv(n->v), &n->cvm, n->ports, n->n, n->fresh, &n->err);
}

static void renew_done(void *arg, enum job_end end)
{
	struct forward_renewal *n = arg;
	struct vmm *v = n->v;

	if (end == JOB_DROPPED)
		n->result = err_set(&n->err, ERR_TIMEOUT, "no thread was free");
	/* ERR_NOT_FOUND: the guest has ended meanwhile */
	if (n->result && n->result != -ERR_NOT_FOUND)
		log_warn("cannot forward the ports of %s after a restart of its QEMU: %s",
			 n->cvm.name, n->err.text);
	free(n->ports);
	free(n);
	vmm_job_end(v);
}

void forwards_renew(struct vmm *v, const struct cvm_row *c, bool fresh)
{
	static const struct job_calls calls = { .lane = LANE_GUEST,
						.what = "port forwards of a TD",
						.deadline_ms = 30000,
						.work = renew_work,
						.done = renew_done };
	struct port_row *ports = NULL;
	struct forward_renewal *n;
	struct err e;
	size_t n_ports;

	assert_loop_thread();
	if (!c->tdx)
		return;
	if (ports_of(vmm_db(v), c->id, &ports, &n_ports, &e) < 0) {
		log_error("cannot read the ports of %s: %s", c->name, e.text);
		return;
	}
	if (!n_ports) {
		free(ports);
		return;
	}
	n = xcalloc(1, sizeof(*n));
	*n = (struct forward_renewal){
		.v = v, .cvm = *c, .ports = ports, .n = n_ports, .fresh = fresh
	};
	vmm_job_begin(v);
	(void)job_start(vmm_settings(v)->loop, &calls, n);
}
