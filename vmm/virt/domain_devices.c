/* SPDX-License-Identifier: Apache-2.0
 * domain_devices.c - a machine's devices, each at a place that follows from the spec alone.
 *
 * DOC: Theory of operation
 *
 * The guest measures its ACPI tables (RTMR0), and those follow from the devices and where they sit.
 * A verifier computes them from the command line of the field's launcher (dstack-vmm), where QEMU
 * numbers the slots of the root bus in the order of the arguments. So every device is given the
 *slot it would get there:
 *
 *	root disk, data disk, volumes, interfaces, vsock, share, [one expander bus a NUMA node, from
 * slot 0x10], root ports of GPUs, root ports of NVSwitches
 *
 * An absent device leaves no gap, as it leaves none there. What libvirt would add by itself (USB,
 * balloon, further root ports) is switched off. The serial port is not here at all: see
 * domain_xml.c.
 */
#include <stdio.h>
#include <sys/un.h>

#include "vmm/virt/domain_devices.h"

/* Of q35: slot 0 is the memory controller, 0x1f the ICH9 bridge with the AHCI controller as
 * function 2. */
enum { SATA_SLOT = 0x1f, SATA_FUNCTION = 2, SLOTS = 32 };

/* The launcher prints the slot of expander number i as the decimal number 10 + i, and QEMU reads
 * hexadecimal. */
enum { EXPANDER_SLOT = 0x10, EXPANDER_BUS = 5 };

struct places {
	struct xml_out *o;
	const struct domain_spec *d;
	uint32_t taken; /* slots of the root bus */
	bool full;
	char letter;                        /* of the next disk */
	unsigned expander[DOMAIN_CELLS];    /* libvirt's index of a cell's expander bus */
	unsigned on_expander[DOMAIN_CELLS]; /* ports on it so far */
};

static void pci_address(struct xml_out *o, unsigned bus, unsigned slot, unsigned function)
{
	open_tag(o, "address");
	attr(o, "type", "pci");
	attr(o, "domain", "0x0000");
	attrf(o, "bus", "0x%02x", bus);
	attrf(o, "slot", "0x%02x", slot);
	attrf(o, "function", "0x%x", function);
	close_tag(o);
}

static void next_address(struct places *p)
{
	unsigned slot = 1;

	while (slot < SLOTS && p->taken >> slot & 1)
		slot++;
	if (slot == SLOTS) {
		p->full = true;
		return;
	}
	p->taken |= UINT32_C(1) << slot;
	pci_address(p->o, 0, slot, 0);
}

/* ------------------------------------------------------------------ disks */

/* libvirt changes the owner of a disk to QEMU's user for as long as the guest runs, and then to the
 * owner it remembers, or to root. A daemon that is not root could no longer resize the disk. */
static void disk_source(struct xml_out *o, const char *path, bool keep_owner)
{
	open_tag(o, "source");
	attr(o, "file", path);
	if (keep_owner)
		empty_tag(o, "seclabel", "model", "dac", "relabel", "no", NULL);
	close_tag(o);
}

static void disk(struct places *p, const char *path, const char *format, bool readonly)
{
	struct xml_out *o = p->o;

	open_tag(o, "disk");
	attr(o, "type", "file");
	attr(o, "device", "disk");
	empty_tag(o, "driver", "name", "qemu", "type", format, NULL);
	disk_source(o, path, p->d->keep_owner);
	open_tag(o, "target");
	attrf(o, "dev", "vd%c", p->letter++);
	attr(o, "bus", "virtio");
	close_tag(o);
	if (readonly)
		empty_tag(o, "readonly", NULL);
	next_address(p);
	close_tag(o);
}

static void disks(struct places *p)
{
	const struct domain_spec *d = p->d;

	if (d->rootfs)
		disk(p, d->rootfs, "raw", true);
	if (d->disk)
		disk(p, d->disk, "qcow2", false);
	for (unsigned i = 0; i < d->n_volumes; i++)
		disk(p, d->volumes[i], "raw", true);
}

/* ------------------------------------------------------------------ interfaces, vsock, share */

/* Each user network is a network of its own inside QEMU. The first keeps QEMU's 10.0.2.0/24, which
 * guests know. */
static void user_network(struct xml_out *o, unsigned number)
{
	if (!number)
		return;
	open_tag(o, "ip");
	attr(o, "family", "ipv4");
	attrf(o, "address", "10.0.%u.0", 2 + number);
	attr(o, "prefix", "24");
	close_tag(o);
}

static void interfaces(struct places *p)
{
	struct xml_out *o = p->o;
	unsigned users = 0;

	for (unsigned i = 0; i < p->d->n_nics; i++) {
		const struct domain_nic *nic = &p->d->nics[i];

		open_tag(o, "interface");
		attr(o, "type", nic->mode == NIC_BRIDGE ? "bridge" : "user");
		empty_tag(o, "mac", "address", nic->mac, NULL);
		if (nic->mode == NIC_BRIDGE)
			empty_tag(o, "source", "bridge", nic->bridge, NULL);
		else
			user_network(o, users++);
		empty_tag(o, "model", "type", "virtio", NULL);
		next_address(p);
		close_tag(o);
	}
}

static void vsock(struct places *p)
{
	if (!p->d->cid)
		return;
	open_tag(p->o, "vsock");
	attr(p->o, "model", "virtio");
	open_tag(p->o, "cid");
	attr(p->o, "auto", "no");
	attrf(p->o, "address", "%u", p->d->cid);
	close_tag(p->o);
	next_address(p);
	close_tag(p->o);
}

/* Read-only whatever the image says of itself: nothing bounds what a guest could write below the
 * state folder, and a full disk is the end of all its neighbours. Guests mount it read-only and
 * copy what they need. */
static void share_folder(struct places *p)
{
	struct xml_out *o = p->o;

	open_tag(o, "filesystem");
	attr(o, "type", "mount");
	attr(o, "accessmode", "mapped");
	if (p->d->keep_owner) {
		/* QEMU's default is 0600 and 0700: the daemon could not remove such a folder. */
		attr(o, "fmode", "0660");
		attr(o, "dmode", "0770");
	}
	empty_tag(o, "driver", "type", "path", NULL);
	empty_tag(o, "source", "dir", p->d->share, NULL);
	empty_tag(o, "target", "dir", "host-shared", NULL);
	empty_tag(o, "readonly", NULL);
	next_address(p);
	close_tag(o);
}

static void share(struct places *p)
{
	if (p->d->share_mode == SHARE_9P)
		share_folder(p);
	else if (p->d->share_mode == SHARE_DISK)
		disk(p, p->d->share, "raw", true);
}

/* ------------------------------------------------------------------ channels */

static void channel(struct xml_out *o, const char *dir, const char *who, unsigned port)
{
	char path[sizeof(((struct sockaddr_un *)0)->sun_path)];

	(void)snprintf(path, sizeof(path), "%s/%s.sock", dir, who);
	open_tag(o, "channel");
	attr(o, "type", "unix");
	empty_tag(o, "source", "mode", "bind", "path", path, NULL);
	open_tag(o, "target");
	attr(o, "type", "virtio");
	attrf(o, "name", "teepod.%s.0", who);
	close_tag(o);
	open_tag(o, "address");
	attr(o, "type", "virtio-serial");
	attr(o, "controller", "0");
	attr(o, "bus", "0");
	attrf(o, "port", "%u", port);
	close_tag(o);
	close_tag(o);
}

static void channels(struct places *p)
{
	if (!p->d->channel_dir)
		return;
	open_tag(p->o, "controller");
	attr(p->o, "type", "virtio-serial");
	attr(p->o, "index", "0");
	next_address(p);
	close_tag(p->o);
	channel(p->o, p->d->channel_dir, "host", 1);
	channel(p->o, p->d->channel_dir, "guest", 2);
}

/* ------------------------------------------------------------------ PCI: buses, ports, host
 * devices */

static void root_controllers(struct xml_out *o)
{
	empty_tag(o, "controller", "type", "pci", "index", "0", "model", "pcie-root", NULL);
	empty_tag(o, "controller", "type", "usb", "index", "0", "model", "none", NULL);
	open_tag(o, "controller");
	attr(o, "type", "sata");
	attr(o, "index", "0");
	pci_address(o, 0, SATA_SLOT, SATA_FUNCTION);
	close_tag(o);
}

static unsigned devices_on(const struct domain_spec *d, unsigned cell)
{
	unsigned n = 0;

	for (unsigned i = 0; i < d->n_devices; i++)
		n += d->devices[i].cell == (int)cell;
	return n;
}

/* Bus numbers leave room below each expander for its ports. Indexes follow those of the ports,
 * which are 1 to n_devices. */
static void expanders(struct places *p)
{
	struct xml_out *o = p->o;
	unsigned bus = EXPANDER_BUS;

	for (unsigned i = 0; i < p->d->n_cells; i++) {
		p->expander[i] = p->d->n_devices + 1 + i;
		open_tag(o, "controller");
		attr(o, "type", "pci");
		attrf(o, "index", "%u", p->expander[i]);
		attr(o, "model", "pcie-expander-bus");
		empty_tag(o, "model", "name", "pxb-pcie", NULL);
		open_tag(o, "target");
		attrf(o, "busNr", "%u", bus);
		open_tag(o, "node");
		xml_number(o, i);
		close_tag(o);
		close_tag(o);
		pci_address(o, 0, EXPANDER_SLOT + i, 0);
		close_tag(o);
		bus += devices_on(p->d, i) + 1;
	}
}

static void root_port(struct places *p, unsigned index, int cell)
{
	struct xml_out *o = p->o;

	open_tag(o, "controller");
	attr(o, "type", "pci");
	attrf(o, "index", "%u", index);
	attr(o, "model", "pcie-root-port");
	empty_tag(o, "model", "name", "pcie-root-port", NULL);
	open_tag(o, "target");
	attrf(o, "chassis", "%u", index);
	attr(o, "port", "0x0");
	close_tag(o);
	if (cell < 0)
		next_address(p);
	else
		pci_address(o, p->expander[cell], p->on_expander[cell]++, 0);
	close_tag(o);
}

static void host_device(struct xml_out *o, const char *address, unsigned port)
{
	unsigned domain, bus, slot, function;

	if (sscanf(address, "%x:%x:%x.%x", &domain, &bus, &slot, &function) != 4)
		return; /* domain_check() has looked */
	open_tag(o, "hostdev");
	attr(o, "mode", "subsystem");
	attr(o, "type", "pci");
	attr(o, "managed", "yes");
	empty_tag(o, "driver", "name", "vfio", NULL);
	open_tag(o, "source");
	open_tag(o, "address");
	attrf(o, "domain", "0x%04x", domain);
	attrf(o, "bus", "0x%02x", bus);
	attrf(o, "slot", "0x%02x", slot);
	attrf(o, "function", "0x%x", function);
	close_tag(o);
	close_tag(o);
	pci_address(o, port, 0, 0);
	close_tag(o);
}

static void host_devices(struct places *p)
{
	for (unsigned i = 0; i < p->d->n_devices; i++) {
		root_port(p, i + 1, p->d->devices[i].cell);
		host_device(p->o, p->d->devices[i].address, i + 1);
	}
}

bool domain_devices(struct xml_out *o, const struct domain_spec *d)
{
	struct places p = { .o = o, .d = d, .taken = UINT32_C(1) << SATA_SLOT | 1, .letter = 'a' };

	for (unsigned i = 0; i < d->n_cells; i++)
		p.taken |= UINT32_C(1) << (EXPANDER_SLOT + i);
	open_tag(o, "devices");
	if (d->emulator)
		text_tag(o, "emulator", d->emulator);
	root_controllers(o);
	disks(&p);
	interfaces(&p);
	vsock(&p);
	share(&p);
	channels(&p);
	expanders(&p);
	host_devices(&p);
	empty_tag(o, "memballoon", "model", "none", NULL);
	close_tag(o);
	return !p.full;
}
