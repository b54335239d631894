/* SPDX-License-Identifier: Apache-2.0
 * host_facts.c - read the facts about a TDX host from the kernel's files.
 *
 * DOC: sources
 *
 * - /sys/module/kvm_intel/parameters/tdx: Linux 6.16 (arch/x86/kvm/vmx/tdx.c). "Y" only after KVM
 *   has initialised the TDX module. If that failed, KVM turns the requested "Y" into "N".
 *
 * - /sys/devices/faux/tdx_host/version: ABI/testing/sysfs-devices-faux-tdx-host. Version of the TDX
 *   module. Exists once the module is ready. Kernels up to 6.19 only log "virt/tdx: ...".
 *
 * - /sys/fs/cgroup/misc.{capacity,current}: admin-guide/cgroup-v2.rst, misc controller. "tdx N" is
 *   the number of private key IDs for guests, set by KVM. Only in the root group, which a container
 *   does not see.
 *
 * - /dev/cpu/0/msr at 0x87: IA32_MKTME_KEYID_PARTITIONING. Bits 63:32 are the number of private key
 *   IDs that the BIOS gave to TDX.
 *
 * - /sys/power/state: contains "disk" while hibernation is available. The kernel then refuses TDX
 *   (arch/x86/tdx.rst).
 *
 * /sys/firmware/tdx of Intel's patches from before 2023 is not read: QEMU 10.1 cannot use the KVM
 * of such kernels.
 */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/array.h"
#include "base/fd.h"
#include "base/own.h"
#include "base/strings.h"
#include "vmm/host/host_facts.h"
#include "vmm/host/kernel_file.h"
#include "vmm/host/numa.h"
#include "vmm/virt/xml_out.h"

enum { MSR_KEYID_PARTITIONING = 0x87, CAP_SYS_RESOURCE_BIT = 24 };

/* The text is shown to people: it must be printable, whatever the file holds. */
static void keep_line(const char *text, char *out, size_t n)
{
	size_t len = text ? strcspn(text, "\n") : 0;

	len = len < n ? len : n - 1;
	for (size_t i = 0; i < len; i++)
		out[i] = (char)(isprint((unsigned char)text[i]) ? text[i] : '?');
	out[len] = '\0';
}

/* ------------------------------------------------------------------ CPU and kernel */

static bool has_word(const char *words, const char *word)
{
	size_t n = strlen(word), line = strcspn(words, "\n");

	for (const char *at = words, *end = words + line; at < end;) {
		size_t len = strcspn(at, " \t\n");

		if (len == n && !memcmp(at, word, n))
			return true;
		at += len + strspn(at + len, " \t");
	}
	return false;
}

static void read_cpu(const char *root, struct cpu_facts *c)
{
	auto_free char *text = kernel_text(root, "/proc/cpuinfo");
	const char *flags = kernel_line(text, "flags");

	keep_line(kernel_line(text, "vendor_id"), c->vendor, sizeof(c->vendor));
	keep_line(kernel_line(text, "model name"), c->model, sizeof(c->model));
	if (!flags)
		return;
	c->vmx = has_word(flags, "vmx");
	c->svm = has_word(flags, "svm");
	c->hypervisor = has_word(flags, "hypervisor");
	c->tdx_enabled = has_word(flags, "tdx_host_platform");
}

static enum fact read_switch(const char *root, const char *path)
{
	auto_free char *text = kernel_text(root, path);

	if (!text)
		return FACT_UNKNOWN;
	return !strcmp(text, "Y") ? FACT_YES : !strcmp(text, "N") ? FACT_NO : FACT_UNKNOWN;
}

static void read_kernel(const char *root, struct host_facts *f)
{
	auto_free char *release = kernel_text(root, "/proc/sys/kernel/osrelease");
	auto_free char *power = kernel_text(root, "/sys/power/state");
	auto_free char *module = kernel_text(root, "/sys/devices/faux/tdx_host/version");

	keep_line(release, f->kernel, sizeof(f->kernel));
	keep_line(module, f->tdx_module, sizeof(f->tdx_module));
	f->kvm_intel = kernel_exists(root, "/sys/module/kvm_intel");
	f->kvm_tdx = read_switch(root, "/sys/module/kvm_intel/parameters/tdx");
	f->hibernation = !power ? FACT_UNKNOWN : has_word(power, "disk") ? FACT_YES : FACT_NO;
}

/* ------------------------------------------------------------------ key ids */

/* "NAME N" in a file of such lines. */
static bool keyed_number(const char *text, const char *name, uint64_t *ret)
{
	size_t n = strlen(name);
	unsigned long long value;

	for (; text; text = strchr(text, '\n') ? strchr(text, '\n') + 1 : NULL)
		if (!strncmp(text, name, n) && text[n] == ' ' &&
		    isdigit((unsigned char)text[n + 1]) &&
		    sscanf(text + n + 1, "%19llu", &value) == 1) {
			*ret = value;
			return true;
		}
	return false;
}

/* Mount points: version 2 alone, version 2 beside version 1, version 1. */
static void read_cgroup_keyids(const char *root, struct keyid_facts *k)
{
	static const char *const mounts[] = { "", "/unified", "/misc" };

	for (size_t i = 0; i < ARRAY_SIZE(mounts) && !k->reported; i++) {
		auto_free char *capacity = xasprintf("/sys/fs/cgroup%s/misc.capacity", mounts[i]);
		auto_free char *current = xasprintf("/sys/fs/cgroup%s/misc.current", mounts[i]);
		auto_free char *total = kernel_text(root, capacity),
			       *used = kernel_text(root, current);

		k->reported = keyed_number(total, "tdx", &k->guests);
		k->used_known = k->reported && keyed_number(used, "tdx", &k->used);
	}
}

static void read_msr_keyids(const char *root, struct keyid_facts *k)
{
	auto_free char *path = xasprintf("%s/dev/cpu/0/msr", root);
	auto_close int fd = open(path, O_RDONLY | O_CLOEXEC);
	uint64_t value;

	if (fd < 0 || pread(fd, &value, sizeof(value), MSR_KEYID_PARTITIONING) != sizeof(value))
		return;
	k->msr_read = true;
	k->msr_private = (uint32_t)(value >> 32);
}

/* ------------------------------------------------------------------ devices, the socket, the
 * firmware */

/* Uses faccessat(), not open(): to open the device node of a module would load the module. */
static enum device_file device_file_state(const char *root, const char *path)
{
	auto_free char *full = xasprintf("%s%s", root, path);

	if (!kernel_exists(root, path))
		return DEVICE_ABSENT;
	return faccessat(AT_FDCWD, full, R_OK | W_OK, AT_EACCESS) ? DEVICE_DENIED : DEVICE_PRESENT;
}

static void read_devices(const char *root, struct host_facts *f)
{
	f->kvm = device_file_state(root, "/dev/kvm");
	f->sgx_enclave = device_file_state(root, "/dev/sgx_enclave");
	f->sgx_provision = device_file_state(root, "/dev/sgx_provision");
	f->vhost_vsock = device_file_state(root, "/dev/vhost-vsock");
	f->vfio = device_file_state(root, "/dev/vfio/vfio");
	f->iommufd = device_file_state(root, "/dev/iommu");
}

/* EAGAIN: a process listens, and its queue is full. */
static enum qgs_state connect_to(const struct sockaddr_un *sa)
{
	auto_close int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd >= 0 && !connect(fd, (const struct sockaddr *)sa, sizeof(*sa)))
		return QGS_LISTENING;
	return errno == EAGAIN                     ? QGS_LISTENING
	       : errno == EACCES || errno == EPERM ? QGS_DENIED
						   : QGS_NOT_LISTENING;
}

static enum qgs_state qgs_state_of(const char *path)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	struct stat st;

	if (stat(path, &st))
		return errno == EACCES ? QGS_DENIED : QGS_ABSENT;
	if (!S_ISSOCK(st.st_mode))
		return QGS_NO_SOCKET;
	if (strlen(path) >= sizeof(sa.sun_path))
		return QGS_LONG;
	memcpy(sa.sun_path, path, strlen(path) + 1);
	return connect_to(&sa);
}

static void read_host_files(const struct host_facts_source *src, struct host_facts *f)
{
	const char *qgs = src->qgs_socket ? src->qgs_socket : QGS_SOCKET_DEFAULT;
	auto_free char *socket_path = xasprintf("%s%s", src->root, qgs);
	auto_free char *firmware_path = xasprintf("%s%s", src->root, src->tdx_firmware);
	struct stat st;

	keep_line(qgs, f->qgs_path, sizeof(f->qgs_path));
	keep_line(src->tdx_firmware, f->firmware_path, sizeof(f->firmware_path));
	f->qgs = qgs_state_of(socket_path);
	f->firmware = !stat(firmware_path, &st) && S_ISREG(st.st_mode) && st.st_size > 0 &&
		      !access(firmware_path, R_OK);
}

/* ------------------------------------------------------------------ memory and the IOMMU */

static void read_numa(const char *root, struct host_facts *f)
{
	struct err e;

	f->numa_known = !numa_read(root, &f->numa, &e);
	if (!f->numa_known)
		keep_line(e.text, f->numa_error, sizeof(f->numa_error));
}

static void read_iommu(const char *root, struct host_facts *f)
{
	auto_free char *path = xasprintf("%s/sys/kernel/iommu_groups", root);
	DIR *d = opendir(path);

	if (!d) {
		f->iommu = errno == ENOENT ? FACT_NO : FACT_UNKNOWN;
		return;
	}
	for (struct dirent *item; (item = readdir(d));)
		f->iommu_groups += isdigit((unsigned char)item->d_name[0]) != 0;
	(void)closedir(d);
	f->iommu = f->iommu_groups ? FACT_YES : FACT_NO;
}

/* "Max locked memory         8388608              8388608              bytes" */
static void read_memlock(const char *root, struct host_facts *f)
{
	auto_free char *limits = kernel_text(root, "/proc/self/limits");
	auto_free char *status = kernel_text(root, "/proc/self/status");
	const char *line = limits ? strstr(limits, "Max locked memory") : NULL;
	const char *capabilities = kernel_line(status, "CapEff");
	char soft[24];
	unsigned long long n;

	if (capabilities && sscanf(capabilities, "%16llx", &n) == 1)
		f->may_raise_memlock = n >> CAP_SYS_RESOURCE_BIT & 1;
	if (!line || sscanf(line, "Max locked memory %23s", soft) != 1)
		return;
	n = UINT64_MAX;
	f->memlock_known = !strcmp(soft, "unlimited") || sscanf(soft, "%19llu", &n) == 1;
	f->memlock = n;
}

void host_facts_read(const struct host_facts_source *src, struct host_facts *ret)
{
	struct host_facts f = { 0 };

	read_cpu(src->root, &f.cpu);
	read_kernel(src->root, &f);
	read_cgroup_keyids(src->root, &f.keyids);
	read_msr_keyids(src->root, &f.keyids);
	read_devices(src->root, &f);
	read_host_files(src, &f);
	read_numa(src->root, &f);
	read_iommu(src->root, &f);
	read_memlock(src->root, &f);
	*ret = f;
}

void host_facts_free(struct host_facts *f)
{
	numa_free(&f->numa);
}
