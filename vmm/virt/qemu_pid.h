/* SPDX-License-Identifier: Apache-2.0
 * qemu_pid.h - internal to virt/: whether the QEMU process of a domain has ended.
 */
#ifndef TEEPOD_VMM_VIRT_QEMU_PID_H
#define TEEPOD_VMM_VIRT_QEMU_PID_H

#include <stdbool.h>

struct hypervisor;

/* True if domain @name was started and its QEMU has ended, but libvirt has not cleaned up yet.
 * False also if that is not known. */
bool qemu_has_ended(const struct hypervisor *h, const char *name);

#endif
