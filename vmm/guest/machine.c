/* SPDX-License-Identifier: Apache-2.0
 * machine.c - compute the machine of a CVM from its row, its image and the node's settings.
 *
 * The result must depend on its inputs alone: measurements are computed before a CVM starts, and a
 * machine that is then defined differently fails its attestation. vmm/virt/domain_xml.c turns the
 * result into XML.
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/json.h"
#include "base/strings.h"
#include "db/cvms.h"
#include "db/devices.h"
#include "images/images.h"
#include "vmm/admit/networks.h"
#include "vmm/admit/placement.h"
#include "vmm/admit/volumes.h"
#include "vmm/guest/guest_files.h"
#include "vmm/guest/machine.h"
#include "vmm/node/settings.h"
#include "vmm/tdx/mr_config.h"
#include "vmm/tdx/tdx_variant.h"
#include "vmm/virt/domain_spec.h"
#include "vmm/virt/hypervisor.h"

/* ------------------------------------------------------------------ files */

static char *image_file_path(const struct machine_in *in, const char *file)
{
	return *file ? xasprintf("%s/%s", in->image_dir, file) : NULL;
}

/* A TD without a firmware in its image uses the node's TDX firmware. An ordinary VM uses the
 * image's firmware, or QEMU's default. */
static char *firmware_path(const struct machine_in *in)
{
	if (!*in->boot->bios && in->cvm->tdx)
		return xstrdup(in->set->tdx_firmware);
	return image_file_path(in, in->boot->bios);
}

static void files(const struct machine_in *in, struct machine *m)
{
	struct domain_spec *d = &m->spec;

	m->kernel = image_file_path(in, in->boot->kernel);
	m->initrd = image_file_path(in, in->boot->initrd);
	m->rootfs = image_file_path(in, in->boot->rootfs);
	m->firmware = firmware_path(in);
	m->disk = xasprintf("%s/hda.img", in->dir);
	m->serial_log = xasprintf("%s/logs/serial.log", in->dir);
	m->share = xasprintf("%s/%s", in->dir,
			     in->set->share_mode == SHARE_DISK ? "shared.img" : "shared");
	d->kernel = m->kernel;
	d->initrd = m->initrd;
	d->cmdline = *in->boot->cmdline ? in->boot->cmdline : NULL;
	d->rootfs = m->rootfs;
	d->firmware = m->firmware;
	d->disk = m->disk;
	d->serial_log = m->serial_log;
	d->share_mode = in->set->share_mode;
	d->share = m->share;
}

/* Apply what the manifest decides: volumes and the TDX attestation variant. */
static int machine_apply_manifest(const struct machine_in *in, struct machine *m, struct err *e)
{
	auto_json json_t *manifest = json_loads(in->manifest, 0, NULL);
	int r = volumes_of(manifest, in->set->volumes_dir, &m->volumes, e);

	if (!r && in->cvm->tdx)
		r = tdx_variant_choose(manifest, m->spec.memory_mib, in->image_dir, &m->variant, e);
	if (r)
		return r;
	for (unsigned i = 0; i < m->volumes.n; i++)
		m->spec.volumes[i] = m->volumes.path[i];
	m->spec.n_volumes = m->volumes.n;
	return 0;
}

/* ------------------------------------------------------------------ machine */

static int machine_networks(const struct machine_in *in, struct machine *m, struct err *e)
{
	struct domain_spec *d = &m->spec;
	int r;

	m->networks = xcalloc(DOMAIN_NICS, sizeof(*m->networks));
	r = networks_parse("networks", in->cvm->networks, m->networks, &d->n_nics, e);
	for (unsigned i = 0; !r && i < d->n_nics; i++) {
		d->nics[i] = (struct domain_nic){ .mode = m->networks[i].mode,
						  .bridge = m->networks[i].bridge };
		domain_mac(in->cvm->uuid, i, d->nics[i].mac);
	}
	return r;
}

static bool owner_register(const char *hex, uint8_t out[TDX_MR_LEN])
{
	return *hex && id_unhex(hex, out, TDX_MR_LEN);
}

static int machine_launch_security(const struct machine_in *in, struct machine *m, struct err *e)
{
	char family[IMAGE_NAME], version[IMAGE_VERSION];
	struct domain_spec *d = &m->spec;
	unsigned v[4], nv;
	struct mr_config_input mr = { .manifest = in->manifest,
				      .app_id = in->cvm->app_id,
				      .image_family = family,
				      .image_version = in->cvm->image_version,
				      .tdx = in->cvm->tdx,
				      .has_gpus = in->cvm->gpus > 0,
				      .instance_seed = in->instance_seed };
	int r;

	if (!image_name_split(in->cvm->image_name, family, version, v, &nv))
		(void)snprintf(family, sizeof(family), "%s", in->cvm->image_name);
	r = mr_config_choose(&mr, &m->mr, e);
	if (r || !in->cvm->tdx)
		return r;
	d->tdx = true;
	d->policy = (uint64_t)in->cvm->tdx_policy;
	d->has_mr_config_id = m->mr.version && !m->mr.pending;
	memcpy(d->mr_config_id, m->mr.id, sizeof(d->mr_config_id));
	d->has_mr_owner = owner_register(in->cvm->mr_owner, d->mr_owner);
	d->has_mr_owner_config = owner_register(in->cvm->mr_owner_config, d->mr_owner_config);
	d->qgs_socket = in->set->qgs_socket;
	d->qgs_port = in->set->qgs_port;
	return 0;
}

static const char *first_nonempty(const char *a, const char *b)
{
	return a && *a ? a : b && *b ? b : NULL;
}

static void machine_host(const struct machine_in *in, struct domain_spec *d)
{
	d->emulator = first_nonempty(in->set->emulator, in->caps ? in->caps->emulator : NULL);
	d->machine = first_nonempty(in->caps ? in->caps->machine : NULL, NULL);
	d->kvm = in->caps && in->caps->kvm;
	d->slow_cpu_check = in->caps && in->caps->slow_cpu_check;
	d->keep_owner = in->caps && in->caps->by_group;
	d->cid = in->vsock ? in->cvm->cid : 0;
}

/* Only a guest with huge pages has NUMA nodes. */
static void machine_placement(const struct placement *p, struct domain_spec *d)
{
	if (!p)
		return;
	d->cpuset = first_nonempty(p->cpuset, NULL);
	d->page_kib = (unsigned)p->page_kib;
	d->n_cells = p->page_kib ? p->n_cells : 0;
	for (unsigned i = 0; i < d->n_cells; i++)
		d->cells[i] = (struct domain_cell){ .host_node = p->cell[i].host_node,
						    .memory_mib = p->cell[i].memory_mib,
						    .first_cpu = p->cell[i].first_cpu,
						    .cpus = p->cell[i].cpus };
}

/* Index of the guest NUMA node of a device, or -1 for the root bus. GPUs are on the expander bus of
 * their node, NVSwitches on the root bus. */
static int device_cell(const struct domain_spec *d, const struct device_row *device)
{
	for (unsigned i = 0; device->kind == DEVICE_GPU && i < d->n_cells; i++)
		if (d->cells[i].host_node == device->numa_node)
			return (int)i;
	return -1;
}

static int machine_devices(const struct machine_in *in, struct domain_spec *d, struct err *e)
{
	if (in->n_devices > DOMAIN_DEVICES)
		return err_set(e, ERR_UNSUPPORTED,
			       "a machine has at most %d devices; this CVM has %zu", DOMAIN_DEVICES,
			       in->n_devices);
	for (size_t i = 0; i < in->n_devices; i++)
		d->devices[i] = (struct domain_device){ .address = in->devices[i].address,
							.cell = device_cell(d, &in->devices[i]) };
	d->n_devices = (unsigned)in->n_devices;
	d->iommufd = in->caps && in->caps->iommufd;
	return 0;
}

static void machine_vm_config(const struct machine_in *in, struct machine *m)
{
	const struct domain_spec *d = &m->spec;

	m->vm = (struct guest_vm_config){
		.os_image_hash = in->cvm->image_hash,
		.image = in->cvm->image_name,
		.qemu_version = in->caps ? first_nonempty(in->caps->qemu, NULL) : NULL,
		.host_share_mode = d->share_mode == SHARE_DISK ? "vhd" : "9p",
		.ovmf_variant = in->boot->ovmf_variant,
		.tdx_lite = m->variant.lite,
		.tdx_checksum_file = m->variant.checksum_file,
		.tdx_measurement = m->variant.measurement,
		.vcpus = d->vcpus,
		.memory_mib = d->memory_mib,
		.num_gpus = (unsigned)in->cvm->gpus,
		.num_nvswitches = (unsigned)in->cvm->nvswitches,
		.num_nics = d->n_nics,
		.num_volumes = d->n_volumes,
		.hugepages = in->cvm->hugepages,
	};
}

int machine_make(const struct machine_in *in, struct machine *ret, struct err *e)
{
	auto_machine struct machine m = { .spec = { .vcpus = (unsigned)in->cvm->given_vcpus,
						    .memory_mib =
							    (uint64_t)in->cvm->given_memory_mib } };
	int r;

	assert(in->set && in->manifest && in->boot && in->dir && in->image_dir);
	assert(in->devices || !in->n_devices);
	memcpy(m.spec.uuid, in->cvm->uuid, sizeof(m.spec.uuid));
	memcpy(m.spec.app_id, in->cvm->app_id, sizeof(m.spec.app_id));
	(void)snprintf(m.spec.name, sizeof(m.spec.name), "%s", in->domain);
	files(in, &m);
	machine_host(in, &m.spec);
	machine_placement(in->placement, &m.spec);
	r = machine_launch_security(in, &m, e);
	if (!r)
		r = machine_networks(in, &m, e);
	if (!r)
		r = machine_devices(in, &m.spec, e);
	if (!r)
		r = machine_apply_manifest(in, &m, e);
	if (r)
		return r;
	machine_vm_config(in, &m);
	*ret = m;
	m = (struct machine){ 0 };
	return 0;
}

void machine_free(struct machine *m)
{
	volumes_free(&m->volumes);
	mr_config_free(&m->mr);
	tdx_variant_free(&m->variant);
	free(m->networks);
	free(m->disk);
	free(m->share);
	free(m->serial_log);
	free(m->kernel);
	free(m->initrd);
	free(m->rootfs);
	free(m->firmware);
	*m = (struct machine){ 0 };
}
