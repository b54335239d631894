/* SPDX-License-Identifier: Apache-2.0
 * hypervisor.h - the hypervisor (libvirt and QEMU), as the rest of the daemon sees it.
 *
 * Functions marked [job] block and are called by jobs. They are safe on any thread and take values.
 * All others belong to the loop thread. A domain is identified by its UUID, which is the vm_uuid of
 * the CVM.
 *
 * Implemented in hypervisor.c (connection), hv_lease.c, domain.c, qemu_pid.c and
 * monitor.c.
 */
#ifndef TEEPOD_VMM_VIRT_HYPERVISOR_H
#define TEEPOD_VMM_VIRT_HYPERVISOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <uv.h>

#include "base/err.h"
#include "vmm/virt/domain_state.h"
#include "vmm/virt/hv_caps.h"

struct hypervisor;

struct hv_config {
	uv_loop_t *loop;
	/* "qemu:///system", "qemu+unix:///system?socket=/p", or "qemu:///embed" /
	 * "qemu:///embed?root=/abs" */
	const char *uri;
	const char *embed_root; /* used when the URI is embed without a root */
	const char *emulator;   /* QEMU binary; NULL: the one of libvirt's capabilities */
	bool never;             /* never connect: every job that needs a connection is refused */
	void (*on_event)(void *arg, const struct hv_event *ev); /* loop thread */
	/* Loop thread. @up: connected (again), and the capabilities are known. !@up: lost, or could
	 * not connect; *e has the reason. The connection is retried with back-off. */
	void (*on_link)(void *arg, bool up, const struct err *e);
	void *arg;
};

int hv_new(const struct hv_config *cfg, struct hypervisor **ret, struct err *e);
bool hv_ready(const struct hypervisor *h);
const struct hv_caps *hv_caps(const struct hypervisor *h); /* NULL until first connected */
/* Close the connection; guests stay up. @done is called within 3 s, when all handles are closed.
 * If jobs still use the connection then, @h is not freed and the process must end by _exit(). */
void hv_close(struct hypervisor *h, void (*done)(void *arg), void *arg);

/* [job] Define the persistent domain, or replace its definition. */
int hv_define(struct hypervisor *h, const char *xml, struct err *e);
/* [job] Start a defined domain. Success if it runs already; a paused one is resumed.
 * ERR_UNAVAILABLE also if its last QEMU has ended and libvirt has not cleaned up yet: try again. */
int hv_start(struct hypervisor *h, const char *uuid, struct err *e);
/* [job] End the domain now (libvirt sends SIGTERM, then SIGKILL). Success if it does not run or
 * does not exist. ERR_UNAVAILABLE also if libvirt could not lock the domain for 30 s: try again. */
int hv_destroy(struct hypervisor *h, const char *uuid, struct err *e);
/* A pidfd of the QEMU of domain @name, which the caller closes; -1 if there is none or it cannot be
 * known. Does not wait. */
int hv_qemu_pidfd(const struct hypervisor *h, const char *name);
/* [job] Press the ACPI power button. A paused guest is resumed, because only a running one can
 * react. ERR_NOT_FOUND if it does not run. */
int hv_power_button(struct hypervisor *h, const char *uuid, struct err *e);
/* [job] Remove the definition, and end the domain if it runs. Success if it does not exist. */
int hv_undefine(struct hypervisor *h, const char *uuid, struct err *e);
/* [job] State of one domain; absent is a state, not an error. */
int hv_state(struct hypervisor *h, const char *uuid, enum domain_state *ret, struct err *e);
/* [job] Query QEMU why it paused a domain in state DOMAIN_PAUSED_IO. *ret: DOMAIN_PAUSED_NOSPC or
 * DOMAIN_PAUSED_IO. */
int hv_pause_cause(struct hypervisor *h, const char *uuid, enum domain_state *ret, struct err *e);
/* [job] Resume a paused domain. Success if it runs already; ERR_NOT_FOUND if it has ended. */
int hv_resume(struct hypervisor *h, const char *uuid, struct err *e);
/* [job] List all domains that have our metadata. *ret is malloc'd. */
int hv_list(struct hypervisor *h, struct hv_domain **ret, size_t *ret_n, struct err *e);
/* [job] Add or remove a port forward of a running guest, on the user network of interface @nic
 * (counted from 0). Success if it exists already, or if there is none to remove. ERR_IN_USE if the
 * host refuses the port. @fresh: the guest was just started, so its QEMU answers; other calls are
 * limited in number (hv_lease.h). */
int hv_forward_add(struct hypervisor *h, const char *uuid, unsigned nic, bool udp,
		   const char *host_address, uint16_t host_port, uint16_t vm_port, bool fresh,
		   struct err *e);
int hv_forward_remove(struct hypervisor *h, const char *uuid, unsigned nic, bool udp,
		      const char *host_address, uint16_t host_port, struct err *e);
/* [job] Tell a running guest that its disk (the file @path) has @bytes. Success if it has that size
 * already. ERR_NOT_FOUND if it does not run. */
int hv_block_resize(struct hypervisor *h, const char *uuid, const char *path, uint64_t bytes,
		    struct err *e);
/* [job] Path of the file with stdout and stderr of the QEMU of domain @name. */
int hv_qemu_log_path(struct hypervisor *h, const char *name, char *out, size_t n, struct err *e);

#endif
