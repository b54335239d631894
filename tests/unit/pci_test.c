/* SPDX-License-Identifier: Apache-2.0
 * pci_test.c - GPUs and NVSwitches of machines made of files.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/array.h"
#include "base/own.h"
#include "base/strings.h"
#include "db/devices.h"
#include "tests/unit/host_tree.h"
#include "vmm/host/pci.h"

static struct device_row *scan(size_t *n)
{
	struct device_row *rows = NULL;
	struct err e;

	if (pci_devices(tree_root, &rows, n, &e))
		fail_msg("%s", e.text);
	return rows;
}

static struct device_row at(const char *address)
{
	size_t n;
	auto_free struct device_row *rows = scan(&n);

	for (size_t i = 0; i < n; i++)
		if (!strcmp(rows[i].address, address))
			return rows[i];
	fail_msg("%s was not found", address);
	return (struct device_row){ 0 };
}

static void expect_broken(const char *address, const char *reason)
{
	struct device_row d = at(address);

	if (!strstr(d.broken_reason, reason))
		fail_msg("%s: \"%s\" does not contain \"%s\"", address, d.broken_reason, reason);
}

static void a_host_of_two_sockets_has_eight_gpus_and_four_nvswitches(void **st)
{
	auto_free struct device_row *rows = NULL;
	size_t n;

	(void)st;
	tree_two_sockets(1048576, 100);
	rows = scan(&n);
	assert_int_equal(n, 12);
	for (size_t i = 0; i < n; i++) {
		assert_true(rows[i].present);
		assert_string_equal(rows[i].broken_reason, "");
		assert_string_equal(rows[i].driver, "vfio-pci");
		assert_false(rows[i].opened);
		assert_int_equal(rows[i].kind, i < 4 ? DEVICE_NVSWITCH : DEVICE_GPU);
		assert_string_equal(rows[i].address, i < 4 ? tree_switches[i] : tree_gpus[i - 4]);
	}
	assert_string_equal(rows[4].product_id, "10de:2335");
	assert_string_equal(rows[4].description, "NVIDIA GH100 [H200 SXM 141GB]");
	assert_string_equal(rows[0].description, "NVIDIA GH100 [H100 NVSwitch]");
	assert_int_equal(rows[4].iommu_group, 10);
	assert_int_equal(rows[7].numa_node, 0);
	assert_int_equal(rows[8].numa_node, 1);
}

static void a_node_of_minus_one_is_node_zero_and_no_names_are_no_matter(void **st)
{
	(void)st;
	tree_two_sockets(2048, 0);
	tree_remove("/usr");
	tree_attribute(tree_gpus[5], "numa_node", "%ld\n", -1);
	assert_int_equal(at(tree_gpus[5]).numa_node, 0);
	assert_string_equal(at(tree_gpus[5]).description, "NVIDIA GPU 10de:2335");
	assert_string_equal(at(tree_switches[0]).description, "NVIDIA NVSwitch 10de:22a3");
}

static void what_can_not_be_passed_on_is_broken_with_the_reason(void **st)
{
	auto_free char *config = xasprintf(PCI_DEVICES "/%s/config", tree_gpus[0]);
	auto_free char *group = xasprintf(PCI_DEVICES "/%s/iommu_group", tree_gpus[2]);
	const struct tree_pci audio = { "0000:5d:00.1", 0x040300, 0x10de, 0x22bc, 0, 13, NULL };

	(void)st;
	tree_two_sockets(2048, 0);
	tree_remove(config);
	expect_broken(tree_gpus[0], "cannot be read");
	tree_config(tree_gpus[1], 0xffff, 0xffff);
	expect_broken(tree_gpus[1], "does not answer");
	tree_remove(group);
	expect_broken(tree_gpus[2], "IOMMU");
	assert_int_equal(at(tree_gpus[2]).iommu_group, -1);
	tree_pci(&audio);
	expect_broken(tree_gpus[3], "IOMMU group 13 is shared with 0000:5d:00.1");
	assert_string_equal(at(tree_gpus[4]).broken_reason, "");
}

static void a_bridge_or_another_gpu_in_the_group_does_no_harm(void **st)
{
	(void)st;
	tree_two_sockets(2048, 0);
	tree_put("/sys/kernel/iommu_groups/10/devices/0000:00:01.0", "");
	tree_put("/sys/kernel/iommu_groups/10/devices/0000:2a:00.0", "");
	assert_string_equal(at(tree_gpus[0]).broken_reason, "");
}

static void enabled_under_vfio_pci_means_opened(void **st)
{
	(void)st;
	tree_two_sockets(2048, 0);
	tree_attribute(tree_gpus[0], "enable", "%ld\n", 1);
	assert_true(at(tree_gpus[0]).opened);
	tree_driver(tree_gpus[0], "nvidia");
	assert_false(at(tree_gpus[0]).opened);
	assert_string_equal(at(tree_gpus[0]).driver, "nvidia");
	tree_driver(tree_gpus[0], NULL);
	assert_string_equal(at(tree_gpus[0]).driver, "");
}

static void a_machine_without_pci_has_no_devices(void **st)
{
	auto_free struct device_row *rows = NULL;
	size_t n = 77;

	(void)st;
	rows = scan(&n);
	assert_int_equal(n, 0);
}

static void a_folder_that_can_not_be_listed_is_an_error_and_touches_nothing(void **st)
{
	struct device_row *rows = (void *)0x77;
	size_t n = 77;
	struct err e;

	(void)st;
	tree_put(PCI_DEVICES, "a file");
	assert_int_equal(pci_devices(tree_root, &rows, &n, &e), -ERR_HOST);
	assert_non_null(strstr(e.text, PCI_DEVICES));
	assert_ptr_equal(rows, (void *)0x77);
	assert_int_equal(n, 77);
}

static void addresses_come_with_and_without_domain_in_any_case(void **st)
{
	static const char *const bad[] = {
		"",           "18",           "18:00",         "18:00.8",
		"1g:00.0",    "18.00.0",      "000:18:00.0",   "00000:18:00.0",
		"18:00.0 ",   "0000-18:00.0", "0000:18:00.00", "../../../..",
		"0000:18:0.0"
	};
	char out[PCI_TEXT] = "untouched";

	(void)st;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		if (pci_address(bad[i], out))
			fail_msg("\"%s\" was taken as %s", bad[i], out);
		assert_string_equal(out, "untouched");
	}
	assert_true(pci_address("2A:00.0", out));
	assert_string_equal(out, "0000:2a:00.0");
	assert_true(pci_address("0001:2a:1F.7", out));
	assert_string_equal(out, "0001:2a:1f.7");
}

static void check_says(size_t n, const struct device_row *d, enum err_code code, const char *text)
{
	struct err e;

	assert_int_equal(devices_check(tree_root, d, n, &e), -(int)code);
	if (code != ERR_NONE && !strstr(e.text, text))
		fail_msg("\"%s\" does not contain \"%s\"", e.text, text);
}

static void before_a_start_devices_must_exist_work_and_be_unbound(void **st)
{
	auto_free struct device_row *rows = NULL;
	auto_free char *folder = xasprintf(PCI_DEVICES "/%s", tree_gpus[7]);
	size_t n;

	(void)st;
	tree_two_sockets(2048, 0);
	rows = scan(&n);
	check_says(n, rows, ERR_NONE, "");
	tree_driver(tree_gpus[0], NULL);
	check_says(n, rows, ERR_NONE, "");
	tree_driver(tree_gpus[0], "nvidia");
	check_says(n, rows, ERR_GPU_BUSY, "gpu 0000:18:00.0 is in use by the host's driver nvidia");
	tree_driver(tree_gpus[0], "vfio-pci");
	tree_attribute(tree_gpus[1], "enable", "%ld\n", 1);
	check_says(n, rows, ERR_GPU_BUSY, "0000:2a:00.0 is in use by another program");
	tree_attribute(tree_gpus[1], "enable", "%ld\n", 0);
	tree_config(tree_switches[3], 0xffff, 0xffff);
	check_says(n, rows, ERR_HOST, "nvswitch 0000:08:00.0 cannot be passed to a guest");
	tree_config(tree_switches[3], 0x10de, 0x22a3);
	tree_attribute(tree_gpus[2], "device", "0x%04lx\n", 0x2330);
	check_says(n, rows, ERR_HOST, "the device at 0000:3a:00.0 is now 10de:2330");
	tree_attribute(tree_gpus[2], "device", "0x%04lx\n", 0x2335);
	tree_remove(folder);
	check_says(n, rows, ERR_HOST,
		   "0000:db:00.0 (NVIDIA GH100 [H200 SXM 141GB]) is not on the PCI bus");
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, tree_set_up, tree_tear_down)
	const struct CMUnitTest t[] = {
		T(a_host_of_two_sockets_has_eight_gpus_and_four_nvswitches),
		T(a_node_of_minus_one_is_node_zero_and_no_names_are_no_matter),
		T(what_can_not_be_passed_on_is_broken_with_the_reason),
		T(a_bridge_or_another_gpu_in_the_group_does_no_harm),
		T(enabled_under_vfio_pci_means_opened),
		T(a_machine_without_pci_has_no_devices),
		T(a_folder_that_can_not_be_listed_is_an_error_and_touches_nothing),
		T(addresses_come_with_and_without_domain_in_any_case),
		T(before_a_start_devices_must_exist_work_and_be_unbound),
	};

	return cmocka_run_group_tests_name("pci", t, NULL, NULL);
}
