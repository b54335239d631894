/* SPDX-License-Identifier: Apache-2.0
 * pci.h - the host's GPUs and NVSwitches, from sysfs.
 *
 * Facts only, as of the moment of reading, below @root ("" for the machine itself); devices.c and
 * device_state.c decide which devices CVMs get. Source: Documentation/ABI/testing/sysfs-bus-pci and
 * driver-api/vfio.rst of the Linux kernel; classes are those of the PCI Code and ID Assignment
 * specification. Blocking, but only on kernel files: for jobs.
 */
#ifndef TEEPOD_VMM_HOST_PCI_H
#define TEEPOD_VMM_HOST_PCI_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "db/devices.h"

/* NVIDIA's (vendor 10de) display and 3D controllers are GPUs, its bridges of class "other" (0680)
 * NVSwitches. *ret is malloc'd and ordered by address. broken_reason is set if the device cannot be
 * passed to a guest: its configuration space cannot be read or reads as all ones (it fell off the
 * bus), it has no IOMMU group, or it shares the group with a device of another kind. A host without
 * PCI has no devices. */
int pci_devices(const char *root, struct device_row **ret, size_t *n, struct err *e);

/* "18:00.0" or "0000:18:00.0", any case -> "0000:18:00.0". False, @ret untouched, for anything
 * else. */
bool pci_address(const char *text, char ret[PCI_TEXT]);

/* True if @driver is a driver of the host, which must release the device first. False for "" and
 * for vfio-pci, which passes devices to guests. */
bool pci_host_driver(const char *driver);

/* Before a start: check that all devices of a CVM are present, work, and are released by the host's
 * drivers. ERR_HOST or ERR_GPU_BUSY names the first one that is not, and the remedy. libvirt binds
 * them to vfio-pci (managed devices). */
int devices_check(const char *host_root, const struct device_row *d, size_t n, struct err *e);

#endif
