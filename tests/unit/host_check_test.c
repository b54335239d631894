/* SPDX-License-Identifier: Apache-2.0
 * host_check_test.c - hosts made of files: what is read of them, and what is said about each part
 * that is missing.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/array.h"
#include "base/own.h"
#include "base/strings.h"
#include "tests/unit/tree.h"
#include "vmm/host/host_check.h"
#include "vmm/host/host_facts.h"
#include "vmm/virt/hypervisor.h"

#define QGS_PATH "/run/qgs.socket"
#define FIRMWARE "/usr/share/ovmf/OVMF.inteltdx.ms.fd"

static int qgs_fd = -1;

static void put_msr(uint32_t private_ids)
{
	uint8_t bytes[0x87 + 8] = { 0 };
	uint64_t value = (uint64_t)private_ids << 32 | 64;

	memcpy(bytes + 0x87, &value, sizeof(value));
	tree_put_bytes("/dev/cpu/0/msr", bytes, sizeof(bytes));
}

static void put_qgs(void)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };

	tree_put("/run/keep", "");
	(void)snprintf(sa.sun_path, sizeof(sa.sun_path), "%s" QGS_PATH, tree_root);
	qgs_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_true(qgs_fd >= 0);
	assert_int_equal(bind(qgs_fd, (const struct sockaddr *)&sa, sizeof(sa)), 0);
	assert_int_equal(listen(qgs_fd, 1), 0);
}

static void put_cpu(const char *vendor, const char *model, const char *flags)
{
	auto_free char *text = xasprintf("processor\t: 0\nvendor_id\t: %s\nmodel name\t: "
					 "%s\nflags\t\t: %s\n\nprocessor\t: 1\n"
					 "flags\t\t: svm\n",
					 vendor, model, flags);

	tree_put("/proc/cpuinfo", text);
}

static void put_node(unsigned id, const char *cpus, const char *total, const char *left)
{
	const struct {
		const char *file, *text;
	} files[] = {
		{ "cpulist", cpus },
		{ "meminfo", "Node N MemTotal: 536870912 kB\n" },
		{ "hugepages/hugepages-1048576kB/nr_hugepages", total },
		{ "hugepages/hugepages-1048576kB/free_hugepages", left },
	};

	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		auto_free char *path =
			xasprintf("/sys/devices/system/node/node%u/%s", id, files[i].file);

		tree_put(path, files[i].text);
	}
}

/* A two-socket TDX host with everything. */
static int good_host(void **state)
{
	static const char *const devices[] = { "kvm",         "sgx_enclave", "sgx_provision",
					       "vhost-vsock", "vfio/vfio",   "iommu" };

	if (tree_set_up(state))
		return -1;
	put_cpu("GenuineIntel", "INTEL(R) XEON(R) PLATINUM 8592+", "fpu vme vmx sgx");
	tree_put("/proc/sys/kernel/osrelease", "6.16.3-amd64\n");
	tree_put("/proc/self/limits",
		 "Limit Soft Hard Units\nMax locked memory  8388608 8388608 bytes\n");
	tree_put("/proc/self/status", "Name:\tteepod\nCapEff:\t0000000001000000\n");
	tree_put("/sys/power/state", "freeze\n");
	tree_put("/sys/module/kvm_intel/parameters/tdx", "Y\n");
	tree_put("/sys/devices/faux/tdx_host/version", "1.5.16\n");
	tree_put("/sys/fs/cgroup/misc.capacity", "res_a 5\ntdx 63\n");
	tree_put("/sys/fs/cgroup/misc.current", "res_a 0\ntdx 2\n");
	tree_put("/sys/kernel/iommu_groups/0/type", "DMA-FQ\n");
	tree_put("/sys/kernel/iommu_groups/17/type", "DMA-FQ\n");
	tree_put(FIRMWARE, "firmware");
	put_msr(64);
	put_node(0, "0-63,128-191\n", "100\n", "60\n");
	put_node(1, "64-127,192-255\n", "100\n", "100\n");
	for (size_t i = 0; i < ARRAY_SIZE(devices); i++) {
		auto_free char *path = xasprintf("/dev/%s", devices[i]);

		tree_put(path, "");
	}
	put_qgs();
	return 0;
}

static int tear_down(void **state)
{
	if (qgs_fd >= 0)
		(void)close(qgs_fd);
	qgs_fd = -1;
	return tree_tear_down(state);
}

/* ------------------------------------------------------------------ judging */

static const struct hv_caps new_caps = { .libvirt = "12.8.0",
					 .qemu = "11.1.2",
					 .emulator = "/usr/bin/qemu-system-x86_64",
					 .tdx = true,
					 .kvm = true };

#define DEVICE_ID "a8faed6abbf35c12a4b26e40f6feb19d736d90045c83b9f9a31f638d323e6811"

static struct host_check_input good_input(void)
{
	return (struct host_check_input){
		.caps = &new_caps, .uri = "qemu:///embed", .device_id = DEVICE_ID, .slots = 63
	};
}

static void judge(struct host_check_input in, struct host_check rows[HOST_CHECKS])
{
	const struct host_facts_source sources = { .root = tree_root,
						   .qgs_socket = QGS_PATH,
						   .tdx_firmware = FIRMWARE };
	struct host_facts f;

	host_facts_read(&sources, &f);
	in.facts = &f;
	host_check(&in, rows);
	host_facts_free(&f);
}

static const struct host_check *row(const struct host_check rows[HOST_CHECKS], const char *name)
{
	for (size_t i = 0; i < HOST_CHECKS; i++)
		if (!strcmp(rows[i].name, name))
			return &rows[i];
	fail_msg("no row %s", name);
	return NULL;
}

/* The row has @state, and contains @value and @advice ("": nothing). */
static void expect_row(const struct host_check rows[HOST_CHECKS], const char *name,
		       enum check_state state, const char *value, const char *advice)
{
	const struct host_check *r = row(rows, name);

	if (r->state != state)
		fail_msg("%s is %s: %s", name, check_state_word[r->state], r->value);
	if (!strstr(r->value, value) || (*advice ? !strstr(r->advice, advice) : *r->advice))
		fail_msg("%s: \"%s\", \"%s\"", name, r->value, r->advice);
}

/* With the tree as it is now and all else good. */
static void expect(const char *name, enum check_state state, const char *value, const char *advice)
{
	struct host_check rows[HOST_CHECKS];

	judge(good_input(), rows);
	expect_row(rows, name, state, value, advice);
}

static void a_good_host_is_all_ok_and_needs_nothing(void **state)
{
	struct host_check rows[HOST_CHECKS];
	struct host_verdict v;

	(void)state;
	judge(good_input(), rows);
	for (size_t i = 0; i < HOST_CHECKS; i++)
		expect_row(rows, rows[i].name, CHECK_OK, "", "");
	v = host_verdict(rows);
	assert_int_equal(v.required, 11);
	assert_int_equal(v.missing + v.unknown, 0);
	expect_row(rows, "cpu", CHECK_OK, "INTEL(R) XEON(R) PLATINUM 8592+", "");
	expect_row(rows, "tdx_module", CHECK_OK, "version 1.5.16", "");
	expect_row(rows, "tdx_keyids", CHECK_OK, "63 TDX guests at once, 2 in use", "");
	expect_row(rows, "numa", CHECK_OK,
		   "2 nodes: 0 with 128 CPUs and 524288 MiB; 1 with 128 CPUs and 524288 MiB", "");
	expect_row(rows, "hugepages", CHECK_OK,
		   "node 0: 60 of 100 x 1 GiB free; node 1: 100 of 100 x 1 GiB free", "");
	expect_row(rows, "iommu", CHECK_OK, "2 groups", "");
	expect_row(rows, "memlock", CHECK_OK, "8192 KiB, can be raised", "");
	expect_row(rows, "kernel", CHECK_OK, "Linux 6.16.3-amd64", "");
}

static void each_removed_part_is_reported_by_name(void **state)
{
	static const struct {
		const char *path, *name;
		enum check_state state;
		const char *value, *advice;
	} parts[] = {
		{ "/proc/cpuinfo", "cpu", CHECK_UNKNOWN, "no vendor", "" },
		{ "/dev/kvm", "kvm", CHECK_MISSING, "no /dev/kvm", "modprobe kvm_intel" },
		{ "/sys/module/kvm_intel", "kvm_intel.tdx", CHECK_MISSING, "not loaded",
		  "kvm_intel.tdx=1" },
		{ "/dev/sgx_enclave", "sgx", CHECK_MISSING, "no /dev/sgx_enclave", "enable SGX" },
		{ "/dev/sgx_provision", "sgx", CHECK_MISSING,
		  "no /dev/sgx_enclave, no /dev/sgx_provision", "SGX" },
		{ "/dev/vhost-vsock", "vhost_vsock", CHECK_MISSING, "no /dev/vhost-vsock",
		  "modprobe vhost_vsock" },
		{ FIRMWARE, "tdx_firmware", CHECK_WARN, "no " FIRMWARE, "ovmf-inteltdx" },
		{ QGS_PATH, "qgs", CHECK_MISSING, "no " QGS_PATH, "install tdx-qgs" },
		{ "/sys/kernel/iommu_groups", "iommu", CHECK_WARN, "no groups", "VT-d" },
		{ "/dev/vfio", "vfio", CHECK_OK, "/dev/iommu", "" },
		{ "/dev/iommu", "vfio", CHECK_WARN, "neither", "modprobe vfio-pci" },
		{ "/proc/self/limits", "memlock", CHECK_UNKNOWN, "no limit of locked memory", "" },
		{ "/proc/sys/kernel/osrelease", "kernel", CHECK_UNKNOWN, "cannot be read", "" },
		{ "/sys/devices/system/node/node1/cpulist", "numa", CHECK_UNKNOWN, "node1/cpulist",
		  "" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
		tree_remove(parts[i].path);
		expect(parts[i].name, parts[i].state, parts[i].value, parts[i].advice);
	}
	expect("hugepages", CHECK_UNKNOWN, "node1/cpulist", "");
}

static void the_verdict_counts_required_rows_only(void **state)
{
	struct host_check rows[HOST_CHECKS];
	struct host_check_input in = good_input();
	struct host_verdict v;

	(void)state;
	tree_remove("/dev/vhost-vsock");
	tree_remove("/dev/sgx_enclave");
	tree_remove("/proc/cpuinfo");
	tree_remove("/sys/kernel/iommu_groups");
	in.device_id = "";
	judge(in, rows);
	expect_row(rows, "device_id", CHECK_WARN, "not known", "host.ppid");
	v = host_verdict(rows);
	assert_int_equal(v.missing, 2);
	assert_int_equal(v.unknown, 1);
}

static void a_cpu_without_tdx_differs_from_one_that_is_not_set_up(void **state)
{
	(void)state;
	put_cpu("GenuineIntel", "Xeon", "fpu");
	expect("cpu", CHECK_OK, "Xeon", ""); /* KVM reports TDX: the CPU flags do not matter then */
	tree_put("/sys/module/kvm_intel/parameters/tdx", "N\n");
	expect("cpu", CHECK_MISSING, "without VMX", "VMX");
	put_cpu("GenuineIntel", "Xeon", "fpu vmx hypervisor");
	expect("cpu", CHECK_MISSING, "inside a virtual machine", "machine itself");
	put_cpu("GenuineIntel", "Xeon", "fpu vmx tdx_host_platform");
	expect("cpu", CHECK_OK, "TDX enabled by the BIOS", "");
	put_cpu("AuthenticAMD", "AMD EPYC 9654", "fpu svm");
	expect("cpu", CHECK_MISSING, "AMD EPYC 9654 is not an Intel CPU", "Xeon");
}

static void kvm_without_tdx_is_reported_with_its_cause(void **state)
{
	(void)state;
	tree_remove("/sys/devices/faux/tdx_host");
	expect("tdx_module", CHECK_OK, "initialised by KVM", "");
	tree_put("/sys/module/kvm_intel/parameters/tdx", "N\n");
	expect("kvm_intel.tdx", CHECK_MISSING, "N: not requested", "kvm_intel.tdx=1 nohibernate");
	expect("tdx_module", CHECK_UNKNOWN, "shows none", "SEAM loader");
	tree_put("/sys/power/state", "freeze mem disk\n");
	expect("tdx_module", CHECK_MISSING, "could hibernate", "nohibernate");
	tree_remove("/sys/module/kvm_intel/parameters/tdx");
	tree_put("/sys/module/kvm_intel/parameters/ept", "Y\n");
	expect("kvm_intel.tdx", CHECK_MISSING, "KVM of Linux 6.16.3-amd64 has no such parameter",
	       "6.16");
	put_cpu("AuthenticAMD", "AMD EPYC 9654", "fpu svm");
	expect("kvm_intel.tdx", CHECK_MISSING, "not an Intel CPU", "");
	expect("tdx_module", CHECK_MISSING, "not an Intel CPU", "");
}

static void the_number_of_key_ids_comes_from_the_cgroup_or_else_from_the_msr(void **state)
{
	struct host_check rows[HOST_CHECKS];
	struct host_check_input in = good_input();

	(void)state;
	in.slots = 64;
	judge(in, rows);
	expect_row(rows, "tdx_keyids", CHECK_OK, "63", "lower capacity.slots from 64 to 63");
	tree_remove("/sys/fs/cgroup/misc.current");
	expect("tdx_keyids", CHECK_OK, "63 TDX guests at once", "");
	tree_remove("/sys/fs/cgroup/misc.capacity");
	expect("tdx_keyids", CHECK_OK, "64 given to TDX by the BIOS, 63 of them for guests", "");
	tree_put("/sys/fs/cgroup/unified/misc.capacity", "tdx 31\n");
	expect("tdx_keyids", CHECK_OK, "31 TDX guests at once", "from 63 to 31");
	tree_remove("/sys/fs/cgroup");
	put_msr(1); /* the module itself takes it */
	expect("tdx_keyids", CHECK_MISSING, "no key ids", "key split");
	tree_remove("/dev/cpu");
	expect("tdx_keyids", CHECK_UNKNOWN, "neither", "modprobe msr");
	put_cpu("AuthenticAMD", "AMD EPYC 9654", "fpu svm");
	expect("tdx_keyids", CHECK_MISSING, "not an Intel CPU", "");
}

static void a_qgs_socket_must_be_one_and_be_listened_on(void **state)
{
	(void)state;
	expect("qgs", CHECK_OK, QGS_PATH " accepts connections", "");
	(void)close(qgs_fd);
	qgs_fd = -1;
	expect("qgs", CHECK_MISSING, "no process listens", "restart qgsd");
	tree_remove(QGS_PATH);
	tree_put(QGS_PATH, "");
	expect("qgs", CHECK_MISSING, "not a socket", "remove it");
}

/* A full queue: a service that is busy, or hangs. Looking must not wait for it. */
static void a_busy_qgs_is_not_waited_for(void **state)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int fd[8];

	(void)state;
	(void)snprintf(sa.sun_path, sizeof(sa.sun_path), "%s" QGS_PATH, tree_root);
	for (size_t i = 0; i < ARRAY_SIZE(fd); i++) {
		fd[i] = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
		(void)connect(fd[i], (const struct sockaddr *)&sa, sizeof(sa));
	}
	expect("qgs", CHECK_OK, "accepts connections", "");
	for (size_t i = 0; i < ARRAY_SIZE(fd); i++)
		(void)close(fd[i]);
}

static void hugepages_that_are_not_reserved_are_only_a_warning(void **state)
{
	(void)state;
	put_node(0, "0\n", "0\n", "0\n");
	put_node(1, "\n", "0\n", "0\n");
	expect("hugepages", CHECK_WARN, "none reserved", "hugepages=N");
	expect("numa", CHECK_OK, "0 with 1 CPU and 524288 MiB; 1 with 0 CPUs", "");
}

static void a_limit_on_locked_memory_is_reported(void **state)
{
	struct host_check rows[HOST_CHECKS];
	struct host_check_input in = good_input();

	(void)state;
	tree_put("/proc/self/status", "CapEff:\t0000000000000000\n");
	expect("memlock", CHECK_WARN, "8192 KiB, and this process may not raise it",
	       "CAP_SYS_RESOURCE");
	in.uri = "qemu:///system";
	judge(in, rows);
	expect_row(rows, "memlock", CHECK_OK, "libvirtd", "");
	tree_put("/proc/self/limits",
		 "Max locked memory         unlimited            unlimited            bytes\n");
	expect("memlock", CHECK_OK, "no limit", "");
}

/* ------------------------------------------------------------------ libvirt and QEMU */

static void without_a_connection_the_rest_is_still_judged(void **state)
{
	struct host_check rows[HOST_CHECKS];
	struct host_check_input in = good_input();

	(void)state;
	in.caps = NULL;
	in.link_error = "Failed to connect socket to '/run/libvirt/libvirt-sock'";
	judge(in, rows);
	expect_row(rows, "libvirt", CHECK_MISSING, "qemu:///embed: Failed to connect", "libvirtd");
	expect_row(rows, "qemu", CHECK_UNKNOWN, "are not known", "see libvirt");
	expect_row(rows, "domain_capabilities", CHECK_UNKNOWN, "are not known", "see libvirt");
	expect_row(rows, "kvm", CHECK_OK, "/dev/kvm", "");
	assert_int_equal(host_verdict(rows).missing, 1);
	assert_int_equal(host_verdict(rows).unknown, 2);
	/* Lost again: the earlier values stay in effect. */
	in.caps = &new_caps;
	judge(in, rows);
	expect_row(rows, "libvirt", CHECK_MISSING, "Failed to connect", "libvirtd");
	expect_row(rows, "qemu", CHECK_OK, "version 11.1.2, /usr/bin/qemu-system-x86_64", "");
	in.link_error =
		"Failed to connect socket to '/run/libvirt/libvirt-sock': Permission denied";
	judge(in, rows);
	expect_row(rows, "libvirt", CHECK_MISSING, "Permission denied", "usermod -aG libvirt");
}

static void judge_versions(const char *libvirt, const char *qemu, bool tdx,
			   struct host_check rows[HOST_CHECKS])
{
	struct host_check_input in = good_input();
	struct hv_caps caps = new_caps;

	(void)snprintf(caps.libvirt, sizeof(caps.libvirt), "%s", libvirt);
	(void)snprintf(caps.qemu, sizeof(caps.qemu), "%s", qemu);
	caps.tdx = tdx;
	in.caps = &caps;
	judge(in, rows);
}

static void old_versions_are_missing_and_their_answer_does_not_count(void **state)
{
	struct host_check rows[HOST_CHECKS];

	(void)state;
	judge_versions("11.9.0", "10.0.13", false, rows);
	expect_row(rows, "libvirt", CHECK_MISSING, "version 11.9.0", "11.10 or newer");
	expect_row(rows, "qemu", CHECK_MISSING, "version 10.0.13", "10.1 or newer");
	expect_row(rows, "domain_capabilities", CHECK_UNKNOWN, "libvirt 11.9.0 with QEMU 10.0.13",
		   "see");
	judge_versions("11.10.0", "10.1.0", false, rows);
	expect_row(rows, "libvirt", CHECK_OK, "version 11.10.0", "");
	expect_row(rows, "qemu", CHECK_OK, "version 10.1.0", "");
	expect_row(rows, "domain_capabilities", CHECK_MISSING, "offers no TDX",
		   "capabilities/*.xml");
	judge_versions("9.0.0", "", false, rows);
	expect_row(rows, "qemu", CHECK_MISSING, "no QEMU", "hypervisor.uri");
	expect_row(rows, "domain_capabilities", CHECK_MISSING, "no QEMU", "");
}

/* ------------------------------------------------------------------ invalid file contents */

static void invalid_file_contents_are_rejected_and_not_printed(void **state)
{
	static const char *const files[] = {
		"/proc/cpuinfo",
		"/proc/sys/kernel/osrelease",
		"/proc/self/limits",
		"/proc/self/status",
		"/sys/power/state",
		"/sys/module/kvm_intel/parameters/tdx",
		"/sys/devices/faux/tdx_host/version",
		"/sys/fs/cgroup/misc.capacity",
		"/sys/fs/cgroup/misc.current",
		"/sys/devices/system/node/node0/meminfo",
		"/dev/cpu/0/msr",
	};
	static const char *const texts[] = { "", "\n\n\n", "\x1b[2J\x01 tdx -5\nflags",
					     "99999999999999999999999" };
	struct host_check rows[HOST_CHECKS];

	(void)state;
	for (size_t t = 0; t < ARRAY_SIZE(texts); t++) {
		for (size_t i = 0; i < ARRAY_SIZE(files); i++)
			tree_put(files[i], texts[t]);
		judge(good_input(), rows);
		for (size_t i = 0; i < HOST_CHECKS; i++)
			for (const char *s = rows[i].value; *s; s++)
				if (*s < ' ' || *s > '~')
					fail_msg("%s: \"%s\"", rows[i].name, rows[i].value);
		expect_row(rows, "cpu", CHECK_UNKNOWN, "no vendor", "");
		expect_row(rows, "kvm_intel.tdx", CHECK_MISSING, "no such parameter", "6.16");
		expect_row(rows, "tdx_keyids", CHECK_UNKNOWN, "neither", "modprobe msr");
		expect_row(rows, "numa", CHECK_UNKNOWN, "node0/meminfo", "");
		expect_row(rows, "memlock", CHECK_UNKNOWN, "no limit of locked memory", "");
	}
}

static void an_empty_root_gives_unknown_rows_and_no_failure(void **state)
{
	struct host_check rows[HOST_CHECKS];
	struct host_check_input in = good_input();

	(void)state;
	tree_remove("");
	judge(in, rows);
	expect_row(rows, "cpu", CHECK_UNKNOWN, "", "");
	expect_row(rows, "numa", CHECK_UNKNOWN, "cpu/online", "");
	assert_int_equal(host_verdict(rows).missing, 5);
	assert_int_equal(host_verdict(rows).unknown, 3);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, good_host, tear_down)
	const struct CMUnitTest t[] = {
		T(a_good_host_is_all_ok_and_needs_nothing),
		T(each_removed_part_is_reported_by_name),
		T(the_verdict_counts_required_rows_only),
		T(a_cpu_without_tdx_differs_from_one_that_is_not_set_up),
		T(kvm_without_tdx_is_reported_with_its_cause),
		T(the_number_of_key_ids_comes_from_the_cgroup_or_else_from_the_msr),
		T(a_qgs_socket_must_be_one_and_be_listened_on),
		T(a_busy_qgs_is_not_waited_for),
		T(hugepages_that_are_not_reserved_are_only_a_warning),
		T(a_limit_on_locked_memory_is_reported),
		T(without_a_connection_the_rest_is_still_judged),
		T(old_versions_are_missing_and_their_answer_does_not_count),
		T(invalid_file_contents_are_rejected_and_not_printed),
		T(an_empty_root_gives_unknown_rows_and_no_failure),
	};

	return cmocka_run_group_tests_name("host_check", t, NULL, NULL);
}
