/* SPDX-License-Identifier: Apache-2.0
 * domain_xml.c - libvirt XML for a CVM's machine: complete, and the same bytes for the same spec.
 *
 * DOC: Theory of operation
 *
 * The guest measures its ACPI tables (RTMR0), and those follow from the devices and where they sit. So nothing is left
 * to libvirt's defaults: every controller is named, every device has its slot on the root bus, in the order of the
 * field's launcher from slot 1 (root disk, data disk, network, vsock, share), and what libvirt would add by itself
 * (USB, balloon, root ports, HPET) is switched off. Absent devices leave no gap, as they leave none where QEMU numbers
 * the slots.
 *
 * libvirt refuses TDX with an in-kernel IOAPIC, a PMU or SMM, but turns none of them off by itself: see features().
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>

#include <libxml/xmlwriter.h>
#include <openssl/evp.h>

#include "base/buf.h"
#include "vmm/virt.h"

/* The machine's own AHCI controller: QEMU's q35 always has it, at this place. */
enum { SATA_SLOT = 0x1f, SATA_FUNCTION = 2 };

/* TDX attributes: SEPT_VE_DISABLE; no debug. */
#define TDX_POLICY "0x10000000"

struct out {
	xmlTextWriter *w;
	unsigned slot; /* next free one on the root bus */
	bool failed;   /* the writer did, once: only for lack of memory */
};

static void note(struct out *o, int written)
{
	o->failed |= written < 0;
}

static void open_tag(struct out *o, const char *name)
{
	note(o, xmlTextWriterStartElement(o->w, (const xmlChar *)name));
}

static void close_tag(struct out *o)
{
	note(o, xmlTextWriterEndElement(o->w));
}

static void attr(struct out *o, const char *name, const char *value)
{
	note(o, xmlTextWriterWriteAttribute(o->w, (const xmlChar *)name, (const xmlChar *)value));
}

static void attr_number(struct out *o, const char *name, unsigned long long value)
{
	char text[24];

	(void)snprintf(text, sizeof(text), "%llu", value);
	attr(o, name, text);
}

static void text_tag(struct out *o, const char *name, const char *text)
{
	note(o, xmlTextWriterWriteElement(o->w, (const xmlChar *)name, (const xmlChar *)text));
}

/* <name a='b' .../>: attribute names and values in turn, ended by NULL. */
static void __attribute__((sentinel)) empty_tag(struct out *o, const char *name, ...)
{
	const char *key;
	va_list ap;

	open_tag(o, name);
	va_start(ap, name);
	while ((key = va_arg(ap, const char *)))
		attr(o, key, va_arg(ap, const char *));
	va_end(ap);
	close_tag(o);
}

static void pci_address(struct out *o, unsigned slot, unsigned function)
{
	char s[8], f[8];

	(void)snprintf(s, sizeof(s), "0x%02x", slot);
	(void)snprintf(f, sizeof(f), "0x%x", function);
	empty_tag(o, "address", "type", "pci", "domain", "0x0000", "bus", "0x00", "slot", s, "function", f,
		  NULL);
}

static void next_address(struct out *o)
{
	pci_address(o, o->slot++, 0);
}

static bool hardware(const struct domain_spec *d)
{
	return d->tdx || d->kvm;
}

/* ------------------------------------------------------------------ machine */

static void metadata(struct out *o, const struct domain_spec *d)
{
	open_tag(o, "metadata");
	open_tag(o, "teepod:cvm");
	attr(o, "xmlns:teepod", DOMAIN_NAMESPACE);
	text_tag(o, "teepod:uuid", d->uuid);
	text_tag(o, "teepod:app_id", d->app_id);
	close_tag(o);
	close_tag(o);
}

static void size(struct out *o, const struct domain_spec *d)
{
	char text[24];

	open_tag(o, "memory");
	attr(o, "unit", "MiB");
	(void)snprintf(text, sizeof(text), "%llu", (unsigned long long)d->memory_mib);
	note(o, xmlTextWriterWriteString(o->w, (const xmlChar *)text));
	close_tag(o);
	open_tag(o, "vcpu");
	attr(o, "placement", "static");
	(void)snprintf(text, sizeof(text), "%u", d->vcpus);
	note(o, xmlTextWriterWriteString(o->w, (const xmlChar *)text));
	close_tag(o);
}

static void os(struct out *o, const struct domain_spec *d)
{
	open_tag(o, "os");
	open_tag(o, "type");
	attr(o, "arch", "x86_64");
	attr(o, "machine", d->machine ? d->machine : "q35");
	note(o, xmlTextWriterWriteString(o->w, (const xmlChar *)"hvm"));
	close_tag(o);
	if (d->firmware) {
		/* type rom is QEMU's -bios; a flash device has no place in a TD */
		open_tag(o, "loader");
		attr(o, "readonly", "yes");
		attr(o, "type", "rom");
		note(o, xmlTextWriterWriteString(o->w, (const xmlChar *)d->firmware));
		close_tag(o);
	}
	if (d->kernel)
		text_tag(o, "kernel", d->kernel);
	if (d->kernel && d->initrd)
		text_tag(o, "initrd", d->initrd);
	if (d->kernel && d->cmdline)
		text_tag(o, "cmdline", d->cmdline);
	close_tag(o);
}

static void features(struct out *o, const struct domain_spec *d)
{
	open_tag(o, "features");
	empty_tag(o, "acpi", NULL);
	empty_tag(o, "apic", NULL);
	if (hardware(d))
		empty_tag(o, "ioapic", "driver", "qemu", NULL);
	if (d->tdx) {
		empty_tag(o, "pmu", "state", "off", NULL);
		empty_tag(o, "smm", "state", "off", NULL);
	}
	close_tag(o);
}

static void cpu(struct out *o, const struct domain_spec *d)
{
	if (hardware(d)) {
		empty_tag(o, "cpu", "mode", "host-passthrough", "check", "none", NULL);
		return;
	}
	open_tag(o, "cpu");
	attr(o, "mode", "custom");
	attr(o, "match", "exact");
	attr(o, "check", "none");
	open_tag(o, "model");
	attr(o, "fallback", "forbid");
	note(o, xmlTextWriterWriteString(o->w, (const xmlChar *)"qemu64"));
	close_tag(o);
	close_tag(o);
}

static void lifecycle(struct out *o, const struct domain_spec *d)
{
	open_tag(o, "clock");
	attr(o, "offset", "utc");
	empty_tag(o, "timer", "name", "hpet", "present", "no", NULL);
	close_tag(o);
	text_tag(o, "on_poweroff", "destroy");
	/* a TD can not be reset: its initial state was measured into it */
	text_tag(o, "on_reboot", d->tdx ? "destroy" : "restart");
	text_tag(o, "on_crash", "destroy");
}

/* ------------------------------------------------------------------ devices */

static void disk(struct out *o, const char *path, const char *format, char letter, bool readonly, bool boot)
{
	char target[4] = { 'v', 'd', letter, '\0' };

	open_tag(o, "disk");
	attr(o, "type", "file");
	attr(o, "device", "disk");
	empty_tag(o, "driver", "name", "qemu", "type", format, NULL);
	empty_tag(o, "source", "file", path, NULL);
	empty_tag(o, "target", "dev", target, "bus", "virtio", NULL);
	if (readonly)
		empty_tag(o, "readonly", NULL);
	if (boot)
		empty_tag(o, "boot", "order", "1", NULL);
	next_address(o);
	close_tag(o);
}

static void disks(struct out *o, const struct domain_spec *d)
{
	char letter = 'a';
	bool boot = !d->kernel;

	if (d->rootfs) {
		disk(o, d->rootfs, "raw", letter++, true, boot);
		boot = false;
	}
	if (d->disk)
		disk(o, d->disk, "qcow2", letter, false, boot);
}

static void controllers(struct out *o)
{
	empty_tag(o, "controller", "type", "pci", "index", "0", "model", "pcie-root", NULL);
	empty_tag(o, "controller", "type", "usb", "index", "0", "model", "none", NULL);
	open_tag(o, "controller");
	attr(o, "type", "sata");
	attr(o, "index", "0");
	pci_address(o, SATA_SLOT, SATA_FUNCTION);
	close_tag(o);
}

static void network(struct out *o, const struct domain_spec *d)
{
	open_tag(o, "interface");
	attr(o, "type", "user");
	empty_tag(o, "mac", "address", d->mac, NULL);
	empty_tag(o, "model", "type", "virtio", NULL);
	next_address(o);
	close_tag(o);
}

static void vsock(struct out *o, const struct domain_spec *d)
{
	if (!d->cid)
		return;
	open_tag(o, "vsock");
	attr(o, "model", "virtio");
	open_tag(o, "cid");
	attr(o, "auto", "no");
	attr_number(o, "address", d->cid);
	close_tag(o);
	next_address(o);
	close_tag(o);
}

static void share(struct out *o, const struct domain_spec *d)
{
	if (!d->share_dir)
		return;
	open_tag(o, "filesystem");
	attr(o, "type", "mount");
	attr(o, "accessmode", "mapped");
	empty_tag(o, "driver", "type", "path", NULL);
	empty_tag(o, "source", "dir", d->share_dir, NULL);
	empty_tag(o, "target", "dir", "host-shared", NULL);
	if (d->share_readonly)
		empty_tag(o, "readonly", NULL);
	next_address(o);
	close_tag(o);
}

static void channel(struct out *o, const struct domain_spec *d, const char *who, unsigned port)
{
	char path[sizeof(((struct sockaddr_un *)0)->sun_path)], name[32];

	(void)snprintf(path, sizeof(path), "%s/%s.sock", d->channel_dir, who);
	(void)snprintf(name, sizeof(name), "teepod.%s.0", who);
	open_tag(o, "channel");
	attr(o, "type", "unix");
	empty_tag(o, "source", "mode", "bind", "path", path, NULL);
	empty_tag(o, "target", "type", "virtio", "name", name, NULL);
	open_tag(o, "address");
	attr(o, "type", "virtio-serial");
	attr(o, "controller", "0");
	attr(o, "bus", "0");
	attr_number(o, "port", port);
	close_tag(o);
	close_tag(o);
}

static void channels(struct out *o, const struct domain_spec *d)
{
	if (!d->channel_dir)
		return;
	open_tag(o, "controller");
	attr(o, "type", "virtio-serial");
	attr(o, "index", "0");
	next_address(o);
	close_tag(o);
	channel(o, d, "host", 1);
	channel(o, d, "guest", 2);
}

static void serial(struct out *o, const struct domain_spec *d)
{
	open_tag(o, "serial");
	attr(o, "type", "pty");
	if (d->serial_log)
		empty_tag(o, "log", "file", d->serial_log, "append", "on", NULL);
	open_tag(o, "target");
	attr(o, "type", "isa-serial");
	attr(o, "port", "0");
	empty_tag(o, "model", "name", "isa-serial", NULL);
	close_tag(o);
	close_tag(o);
}

static void devices(struct out *o, const struct domain_spec *d)
{
	open_tag(o, "devices");
	if (d->emulator)
		text_tag(o, "emulator", d->emulator);
	controllers(o);
	disks(o, d);
	network(o, d);
	vsock(o, d);
	share(o, d);
	channels(o, d);
	serial(o, d);
	empty_tag(o, "memballoon", "model", "none", NULL);
	close_tag(o);
}

static void launch_security(struct out *o, const struct domain_spec *d)
{
	unsigned char base64[4 * (sizeof(d->mr_config_id) / 3) + 1];

	if (!d->tdx)
		return;
	open_tag(o, "launchSecurity");
	attr(o, "type", "tdx");
	text_tag(o, "policy", TDX_POLICY);
	if (d->has_mr_config_id) {
		(void)EVP_EncodeBlock(base64, d->mr_config_id, (int)sizeof(d->mr_config_id));
		text_tag(o, "mrConfigId", (const char *)base64);
	}
	open_tag(o, "quoteGenerationService");
	if (d->qgs_socket)
		attr(o, "path", d->qgs_socket);
	close_tag(o);
	close_tag(o);
}

static void domain(struct out *o, const struct domain_spec *d)
{
	open_tag(o, "domain");
	attr(o, "type", hardware(d) ? "kvm" : "qemu");
	text_tag(o, "name", d->name);
	text_tag(o, "uuid", d->uuid);
	metadata(o, d);
	size(o, d);
	os(o, d);
	features(o, d);
	cpu(o, d);
	lifecycle(o, d);
	devices(o, d);
	launch_security(o, d);
	close_tag(o);
}

/* ------------------------------------------------------------------ what can not be */

/* XML 1.0 has no way to write other control characters, and the writer would pass them on. */
static bool writable(const char *s)
{
	for (const unsigned char *p = (const unsigned char *)s; *p; p++)
		if (*p < 0x20 && *p != '\t' && *p != '\n' && *p != '\r')
			return false;
	return xmlCheckUTF8((const xmlChar *)s);
}

static int check_text(const struct domain_spec *d, struct err *e)
{
	const char *const texts[] = { d->uuid,      d->name,       d->app_id,      d->emulator,
				      d->machine,   d->firmware,   d->kernel,      d->initrd,
				      d->cmdline,   d->rootfs,     d->disk,        d->mac,
				      d->share_dir, d->serial_log, d->channel_dir, d->qgs_socket };

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		if (texts[i] && !writable(texts[i]))
			return err_set(e, ERR_INVALID, "domain %s: a name or path holds control characters",
				       d->uuid);
	return 0;
}

static int check(const struct domain_spec *d, struct err *e)
{
	char uuid[UUID_TEXT];

	if (!id_uuid_parse(d->uuid, uuid))
		return err_set(e, ERR_INVALID, "domain: no UUID");
	if (!d->name[0] || !d->mac[0])
		return err_set(e, ERR_INVALID, "domain %s: needs a name and a MAC address", d->uuid);
	if (!d->vcpus || !d->memory_mib)
		return err_set(e, ERR_INVALID, "domain %s: needs a vCPU and memory", d->uuid);
	if (!d->kernel && !d->rootfs && !d->disk)
		return err_set(e, ERR_INVALID, "domain %s: nothing to boot from", d->uuid);
	if (d->tdx && !d->firmware)
		return err_set(e, ERR_INVALID, "domain %s: TDX needs a firmware made for it", d->uuid);
	if (d->channel_dir &&
	    strlen(d->channel_dir) + sizeof("/guest.sock") > sizeof(((struct sockaddr_un *)0)->sun_path))
		return err_set(e, ERR_INVALID, "domain %s: folder of channels is too long for sockets",
			       d->uuid);
	return check_text(d, e);
}

int domain_xml(const struct domain_spec *d, char **ret, struct err *e)
{
	xmlBuffer *buffer;
	struct out o = { .slot = 1 };
	int r = check(d, e);

	if (r)
		return r;
	buffer = xmlBufferCreate();
	o.w = buffer ? xmlNewTextWriterMemory(buffer, 0) : NULL;
	if (!o.w) {
		xmlBufferFree(buffer);
		return err_set(e, ERR_HOST, "domain %s: out of memory", d->uuid);
	}
	(void)xmlTextWriterSetIndent(o.w, 1);
	(void)xmlTextWriterSetIndentString(o.w, (const xmlChar *)"  ");
	(void)xmlTextWriterSetQuoteChar(o.w, '\'');
	domain(&o, d);
	note(&o, xmlTextWriterEndDocument(o.w));
	xmlFreeTextWriter(o.w);
	if (o.failed)
		r = err_set(e, ERR_HOST, "domain %s: out of memory", d->uuid);
	else
		*ret = xstrdup((const char *)xmlBufferContent(buffer));
	xmlBufferFree(buffer);
	return r;
}

void domain_mac(const char *vm_uuid, char out[18])
{
	uint8_t h[SHA256_LEN];

	id_sha256(vm_uuid, strlen(vm_uuid), h);
	(void)snprintf(out, 18, "%02x:%02x:%02x:%02x:%02x:%02x", (unsigned)((h[0] & 0xfe) | 0x02),
		       (unsigned)h[1], (unsigned)h[2], (unsigned)h[3], (unsigned)h[4], (unsigned)h[5]);
}
