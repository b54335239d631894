/* SPDX-License-Identifier: Apache-2.0
 * qemu_pid.h - internal to virt/: whether the QEMU process of a domain has ended.
 */
#ifndef TEEPOD_VMM_VIRT_QEMU_PID_H
#define TEEPOD_VMM_VIRT_QEMU_PID_H

#include <stdbool.h>

struct hypervisor;

/* Open the file of the present or last QEMU of domain @name; -1 if there is none or it cannot be
 * read. */
int qemu_pid_open(const struct hypervisor *h, const char *name);
/* True if the QEMU of @file has ended. If libvirt says that the domain runs, and @file was opened
 * before libvirt was called, libvirt has not cleaned up yet. False for -1. */
bool qemu_has_ended(int file);

#endif
