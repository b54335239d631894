/* SPDX-License-Identifier: Apache-2.0
 * virt.h - what the files behind hypervisor.h share: the connection, errors and capabilities in
 * libvirt's terms.
 */
#ifndef TEEPOD_VMM_VIRT_VIRT_H
#define TEEPOD_VMM_VIRT_VIRT_H

#include <stdbool.h>

#include <libvirt/libvirt.h>

#include "base/err.h"
#include "vmm/virt/hypervisor.h"

/* Namespace of our element in a domain's metadata. */
#define DOMAIN_NAMESPACE "https://teepod.dev/xmlns/domain/1"

/* ------------------------------------------------------------------ hypervisor.c */

/* A job's connection: valid, even when lost meanwhile, until the scope ends; with a remote driver
 * nobody else's. */
struct hv_hold {
	struct hypervisor *h;
	virConnectPtr conn;
	unsigned generation;
	bool patient; /* by hv_hold_patiently() */
};

int hv_hold(struct hypervisor *h, struct hv_hold *ret, struct err *e);
void hv_let_go(struct hv_hold *hold);

#define auto_hold __attribute__((cleanup(hv_let_go)))

/* [job] The same for a call that a running QEMU has to answer and that can be done without. Calls
 * of this kind that get no answer occupy threads of libvirtd, which has 20 (max_workers): so at
 * most 12 are made at once, and a further one waits for its turn until the deadline of its job
 * (ERR_TIMEOUT). */
int hv_hold_patiently(struct hypervisor *h, struct hv_hold *ret, struct err *e);

/* Where the driver writes QEMU's logs; ERR_UNSUPPORTED when it has none. */
int hv_log_folder(const struct hypervisor *h, char *out, size_t n, struct err *e);

/* ------------------------------------------------------------------ domain.c */

static inline void own_domain(virDomainPtr *d)
{
	if (*d)
		(void)virDomainFree(*d);
}

#define auto_domain __attribute__((cleanup(own_domain)))

/* This thread's last libvirt error as ours; "@what: libvirt's words". */
int virt_err(struct err *e, const char *what);

/* ------------------------------------------------------------------ host_caps.c */

/* [job] Ask libvirt and the host. @emulator: NULL, or the QEMU to ask about. */
int host_caps_probe(virConnectPtr conn, const char *emulator, struct hv_caps *ret, struct err *e);

/* Pure: QEMU's user, from the host capabilities document. No such user in it: caps->has_user is
 * false. */
void host_caps_user(const char *xml, struct hv_caps *caps);

/* Pure: does the host capabilities document offer x86_64 guests of type kvm? */
bool host_caps_offer_kvm(const char *xml);

/* Pure: fill @caps from a domain capabilities document; libvirt and QEMU versions as libvirt
 * numbers them. */
int host_caps_read(const char *xml, unsigned long libvirt, unsigned long qemu, struct hv_caps *caps,
		   struct err *e);

/* ------------------------------------------------------------------ monitor.c */

enum forward_found { FORWARD_NONE, FORWARD_SAME, FORWARD_OTHER };

/* Pure: what `info usernet` says about a forward. SAME: to @vm_port; OTHER: to another port of the
 * guest. */
enum forward_found usernet_find(const char *reply, bool udp, const char *host_address,
				uint16_t host_port, uint16_t vm_port);

#endif
