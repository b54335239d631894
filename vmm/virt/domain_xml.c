/* SPDX-License-Identifier: Apache-2.0
 * domain_xml.c - libvirt XML for a CVM's machine: complete, and the same bytes for the same spec.
 *
 * DOC: Theory of operation
 *
 * A verifier recomputes what a TD measured from the command line of the field's launcher
 * (dstack-vmm), so the machine libvirt starts has to look the same from inside. Devices and their
 * places are in domain_devices.c. Three things libvirt does its own way, found by comparing all
 * ACPI tables and all of fw_cfg of both in a guest (tests/measured), are taken from it by its
 * namespace for QEMU's own arguments:
 *
 *   - A <serial> becomes -device isa-serial, created after the keyboard controller; the launcher's
 * -serial is created before it, and the order of ISA devices is the order in the DSDT. So the
 * console is ours: a chardev, and -serial. libvirt knows no console then; the log file is QEMU's.
 *   - libvirt makes the first disk bootindex 1 and passes -boot strict=on, both of which end up in
 * fw_cfg's bootorder and from there in the firmware's boot variables. Both are taken back.
 *   - Its -smp makes each vCPU a socket, QEMU's plain -smp makes them cores of one: SMBIOS has a
 * table for each socket.
 *
 * What stays different is the UUID in SMBIOS table 1: libvirt always passes one, the launcher none.
 * Firmware does not measure SMBIOS tables into a TD.
 *
 * libvirt refuses TDX with an in-kernel IOAPIC, a PMU or SMM, but turns none of them off by itself:
 * see features(). Its quote generation service can only be a unix socket. One on a vsock port needs
 * a tdx-guest object of our own, which a second -machine puts in the place of libvirt's.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <openssl/evp.h>

#include "base/buf.h"
#include "base/own.h"
#include "vmm/virt/domain_devices.h"
#include "vmm/virt/domain_spec.h"

#define QEMU_NAMESPACE "http://libvirt.org/schemas/domain/qemu/1.0"

/* Guests of the field tell by this that they run below its VMM. */
#define PRODUCT "dstack"

/* Base64 of a measurement register, with its NUL. */
enum { MR_BASE64 = TDX_MR_LEN / 3 * 4 + 1 };

static bool hardware(const struct domain_spec *d)
{
	return d->tdx || d->kvm;
}

/* ------------------------------------------------------------------ machine */

static void metadata(struct xml_out *o, const struct domain_spec *d)
{
	open_tag(o, "metadata");
	open_tag(o, "teepod:cvm");
	attr(o, "xmlns:teepod", DOMAIN_NAMESPACE);
	text_tag(o, "teepod:uuid", d->uuid);
	text_tag(o, "teepod:app_id", d->app_id);
	close_tag(o);
	close_tag(o);
}

static void memory(struct xml_out *o, const struct domain_spec *d)
{
	open_tag(o, "memory");
	/* libvirt's default; qemu.conf (dump_guest_core) could say otherwise */
	attr(o, "dumpCore", "off");
	attr(o, "unit", "MiB");
	xml_number(o, d->memory_mib);
	close_tag(o);
	if (!d->n_cells)
		return;
	open_tag(o, "memoryBacking");
	open_tag(o, "hugepages");
	open_tag(o, "page");
	attrf(o, "size", "%u", d->page_kib);
	attr(o, "unit", "KiB");
	close_tag(o);
	close_tag(o);
	empty_tag(o, "access", "mode", "shared", NULL);
	empty_tag(o, "allocation", "mode", "immediate", NULL);
	close_tag(o);
}

static void vcpus(struct xml_out *o, const struct domain_spec *d)
{
	open_tag(o, "vcpu");
	attr(o, "placement", "static");
	if (d->cpuset)
		attr(o, "cpuset", d->cpuset);
	xml_number(o, d->vcpus);
	close_tag(o);
}

/* Strict: a page of another node would be slow for ever, and a TD's memory does not move. */
static void node_memory(struct xml_out *o, const struct domain_spec *d)
{
	if (!d->n_cells)
		return;
	open_tag(o, "numatune");
	for (unsigned i = 0; i < d->n_cells; i++) {
		open_tag(o, "memnode");
		attrf(o, "cellid", "%u", i);
		attr(o, "mode", "strict");
		attrf(o, "nodeset", "%u", d->cells[i].host_node);
		close_tag(o);
	}
	close_tag(o);
}

static void product(struct xml_out *o)
{
	open_tag(o, "sysinfo");
	attr(o, "type", "smbios");
	open_tag(o, "system");
	for (unsigned i = 0; i < 2; i++) {
		open_tag(o, "entry");
		attr(o, "name", i ? "product" : "manufacturer");
		text(o, PRODUCT);
		close_tag(o);
	}
	close_tag(o);
	close_tag(o);
}

static void os(struct xml_out *o, const struct domain_spec *d)
{
	open_tag(o, "os");
	open_tag(o, "type");
	attr(o, "arch", "x86_64");
	attr(o, "machine", d->machine ? d->machine : "q35");
	text(o, "hvm");
	close_tag(o);
	if (d->firmware) {
		/* type rom is QEMU's -bios; a flash device has no place in a TD */
		open_tag(o, "loader");
		attr(o, "readonly", "yes");
		attr(o, "type", "rom");
		text(o, d->firmware);
		close_tag(o);
	}
	if (d->kernel)
		text_tag(o, "kernel", d->kernel);
	if (d->kernel && d->initrd)
		text_tag(o, "initrd", d->initrd);
	if (d->kernel && d->cmdline)
		text_tag(o, "cmdline", d->cmdline);
	empty_tag(o, "smbios", "mode", "sysinfo", NULL);
	close_tag(o);
}

static void features(struct xml_out *o, const struct domain_spec *d)
{
	open_tag(o, "features");
	empty_tag(o, "acpi", NULL);
	empty_tag(o, "apic", NULL);
	empty_tag(o, "ioapic", "driver", "qemu", NULL);
	if (d->tdx) {
		empty_tag(o, "pmu", "state", "off", NULL);
		empty_tag(o, "smm", "state", "off", NULL);
	}
	close_tag(o);
}

static void cells(struct xml_out *o, const struct domain_spec *d)
{
	if (!d->n_cells)
		return;
	open_tag(o, "numa");
	for (unsigned i = 0; i < d->n_cells; i++) {
		const struct domain_cell *c = &d->cells[i];

		open_tag(o, "cell");
		attrf(o, "id", "%u", i);
		attrf(o, "cpus", "%u-%u", c->first_cpu, c->first_cpu + c->cpus - 1);
		attrf(o, "memory", "%" PRIu64, c->memory_mib);
		attr(o, "unit", "MiB");
		attr(o, "memAccess", "shared");
		close_tag(o);
	}
	close_tag(o);
}

static void cpu(struct xml_out *o, const struct domain_spec *d)
{
	open_tag(o, "cpu");
	attr(o, "mode", hardware(d) ? "host-passthrough" : "custom");
	if (!hardware(d))
		attr(o, "match", "exact");
	attr(o, "check", "none");
	if (hardware(d)) {
		attr(o, "migratable", "on");
	} else {
		open_tag(o, "model");
		attr(o, "fallback", "forbid");
		text(o, "qemu64");
		close_tag(o);
	}
	open_tag(o, "topology");
	attr(o, "sockets", "1");
	attr(o, "dies", "1");
	attrf(o, "cores", "%u", d->vcpus);
	attr(o, "threads", "1");
	close_tag(o);
	cells(o, d);
	close_tag(o);
}

/* A TD can not be reset: its initial state was measured into it. libvirt ends it and starts a new
 * one in its place. */
static void lifecycle(struct xml_out *o)
{
	open_tag(o, "clock");
	attr(o, "offset", "utc");
	empty_tag(o, "timer", "name", "hpet", "present", "no", NULL);
	close_tag(o);
	text_tag(o, "on_poweroff", "destroy");
	text_tag(o, "on_reboot", "restart");
	text_tag(o, "on_crash", "destroy");
}

/* ------------------------------------------------------------------ TDX */

static void base64(const uint8_t mr[TDX_MR_LEN], char out[MR_BASE64])
{
	(void)EVP_EncodeBlock((unsigned char *)out, mr, TDX_MR_LEN);
}

static void mr_tag(struct xml_out *o, const char *name, bool has, const uint8_t mr[TDX_MR_LEN])
{
	char value[MR_BASE64];

	if (!has)
		return;
	base64(mr, value);
	text_tag(o, name, value);
}

static void launch_security(struct xml_out *o, const struct domain_spec *d)
{
	char policy[24];

	if (!d->tdx)
		return;
	open_tag(o, "launchSecurity");
	attr(o, "type", "tdx");
	(void)snprintf(policy, sizeof(policy), "0x%" PRIx64, d->policy);
	text_tag(o, "policy", policy);
	mr_tag(o, "mrConfigId", d->has_mr_config_id, d->mr_config_id);
	mr_tag(o, "mrOwner", d->has_mr_owner, d->mr_owner);
	mr_tag(o, "mrOwnerConfig", d->has_mr_owner_config, d->mr_owner_config);
	if (!d->qgs_port) {
		open_tag(o, "quoteGenerationService");
		if (d->qgs_socket)
			attr(o, "path", d->qgs_socket);
		close_tag(o);
	}
	close_tag(o);
}

/* ------------------------------------------------------------------ QEMU's own arguments */

static void argument(struct xml_out *o, const char *option, const char *value)
{
	empty_tag(o, "qemu:arg", "value", option, NULL);
	empty_tag(o, "qemu:arg", "value", value, NULL);
}

static void mr_member(struct buf *b, const char *name, bool has, const uint8_t mr[TDX_MR_LEN])
{
	char value[MR_BASE64];

	if (!has)
		return;
	base64(mr, value);
	buf_printf(b, ",\"%s\":\"%s\"", name, value);
}

/* CID 2 is the host, also for QEMU on it. */
static void td_object(struct xml_out *o, const struct domain_spec *d)
{
	auto_buf struct buf b = { 0 };

	buf_printf(&b, "{\"qom-type\":\"tdx-guest\",\"id\":\"td0\",\"attributes\":%" PRIu64,
		   d->policy);
	mr_member(&b, "mrconfigid", d->has_mr_config_id, d->mr_config_id);
	mr_member(&b, "mrowner", d->has_mr_owner, d->mr_owner);
	mr_member(&b, "mrownerconfig", d->has_mr_owner_config, d->mr_owner_config);
	buf_printf(
		&b,
		",\"quote-generation-socket\":{\"type\":\"vsock\",\"cid\":\"2\",\"port\":\"%u\"}}",
		d->qgs_port);
	argument(o, "-object", b.data);
	argument(o, "-machine", "confidential-guest-support=td0");
}

/* In an argument of comma-separated values a comma is written twice. */
static void console(struct xml_out *o, const char *log)
{
	auto_buf struct buf b = { 0 };

	buf_puts(&b, "pty,id=com0");
	if (log) {
		buf_puts(&b, ",logfile=");
		for (const char *p = log; *p; p++)
			buf_puts(&b, *p == ',' ? ",," : (char[]){ *p, '\0' });
		buf_puts(&b, ",logappend=on");
	}
	argument(o, "-chardev", b.data);
	argument(o, "-serial", "chardev:com0");
}

static bool has_disk(const struct domain_spec *d)
{
	return d->rootfs || d->disk || d->n_volumes || d->share_mode == SHARE_DISK;
}

static void command_line(struct xml_out *o, const struct domain_spec *d)
{
	open_tag(o, "qemu:commandline");
	console(o, d->serial_log);
	argument(o, "-boot", "strict=off");
	if (d->tdx && d->qgs_port)
		td_object(o, d);
	close_tag(o);
	if (!has_disk(d))
		return;
	open_tag(o, "qemu:override");
	open_tag(o, "qemu:device");
	attr(o, "alias", "virtio-disk0");
	open_tag(o, "qemu:frontend");
	empty_tag(o, "qemu:property", "name", "bootindex", "type", "remove", NULL);
	close_tag(o);
	close_tag(o);
	close_tag(o);
}

/* ------------------------------------------------------------------ all of it */

/* False when the devices do not fit on the root bus. */
static bool domain(struct xml_out *o, const struct domain_spec *d)
{
	bool fits;

	open_tag(o, "domain");
	attr(o, "type", hardware(d) ? "kvm" : "qemu");
	attr(o, "xmlns:qemu", QEMU_NAMESPACE);
	text_tag(o, "name", d->name);
	text_tag(o, "uuid", d->uuid);
	metadata(o, d);
	memory(o, d);
	vcpus(o, d);
	node_memory(o, d);
	if (d->n_devices && d->iommufd)
		empty_tag(o, "iommufd", "enabled", "yes", NULL);
	product(o);
	os(o, d);
	features(o, d);
	cpu(o, d);
	lifecycle(o);
	fits = domain_devices(o, d);
	launch_security(o, d);
	command_line(o, d);
	close_tag(o);
	return fits;
}

int domain_xml(const struct domain_spec *d, char **ret, struct err *e)
{
	struct xml_out o;
	auto_free char *xml = NULL;
	bool fits;
	int r = domain_check(d, e);

	if (r)
		return r;
	if (!xml_out_open(&o))
		return err_set(e, ERR_HOST, "domain %s: out of memory", d->uuid);
	fits = domain(&o, d);
	xml = xml_out_take(&o);
	if (!fits)
		return err_set(e, ERR_INVALID, "domain %s: more devices than the PCI bus has slots",
			       d->uuid);
	if (!xml)
		return err_set(e, ERR_HOST, "domain %s: out of memory", d->uuid);
	*ret = take_ptr(&xml);
	return 0;
}

void domain_mac(const char *vm_uuid, unsigned nic, char out[MAC_TEXT])
{
	char id[UUID_TEXT + 12];
	uint8_t h[SHA256_LEN];

	if (nic)
		(void)snprintf(id, sizeof(id), "%s:%u", vm_uuid, nic);
	else
		(void)snprintf(id, sizeof(id), "%s", vm_uuid);
	id_sha256(id, strlen(id), h);
	(void)snprintf(out, MAC_TEXT, "%02x:%02x:%02x:%02x:%02x:%02x",
		       (unsigned)((h[0] & 0xfe) | 0x02), (unsigned)h[1], (unsigned)h[2],
		       (unsigned)h[3], (unsigned)h[4], (unsigned)h[5]);
}
