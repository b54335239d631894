/* SPDX-License-Identifier: Apache-2.0
 * hypervisor.h - libvirt, as the rest of the daemon sees it.
 *
 * Functions marked [job] block and are called by jobs; they are safe from any thread and take what
 * they need by value. The rest belongs to the loop thread. Identity of a domain is its UUID = the
 * CVM's vm_uuid.
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
	const char *emulator;   /* QEMU binary; NULL: what libvirt's capabilities name */
	bool never;             /* do not connect: every job that needs a connection is refused */
	void (*on_event)(void *arg, const struct hv_event *ev); /* loop thread */
	/* Connected (again): @up with capabilities known; lost: !@up. Loop thread. Reconnects by
	 * itself with back-off. */
	void (*on_link)(void *arg, bool up, const struct err *e);
	void *arg;
};

int hv_new(const struct hv_config *cfg, struct hypervisor **ret, struct err *e);
bool hv_ready(const struct hypervisor *h);
const struct hv_caps *hv_caps(const struct hypervisor *h); /* NULL until first connected */
/* Give up the connection; guests stay up. @done when it is closed and every handle is gone: within
 * 3 s, also while jobs still use the connection. Then these keep @h: it is not freed, and the
 * process has to end by _exit(). */
void hv_close(struct hypervisor *h, void (*done)(void *arg), void *arg);

/* [job] Define (or redefine) the persistent domain. */
int hv_define(struct hypervisor *h, const char *xml, struct err *e);
/* [job] Start a defined domain. Already running is success; a paused one is resumed. */
int hv_start(struct hypervisor *h, const char *uuid, struct err *e);
/* [job] End it now (SIGTERM/SIGKILL by libvirt). Not running or not there is success.
 * ERR_UNAVAILABLE also when libvirt does not get at the domain for 30 s: worth a repetition. */
int hv_destroy(struct hypervisor *h, const char *uuid, struct err *e);
/* [job] Press the ACPI power button. A paused guest is resumed for it: it can answer only while it
 * runs. ERR_NOT_FOUND when it does not run. */
int hv_power_button(struct hypervisor *h, const char *uuid, struct err *e);
/* [job] Remove the definition, and end what still runs of it. Not there is success. */
int hv_undefine(struct hypervisor *h, const char *uuid, struct err *e);
/* [job] State of one domain; absent is a state, not an error. */
int hv_state(struct hypervisor *h, const char *uuid, enum domain_state *ret, struct err *e);
/* [job] QEMU itself is asked why it paused a domain that hv_state() calls DOMAIN_PAUSED_IO: _NOSPC
 * or _IO. */
int hv_pause_cause(struct hypervisor *h, const char *uuid, enum domain_state *ret, struct err *e);
/* [job] A paused domain goes on. One that runs already is success; ERR_NOT_FOUND when it has ended.
 */
int hv_resume(struct hypervisor *h, const char *uuid, struct err *e);
/* [job] All domains that carry our metadata. *ret malloc'd. */
int hv_list(struct hypervisor *h, struct hv_domain **ret, size_t *ret_n, struct err *e);
/* [job] Live host->guest forward on the user network of interface @nic, counted from 0 (slirp
 * hostfwd_add / hostfwd_remove by HMP). Adding one that is there already, or removing one that is
 * not, is success. ERR_IN_USE when the host refuses the port. @fresh: the guest has just been
 * started, so that its QEMU answers; calls to others wait for their turn (virt.h). */
int hv_forward_add(struct hypervisor *h, const char *uuid, unsigned nic, bool udp,
		   const char *host_address, uint16_t host_port, uint16_t vm_port, bool fresh,
		   struct err *e);
int hv_forward_remove(struct hypervisor *h, const char *uuid, unsigned nic, bool udp,
		      const char *host_address, uint16_t host_port, struct err *e);
/* [job] A running guest sees its disk (the file @path) in its new size at once. ERR_NOT_FOUND when
 * it does not run. Having that size already is success. */
int hv_block_resize(struct hypervisor *h, const char *uuid, const char *path, uint64_t bytes,
		    struct err *e);
/* [job] Path of the log libvirt writes QEMU's stdout and stderr to, for domain @name. */
int hv_qemu_log_path(struct hypervisor *h, const char *name, char *out, size_t n, struct err *e);

#endif
