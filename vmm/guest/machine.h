/* SPDX-License-Identifier: Apache-2.0
 * machine.h - compute the machine of a CVM from its row, its image and the node's settings.
 *
 * The step that defines the domain, the step that writes .sys-config.json, the measurements and
 * --print-domain-xml all use machine_make(). So the values that the guest and a verifier get are
 * those of the machine that runs.
 */
#ifndef TEEPOD_VMM_GUEST_MACHINE_H
#define TEEPOD_VMM_GUEST_MACHINE_H

#include "vmm/admit/volumes.h"
#include "vmm/guest/guest_files.h"
#include "vmm/node/node.h"
#include "vmm/tdx/mr_config.h"
#include "vmm/tdx/tdx_variant.h"
#include "vmm/virt/domain_spec.h"

struct hv_caps;
struct image_boot;
struct network;
struct placement;
struct vmm_settings;

struct cvm_row;
struct device_row;

struct machine_in {
	const struct vmm_settings *set;
	const struct hv_caps *caps; /* NULL: unknown; libvirt chooses what depends on it */
	const struct cvm_row *cvm;
	const char *manifest; /* app-compose.json text */
	const struct image_boot *boot;
	const char *dir, *image_dir; /* folders of the CVM and of its image */
	const char *domain;          /* libvirt name */
	bool vsock;                  /* the host has vhost-vsock */
	/* Resources reserved for the CVM. NULL and 0 when only measurements are needed; these
	 * follow from the row. */
	const struct placement *placement;
	const struct device_row *devices; /* in the order of their PCIe ports */
	size_t n_devices;
	const uint8_t
		*instance_seed; /* INSTANCE_SEED_LEN bytes; NULL: the CVM does not exist yet */
};

/* Borrows strings from its struct machine_in, which must outlive it. */
struct machine {
	struct domain_spec spec;
	struct guest_vm_config vm;
	struct mr_config mr;        /* version 0 without TDX */
	struct tdx_variant variant; /* TDX */
	struct volumes volumes;
	struct network *networks;
	char *disk, *share, *serial_log, *kernel, *initrd, *rootfs, *firmware;
};

/* Compute the machine. Free with machine_free(). ERR_INVALID if the row or the manifest cannot be a
 * machine on this node, for example when a volume is missing; ERR_UNSUPPORTED for too many devices.
 */
int machine_make(const struct machine_in *in, struct machine *ret, struct err *e);
void machine_free(struct machine *m);
#define auto_machine __attribute__((cleanup(machine_free)))

#endif
