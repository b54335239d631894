/* SPDX-License-Identifier: Apache-2.0
 * domain_check.c - rules that every machine must follow.
 *
 * A violation is a bug of the caller: what a client can get wrong is refused earlier, with the name
 * of the field. It is still an error and not an assertion, because a wrong machine must not start.
 */
#include <stdio.h>
#include <string.h>
#include <sys/un.h>

#include "base/array.h"
#include "vmm/virt/domain_spec.h"
#include "vmm/virt/xml_out.h"

static int spec_refuse(const struct domain_spec *d, struct err *e, const char *why)
{
	return err_set(e, ERR_INVALID, "domain %.40s: %s", d->uuid, why);
}

static bool spec_text_ok(const char *s)
{
	return !s || xml_writable(s);
}

static bool spec_texts_ok(const struct domain_spec *d)
{
	const char *const texts[] = { d->name,        d->app_id,     d->emulator,  d->machine,
				      d->cpuset,      d->firmware,   d->kernel,    d->initrd,
				      d->cmdline,     d->rootfs,     d->disk,      d->share,
				      d->channel_dir, d->serial_log, d->qgs_socket };

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		if (!spec_text_ok(texts[i]))
			return false;
	for (unsigned i = 0; i < d->n_volumes; i++)
		if (!spec_text_ok(d->volumes[i]))
			return false;
	for (unsigned i = 0; i < d->n_nics; i++)
		if (!spec_text_ok(d->nics[i].mac) || !spec_text_ok(d->nics[i].bridge))
			return false;
	return true;
}

static int spec_check_counts(const struct domain_spec *d, struct err *e)
{
	if (!d->vcpus || !d->memory_mib)
		return spec_refuse(d, e, "needs a vCPU and memory");
	if (d->n_nics > DOMAIN_NICS || d->n_volumes > DOMAIN_VOLUMES || d->n_cells > DOMAIN_CELLS ||
	    d->n_devices > DOMAIN_DEVICES)
		return spec_refuse(d, e, "too many interfaces, volumes, NUMA nodes or devices");
	if (!d->kernel && !d->rootfs && !d->disk)
		return spec_refuse(d, e, "nothing to boot from");
	return 0;
}

/* QEMU requires every vCPU to be in exactly one node, and libvirt requires the memory of the nodes
 * to add up to the memory of the machine. */
static int spec_check_cells(const struct domain_spec *d, struct err *e)
{
	uint64_t memory = 0;
	unsigned cpu = 0;

	if (!d->n_cells)
		return 0;
	if (!d->page_kib)
		return spec_refuse(d, e, "NUMA nodes need a page size");
	for (unsigned i = 0; i < d->n_cells; i++) {
		const struct domain_cell *c = &d->cells[i];

		if (!c->cpus || c->first_cpu != cpu)
			return spec_refuse(d, e, "each vCPU must be in exactly one NUMA node");
		if (!c->memory_mib || c->memory_mib * 1024 % d->page_kib)
			return spec_refuse(d, e,
					   "the memory of a NUMA node is not a multiple of the "
					   "huge page size");
		memory += c->memory_mib;
		cpu += c->cpus;
	}
	if (cpu != d->vcpus || memory != d->memory_mib)
		return spec_refuse(d, e,
				   "the NUMA nodes have other vCPUs or memory than the machine");
	return 0;
}

static bool spec_address_ok(const char *s)
{
	unsigned domain, bus, slot, function;
	int end = 0;

	return s && sscanf(s, "%4x:%2x:%2x.%1x%n", &domain, &bus, &slot, &function, &end) == 4 &&
	       !s[end] && slot < 32 && function < 8;
}

static int spec_check_devices(const struct domain_spec *d, struct err *e)
{
	for (unsigned i = 0; i < d->n_nics; i++) {
		if (!d->nics[i].mac[0])
			return spec_refuse(d, e, "an interface needs a MAC address");
		if (d->nics[i].mode == NIC_BRIDGE && (!d->nics[i].bridge || !*d->nics[i].bridge))
			return spec_refuse(d, e, "a bridged interface needs a bridge");
	}
	for (unsigned i = 0; i < d->n_volumes; i++)
		if (!d->volumes[i])
			return spec_refuse(d, e, "a volume needs a path");
	for (unsigned i = 0; i < d->n_devices; i++) {
		if (!spec_address_ok(d->devices[i].address))
			return spec_refuse(d, e,
					   "a host device needs a PCI address like 0000:18:00.0");
		if (d->devices[i].cell >= (int)d->n_cells)
			return spec_refuse(d, e,
					   "a host device is on a NUMA node that does not exist");
	}
	if (d->share_mode != SHARE_NONE && !d->share)
		return spec_refuse(d, e, "a share needs a path");
	if (d->channel_dir && strlen(d->channel_dir) + sizeof("/guest.sock") >
				      sizeof(((struct sockaddr_un *)0)->sun_path))
		return spec_refuse(d, e, "the path of the channel folder is too long for sockets");
	return 0;
}

static int spec_check_tdx(const struct domain_spec *d, struct err *e)
{
	const uint64_t known = TDX_POLICY_DEBUG | TDX_POLICY_SEPT_VE_DISABLE;

	if (!d->tdx)
		return 0;
	if (!d->firmware)
		return spec_refuse(d, e, "TDX needs a firmware made for it");
	if (d->policy & ~known)
		return spec_refuse(d, e,
				   "TDX policy has bits other than debug and sept-ve-disable");
	return 0;
}

int domain_check(const struct domain_spec *d, struct err *e)
{
	char uuid[UUID_TEXT];
	int r;

	if (!id_uuid_parse(d->uuid, uuid))
		return err_set(e, ERR_INVALID, "domain: no UUID");
	if (!d->name[0])
		return spec_refuse(d, e, "needs a name");
	r = spec_check_counts(d, e);
	if (!r)
		r = spec_check_cells(d, e);
	if (!r)
		r = spec_check_devices(d, e);
	if (!r)
		r = spec_check_tdx(d, e);
	if (!r && !spec_texts_ok(d))
		r = spec_refuse(d, e, "a name or path contains control characters");
	return r;
}
