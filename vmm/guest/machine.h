/* SPDX-License-Identifier: Apache-2.0
 * machine.h - from a CVM's row, its image and this node to the machine that is started.
 *
 * One function answers for all who ask: the step that defines the domain, the one that writes
 * .sys-config.json, measurements, and --print-domain-xml. So what the guest and a verifier are told
 * is what runs.
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
	const struct hv_caps
		*caps; /* NULL: the host is not asked, what depends on it is left to libvirt */
	const struct cvm_row *cvm;
	const char *manifest; /* app-compose.json text */
	const struct image_boot *boot;
	const char *dir, *image_dir; /* of the CVM and of its image */
	const char *domain;          /* libvirt name */
	bool vsock;                  /* the host has vhost-vsock */
	/* What the row was given, for the domain; NULL and 0 where only measurements are asked for,
	 * which follow from the row. */
	const struct placement *place;
	const struct device_row *devices; /* in the order they get their ports */
	size_t n_devices;
	const uint8_t
		*instance_seed; /* INSTANCE_SEED_LEN bytes; NULL: the CVM does not exist yet */
};

/* Borrows from its struct machine_in. */
struct machine {
	struct domain_spec spec;
	struct guest_vm_config vm;
	struct mr_config mr;        /* version 0 without TDX */
	struct tdx_variant variant; /* TDX */
	struct volumes volumes;
	struct network *networks;
	char *disk, *share, *serial_log, *kernel, *initrd, *rootfs, *firmware;
};

/* ERR_INVALID for a row or a manifest that can not be a machine on this node (any more): a volume
 * that has gone, say. */
int machine_make(const struct machine_in *in, struct machine *ret, struct err *e);
void machine_free(struct machine *m);
#define auto_machine __attribute__((cleanup(machine_free)))

#endif
