/* SPDX-License-Identifier: Apache-2.0
 * domain_xml_test.c - spec -> XML, byte for byte against tests/golden/. UPDATE_GOLDEN=1 writes the files anew.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/own.h"
#include "vmm/hypervisor.h"

static struct domain_spec boot_guest(void)
{
	return (struct domain_spec){
		.uuid = "1ccfd97d-5eb4-478a-bbe6-88d254c16db7",
		.name = "teepod-1ccfd97d",
		.app_id = "0123456789abcdef0123456789abcdef01234567",
		.vcpus = 1,
		.memory_mib = 16,
		.rootfs = "/images/boot/rootfs.raw",
		.mac = "02:00:00:00:00:01",
		.serial_log = "/vm/1/serial.log",
	};
}

static struct domain_spec linux_guest(void)
{
	struct domain_spec d = boot_guest();

	d.vcpus = 2;
	d.memory_mib = 512;
	d.emulator = "/usr/bin/qemu-system-x86_64";
	d.kernel = "/images/demo/vmlinuz";
	d.initrd = "/images/demo/initrd.gz";
	d.cmdline = "console=ttyS0 a=\"<b>\" c='&'";
	d.rootfs = NULL;
	d.disk = "/vm/1/hda.img";
	d.share_dir = "/vm/1/shared";
	d.share_readonly = true;
	d.channel_dir = "/vm/1/channels";
	return d;
}

static struct domain_spec tdx_guest(void)
{
	struct domain_spec d = linux_guest();

	d.tdx = true;
	d.firmware = "/usr/share/ovmf/OVMF.inteltdx.ms.fd";
	d.rootfs = "/images/prod/rootfs.img.verity";
	d.channel_dir = NULL;
	d.cid = 1001;
	d.qgs_socket = "/run/tdx-qgs/qgs.socket";
	d.has_mr_config_id = true;
	for (unsigned i = 0; i < sizeof(d.mr_config_id); i++)
		d.mr_config_id[i] = (uint8_t)i;
	return d;
}

static void check_golden(const char *name, const struct domain_spec *d)
{
	auto_free char *path = NULL, *xml = NULL, *golden = NULL;
	struct err e = { 0 };

	assert_true(asprintf(&path, "tests/golden/%s.xml", name) > 0);
	assert_int_equal(domain_xml(d, &xml, &e), 0);
	if (getenv("UPDATE_GOLDEN"))
		assert_int_equal(file_write(path, xml, strlen(xml), 0644, &e), 0);
	if (file_read(path, 65536, &golden, NULL, &e))
		fail_msg("%s", e.text);
	assert_string_equal(xml, golden);
}

static void boot_guest_matches_its_golden_file(void **st)
{
	struct domain_spec d = boot_guest();

	(void)st;
	check_golden("boot", &d);
}

static void linux_guest_matches_its_golden_file(void **st)
{
	struct domain_spec d = linux_guest();

	(void)st;
	check_golden("linux", &d);
}

static void kvm_guest_matches_its_golden_file(void **st)
{
	struct domain_spec d = linux_guest();

	(void)st;
	d.kvm = true;
	d.share_readonly = false;
	check_golden("kvm", &d);
}

static void tdx_guest_matches_its_golden_file(void **st)
{
	struct domain_spec d = tdx_guest();

	(void)st;
	check_golden("tdx", &d);
}

/* The guest measures where its devices are: one that is absent must not leave a gap. */
static void slots_count_up_from_one_without_gaps(void **st)
{
	struct domain_spec d = linux_guest();
	auto_free char *xml = NULL;
	struct err e;
	unsigned want = 1;

	(void)st;
	d.share_dir = NULL;
	assert_int_equal(domain_xml(&d, &xml, &e), 0);
	for (const char *p = xml; (p = strstr(p, "bus='0x00' slot='0x")); p++) {
		unsigned slot = (unsigned)strtoul(p + sizeof("bus='0x00' slot='0x") - 1, NULL, 16);

		if (slot != 0x1f)
			assert_int_equal(slot, want++);
	}
	assert_int_equal(want, 4); /* data disk, network, channels */
}

static void refuse(const struct domain_spec *d, const char *why)
{
	char sentinel[] = "untouched", *xml = sentinel;
	struct err e = { 0 };

	assert_int_equal(domain_xml(d, &xml, &e), -ERR_INVALID);
	assert_ptr_equal(xml, sentinel);
	assert_non_null(strstr(e.text, why));
}

static void impossible_specs_are_refused_and_write_nothing(void **st)
{
	struct domain_spec d;
	char folder[120];

	(void)st;
	d = tdx_guest(), d.firmware = NULL;
	refuse(&d, "firmware");
	d = boot_guest(), d.rootfs = NULL;
	refuse(&d, "nothing to boot");
	d = boot_guest(), d.vcpus = 0;
	refuse(&d, "vCPU");
	d = boot_guest(), d.memory_mib = 0;
	refuse(&d, "memory");
	d = boot_guest(), d.uuid[0] = 'x';
	refuse(&d, "UUID");
	d = boot_guest(), d.mac[0] = '\0';
	refuse(&d, "MAC");
	d = linux_guest(), d.cmdline = "a\x01"
				       "b";
	refuse(&d, "control characters");
	d = linux_guest(), d.disk = "/vm/\xff\xfe";
	refuse(&d, "control characters");
	memset(folder, 'f', sizeof(folder));
	folder[0] = '/', folder[97] = '\0';
	d = linux_guest(), d.channel_dir = folder;
	refuse(&d, "too long");
}

static void longest_channel_folder_keeps_its_whole_socket_path(void **st)
{
	struct domain_spec d = linux_guest();
	auto_free char *xml = NULL;
	char folder[120];
	struct err e;

	(void)st;
	memset(folder, 'f', sizeof(folder));
	folder[0] = '/', folder[96] = '\0';
	d.channel_dir = folder;
	assert_int_equal(domain_xml(&d, &xml, &e), 0);
	assert_non_null(strstr(xml, "f/guest.sock'"));
}

static void mac_is_local_unicast_and_depends_on_the_id_alone(void **st)
{
	char a[18], b[18];
	unsigned first;

	(void)st;
	domain_mac("1ccfd97d-5eb4-478a-bbe6-88d254c16db7", a);
	domain_mac("1ccfd97d-5eb4-478a-bbe6-88d254c16db7", b);
	assert_string_equal(a, b);
	assert_int_equal(sscanf(a, "%2x:", &first), 1);
	assert_int_equal(first & 3, 2);
	/* printf '%s' 00000000-0000-4000-8000-000000000000 | sha256sum: db 80 55 e0 e0 30 ... */
	domain_mac("00000000-0000-4000-8000-000000000000", b);
	assert_string_equal(b, "da:80:55:e0:e0:30");
}

int main(void)
{
	const struct CMUnitTest t[] = {
		cmocka_unit_test(boot_guest_matches_its_golden_file),
		cmocka_unit_test(linux_guest_matches_its_golden_file),
		cmocka_unit_test(kvm_guest_matches_its_golden_file),
		cmocka_unit_test(tdx_guest_matches_its_golden_file),
		cmocka_unit_test(slots_count_up_from_one_without_gaps),
		cmocka_unit_test(impossible_specs_are_refused_and_write_nothing),
		cmocka_unit_test(longest_channel_folder_keeps_its_whole_socket_path),
		cmocka_unit_test(mac_is_local_unicast_and_depends_on_the_id_alone),
	};

	return cmocka_run_group_tests_name("domain_xml", t, NULL, NULL);
}
