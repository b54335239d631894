/* SPDX-License-Identifier: Apache-2.0
 * host_measure_test.c - machines made of files.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <unistd.h>

#include <string.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/own.h"
#include "base/strings.h"
#include "vmm/host/host_measure.h"

static char root[64];

static void put(const char *path, const char *text)
{
	auto_free char *full = xasprintf("%s%s", root, path), *folder = xstrdup(full);
	struct err e;

	*strrchr(folder, '/') = '\0';
	assert_int_equal(file_mkdirs(folder, 0700, &e), 0);
	assert_int_equal(file_write(full, text, strlen(text), 0600, &e), 0);
}

/* 8 GiB, 6 CPUs allowed, 4 of them online. */
static int set_up(void **state)
{
	(void)state;
	strcpy(root, "/tmp/teepod-host-XXXXXX");
	if (!mkdtemp(root))
		return -1;
	put("/proc/meminfo", "MemTotal:        8388608 kB\nMemFree:  1 kB\n");
	put("/proc/self/status", "Name:\tx\nCpus_allowed:\tff\nCpus_allowed_list:\t0-2,4-6\n");
	put("/sys/devices/system/cpu/online", "0-1,4-5\n");
	return 0;
}

static int tear_down(void **state)
{
	struct err e;

	(void)state;
	return file_remove_tree(root, &e);
}

static void expect(uint32_t cpus, uint64_t memory_mib)
{
	struct host_measure m;
	struct err e;

	if (host_measure(root, root, &m, &e) < 0)
		fail_msg("%s", e.text);
	assert_int_equal(m.cpus, cpus);
	assert_int_equal(m.memory_mib, memory_mib);
}

static void cpus_are_those_online_and_allowed(void **state)
{
	(void)state;
	expect(4, 8192);
	put("/proc/self/status", "Cpus_allowed_list:\t5\n");
	expect(1, 8192);
}

static void limits_of_every_group_above_count_in_version_2(void **state)
{
	(void)state;
	put("/proc/self/cgroup", "0::/machine/pod.slice/teepod.service\n");
	put("/sys/fs/cgroup/machine/pod.slice/teepod.service/memory.max", "max\n");
	put("/sys/fs/cgroup/machine/pod.slice/teepod.service/cpu.max", "max 100000\n");
	expect(4, 8192);
	put("/sys/fs/cgroup/machine/memory.max", "1073741824\n");
	put("/sys/fs/cgroup/machine/pod.slice/cpu.max", "150000 100000\n");
	expect(2, 1024);
	put("/sys/fs/cgroup/machine/pod.slice/teepod.service/memory.max", "536870912\n");
	expect(2, 512);
}

static void a_container_sees_its_limit_at_the_mount_itself(void **state)
{
	(void)state;
	put("/proc/self/cgroup", "0::/../../elsewhere\n");
	put("/sys/fs/cgroup/memory.max", "2147483648\n");
	put("/sys/fs/cgroup/cpu.max", "50000 100000\n");
	expect(1, 2048);
}

static void version_1_controllers_have_hierarchies_of_their_own(void **state)
{
	(void)state;
	put("/proc/self/cgroup",
	    "12:cpuset:/\n4:cpu,cpuacct:/a\n3:memory:/a/b\n1:name=systemd:/a\n0::/\n");
	put("/sys/fs/cgroup/memory/a/b/memory.limit_in_bytes", "9223372036854771712\n");
	put("/sys/fs/cgroup/cpu/a/cpu.cfs_quota_us", "-1\n");
	put("/sys/fs/cgroup/cpu/a/cpu.cfs_period_us", "100000\n");
	expect(4, 8192);
	put("/sys/fs/cgroup/memory/memory.limit_in_bytes", "4294967296\n");
	put("/sys/fs/cgroup/cpu/a/cpu.cfs_quota_us", "300000\n");
	expect(3, 4096);
}

static void a_limit_above_the_machine_changes_nothing(void **state)
{
	(void)state;
	put("/proc/self/cgroup", "0::/\n");
	put("/sys/fs/cgroup/memory.max", "109951162777600\n");
	put("/sys/fs/cgroup/cpu.max", "6400000 100000\n");
	expect(4, 8192);
}

static void an_unreadable_machine_is_an_error_and_no_number(void **state)
{
	struct host_measure m = { .cpus = 77 };
	struct err e;

	(void)state;
	put("/proc/meminfo", "MemTotal: lots\n");
	assert_int_equal(host_measure(root, root, &m, &e), -ERR_HOST);
	assert_non_null(strstr(e.text, "MemTotal"));
	put("/proc/meminfo", "MemTotal: 1024 kB\n");
	assert_int_equal(host_measure(root, "/nonexistent", &m, &e), -ERR_HOST);
	put("/proc/self/status", "Cpus_allowed_list:\t99999999999999999999-\n");
	assert_int_equal(host_measure(root, root, &m, &e), -ERR_HOST);
	assert_int_equal(m.cpus, 77);
}

static void this_machine_can_be_measured(void **state)
{
	struct host_measure m;
	struct err e;

	(void)state;
	assert_int_equal(host_measure("", "/tmp", &m, &e), 0);
	assert_in_range(m.cpus, 1, sysconf(_SC_NPROCESSORS_ONLN));
	assert_in_range(m.memory_mib, 16, 1 << 26);
	assert_true(m.disk_free_bytes <= m.disk_total_bytes && m.disk_total_bytes > 0);
}

static void used_bytes_are_allocated_blocks_not_the_file_size(void **state)
{
	auto_free char *full = xasprintf("%s/d/sparse", root), *folder = xasprintf("%s/d", root);
	uint64_t empty, used;
	struct err e;

	(void)state;
	assert_int_equal(host_used_bytes("/nonexistent/x", &used, &e), 0);
	assert_int_equal(used, 0);
	put("/d/sparse", "");
	assert_int_equal(truncate(full, 1 << 30), 0);
	assert_int_equal(host_used_bytes(folder, &empty, &e), 0);
	assert_in_range(empty, 0, 1 << 20);
	{
		auto_free char *data = xcalloc(1, 1 << 20);

		memset(data, 'x', 1 << 20);
		data[(1 << 20) - 1] = '\0';
		put("/d/full", data);
	}
	assert_int_equal(host_used_bytes(folder, &used, &e), 0);
	assert_in_range(used - empty, (1 << 20) - 4096, (1 << 20) + 65536);
}

static void memory_set_aside_as_hugepages_is_not_ordinary_memory(void **state)
{
	(void)state;
	put("/proc/meminfo", "MemTotal:        8388608 kB\nHugepagesize:       2048 kB\nHugetlb:   "
			     "      6291456 kB\n");
	expect(4, 2048);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest t[] = {
		T(cpus_are_those_online_and_allowed),
		T(limits_of_every_group_above_count_in_version_2),
		T(a_container_sees_its_limit_at_the_mount_itself),
		T(version_1_controllers_have_hierarchies_of_their_own),
		T(a_limit_above_the_machine_changes_nothing),
		T(an_unreadable_machine_is_an_error_and_no_number),
		T(this_machine_can_be_measured),
		T(memory_set_aside_as_hugepages_is_not_ordinary_memory),
		T(used_bytes_are_allocated_blocks_not_the_file_size),
	};

	return cmocka_run_group_tests_name("host_measure", t, NULL, NULL);
}
