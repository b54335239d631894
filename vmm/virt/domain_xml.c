/* SPDX-License-Identifier: Apache-2.0
 * domain_xml.c - writes the libvirt XML of a CVM: complete, and byte-stable for the same spec.
 *
 * DOC: Theory of operation
 *
 * A verifier recomputes what a TD measured from the command line of the usual launcher
 * (dstack-vmm). So the machine that libvirt starts must be the same for its guest. Devices and
 * their addresses are in domain_devices.c. libvirt differs from the launcher in three things, found
 * by comparing all ACPI tables and all of fw_cfg in a guest (tests/measured). They are overridden
 * through libvirt's namespace for QEMU arguments:
 *
 *   - <serial> becomes -device isa-serial, which is created after the keyboard controller.
 *     The launcher's -serial is created before it. The DSDT lists ISA devices in that order.
 *     So the XML passes a chardev and -serial. libvirt then knows no console, and QEMU writes
 *     the log file.
 *   - libvirt gives the first disk bootindex 1 and passes -boot strict=on. Both get into
 *     bootorder of fw_cfg, and from there into boot variables of the firmware. Both are removed.
 *   - libvirt's -smp makes each vCPU a socket, QEMU's plain -smp makes them cores of one socket.
 *     SMBIOS has a table for each socket.
 *
 * The UUID in SMBIOS table 1 stays different: libvirt always passes one, the launcher none.
 * Firmware does not measure SMBIOS tables into a TD.
 *
 * libvirt refuses TDX with an in-kernel IOAPIC, a PMU or SMM, but does not turn them off itself:
 * see xml_features(). libvirt supports a quote generation service only on a unix socket. For one on
 * a vsock port a second -machine replaces libvirt's tdx-guest object by ours.
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

/* dstack guests detect by this name that they run under its VMM. */
#define PRODUCT "dstack"

/* Base64 of a measurement register, including the NUL. */
enum { MR_BASE64 = TDX_MR_LEN / 3 * 4 + 1 };

static bool spec_needs_kvm(const struct domain_spec *d)
{
	return d->tdx || d->kvm;
}

/* ------------------------------------------------------------------ machine */

static void xml_metadata(struct xml_out *o, const struct domain_spec *d)
{
	xml_open_tag(o, "metadata");
	xml_open_tag(o, "teepod:cvm");
	xml_attr(o, "xmlns:teepod", DOMAIN_NAMESPACE);
	xml_text_tag(o, "teepod:uuid", d->uuid);
	xml_text_tag(o, "teepod:app_id", d->app_id);
	xml_close_tag(o);
	xml_close_tag(o);
}

static void xml_memory(struct xml_out *o, const struct domain_spec *d)
{
	xml_open_tag(o, "memory");
	/* the default of libvirt; qemu.conf (dump_guest_core) could change it */
	xml_attr(o, "dumpCore", "off");
	xml_attr(o, "unit", "MiB");
	xml_number(o, d->memory_mib);
	xml_close_tag(o);
	if (!d->n_cells)
		return;
	xml_open_tag(o, "memoryBacking");
	xml_open_tag(o, "hugepages");
	xml_open_tag(o, "page");
	xml_attrf(o, "size", "%u", d->page_kib);
	xml_attr(o, "unit", "KiB");
	xml_close_tag(o);
	xml_close_tag(o);
	xml_empty_tag(o, "access", "mode", "shared", NULL);
	xml_empty_tag(o, "allocation", "mode", "immediate", NULL);
	xml_close_tag(o);
}

static void xml_vcpus(struct xml_out *o, const struct domain_spec *d)
{
	xml_open_tag(o, "vcpu");
	xml_attr(o, "placement", "static");
	if (d->cpuset)
		xml_attr(o, "cpuset", d->cpuset);
	xml_number(o, d->vcpus);
	xml_close_tag(o);
}

/* Strict: memory of another node would stay slow, because a TD's memory cannot be moved. */
static void xml_node_memory(struct xml_out *o, const struct domain_spec *d)
{
	if (!d->n_cells)
		return;
	xml_open_tag(o, "numatune");
	for (unsigned i = 0; i < d->n_cells; i++) {
		xml_open_tag(o, "memnode");
		xml_attrf(o, "cellid", "%u", i);
		xml_attr(o, "mode", "strict");
		xml_attrf(o, "nodeset", "%u", d->cells[i].host_node);
		xml_close_tag(o);
	}
	xml_close_tag(o);
}

static void xml_product(struct xml_out *o)
{
	xml_open_tag(o, "sysinfo");
	xml_attr(o, "type", "smbios");
	xml_open_tag(o, "system");
	for (unsigned i = 0; i < 2; i++) {
		xml_open_tag(o, "entry");
		xml_attr(o, "name", i ? "product" : "manufacturer");
		xml_text(o, PRODUCT);
		xml_close_tag(o);
	}
	xml_close_tag(o);
	xml_close_tag(o);
}

static void xml_os(struct xml_out *o, const struct domain_spec *d)
{
	xml_open_tag(o, "os");
	xml_open_tag(o, "type");
	xml_attr(o, "arch", "x86_64");
	xml_attr(o, "machine", d->machine ? d->machine : "q35");
	xml_text(o, "hvm");
	xml_close_tag(o);
	if (d->firmware) {
		/* type rom becomes -bios; a TD cannot use a flash device */
		xml_open_tag(o, "loader");
		xml_attr(o, "readonly", "yes");
		xml_attr(o, "type", "rom");
		xml_text(o, d->firmware);
		xml_close_tag(o);
	}
	if (d->kernel)
		xml_text_tag(o, "kernel", d->kernel);
	if (d->kernel && d->initrd)
		xml_text_tag(o, "initrd", d->initrd);
	if (d->kernel && d->cmdline)
		xml_text_tag(o, "cmdline", d->cmdline);
	xml_empty_tag(o, "smbios", "mode", "sysinfo", NULL);
	xml_close_tag(o);
}

static void xml_features(struct xml_out *o, const struct domain_spec *d)
{
	xml_open_tag(o, "features");
	xml_empty_tag(o, "acpi", NULL);
	xml_empty_tag(o, "apic", NULL);
	xml_empty_tag(o, "ioapic", "driver", "qemu", NULL);
	if (d->tdx) {
		xml_empty_tag(o, "pmu", "state", "off", NULL);
		xml_empty_tag(o, "smm", "state", "off", NULL);
	}
	xml_close_tag(o);
}

static void xml_cells(struct xml_out *o, const struct domain_spec *d)
{
	if (!d->n_cells)
		return;
	xml_open_tag(o, "numa");
	for (unsigned i = 0; i < d->n_cells; i++) {
		const struct domain_cell *c = &d->cells[i];

		xml_open_tag(o, "cell");
		xml_attrf(o, "id", "%u", i);
		xml_attrf(o, "cpus", "%u-%u", c->first_cpu, c->first_cpu + c->cpus - 1);
		xml_attrf(o, "memory", "%" PRIu64, c->memory_mib);
		xml_attr(o, "unit", "MiB");
		xml_attr(o, "memAccess", "shared");
		xml_close_tag(o);
	}
	xml_close_tag(o);
}

static void xml_cpu(struct xml_out *o, const struct domain_spec *d)
{
	xml_open_tag(o, "cpu");
	xml_attr(o, "mode", spec_needs_kvm(d) ? "host-passthrough" : "custom");
	if (!spec_needs_kvm(d))
		xml_attr(o, "match", "exact");
	xml_attr(o, "check", "none");
	if (spec_needs_kvm(d)) {
		xml_attr(o, "migratable", "on");
	} else {
		xml_open_tag(o, "model");
		xml_attr(o, "fallback", "forbid");
		xml_text(o, "qemu64");
		xml_close_tag(o);
	}
	xml_open_tag(o, "topology");
	xml_attr(o, "sockets", "1");
	xml_attr(o, "dies", "1");
	xml_attrf(o, "cores", "%u", d->vcpus);
	xml_attr(o, "threads", "1");
	xml_close_tag(o);
	xml_cells(o, d);
	xml_close_tag(o);
}

/* A TD cannot be reset, because its initial state was measured. libvirt ends it and starts a new
 * QEMU. */
static void xml_lifecycle(struct xml_out *o)
{
	xml_open_tag(o, "clock");
	xml_attr(o, "offset", "utc");
	xml_empty_tag(o, "timer", "name", "hpet", "present", "no", NULL);
	xml_close_tag(o);
	xml_text_tag(o, "on_poweroff", "destroy");
	xml_text_tag(o, "on_reboot", "restart");
	xml_text_tag(o, "on_crash", "destroy");
}

/* ------------------------------------------------------------------ TDX */

static void xml_base64(const uint8_t mr[TDX_MR_LEN], char out[MR_BASE64])
{
	(void)EVP_EncodeBlock((unsigned char *)out, mr, TDX_MR_LEN);
}

static void xml_mr_tag(struct xml_out *o, const char *name, bool has, const uint8_t mr[TDX_MR_LEN])
{
	char value[MR_BASE64];

	if (!has)
		return;
	xml_base64(mr, value);
	xml_text_tag(o, name, value);
}

static void xml_launch_security(struct xml_out *o, const struct domain_spec *d)
{
	char policy[24];

	if (!d->tdx)
		return;
	xml_open_tag(o, "launchSecurity");
	xml_attr(o, "type", "tdx");
	(void)snprintf(policy, sizeof(policy), "0x%" PRIx64, d->policy);
	xml_text_tag(o, "policy", policy);
	xml_mr_tag(o, "mrConfigId", d->has_mr_config_id, d->mr_config_id);
	xml_mr_tag(o, "mrOwner", d->has_mr_owner, d->mr_owner);
	xml_mr_tag(o, "mrOwnerConfig", d->has_mr_owner_config, d->mr_owner_config);
	if (!d->qgs_port) {
		xml_open_tag(o, "quoteGenerationService");
		if (d->qgs_socket)
			xml_attr(o, "path", d->qgs_socket);
		xml_close_tag(o);
	}
	xml_close_tag(o);
}

/* ------------------------------------------------------------------ QEMU's own arguments */

static void xml_argument(struct xml_out *o, const char *option, const char *value)
{
	xml_empty_tag(o, "qemu:arg", "value", option, NULL);
	xml_empty_tag(o, "qemu:arg", "value", value, NULL);
}

static void xml_mr_member(struct buf *b, const char *name, bool has, const uint8_t mr[TDX_MR_LEN])
{
	char value[MR_BASE64];

	if (!has)
		return;
	xml_base64(mr, value);
	buf_printf(b, ",\"%s\":\"%s\"", name, value);
}

/* CID 2 is the host, also for a QEMU that runs on it. */
static void xml_td_object(struct xml_out *o, const struct domain_spec *d)
{
	auto_buf struct buf b = { 0 };

	buf_printf(&b, "{\"qom-type\":\"tdx-guest\",\"id\":\"td0\",\"attributes\":%" PRIu64,
		   d->policy);
	xml_mr_member(&b, "mrconfigid", d->has_mr_config_id, d->mr_config_id);
	xml_mr_member(&b, "mrowner", d->has_mr_owner, d->mr_owner);
	xml_mr_member(&b, "mrownerconfig", d->has_mr_owner_config, d->mr_owner_config);
	buf_printf(
		&b,
		",\"quote-generation-socket\":{\"type\":\"vsock\",\"cid\":\"2\",\"port\":\"%u\"}}",
		d->qgs_port);
	xml_argument(o, "-object", b.data);
	xml_argument(o, "-machine", "confidential-guest-support=td0");
}

/* In comma-separated arguments a comma is written twice. */
static void xml_console(struct xml_out *o, const char *log)
{
	auto_buf struct buf b = { 0 };

	buf_puts(&b, "pty,id=com0");
	if (log) {
		buf_puts(&b, ",logfile=");
		for (const char *p = log; *p; p++)
			buf_puts(&b, *p == ',' ? ",," : (char[]){ *p, '\0' });
		buf_puts(&b, ",logappend=on");
	}
	xml_argument(o, "-chardev", b.data);
	xml_argument(o, "-serial", "chardev:com0");
}

/* The guest's CPU is checked by no one: <cpu check='none'>. Without this capability libvirt reads
 * the CPU by three commands, as from a QEMU before 4.1. The command line is the same. */
static void xml_capabilities(struct xml_out *o, const struct domain_spec *d)
{
	if (!d->slow_cpu_check)
		return;
	xml_open_tag(o, "qemu:capabilities");
	xml_empty_tag(o, "qemu:del", "capability", "cpu-unavailable-features", NULL);
	xml_close_tag(o);
}

static bool spec_has_disk(const struct domain_spec *d)
{
	return d->rootfs || d->disk || d->n_volumes || d->share_mode == SHARE_DISK;
}

static void xml_command_line(struct xml_out *o, const struct domain_spec *d)
{
	xml_open_tag(o, "qemu:commandline");
	xml_console(o, d->serial_log);
	xml_argument(o, "-boot", "strict=off");
	if (d->tdx && d->qgs_port)
		xml_td_object(o, d);
	xml_close_tag(o);
	xml_capabilities(o, d);
	if (!spec_has_disk(d))
		return;
	xml_open_tag(o, "qemu:override");
	xml_open_tag(o, "qemu:device");
	xml_attr(o, "alias", "virtio-disk0");
	xml_open_tag(o, "qemu:frontend");
	xml_empty_tag(o, "qemu:property", "name", "bootindex", "type", "remove", NULL);
	xml_close_tag(o);
	xml_close_tag(o);
	xml_close_tag(o);
}

/* ------------------------------------------------------------------ all of it */

/* False if the devices do not fit on the root bus. */
static bool xml_domain(struct xml_out *o, const struct domain_spec *d)
{
	bool fits;

	xml_open_tag(o, "domain");
	xml_attr(o, "type", spec_needs_kvm(d) ? "kvm" : "qemu");
	xml_attr(o, "xmlns:qemu", QEMU_NAMESPACE);
	xml_text_tag(o, "name", d->name);
	xml_text_tag(o, "uuid", d->uuid);
	xml_metadata(o, d);
	xml_memory(o, d);
	xml_vcpus(o, d);
	xml_node_memory(o, d);
	if (d->n_devices && d->iommufd)
		xml_empty_tag(o, "iommufd", "enabled", "yes", NULL);
	xml_product(o);
	xml_os(o, d);
	xml_features(o, d);
	xml_cpu(o, d);
	xml_lifecycle(o);
	fits = domain_devices(o, d);
	xml_launch_security(o, d);
	xml_command_line(o, d);
	xml_close_tag(o);
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
	fits = xml_domain(&o, d);
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
