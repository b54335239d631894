/* SPDX-License-Identifier: Apache-2.0
 * placement_test.c - NUMA nodes and shares, by a table; the same request gets the same placement.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "db/cvms.h"
#include "db/devices.h"
#include "db/numa.h"
#include "vmm/admit/placement.h"

enum { NODES = 6 };

static const struct numa_row plain_node = { .vcpus = 64,
					    .memory_mib = 262144,
					    .page_kib = 1048576,
					    .hugepages_mib = 102400,
					    .present = true };

/* Nodes 0..5 with 64 CPUs and 100 GiB of hugepages each. */
static void host(struct numa_row nodes[NODES])
{
	for (unsigned i = 0; i < NODES; i++) {
		nodes[i] = plain_node;
		nodes[i].node = i;
		(void)snprintf(nodes[i].cpus, sizeof(nodes[i].cpus), "%u-%u", i * 64, i * 64 + 63);
	}
}

/* "0,1,1": a GPU on each; 's' in front: an NVSwitch. */
static size_t devices(const char *text, struct device_row out[16])
{
	size_t n = 0;

	while (*text) {
		bool bridge = *text == 's';
		char *end;

		out[n++] = (struct device_row){ .kind = bridge ? DEVICE_NVSWITCH : DEVICE_GPU,
						.numa_node = (unsigned)strtoul(text + bridge, &end,
									       10) };
		text = *end == ',' ? end + 1 : "";
	}
	return n;
}

static const struct good {
	unsigned vcpus;
	unsigned memory;
	bool huge, pin;
	const char *gpus;
	unsigned given_vcpus, given_memory;
	const char *nodes, *cpuset;
} good[] = {
	/* with neither: the requested amounts, on any node, with GPUs or without */
	{ 3, 700, false, false, "", 3, 700, "", "" },
	{ 3, 700, false, false, "1,0", 3, 700, "", "" },
	/* hugepages: whole GiB, the lowest node that fits */
	{ 3, 512, true, false, "", 3, 1024, "0", "" },
	{ 3, 1024, true, false, "", 3, 1024, "0", "" },
	{ 3, 1025, true, false, "", 3, 2048, "0", "" },
	/* the nodes of the GPUs, ascending; NVSwitches do not count */
	{ 3, 1024, true, false, "1", 3, 1024, "1", "" },
	{ 3, 1024, true, false, "1,0", 4, 2048, "0,1", "" },
	{ 3, 1024, true, false, "0,1", 4, 2048, "0,1", "" },
	{ 4, 2048, true, false, "s0,1,1,1", 4, 2048, "1", "" },
	{ 5, 3000, true, true, "2,0,1", 6, 3072, "0,1,2", "0-63,64-127,128-191" },
	{ 64, 65537, true, true, "3,5,1,0", 64, 69632, "0,1,3,5", "0-63,64-127,192-255,320-383" },
	/* pinned without hugepages: nothing is rounded */
	{ 3, 700, false, true, "", 3, 700, "0", "0-63" },
	{ 3, 700, false, true, "4,2", 3, 700, "2,4", "128-191,256-319" },
};

static struct placement_request ask_of(const struct good *g, const struct numa_row *nodes,
				       struct device_row devs[16])
{
	return (struct placement_request){ .vcpus = g->vcpus,
					   .memory_mib = g->memory,
					   .hugepages = g->huge,
					   .pin_numa = g->pin,
					   .nodes = nodes,
					   .n_nodes = NODES,
					   .devices = devs,
					   .n_devices = devices(g->gpus, devs) };
}

/* Cells cover vCPUs and memory without gap or overlap, in the order of their nodes. */
static void expect_cells(const struct placement *p, bool huge)
{
	unsigned next = 0;
	uint64_t memory = 0;

	for (unsigned i = 0; i < p->n_cells; i++) {
		assert_int_equal(p->cell[i].first_cpu, next);
		assert_int_equal(p->cell[i].cpus, p->cell[0].cpus);
		assert_int_equal(p->cell[i].memory_mib, p->cell[0].memory_mib);
		if (huge)
			assert_int_equal(p->cell[i].memory_mib % 1024, 0);
		if (i)
			assert_true(p->cell[i].host_node > p->cell[i - 1].host_node);
		next += p->cell[i].cpus;
		memory += p->cell[i].memory_mib;
	}
	assert_int_equal(next, p->vcpus);
	assert_int_equal(memory, p->memory_mib);
}

static void each_placement_of_the_table_is_chosen(void **st)
{
	struct numa_row nodes[NODES];
	struct device_row devs[16];

	(void)st;
	host(nodes);
	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		const struct good *g = &good[i];
		struct placement_request a = ask_of(g, nodes, devs);
		struct placement p;
		struct err e;

		if (placement_choose(&a, &p, &e))
			fail_msg("row %zu: %s", i, e.text);
		assert_int_equal(p.vcpus, g->given_vcpus);
		assert_int_equal(p.memory_mib, g->given_memory);
		assert_string_equal(p.numa_nodes, g->nodes);
		assert_string_equal(p.cpuset, g->cpuset);
		assert_int_equal(p.page_kib, g->huge ? 1048576 : 0);
		if (!g->huge)
			assert_int_equal(p.n_cells, 1);
		expect_cells(&p, g->huge);
	}
}

static void a_stored_choice_gives_the_same_placement_later(void **st)
{
	struct numa_row nodes[NODES];
	struct device_row devs[16];

	(void)st;
	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		const struct good *g = &good[i];
		struct placement_request a = ask_of(g, nodes, devs);
		struct placement first = { 0 }, again = { 0 };
		struct cvm_row row = { .vcpus = g->vcpus,
				       .memory_mib = g->memory,
				       .hugepages = g->huge,
				       .pin_numa = g->pin };
		struct err e;

		host(nodes);
		assert_int_equal(placement_choose(&a, &first, &e), 0);
		memcpy(row.numa_nodes, first.numa_nodes, sizeof(row.numa_nodes));
		for (size_t k = 0; k < NODES; k++)
			nodes[k].hugepages_promised = nodes[k].hugepages_mib;
		assert_int_equal(placement_of(&row, nodes, NODES, &again, &e), 0);
		assert_memory_equal(&first, &again, sizeof(first));
	}
}

static struct placement choose(const struct placement_request *a)
{
	struct placement p;
	struct err e;

	if (placement_choose(a, &p, &e))
		fail_msg("%s", e.text);
	return p;
}

static void the_lowest_node_that_fits_is_taken_else_the_lowest_with_cpus(void **st)
{
	struct numa_row nodes[NODES];
	struct placement_request a = {
		.vcpus = 1, .memory_mib = 2048, .hugepages = true, .nodes = nodes, .n_nodes = NODES
	};

	(void)st;
	host(nodes);
	nodes[0].vcpus = 0; /* memory only */
	nodes[1].hugepages_promised = nodes[1].hugepages_mib - 1024;
	nodes[2].foreign_mib = nodes[2].hugepages_mib - 2047;
	nodes[3].present = false;
	assert_string_equal(choose(&a).numa_nodes, "4");
	nodes[4].hugepages_mib = nodes[5].hugepages_mib = 0;
	assert_string_equal(choose(&a).numa_nodes, "1");

	a.hugepages = false;
	a.pin_numa = true;
	nodes[1].pinned_promised = nodes[1].memory_mib - nodes[1].hugepages_mib - 2047;
	assert_string_equal(choose(&a).numa_nodes, "2");
}

static void expect_bad(const struct placement_request *a, enum err_code code, const char *field,
		       const char *text)
{
	struct placement p, before;
	struct err e;

	memset(&p, 0x77, sizeof(p));
	before = p;
	assert_int_equal(placement_choose(a, &p, &e), -(int)code);
	assert_string_equal(e.field, field);
	if (!strstr(e.text, text))
		fail_msg("\"%s\" does not contain \"%s\"", e.text, text);
	assert_memory_equal(&p, &before, sizeof(p));
}

static void an_amount_that_cannot_be_divided_is_refused_with_the_allowed_ones(void **st)
{
	struct numa_row nodes[NODES];
	struct device_row devs[16];
	struct placement_request a = {
		.vcpus = 1, .memory_mib = 2048, .hugepages = true, .nodes = nodes, .n_nodes = NODES
	};

	(void)st;
	host(nodes);
	a.devices = devs;
	a.n_devices = devices("0,1,2,3,4", devs);
	expect_bad(&a, ERR_INCOMPATIBLE, "gpus", "allowed: GPUs on 1 to 4 nodes");
	a.n_devices = devices("0,1", devs);
	nodes[0].page_kib = nodes[1].page_kib = 16 * 1048576;
	expect_bad(
		&a, ERR_INCOMPATIBLE, "memory",
		"memory 2048 MiB cannot be divided evenly among 2 NUMA nodes in pages of 16777216 "
		"KiB; allowed: multiples "
		"of 32768 MiB");
	nodes[0].page_kib = 0;
	expect_bad(&a, ERR_UNSUPPORTED, "hugepages", "no hugepages");
	a.n_devices = devices("7", devs);
	expect_bad(&a, ERR_HOST, "", "NUMA node 7");
	a.n_nodes = 0;
	expect_bad(&a, ERR_UNAVAILABLE, "hugepages", "not known");
	a.hugepages = false;
	a.pin_numa = true;
	expect_bad(&a, ERR_UNAVAILABLE, "pin_numa", "not known");
}

static void pinning_to_nodes_without_cpus_is_refused(void **st)
{
	struct numa_row nodes[NODES];
	struct device_row devs[16];
	struct placement_request a = { .vcpus = 1,
				       .memory_mib = 64,
				       .pin_numa = true,
				       .nodes = nodes,
				       .n_nodes = NODES,
				       .devices = devs };

	(void)st;
	host(nodes);
	a.n_devices = devices("1,2", devs);
	nodes[1].cpus[0] = '\0';
	assert_string_equal(choose(&a).cpuset, "128-191");
	nodes[2].cpus[0] = '\0';
	expect_bad(&a, ERR_UNSUPPORTED, "pin_numa", "NUMA node 1 has no CPUs");
}

static void alternately_numbered_cpus_of_four_nodes_fit_or_are_refused_never_cut(void **st)
{
	struct numa_row nodes[NODES];
	struct device_row devs[16];
	struct placement_request a = { .vcpus = 4,
				       .memory_mib = 64,
				       .pin_numa = true,
				       .nodes = nodes,
				       .n_nodes = NODES,
				       .devices = devs };
	size_t used;

	(void)st;
	host(nodes);
	for (unsigned i = 0; i < 4; i++) {
		used = 0;
		for (unsigned cpu = i; cpu < 512; cpu += 4)
			used += (size_t)snprintf(nodes[i].cpus + used, sizeof(nodes[i].cpus) - used,
						 "%s%u", used ? "," : "", cpu);
		assert_true(used < sizeof(nodes[i].cpus));
	}
	a.n_devices = devices("0,1,2,3", devs);
	assert_string_equal(strrchr(choose(&a).cpuset, ','), ",511");
	for (unsigned i = 0; i < 4; i++)
		memset(nodes[i].cpus, '1', sizeof(nodes[i].cpus) - 1);
	expect_bad(&a, ERR_UNSUPPORTED, "pin_numa", "over 2047 bytes");
}

static void a_node_that_is_gone_is_an_error_of_the_host(void **st)
{
	struct cvm_row row = {
		.vcpus = 2, .memory_mib = 2048, .hugepages = true, .numa_nodes = "0,3"
	};
	struct numa_row nodes[NODES];
	struct placement p = { .vcpus = 77 };
	struct err e;

	(void)st;
	host(nodes);
	nodes[3].present = false;
	assert_int_equal(placement_of(&row, nodes, NODES, &p, &e), -ERR_HOST);
	assert_non_null(strstr(e.text, "NUMA node 3"));
	row.numa_nodes[0] = '\0';
	assert_int_equal(placement_of(&row, nodes, NODES, &p, &e), -ERR_HOST);
	assert_int_equal(p.vcpus, 77);
}

static void shares_are_what_each_node_gives(void **st)
{
	struct cvm_node_row s[PLACEMENT_NODES];
	struct placement p = { .memory_mib = 701, .cpuset = "0-7", .numa_nodes = "2,5" };

	(void)st;
	assert_int_equal(placement_shares(&p, s), 2);
	assert_int_equal(s[0].node, 2);
	assert_int_equal(s[0].pinned_mib, 351);
	assert_int_equal(s[1].pinned_mib, 350);
	assert_int_equal(s[1].hugepages_mib, 0);
	p.cpuset[0] = '\0';
	assert_int_equal(placement_shares(&p, s), 0);
	p = (struct placement){ .page_kib = 2048,
				.n_cells = 1,
				.cell = { { .host_node = 3, .memory_mib = 1024 } } };
	assert_int_equal(placement_shares(&p, s), 1);
	assert_int_equal(s[0].node, 3);
	assert_int_equal(s[0].hugepages_mib, 1024);
	assert_int_equal(s[0].pinned_mib, 0);
}

int main(void)
{
	const struct CMUnitTest t[] = {
		cmocka_unit_test(each_placement_of_the_table_is_chosen),
		cmocka_unit_test(a_stored_choice_gives_the_same_placement_later),
		cmocka_unit_test(the_lowest_node_that_fits_is_taken_else_the_lowest_with_cpus),
		cmocka_unit_test(an_amount_that_cannot_be_divided_is_refused_with_the_allowed_ones),
		cmocka_unit_test(pinning_to_nodes_without_cpus_is_refused),
		cmocka_unit_test(
			alternately_numbered_cpus_of_four_nodes_fit_or_are_refused_never_cut),
		cmocka_unit_test(a_node_that_is_gone_is_an_error_of_the_host),
		cmocka_unit_test(shares_are_what_each_node_gives),
	};

	return cmocka_run_group_tests_name("placement", t, NULL, NULL);
}
