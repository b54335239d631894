/* SPDX-License-Identifier: Apache-2.0
 * numa_test.c - NUMA nodes of machines made of files.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>

#include <string.h>

#include "base/array.h"
#include "tests/unit/tree.h"
#include "vmm/host/kernel_file.h"
#include "vmm/host/numa.h"

#define NODES "/sys/devices/system/node"

static void two_sockets(void)
{
	tree_put(NODES "/node1/cpulist", "32-63,96-127\n");
	tree_put(NODES "/node1/meminfo",
		 "Node 1 MemTotal:       528437240 kB\nNode 1 MemFree: 1 kB\n");
	tree_put(NODES "/node1/hugepages/hugepages-2048kB/nr_hugepages", "0\n");
	tree_put(NODES "/node1/hugepages/hugepages-2048kB/free_hugepages", "0\n");
	tree_put(NODES "/node1/hugepages/hugepages-1048576kB/nr_hugepages", "400\n");
	tree_put(NODES "/node1/hugepages/hugepages-1048576kB/free_hugepages", "390\n");
	tree_put(NODES "/node0/cpulist", "0-31,64-95\n");
	tree_put(NODES "/node0/meminfo",
		 "Node 0 MemTotal:       527988284 kB\nNode 0 MemFree: 1 kB\n");
	tree_put(NODES "/node0/hugepages/hugepages-1048576kB/nr_hugepages", "200\n");
	tree_put(NODES "/node0/hugepages/hugepages-1048576kB/free_hugepages", "200\n");
	/* Names that resemble nodes. */
	tree_put(NODES "/online", "0-1\n");
	tree_put(NODES "/node/cpulist", "0\n");
	tree_put(NODES "/node-1/cpulist", "0\n");
	tree_put(NODES "/node1x/cpulist", "0\n");
	tree_put(NODES "/node99999999999/cpulist", "0\n");
}

static struct numa_host read_good(void)
{
	struct numa_host h = { 0 };
	struct err e;

	if (numa_read(tree_root, &h, &e))
		fail_msg("%s", e.text);
	return h;
}

static void expect_bad(const char *file)
{
	struct numa_host h = { .n = 77 };
	struct err e;

	assert_int_equal(numa_read(tree_root, &h, &e), -ERR_HOST);
	assert_non_null(strstr(e.text, file));
	assert_int_equal(h.n, 77);
}

static void nodes_come_in_order_with_cpus_memory_and_pages(void **state)
{
	auto_numa struct numa_host h = { 0 };
	const struct numa_pages *p;

	(void)state;
	two_sockets();
	h = read_good();
	assert_int_equal(h.n, 2);
	assert_int_equal(h.node[0].id, 0);
	assert_string_equal(h.node[0].cpulist, "0-31,64-95");
	assert_int_equal(h.node[0].cpus, 64);
	assert_int_equal(h.node[0].memory_mib, 515613);
	assert_int_equal(h.node[0].n_pages, 1);
	assert_int_equal(h.node[1].n_pages, 2);
	assert_int_equal(h.node[1].pages[0].size_kib, 2048);
	p = numa_pages(numa_find(&h, 1), 1048576);
	assert_int_equal(p->total, 400);
	assert_int_equal(p->free, 390);
	assert_null(numa_find(&h, 2));
	assert_null(numa_pages(&h.node[0], 2048));
}

static void numbers_may_have_gaps_and_a_node_may_be_memory_only(void **state)
{
	auto_numa struct numa_host h = { 0 };

	(void)state;
	two_sockets();
	tree_put(NODES "/node10/cpulist", "\n");
	tree_put(NODES "/node10/meminfo", "Node 10 MemTotal: 1048576 kB\n");
	h = read_good();
	assert_int_equal(h.n, 3);
	assert_int_equal(h.node[2].id, 10);
	assert_string_equal(h.node[2].cpulist, "");
	assert_int_equal(h.node[2].cpus, 0);
	assert_int_equal(h.node[2].memory_mib, 1024);
	assert_int_equal(h.node[2].n_pages, 0);
}

static void a_kernel_without_numa_is_one_node(void **state)
{
	auto_numa struct numa_host h = { 0 };

	(void)state;
	tree_put("/sys/devices/system/cpu/online", "0-3\n");
	tree_put("/proc/meminfo", "MemTotal:        8388608 kB\nMemFree: 1 kB\n");
	tree_put("/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages", "12\n");
	tree_put("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages", "2\n");
	h = read_good();
	assert_int_equal(h.n, 1);
	assert_int_equal(h.node[0].id, 0);
	assert_int_equal(h.node[0].cpus, 4);
	assert_int_equal(h.node[0].memory_mib, 8192);
	assert_int_equal(h.node[0].pages[0].free, 2);
}

static void what_is_missing_or_garbage_is_named(void **state)
{
	(void)state;
	expect_bad("/sys/devices/system/cpu/online");
	two_sockets();
	tree_put(NODES "/node1/cpulist", "32-63,,96\n");
	expect_bad("/node1/cpulist");
	tree_remove(NODES "/node1/cpulist");
	expect_bad("/node1/cpulist");
	tree_put(NODES "/node1/cpulist", "32-63\n");
	tree_put(NODES "/node0/meminfo", "Node 0 MemTotal: many kB\n");
	expect_bad("/node0/meminfo");
	tree_put(NODES "/node0/meminfo", "Node 0 MemTotal: 1024 kB\n");
	tree_put(NODES "/node0/hugepages/hugepages-1048576kB/free_hugepages", "-1\n");
	expect_bad("/node0/hugepages/hugepages-1048576kB/free_hugepages");
	tree_remove(NODES "/node0/hugepages/hugepages-1048576kB/nr_hugepages");
	expect_bad("/node0/hugepages/hugepages-1048576kB/nr_hugepages");
}

static void add(void *arg, unsigned from, unsigned to)
{
	*(unsigned *)arg = *(unsigned *)arg * 100 + from * 10 + to;
}

static void lists_are_what_the_kernel_writes_and_nothing_else(void **state)
{
	static const char *const bad[] = { "a",   "1-",   "-1", "1,",    "2-1",          ",1",
					   "1,a", "1 -2", "1;", "65536", "0-99999999999" };
	unsigned seen = 0;

	(void)state;
	assert_true(kernel_ranges("", add, &seen));
	assert_int_equal(seen, 0);
	assert_true(kernel_ranges("1-3,8", add, &seen));
	assert_int_equal(seen, 1388);
	assert_true(kernel_ranges("0-65535", NULL, NULL));
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		if (kernel_ranges(bad[i], NULL, NULL))
			fail_msg("%s was taken", bad[i]);
}

static void numbers_and_lines_are_exact(void **state)
{
	static const char cpuinfo[] =
		"processor\t: 0\nvendor_id\t: GenuineIntel\nflags\t\t: fpu vmx\n";
	uint64_t n = 77;

	(void)state;
	tree_put("/n", "12\n");
	assert_true(kernel_number(tree_root, "/n", &n));
	assert_int_equal(n, 12);
	tree_put("/n", "12 kB\n");
	assert_false(kernel_number(tree_root, "/n", &n));
	tree_put("/n", "99999999999999999999\n");
	assert_false(kernel_number(tree_root, "/n", &n));
	tree_put("/n", "");
	assert_false(kernel_number(tree_root, "/n", &n));
	assert_false(kernel_number(tree_root, "/missing", &n));
	assert_int_equal(n, 12);
	assert_memory_equal(kernel_line(cpuinfo, "vendor_id"), "GenuineIntel\n", 13);
	assert_memory_equal(kernel_line(cpuinfo, "flags"), "fpu vmx\n", 8);
	assert_null(kernel_line(cpuinfo, "flag"));
	assert_null(kernel_line(NULL, "flags"));
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, tree_set_up, tree_tear_down)
	const struct CMUnitTest t[] = {
		T(nodes_come_in_order_with_cpus_memory_and_pages),
		T(numbers_may_have_gaps_and_a_node_may_be_memory_only),
		T(a_kernel_without_numa_is_one_node),
		T(what_is_missing_or_garbage_is_named),
		T(lists_are_what_the_kernel_writes_and_nothing_else),
		T(numbers_and_lines_are_exact),
	};

	return cmocka_run_group_tests_name("numa", t, NULL, NULL);
}
