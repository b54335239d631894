/* SPDX-License-Identifier: Apache-2.0
 * domain_xml.c - CPU time of writing a domain's XML, compared with parsing it by libxml2.
 *
 *	domain_xml COUNT
 *
 * The domain is large: a TD with two NUMA nodes, eight GPUs, four NVSwitches, three network
 * interfaces and two volumes. Writes and parses the XML COUNT times each. Prints the microseconds
 * of CPU time per call, and the size of the XML.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <libxml/parser.h>

#include "tests/bench/tool.h"
#include "vmm/virt/domain_spec.h"

static struct domain_spec large(void)
{
	struct domain_spec d = {
		.uuid = "1ccfd97d-5eb4-478a-bbe6-88d254c16db7",
		.name = "teepod-1ccfd97d-5eb4-478a-bbe6-88d254c16db7",
		.app_id = "0123456789abcdef0123456789abcdef01234567",
		.emulator = "/usr/bin/qemu-system-x86_64",
		.machine = "pc-q35-11.1",
		.vcpus = 64,
		.memory_mib = 524288,
		.cells = { { 0, 262144, 0, 32 }, { 1, 262144, 32, 32 } },
		.n_cells = 2,
		.page_kib = 1048576,
		.cpuset = "0-63",
		.firmware = "/usr/share/ovmf/OVMF.inteltdx.ms.fd",
		.kernel = "/images/prod/bzImage",
		.initrd = "/images/prod/initramfs.cpio.gz",
		.cmdline = "console=ttyS0 init=/init panic=1",
		.rootfs = "/images/prod/rootfs.img.parted.verity",
		.disk = "/vm/1/hda.img",
		.volumes = { "/volumes/models.verity", "/volumes/data.verity" },
		.n_volumes = 2,
		.cid = 1000,
		.share_mode = SHARE_9P,
		.share = "/vm/1/shared",
		.serial_log = "/vm/1/logs/serial.log",
		.n_devices = 12,
		.tdx = true,
		.policy = TDX_POLICY_SEPT_VE_DISABLE,
		.has_mr_config_id = true,
	};

	for (d.n_nics = 0; d.n_nics < 3; d.n_nics++)
		domain_mac(d.uuid, d.n_nics, d.nics[d.n_nics].mac);
	for (unsigned i = 0; i < d.n_devices; i++)
		d.devices[i] = (struct domain_device){ "0000:18:00.0", i < 8 ? (int)i / 4 : -1 };
	return d;
}

static char *write_xml(const struct domain_spec *d)
{
	char *xml;
	struct err e;

	if (domain_xml(d, &xml, &e))
		die("%s", e.text);
	return xml;
}

int main(int argc, char **argv)
{
	const struct domain_spec d = large();
	int count = argc == 2 ? atoi(argv[1]) : 0;
	char *xml = write_xml(&d);
	int64_t began, written, read;

	if (count < 1)
		die("usage: domain_xml COUNT");
	began = cpu_us();
	for (int i = 0; i < count; i++)
		free(write_xml(&d));
	written = cpu_us() - began;
	began = cpu_us();
	for (int i = 0; i < count; i++)
		xmlFreeDoc(need(xmlReadMemory(xml, (int)strlen(xml), NULL, NULL, XML_PARSE_NONET)));
	read = cpu_us() - began;
	(void)printf("{\"write_us\": %.2f, \"read_us\": %.2f, \"bytes\": %zu}\n",
		     (double)written / count, (double)read / count, strlen(xml));
	free(xml);
	return 0;
}
