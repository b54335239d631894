/* SPDX-License-Identifier: Apache-2.0
 * host_measure.c - resources of the machine, within the limits of the process's cgroups.
 *
 * A container sees the machine's /proc/meminfo and all its CPUs; what it may use is limited by its
 * cgroup and every cgroup above it. Hierarchies of version 1 and 2 can both be mounted; each
 * controller is in one of them. With a cgroup namespace, or in a container whose /sys/fs/cgroup
 * shows only its own part, the path in /proc/self/cgroup does not exist below the mount. The walk
 * up from it then ends at the mount itself, which is the container's own cgroup.
 *
 * CPUs: Cpus_allowed_list may contain CPUs that are not plugged in, so only the online ones count.
 */
#include <errno.h>
#include <ftw.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "base/own.h"
#include "base/strings.h"
#include "vmm/host/host_measure.h"
#include "vmm/host/kernel_file.h"
#include "vmm/logs/serial_scan.h"

enum { CPUS_MAX = 8192, MIB = 1 << 20 };

struct limits {
	uint64_t memory; /* bytes; UINT64_MAX: none */
	uint64_t cpus;   /* rounded up; UINT64_MAX: none */
};

static void lower(uint64_t *value, uint64_t limit)
{
	if (limit < *value)
		*value = limit;
}

/* ------------------------------------------------------------------ processors */

struct cpus {
	unsigned char seen[CPUS_MAX]; /* in how many lists */
};

static void mark_cpus(void *arg, unsigned from, unsigned to)
{
	struct cpus *c = arg;

	for (unsigned i = from; i <= to && i < CPUS_MAX; i++)
		c->seen[i]++;
}

/* The list may be one line of several. */
static void mark_list(const char *list, struct cpus *c)
{
	auto_free char *line = list ? xstrndup(list, strcspn(list, "\n")) : NULL;

	if (line)
		(void)kernel_ranges(line, mark_cpus, c);
}

static int count_cpus(const char *root, uint64_t *ret, struct err *e)
{
	auto_free char *status = kernel_text(root, "/proc/self/status");
	auto_free char *online = kernel_text(root, "/sys/devices/system/cpu/online");
	struct cpus cpus = { 0 };
	uint64_t n = 0;

	mark_list(kernel_line(status, "Cpus_allowed_list"), &cpus);
	/* A kernel without CPU hot-plug has no such file: all allowed CPUs are online. */
	mark_list(online, &cpus);
	for (size_t i = 0; i < CPUS_MAX; i++)
		n += cpus.seen[i] == (online ? 2 : 1);
	if (!n)
		return err_set(e, ERR_HOST, "no usable CPU found in %s/proc/self/status", root);
	*ret = n;
	return 0;
}

/* ------------------------------------------------------------------ cgroups */

/* A number, or "max", or (version 1) -1 or nearly 2^63 for no limit. */
static uint64_t limit_value(const char *text)
{
	char *end;
	unsigned long long n;

	if (!text || *text < '0' || *text > '9')
		return UINT64_MAX;
	n = strtoull(text, &end, 10);
	return end == text || n >= (1ULL << 62) ? UINT64_MAX : n;
}

static uint64_t cpus_of(uint64_t quota, uint64_t period)
{
	return quota == UINT64_MAX || period == UINT64_MAX || !period
		       ? UINT64_MAX
		       : (quota + period - 1) / period;
}

static char *group_text(const char *root, const char *group, const char *file)
{
	auto_free char *path = xasprintf("/sys/fs/cgroup%s/%s", group, file);

	return kernel_text(root, path);
}

static void limit_v2(const char *root, const char *group, struct limits *l)
{
	auto_free char *memory = group_text(root, group, "memory.max");
	auto_free char *cpu = group_text(root, group, "cpu.max");
	const char *period = cpu ? strchr(cpu, ' ') : NULL;

	lower(&l->memory, limit_value(memory));
	if (period)
		lower(&l->cpus, cpus_of(limit_value(cpu), limit_value(period + 1)));
}

static void limit_v1_memory(const char *root, const char *group, struct limits *l)
{
	auto_free char *memory = group_text(root, group, "memory.limit_in_bytes");

	lower(&l->memory, limit_value(memory));
}

static void limit_v1_cpu(const char *root, const char *group, struct limits *l)
{
	auto_free char *quota = group_text(root, group, "cpu.cfs_quota_us");
	auto_free char *period = group_text(root, group, "cpu.cfs_period_us");

	lower(&l->cpus, cpus_of(limit_value(quota), limit_value(period)));
}

/* @limit at @mount@path and at every group above it, up to @mount itself. */
static void walk_up(const char *root, const char *mount, const char *path, struct limits *l,
		    void (*limit)(const char *root, const char *group, struct limits *l))
{
	auto_free char *group = xasprintf("%s%s", mount, path);
	size_t top = strlen(mount);

	for (;;) {
		char *slash;

		limit(root, group, l);
		slash = strrchr(group + top, '/');
		if (!slash)
			return;
		*slash = '\0';
	}
}

static bool has_controller(const char *list, const char *name)
{
	size_t n = strlen(name);

	for (; list; list = strchr(list, ',') ? strchr(list, ',') + 1 : NULL)
		if (!strncmp(list, name, n) && (!list[n] || list[n] == ','))
			return true;
	return false;
}

/* One line of /proc/self/cgroup, "ID:CONTROLLERS:PATH"; version 2 has ID 0 and no controllers. */
static void limit_by_line(const char *root, char *line, struct limits *l)
{
	char *controllers = strchr(line, ':'),
	     *path = controllers ? strchr(controllers + 1, ':') : NULL;

	if (!path)
		return;
	*path++ = '\0';
	controllers++;
	if (!*controllers) {
		walk_up(root, "", path, l, limit_v2);
		walk_up(root, "/unified", path, l, limit_v2);
	}
	if (has_controller(controllers, "memory"))
		walk_up(root, "/memory", path, l, limit_v1_memory);
	if (has_controller(controllers, "cpu"))
		walk_up(root, "/cpu", path, l, limit_v1_cpu);
}

static struct limits cgroup_limits(const char *root)
{
	auto_free char *text = kernel_text(root, "/proc/self/cgroup");
	struct limits l = { UINT64_MAX, UINT64_MAX };
	char *save = NULL;

	for (char *line = text ? strtok_r(text, "\n", &save) : NULL; line;
	     line = strtok_r(NULL, "\n", &save))
		limit_by_line(root, line, &l);
	return l;
}

/* ------------------------------------------------------------------ results */

/* MemTotal includes reserved hugepages, which are usable only as hugepages: subtract them. */
static int ordinary_memory(const char *root, uint64_t *ret, struct err *e)
{
	auto_free char *text = kernel_text(root, "/proc/meminfo");
	uint64_t kib = limit_value(kernel_line(text, "MemTotal"));
	uint64_t huge = limit_value(kernel_line(text, "Hugetlb"));

	if (kib == UINT64_MAX || !kib)
		return err_set(e, ERR_HOST, "no MemTotal in %s/proc/meminfo", root);
	*ret = (huge < kib ? kib - huge : kib) * 1024;
	return 0;
}

int host_measure(const char *root, const char *dir, struct host_measure *ret, struct err *e)
{
	struct limits l = cgroup_limits(root);
	struct statvfs fs;
	uint64_t cpus = 0, memory = 0;
	int r;

	r = count_cpus(root, &cpus, e);
	if (r < 0)
		return r;
	r = ordinary_memory(root, &memory, e);
	if (r < 0)
		return r;
	if (statvfs(dir, &fs))
		return err_sys(e, errno, "file system of %s", dir);
	lower(&cpus, l.cpus ? l.cpus : 1);
	lower(&memory, l.memory);
	*ret = (struct host_measure){
		.cpus = (uint32_t)cpus,
		.memory_mib = memory / MIB,
		.disk_free_bytes = (uint64_t)fs.f_bavail * fs.f_frsize,
		.disk_total_bytes = (uint64_t)fs.f_blocks * fs.f_frsize,
	};
	return 0;
}

/* nftw() passes no argument. One variable per thread: each walk runs on one thread. */
static _Thread_local uint64_t used_bytes;

static int add_used(const char *path, const struct stat *st, int type, struct FTW *where)
{
	(void)path;
	(void)where;
	/* FTW_NS: the file was removed during the walk; it counts as 0. */
	if (type != FTW_NS)
		used_bytes += (uint64_t)st->st_blocks * 512;
	return 0;
}

int host_used_bytes(const char *dir, uint64_t *ret, struct err *e)
{
	used_bytes = 0;
	if (nftw(dir, add_used, 16, FTW_PHYS | FTW_MOUNT) && errno != ENOENT)
		return err_sys(e, errno, "size of %s", dir);
	*ret = used_bytes;
	return 0;
}
