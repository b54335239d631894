/* SPDX-License-Identifier: Apache-2.0
 * host_tree.h - a host of two sockets with 8 GPUs and 4 NVSwitches, made of files (tree.h).
 */
#ifndef TEEPOD_TESTS_UNIT_HOST_TREE_H
#define TEEPOD_TESTS_UNIT_HOST_TREE_H

#include <stdio.h>
#include <unistd.h>

#include "base/array.h"
#include "base/own.h"
#include "base/strings.h"
#include "tests/unit/tree.h"
#include "vmm/virt/xml_out.h"

#define PCI_DEVICES "/sys/bus/pci/devices"

struct tree_pci {
	const char *address;
	unsigned class, vendor, device;
	int node, group;    /* group -1: in none */
	const char *driver; /* NULL: bound to none */
};

static inline void tree_link(const char *path, const char *target)
{
	auto_free char *full = xasprintf("%s%s", tree_root, path);

	(void)unlink(full);
	assert_int_equal(symlink(target, full), 0);
}

static inline void tree_attribute(const char *address, const char *name, const char *fmt,
				  long value)
{
	auto_free char *path = xasprintf(PCI_DEVICES "/%s/%s", address, name);
	char text[32];

	/* The formats are those below: one number each. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
	(void)snprintf(text, sizeof(text), fmt, value);
#pragma GCC diagnostic pop
	tree_put(path, text);
}

static inline void tree_config(const char *address, unsigned vendor, unsigned device)
{
	auto_free char *path = xasprintf(PCI_DEVICES "/%s/config", address);
	const unsigned char space[64] = { (unsigned char)vendor, (unsigned char)(vendor >> 8),
					  (unsigned char)device, (unsigned char)(device >> 8) };

	tree_put_bytes(path, space, sizeof(space));
}

static inline void tree_driver(const char *address, const char *driver)
{
	auto_free char *path = xasprintf(PCI_DEVICES "/%s/driver", address);
	auto_free char *target =
		driver ? xasprintf("../../../../bus/pci/drivers/%s", driver) : NULL;

	if (driver)
		tree_link(path, target);
	else
		tree_remove(path);
}

static inline void tree_group(const char *address, int group)
{
	auto_free char *path = xasprintf(PCI_DEVICES "/%s/iommu_group", address);
	auto_free char *target = xasprintf("../../../../kernel/iommu_groups/%d", group);
	auto_free char *member =
		xasprintf("/sys/kernel/iommu_groups/%d/devices/%s", group, address);

	if (group < 0)
		return;
	tree_link(path, target);
	tree_put(member, "");
}

static inline void tree_pci(const struct tree_pci *d)
{
	tree_attribute(d->address, "class", "0x%06lx\n", (long)d->class);
	tree_attribute(d->address, "vendor", "0x%04lx\n", (long)d->vendor);
	tree_attribute(d->address, "device", "0x%04lx\n", (long)d->device);
	tree_attribute(d->address, "numa_node", "%ld\n", d->node);
	tree_attribute(d->address, "enable", "%ld\n", 0);
	tree_config(d->address, d->vendor, d->device);
	tree_driver(d->address, d->driver);
	tree_group(d->address, d->group);
}

/* @pages of the default size, all free. */
static inline void tree_node(unsigned id, const char *cpus, unsigned page_kib, unsigned pages)
{
	auto_free char *base = xasprintf("/sys/devices/system/node/node%u", id);
	auto_free char *list = xasprintf("%s/cpulist", base), *mem = xasprintf("%s/meminfo", base);
	auto_free char *total =
		xasprintf("%s/hugepages/hugepages-%ukB/nr_hugepages", base, page_kib);
	auto_free char *left =
		xasprintf("%s/hugepages/hugepages-%ukB/free_hugepages", base, page_kib);
	auto_free char *memory = xasprintf("Node %u MemTotal:       268435456 kB\n", id);
	auto_free char *n = xasprintf("%u\n", pages);

	tree_put(list, cpus);
	tree_put(mem, memory);
	tree_put(total, n);
	tree_put(left, n);
}

static const char *const tree_gpus[8] = { "0000:18:00.0", "0000:2a:00.0", "0000:3a:00.0",
					  "0000:5d:00.0", "0000:9a:00.0", "0000:ab:00.0",
					  "0000:ba:00.0", "0000:db:00.0" };
static const char *const tree_switches[4] = { "0000:05:00.0", "0000:06:00.0", "0000:07:00.0",
					      "0000:08:00.0" };

/* GPUs 0..3 on node 0, 4..7 on node 1, all bound to vfio-pci; each device in a group of its own.
 * Besides: a root port, a NIC, and a VGA controller that is not NVIDIA's. */
static inline void tree_two_sockets(unsigned page_kib, unsigned pages_of_each_node)
{
	const struct tree_pci others[] = {
		{ "0000:00:01.0", 0x060400, 0x8086, 0x352a, 0, 100, "pcieport" },
		{ "0000:31:00.0", 0x020000, 0x15b3, 0x101d, 0, 101, "mlx5_core" },
		{ "0000:03:00.0", 0x030000, 0x1a03, 0x2000, -1, 102, "ast" },
	};
	auto_free char *meminfo = xasprintf(
		"MemTotal: 536870912 kB\nHugePages_Total: 0\nHugepagesize: %u kB\n", page_kib);

	tree_node(0, "0-31,64-95\n", page_kib, pages_of_each_node);
	tree_node(1, "32-63,96-127\n", page_kib, pages_of_each_node);
	tree_put("/proc/meminfo", meminfo);
	for (int i = 0; i < 8; i++)
		tree_pci(&(struct tree_pci){ tree_gpus[i], 0x030200, 0x10de, 0x2335, i / 4, 10 + i,
					     "vfio-pci" });
	for (int i = 0; i < 4; i++)
		tree_pci(&(struct tree_pci){ tree_switches[i], 0x068000, 0x10de, 0x22a3, 0, 20 + i,
					     "vfio-pci" });
	for (size_t i = 0; i < ARRAY_SIZE(others); i++)
		tree_pci(&others[i]);
	tree_put("/usr/share/misc/pci.ids",
		 "# comment\n10dd  Other\n\t2335  Not this\n10de  NVIDIA Corporation\n"
		 "\t22a3  GH100 [H100 NVSwitch]\n\t2335  GH100 [H200 SXM 141GB]\n"
		 "\t\t10de 18be  Sub\n10df  Next\n\t2901  Not that\n");
}

#endif
