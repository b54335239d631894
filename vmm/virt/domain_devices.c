/* SPDX-License-Identifier: Apache-2.0
 * domain_devices.c - writes the devices of a machine, each at an address that follows from the
 * spec.
 *
 * DOC: Theory of operation
 *
 * The guest measures its ACPI tables (RTMR0), which depend on the devices and their addresses. A
 * verifier computes them from the command line of the usual launcher (dstack-vmm), where QEMU
 * numbers the slots of the root bus in the order of the arguments. So every device gets the slot
 * that it would get there:
 *
 *	root disk, data disk, volumes, interfaces, vsock, share,
 *	[one expander bus per NUMA node, from slot 0x10],
 *	root ports of GPUs, root ports of NVSwitches
 *
 * An absent device leaves no gap, as with the launcher. What libvirt would add itself (USB,
 * balloon, more root ports) is switched off. The serial port is in domain_xml.c.
 */
#include <stdio.h>
#include <sys/un.h>

#include "vmm/virt/domain_devices.h"

/* On q35 slot 0 is the memory controller, and 0x1f the ICH9 bridge with the AHCI controller as
 * function 2. */
enum { SATA_SLOT = 0x1f, SATA_FUNCTION = 2, SLOTS = 32 };

/* The launcher prints the slot of expander i as the decimal number 10 + i, and QEMU reads it as
 * hexadecimal. */
enum { EXPANDER_SLOT = 0x10, EXPANDER_BUS = 5 };

struct places {
	struct xml_out *o;
	const struct domain_spec *d;
	uint32_t taken; /* slots of the root bus */
	bool full;
	char letter;                        /* of the next disk */
	unsigned expander[DOMAIN_CELLS];    /* index in libvirt of the expander bus of a cell */
	unsigned on_expander[DOMAIN_CELLS]; /* ports on it so far */
};

static void xml_pci_address(struct xml_out *o, unsigned bus, unsigned slot, unsigned function)
{
	xml_open_tag(o, "address");
	xml_attr(o, "type", "pci");
	xml_attr(o, "domain", "0x0000");
	xml_attrf(o, "bus", "0x%02x", bus);
	xml_attrf(o, "slot", "0x%02x", slot);
	xml_attrf(o, "function", "0x%x", function);
	xml_close_tag(o);
}

static void xml_next_address(struct places *p)
{
	unsigned slot = 1;

	while (slot < SLOTS && p->taken >> slot & 1)
		slot++;
	if (slot == SLOTS) {
		p->full = true;
		return;
	}
	p->taken |= UINT32_C(1) << slot;
	xml_pci_address(p->o, 0, slot, 0);
}

/* ------------------------------------------------------------------ disks */

/* libvirt changes the owner of a disk to QEMU's user while the guest runs, and then to the owner it
 * remembers, or to root. A daemon that is not root could not resize the disk any more. */
static void xml_disk_source(struct xml_out *o, const char *path, bool keep_owner)
{
	xml_open_tag(o, "source");
	xml_attr(o, "file", path);
	if (keep_owner)
		xml_empty_tag(o, "seclabel", "model", "dac", "relabel", "no", NULL);
	xml_close_tag(o);
}

static void xml_disk(struct places *p, const char *path, const char *format, bool readonly)
{
	struct xml_out *o = p->o;

	xml_open_tag(o, "disk");
	xml_attr(o, "type", "file");
	xml_attr(o, "device", "disk");
	xml_empty_tag(o, "driver", "name", "qemu", "type", format, NULL);
	xml_disk_source(o, path, p->d->keep_owner);
	xml_open_tag(o, "target");
	xml_attrf(o, "dev", "vd%c", p->letter++);
	xml_attr(o, "bus", "virtio");
	xml_close_tag(o);
	if (readonly)
		xml_empty_tag(o, "readonly", NULL);
	xml_next_address(p);
	xml_close_tag(o);
}

static void xml_disks(struct places *p)
{
	const struct domain_spec *d = p->d;

	if (d->rootfs)
		xml_disk(p, d->rootfs, "raw", true);
	if (d->disk)
		xml_disk(p, d->disk, "qcow2", false);
	for (unsigned i = 0; i < d->n_volumes; i++)
		xml_disk(p, d->volumes[i], "raw", true);
}

/* ------------------------------------------------------------------ interfaces, vsock, share */

/* Each user network is a separate network inside QEMU. The first keeps QEMU's 10.0.2.0/24, which
 * guests expect. */
static void xml_user_network(struct xml_out *o, unsigned number)
{
	if (!number)
		return;
	xml_open_tag(o, "ip");
	xml_attr(o, "family", "ipv4");
	xml_attrf(o, "address", "10.0.%u.0", 2 + number);
	xml_attr(o, "prefix", "24");
	xml_close_tag(o);
}

static void xml_interfaces(struct places *p)
{
	struct xml_out *o = p->o;
	unsigned users = 0;

	for (unsigned i = 0; i < p->d->n_nics; i++) {
		const struct domain_nic *nic = &p->d->nics[i];

		xml_open_tag(o, "interface");
		xml_attr(o, "type", nic->mode == NIC_BRIDGE ? "bridge" : "user");
		xml_empty_tag(o, "mac", "address", nic->mac, NULL);
		if (nic->mode == NIC_BRIDGE)
			xml_empty_tag(o, "source", "bridge", nic->bridge, NULL);
		else
			xml_user_network(o, users++);
		xml_empty_tag(o, "model", "type", "virtio", NULL);
		xml_next_address(p);
		xml_close_tag(o);
	}
}

static void xml_vsock(struct places *p)
{
	if (!p->d->cid)
		return;
	xml_open_tag(p->o, "vsock");
	xml_attr(p->o, "model", "virtio");
	xml_open_tag(p->o, "cid");
	xml_attr(p->o, "auto", "no");
	xml_attrf(p->o, "address", "%u", p->d->cid);
	xml_close_tag(p->o);
	xml_next_address(p);
	xml_close_tag(p->o);
}

/* Read-only in any case: nothing limits what a guest could write to the state folder, and a full
 * disk would stop all other CVMs. Guests mount it read-only and copy what they need. */
static void xml_share_folder(struct places *p)
{
	struct xml_out *o = p->o;

	xml_open_tag(o, "filesystem");
	xml_attr(o, "type", "mount");
	xml_attr(o, "accessmode", "mapped");
	if (p->d->keep_owner) {
		/* With QEMU's default of 0600 and 0700 the daemon could not remove such a folder.
		 */
		xml_attr(o, "fmode", "0660");
		xml_attr(o, "dmode", "0770");
	}
	xml_empty_tag(o, "driver", "type", "path", NULL);
	xml_empty_tag(o, "source", "dir", p->d->share, NULL);
	xml_empty_tag(o, "target", "dir", "host-shared", NULL);
	xml_empty_tag(o, "readonly", NULL);
	xml_next_address(p);
	xml_close_tag(o);
}

static void xml_share(struct places *p)
{
	if (p->d->share_mode == SHARE_9P)
		xml_share_folder(p);
	else if (p->d->share_mode == SHARE_DISK)
		xml_disk(p, p->d->share, "raw", true);
}

/* ------------------------------------------------------------------ channels */

static void xml_channel(struct xml_out *o, const char *dir, const char *name, unsigned port)
{
	char path[sizeof(((struct sockaddr_un *)0)->sun_path)];

	(void)snprintf(path, sizeof(path), "%s/%s.sock", dir, name);
	xml_open_tag(o, "channel");
	xml_attr(o, "type", "unix");
	xml_empty_tag(o, "source", "mode", "bind", "path", path, NULL);
	xml_open_tag(o, "target");
	xml_attr(o, "type", "virtio");
	xml_attrf(o, "name", "teepod.%s.0", name);
	xml_close_tag(o);
	xml_open_tag(o, "address");
	xml_attr(o, "type", "virtio-serial");
	xml_attr(o, "controller", "0");
	xml_attr(o, "bus", "0");
	xml_attrf(o, "port", "%u", port);
	xml_close_tag(o);
	xml_close_tag(o);
}

static void xml_channels(struct places *p)
{
	if (!p->d->channel_dir)
		return;
	xml_open_tag(p->o, "controller");
	xml_attr(p->o, "type", "virtio-serial");
	xml_attr(p->o, "index", "0");
	xml_next_address(p);
	xml_close_tag(p->o);
	xml_channel(p->o, p->d->channel_dir, "host", 1);
	xml_channel(p->o, p->d->channel_dir, "guest", 2);
}

/* ------------------------------------------------------------------ PCI: buses, ports, host
 * devices */

static void xml_root_controllers(struct xml_out *o)
{
	xml_empty_tag(o, "controller", "type", "pci", "index", "0", "model", "pcie-root", NULL);
	xml_empty_tag(o, "controller", "type", "usb", "index", "0", "model", "none", NULL);
	xml_open_tag(o, "controller");
	xml_attr(o, "type", "sata");
	xml_attr(o, "index", "0");
	xml_pci_address(o, 0, SATA_SLOT, SATA_FUNCTION);
	xml_close_tag(o);
}

static unsigned count_devices_on(const struct domain_spec *d, unsigned cell)
{
	unsigned n = 0;

	for (unsigned i = 0; i < d->n_devices; i++)
		n += d->devices[i].cell == (int)cell;
	return n;
}

/* Bus numbers leave room for the ports below each expander. Indexes follow those of the ports,
 * which are 1 to n_devices. */
static void xml_expanders(struct places *p)
{
	struct xml_out *o = p->o;
	unsigned bus = EXPANDER_BUS;

	for (unsigned i = 0; i < p->d->n_cells; i++) {
		p->expander[i] = p->d->n_devices + 1 + i;
		xml_open_tag(o, "controller");
		xml_attr(o, "type", "pci");
		xml_attrf(o, "index", "%u", p->expander[i]);
		xml_attr(o, "model", "pcie-expander-bus");
		xml_empty_tag(o, "model", "name", "pxb-pcie", NULL);
		xml_open_tag(o, "target");
		xml_attrf(o, "busNr", "%u", bus);
		xml_open_tag(o, "node");
		xml_number(o, i);
		xml_close_tag(o);
		xml_close_tag(o);
		xml_pci_address(o, 0, EXPANDER_SLOT + i, 0);
		xml_close_tag(o);
		bus += count_devices_on(p->d, i) + 1;
	}
}

static void xml_root_port(struct places *p, unsigned index, int cell)
{
	struct xml_out *o = p->o;

	xml_open_tag(o, "controller");
	xml_attr(o, "type", "pci");
	xml_attrf(o, "index", "%u", index);
	xml_attr(o, "model", "pcie-root-port");
	xml_empty_tag(o, "model", "name", "pcie-root-port", NULL);
	xml_open_tag(o, "target");
	xml_attrf(o, "chassis", "%u", index);
	xml_attr(o, "port", "0x0");
	xml_close_tag(o);
	if (cell < 0)
		xml_next_address(p);
	else
		xml_pci_address(o, p->expander[cell], p->on_expander[cell]++, 0);
	xml_close_tag(o);
}

static void xml_host_device(struct xml_out *o, const char *address, unsigned port)
{
	unsigned domain, bus, slot, function;

	if (sscanf(address, "%x:%x:%x.%x", &domain, &bus, &slot, &function) != 4)
		return; /* domain_check() has checked this */
	xml_open_tag(o, "hostdev");
	xml_attr(o, "mode", "subsystem");
	xml_attr(o, "type", "pci");
	xml_attr(o, "managed", "yes");
	xml_empty_tag(o, "driver", "name", "vfio", NULL);
	xml_open_tag(o, "source");
	xml_open_tag(o, "address");
	xml_attrf(o, "domain", "0x%04x", domain);
	xml_attrf(o, "bus", "0x%02x", bus);
	xml_attrf(o, "slot", "0x%02x", slot);
	xml_attrf(o, "function", "0x%x", function);
	xml_close_tag(o);
	xml_close_tag(o);
	xml_pci_address(o, port, 0, 0);
	xml_close_tag(o);
}

static void xml_host_devices(struct places *p)
{
	for (unsigned i = 0; i < p->d->n_devices; i++) {
		xml_root_port(p, i + 1, p->d->devices[i].cell);
		xml_host_device(p->o, p->d->devices[i].address, i + 1);
	}
}

bool domain_devices(struct xml_out *o, const struct domain_spec *d)
{
	struct places p = { .o = o, .d = d, .taken = UINT32_C(1) << SATA_SLOT | 1, .letter = 'a' };

	for (unsigned i = 0; i < d->n_cells; i++)
		p.taken |= UINT32_C(1) << (EXPANDER_SLOT + i);
	xml_open_tag(o, "devices");
	if (d->emulator)
		xml_text_tag(o, "emulator", d->emulator);
	xml_root_controllers(o);
	xml_disks(&p);
	xml_interfaces(&p);
	xml_vsock(&p);
	xml_share(&p);
	xml_channels(&p);
	xml_expanders(&p);
	xml_host_devices(&p);
	xml_empty_tag(o, "memballoon", "model", "none", NULL);
	xml_close_tag(o);
	return !p.full;
}
