/* SPDX-License-Identifier: Apache-2.0
 * pci.h - the host's GPUs and NVSwitches, as sysfs tells them.
 *
 * Facts only, as of the moment of reading, below @root ("" for the machine itself): what is offered
 * to whom is decided in devices.c. Source: Documentation/ABI/testing/sysfs-bus-pci and
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
 * NVSwitches. *ret malloc'd, by address, present, with broken_reason set where passing the device
 * to a guest cannot work: configuration space that cannot be read or reads as all ones (the
 * device fell off the bus), no IOMMU group, or a group shared with something that is none of these.
 * No PCI at all is no device. */
int pci_devices(const char *root, struct device_row **ret, size_t *n, struct err *e);

/* "18:00.0" or "0000:18:00.0", any case -> "0000:18:00.0". False, @ret untouched, for anything
 * else. */
bool pci_address(const char *text, char ret[PCI_TEXT]);

/* Is it bound to a driver of the host, which would have to let go of it first? vfio-pci hands
 * devices to guests. */
bool pci_host_driver(const char *driver);

/* Before a start: are all of a CVM's devices there, well, and let go by the host's drivers?
 * ERR_HOST or ERR_GPU_BUSY names the first that is not, and what to do. Binding to vfio-pci is left
 * to libvirt (managed devices). */
int devices_check(const char *host_root, const struct device_row *d, size_t n, struct err *e);

#endif
