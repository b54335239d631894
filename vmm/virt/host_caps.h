/* SPDX-License-Identifier: Apache-2.0
 * host_caps.h - reads what libvirt, QEMU and this host can do.
 */
#ifndef TEEPOD_VMM_VIRT_HOST_CAPS_H
#define TEEPOD_VMM_VIRT_HOST_CAPS_H

#include <libvirt/libvirt.h>

#include "base/err.h"
#include "vmm/virt/hv_caps.h"

/* [job] Query libvirt and the host. @emulator: the QEMU binary to query; NULL: libvirt's default.
 * @embedded: the driver runs in this process. */
int host_caps_probe(virConnectPtr conn, const char *emulator, bool embedded, struct hv_caps *ret,
		    struct err *e);

/* Pure. Read QEMU's user from the host capabilities document. caps->has_user is false if it names
 * none. */
void host_caps_user(const char *xml, struct hv_caps *caps);

/* Pure. Fill @caps from a domain capabilities document. The versions are numbered as libvirt does.
 */
int host_caps_read(const char *xml, unsigned long libvirt, unsigned long qemu, struct hv_caps *caps,
		   struct err *e);

#endif
