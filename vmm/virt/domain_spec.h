/* SPDX-License-Identifier: Apache-2.0
 * domain_spec.h - the machine of a CVM as plain values, and the libvirt XML made from them.
 *
 * What must hold: everything the guest can see of its machine is in the spec, so that the same spec
 * always gives the same bytes. The spec borrows its strings. All functions are pure.
 */
#ifndef TEEPOD_VMM_VIRT_DOMAIN_SPEC_H
#define TEEPOD_VMM_VIRT_DOMAIN_SPEC_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/id.h"

/* XML namespace of our element in the metadata of a domain. */
#define DOMAIN_NAMESPACE "https://teepod.dev/xmlns/domain/1"

enum { DOMAIN_NICS = 8, DOMAIN_VOLUMES = 8, DOMAIN_CELLS = 4, DOMAIN_DEVICES = 32, MAC_TEXT = 18 };

/* TDX attributes that libvirt accepts (domain XML, element policy): bit 0 and bit 28. */
#define TDX_POLICY_DEBUG           UINT64_C(0x1)
#define TDX_POLICY_SEPT_VE_DISABLE UINT64_C(0x10000000)

enum { TDX_MR_LEN = 48 }; /* SHA-384 sized measurement registers of a TD */

enum nic_mode { NIC_USER, NIC_BRIDGE };

struct domain_nic {
	enum nic_mode mode;
	char mac[MAC_TEXT];
	const char *bridge; /* NIC_BRIDGE */
};

enum share_mode {
	SHARE_NONE,
	SHARE_9P,  /* share: a folder, tag host-shared */
	SHARE_DISK /* share: an image of a FAT file system labelled DSTACKSHR, read-only */
};

/* One guest NUMA node, backed by huge pages of one host node. */
struct domain_cell {
	unsigned host_node;
	uint64_t memory_mib;
	unsigned first_cpu, cpus;
};

/* A host device that is passed to the guest behind a root port of its own. */
struct domain_device {
	const char *address; /* "0000:18:00.0" */
	int cell;            /* guest NUMA node of its port; -1: the root bus */
};

struct domain_spec {
	char uuid[UUID_TEXT];
	char name[80]; /* libvirt domain name */
	char app_id[41];
	const char *emulator; /* NULL: libvirt's default */
	const char *machine; /* with version, "pc-q35-11.1"; NULL: "q35", the hypervisor's newest */

	unsigned vcpus;
	uint64_t memory_mib;                    /* with cells: their sum */
	struct domain_cell cells[DOMAIN_CELLS]; /* none: no guest NUMA, memory from anywhere */
	unsigned n_cells;
	unsigned page_kib;  /* cells: size of the huge pages */
	const char *cpuset; /* host CPUs the guest is bound to, "0-3,8"; NULL: any */

	const char *firmware;                  /* -bios; NULL: QEMU's own (never with tdx) */
	const char *kernel, *initrd, *cmdline; /* NULL: boot from the first disk */

	const char *rootfs; /* raw, read-only, first disk; NULL: none */
	const char *disk;   /* qcow2 data disk; NULL: none */
	const char *volumes[DOMAIN_VOLUMES];
	unsigned n_volumes; /* further raw, read-only disks */
	struct domain_nic nics[DOMAIN_NICS];
	unsigned n_nics;
	uint32_t cid; /* vsock; 0: none (host without vhost-vsock) */
	enum share_mode share_mode;
	const char *share;
	/* Folder of the sockets host.sock and guest.sock of two virtio-serial channels, for hosts
	 * without vsock; NULL: none. */
	const char *channel_dir;
	struct domain_device devices[DOMAIN_DEVICES];
	unsigned n_devices;
	bool iommufd; /* pass devices through iommufd instead of a VFIO container; libvirt 9.0
			 cannot */
	bool slow_cpu_check;    /* libvirt must not read the CPU's properties one by one */
	const char *serial_log; /* file QEMU appends the serial console to */
	/* libvirt does not change owner and mode of the disks. Files that a guest creates in a
	 * SHARE_9P folder can be read and written by QEMU's group. */
	bool keep_owner;

	bool kvm; /* acceleration of a domain without tdx: KVM, else TCG */
	bool tdx;
	/* With tdx only: */
	uint64_t policy;
	uint8_t mr_config_id[TDX_MR_LEN], mr_owner[TDX_MR_LEN], mr_owner_config[TDX_MR_LEN];
	bool has_mr_config_id, has_mr_owner, has_mr_owner_config;
	const char *qgs_socket; /* quote generation service; NULL: libvirt's default path */
	unsigned qgs_port;      /* not 0: the service listens on this vsock port of the host, and
				   qgs_socket is not used */
};

/* Write the libvirt XML of @d. *ret is malloc'd. ERR_INVALID names @d and the violated rule. */
int domain_xml(const struct domain_spec *d, char **ret, struct err *e);

/* Check the rules alone. */
int domain_check(const struct domain_spec *d, struct err *e);

/* The MAC rule of dstack: SHA-256(vm_id) for the first interface, SHA-256("vm_id:index") for the
 * others; the first byte is made locally administered and unicast. */
void domain_mac(const char *vm_uuid, unsigned nic, char out[MAC_TEXT]);

#endif
