/* SPDX-License-Identifier: Apache-2.0
 * pci.c - PCI devices from sysfs.
 *
 * A device's folder has its attributes as small files; its IOMMU group and its driver are links
 * whose last part is the name. The vendor file is a copy from boot time: only a read of the
 * configuration space shows that a device has failed.
 */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/fd.h"
#include "base/own.h"
#include "base/strings.h"
#include "db/devices.h"
#include "vmm/host/kernel_file.h"
#include "vmm/host/pci.h"
#include "vmm/virt/xml_out.h"

#define DEVICES "/sys/bus/pci/devices"
#define GROUPS  "/sys/kernel/iommu_groups"

enum {
	NVIDIA = 0x10de,
	CLASS_VGA = 0x0300,
	CLASS_3D = 0x0302,
	CLASS_PCI_BRIDGE = 0x0604,
	CLASS_OTHER_BRIDGE = 0x0680,
};

/* ------------------------------------------------------------------ addresses and drivers */

bool pci_address(const char *text, char ret[PCI_TEXT])
{
	static const char shape[] = "hhhh:hh:hh.o";
	size_t n = strlen(text), skip = n == sizeof(shape) - 1 ? 0 : 5;
	char out[PCI_TEXT] = "0000:";

	if (n != sizeof(shape) - 1 && n != sizeof(shape) - 1 - 5)
		return false;
	for (size_t i = 0; i < n; i++) {
		char want = shape[skip + i];

		if (want == 'h'   ? !isxdigit((unsigned char)text[i])
		    : want == 'o' ? text[i] < '0' || text[i] > '7'
				  : text[i] != want)
			return false;
		out[skip + i] = (char)tolower((unsigned char)text[i]);
	}
	out[sizeof(shape) - 1] = '\0';
	memcpy(ret, out, PCI_TEXT);
	return true;
}

bool pci_host_driver(const char *driver)
{
	return *driver && strcmp(driver, "vfio-pci") != 0;
}

/* ------------------------------------------------------------------ attributes */

/* "0x10de" */
static bool hex_attribute(const char *root, const char *address, const char *name, unsigned *ret)
{
	auto_free char *path = xasprintf(DEVICES "/%s/%s", address, name);
	auto_free char *text = kernel_text(root, path);
	int end = 0;
	unsigned n;

	if (!text || sscanf(text, "0x%8x%n", &n, &end) != 1 || text[end])
		return false;
	*ret = n;
	return true;
}

/* Last part of the link @name; "" if there is none. */
static void link_name(const char *root, const char *address, const char *name, char *out,
		      size_t size)
{
	auto_free char *path = xasprintf("%s" DEVICES "/%s/%s", root, address, name);
	char target[512];
	ssize_t n = readlink(path, target, sizeof(target) - 1);
	const char *last;

	*out = '\0';
	if (n <= 0)
		return;
	target[n] = '\0';
	last = strrchr(target, '/');
	(void)snprintf(out, size, "%.*s", (int)size - 1, last ? last + 1 : target);
}

static bool pci_is_passable(unsigned vendor, unsigned class, enum device_kind *ret)
{
	unsigned base = class >> 8;

	if (vendor != NVIDIA ||
	    (base != CLASS_VGA && base != CLASS_3D && base != CLASS_OTHER_BRIDGE))
		return false;
	*ret = base == CLASS_OTHER_BRIDGE ? DEVICE_NVSWITCH : DEVICE_GPU;
	return true;
}

/* False if the configuration space cannot be read. */
static bool config_vendor(const char *root, const char *address, unsigned *ret)
{
	auto_free char *path = xasprintf("%s" DEVICES "/%s/config", root, address);
	auto_close int fd = open(path, O_RDONLY | O_CLOEXEC);
	unsigned char b[2];

	if (fd < 0 || read(fd, b, sizeof(b)) != (ssize_t)sizeof(b))
		return false;
	*ret = b[0] | (unsigned)b[1] << 8;
	return true;
}

/* ------------------------------------------------------------------ faults */

/* Bridges above a device are in its IOMMU group if they do not isolate; they stay with the host. */
static bool may_share_group(const char *root, const char *address)
{
	enum device_kind kind;
	unsigned vendor, class;

	if (!hex_attribute(root, address, "vendor", &vendor) ||
	    !hex_attribute(root, address, "class", &class))
		return false;
	return class >> 8 == CLASS_PCI_BRIDGE || pci_is_passable(vendor, class, &kind);
}

static void check_group(const char *root, struct device_row *d)
{
	auto_free char *path = xasprintf("%s" GROUPS "/%d/devices", root, d->iommu_group);
	auto_closedir DIR *dir = opendir(path);
	struct dirent *item;

	while (dir && (item = readdir(dir))) {
		if (item->d_name[0] == '.' || may_share_group(root, item->d_name))
			continue;
		(void)snprintf(d->broken_reason, sizeof(d->broken_reason),
			       "IOMMU group %d is shared with %.12s, which is neither a GPU nor an "
			       "NVSwitch",
			       d->iommu_group, item->d_name);
		return;
	}
}

static void pci_find_fault(const char *root, struct device_row *d)
{
	unsigned vendor = 0;

	if (!config_vendor(root, d->address, &vendor))
		(void)snprintf(d->broken_reason, sizeof(d->broken_reason),
			       "its configuration space cannot be read");
	else if (vendor == 0xffff)
		(void)snprintf(d->broken_reason, sizeof(d->broken_reason),
			       "it does not answer (configuration space reads as ones): reset or "
			       "reseat it");
	else if (d->iommu_group < 0)
		(void)snprintf(d->broken_reason, sizeof(d->broken_reason),
			       "it is in no IOMMU group: turn the IOMMU on (intel_iommu=on, and "
			       "VT-d in the "
			       "firmware)");
	else
		check_group(root, d);
}

/* ------------------------------------------------------------------ one device */

/* 0 if the file holds -1: the kernel does not know the node, or has no NUMA. */
static unsigned pci_numa_node(const char *root, const char *address)
{
	auto_free char *path = xasprintf(DEVICES "/%s/numa_node", address);
	uint64_t n;

	return kernel_number(root, path, &n) && n < 1024 ? (unsigned)n : 0;
}

static int group_of(const char *root, const char *address)
{
	char name[16];
	char *end;
	unsigned long n;

	link_name(root, address, "iommu_group", name, sizeof(name));
	n = strtoul(name, &end, 10);
	return *name && !*end && n <= INT32_MAX ? (int)n : -1;
}

static bool is_enabled(const char *root, const char *address)
{
	auto_free char *path = xasprintf(DEVICES "/%s/enable", address);
	uint64_t n;

	return kernel_number(root, path, &n) && n > 0;
}

static bool pci_read_device(const char *root, const char *address, struct device_row *ret)
{
	struct device_row d = { .present = true };
	unsigned vendor, class, product;

	if (!pci_address(address, d.address) || strcmp(address, d.address) != 0 ||
	    !hex_attribute(root, address, "vendor", &vendor) ||
	    !hex_attribute(root, address, "class", &class) ||
	    !hex_attribute(root, address, "device", &product) ||
	    !pci_is_passable(vendor, class, &d.kind))
		return false;
	(void)snprintf(d.product_id, sizeof(d.product_id), "%04x:%04x", vendor & 0xffff,
		       product & 0xffff);
	d.numa_node = pci_numa_node(root, address);
	d.iommu_group = group_of(root, address);
	link_name(root, address, "driver", d.driver, sizeof(d.driver));
	/* vfio-pci enables a device only while a process has it open. */
	d.opened = !strcmp(d.driver, "vfio-pci") && is_enabled(root, address);
	pci_find_fault(root, &d);
	*ret = d;
	return true;
}

/* ------------------------------------------------------------------ names */

/* The file of Debian's package pci.ids: "10de  NVIDIA Corporation", below it "\t2335  GH100 [H200
 * SXM 141GB]". */
static char *product_names(const char *root)
{
	char *text = kernel_text(root, "/usr/share/misc/pci.ids");

	return text ? text : kernel_text(root, "/usr/share/hwdata/pci.ids");
}

/* The line that begins with @id after @indent, among those of its own depth; NULL if there is none.
 */
static const char *find_id(const char *at, const char *indent, const char *id)
{
	size_t depth = strlen(indent);

	for (; at; at = strchr(at, '\n') ? strchr(at, '\n') + 1 : NULL) {
		size_t tabs = strspn(at, "\t");

		if (tabs < depth && *at && *at != '#' && *at != '\n')
			return NULL;
		if (tabs == depth && !strncmp(at + tabs, id, 4) && at[tabs + 4] == ' ')
			return at + tabs + 4;
	}
	return NULL;
}

static void pci_describe(const char *names, struct device_row *d)
{
	const char *vendor = names ? find_id(names, "", "10de") : NULL;
	const char *line = vendor ? strchr(vendor, '\n') : NULL;
	const char *name = line ? find_id(line + 1, "\t", d->product_id + 5) : NULL;

	if (name) {
		name += strspn(name, " ");
		(void)snprintf(d->description, sizeof(d->description), "NVIDIA %.*s",
			       (int)strcspn(name, "\n"), name);
	} else {
		(void)snprintf(d->description, sizeof(d->description), "NVIDIA %s %s",
			       d->kind == DEVICE_GPU ? "GPU" : "NVSwitch", d->product_id);
	}
}

/* ------------------------------------------------------------------ all of them */

static int by_address(const void *a, const void *b)
{
	const struct device_row *p = a, *q = b;

	return strcmp(p->address, q->address);
}

int pci_devices(const char *root, struct device_row **ret, size_t *ret_n, struct err *e)
{
	auto_free char *path = xasprintf("%s" DEVICES, root), *names = NULL;
	auto_free struct device_row *rows = NULL;
	auto_closedir DIR *dir = opendir(path);
	struct device_row d;
	struct dirent *item;
	size_t n = 0;

	if (!dir && errno != ENOENT)
		return err_sys(e, errno, "%s", path);
	while (dir && (item = readdir(dir))) {
		if (!pci_read_device(root, item->d_name, &d))
			continue;
		rows = xrealloc(rows, (n + 1) * sizeof(*rows));
		rows[n++] = d;
	}
	if (n) {
		names = product_names(root);
		qsort(rows, n, sizeof(*rows), by_address);
	}
	for (size_t i = 0; i < n; i++)
		pci_describe(names, &rows[i]);
	*ret = take_ptr(&rows);
	*ret_n = n;
	return 0;
}

/* ------------------------------------------------------------------ before a start */

static int device_check(const char *root, const struct device_row *want, struct err *e)
{
	struct device_row now;

	if (!pci_read_device(root, want->address, &now)) {
		err_set(e, ERR_HOST, "%s %s (%s) is not on the PCI bus",
			device_kind_word[want->kind], want->address, want->description);
		return err_hint(e, "put it back, or delete the CVM: its measured topology includes "
				   "this device");
	}
	if (strcmp(now.product_id, want->product_id) != 0)
		return err_set(e, ERR_HOST, "the device at %s is now %s; the CVM was given %s",
			       want->address, now.product_id, want->product_id);
	if (now.broken_reason[0])
		return err_set(e, ERR_HOST, "%s %s cannot be passed to a guest: %s",
			       device_kind_word[want->kind], want->address, now.broken_reason);
	if (pci_host_driver(now.driver)) {
		err_set(e, ERR_GPU_BUSY, "%s %s is in use by the host's driver %s",
			device_kind_word[want->kind], want->address, now.driver);
		return err_hint(
			e, "unbind it, or bind it to vfio-pci: driverctl set-override %s vfio-pci",
			want->address);
	}
	if (now.opened)
		return err_set(e, ERR_GPU_BUSY,
			       "%s %s is in use by another program (through vfio-pci)",
			       device_kind_word[want->kind], want->address);
	return 0;
}

int devices_check(const char *host_root, const struct device_row *d, size_t n, struct err *e)
{
	int r = 0;

	for (size_t i = 0; !r && i < n; i++)
		r = device_check(host_root, &d[i], e);
	return r;
}
