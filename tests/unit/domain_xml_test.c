/* SPDX-License-Identifier: Apache-2.0
 * domain_xml_test.c - spec -> XML, byte for byte against tests/golden/. UPDATE_GOLDEN=1 writes the
 * files anew.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/file.h"
#include "base/own.h"
#include "vmm/logs/serial_scan.h"
#include "vmm/virt/domain_spec.h"

/* ------------------------------------------------------------------ specs: small steps away from
 * two guests */

static struct domain_spec boot_guest(void)
{
	return (struct domain_spec){
		.uuid = "1ccfd97d-5eb4-478a-bbe6-88d254c16db7",
		.name = "teepod-1ccfd97d",
		.app_id = "0123456789abcdef0123456789abcdef01234567",
		.vcpus = 1,
		.memory_mib = 16,
		.rootfs = "/images/boot/rootfs.raw",
		.nics = { { .mac = "02:00:00:00:00:01" } },
		.n_nics = 1,
		.serial_log = "/vm/1/serial.log",
	};
}

static struct domain_spec linux_guest(void)
{
	struct domain_spec d = boot_guest();

	d.vcpus = 2;
	d.memory_mib = 512;
	d.emulator = "/usr/bin/qemu-system-x86_64";
	d.machine = "pc-q35-7.2";
	d.kernel = "/images/demo/vmlinuz";
	d.initrd = "/images/demo/initrd.gz";
	d.cmdline = "console=ttyS0 a=\"<b>\" c='&'";
	d.rootfs = NULL;
	d.disk = "/vm/1/hda.img";
	d.share_mode = SHARE_9P;
	d.share = "/vm/1/shared";
	return d;
}

static struct domain_spec tdx_guest(void)
{
	struct domain_spec d = linux_guest();

	d.tdx = true;
	d.machine = "pc-q35-11.1";
	d.policy = TDX_POLICY_SEPT_VE_DISABLE;
	d.firmware = "/usr/share/ovmf/OVMF.inteltdx.ms.fd";
	d.rootfs = "/images/prod/rootfs.img.verity";
	d.cid = 1001;
	d.qgs_socket = "/run/tdx-qgs/qgs.socket";
	d.has_mr_config_id = true;
	for (unsigned i = 0; i < sizeof(d.mr_config_id); i++)
		d.mr_config_id[i] = (uint8_t)i;
	return d;
}

static void boot(struct domain_spec *d)
{
	*d = boot_guest();
}

static void kvm(struct domain_spec *d)
{
	d->kvm = true;
}

static void tdx(struct domain_spec *d)
{
	*d = tdx_guest();
}

static void one_vcpu(struct domain_spec *d)
{
	d->vcpus = 1;
}

static void many_vcpus(struct domain_spec *d)
{
	*d = tdx_guest();
	d->vcpus = 64;
	d->memory_mib = 524288;
	d->cpuset = "0-31,64-95";
}

static void bridge(struct domain_spec *d)
{
	d->nics[0].mode = NIC_BRIDGE;
	d->nics[0].bridge = "br0";
}

static void three_nics(struct domain_spec *d)
{
	for (unsigned i = 0; i < 3; i++) {
		d->nics[i] = (struct domain_nic){ .mode = i == 1 ? NIC_BRIDGE : NIC_USER,
						  .bridge = "br-lan" };
		(void)snprintf(d->nics[i].mac, MAC_TEXT, "02:00:00:00:00:0%u", i + 1);
	}
	d->n_nics = 3;
}

static void volumes(struct domain_spec *d)
{
	*d = tdx_guest();
	d->volumes[0] = "/volumes/models.verity";
	d->volumes[1] = "/volumes/data,with=signs.verity";
	d->n_volumes = 2;
}

static void share_disk(struct domain_spec *d)
{
	d->share_mode = SHARE_DISK;
	d->share = "/vm/1/shared.img";
}

static void tdx_share_disk(struct domain_spec *d)
{
	*d = tdx_guest();
	share_disk(d);
}

static void channels(struct domain_spec *d)
{
	d->channel_dir = "/vm/1/channels";
}

static void huge_pages(struct domain_spec *d, unsigned nodes)
{
	*d = tdx_guest();
	d->vcpus = 2 * nodes;
	d->memory_mib = 4096 * nodes;
	d->n_cells = nodes;
	d->page_kib = 1048576;
	for (unsigned i = 0; i < nodes; i++)
		d->cells[i] = (struct domain_cell){ .host_node = i + (nodes == 1),
						    .memory_mib = 4096,
						    .first_cpu = 2 * i,
						    .cpus = 2 };
}

static void one_node(struct domain_spec *d)
{
	huge_pages(d, 1);
}

static void four_nodes(struct domain_spec *d)
{
	huge_pages(d, 4);
}

static void gpu(struct domain_spec *d)
{
	*d = tdx_guest();
	d->devices[0] = (struct domain_device){ .address = "0000:18:00.0", .cell = -1 };
	d->n_devices = 1;
	d->iommufd = true;
}

/* Eight GPUs on two sockets, with the four switches between them. */
static void all_gpus(struct domain_spec *d)
{
	static const char *const address[] = { "0000:18:00.0", "0000:2a:00.0", "0000:3a:00.0",
					       "0000:5d:00.0", "0000:9a:00.0", "0000:ab:00.0",
					       "0000:ba:00.0", "0000:db:00.0", "0000:05:00.0",
					       "0000:06:00.0", "0000:07:00.0", "0001:08:00.0" };

	huge_pages(d, 2);
	for (unsigned i = 0; i < ARRAY_SIZE(address); i++)
		d->devices[i] = (struct domain_device){ address[i], i < 8 ? (int)i / 4 : -1 };
	d->n_devices = ARRAY_SIZE(address);
}

static void every_register(struct domain_spec *d)
{
	*d = tdx_guest();
	d->policy |= TDX_POLICY_DEBUG;
	d->has_mr_owner = d->has_mr_owner_config = true;
	memset(d->mr_owner, 0xaa, sizeof(d->mr_owner));
	memset(d->mr_owner_config, 0x55, sizeof(d->mr_owner_config));
}

static void quotes_by_vsock(struct domain_spec *d)
{
	every_register(d);
	d->qgs_port = 4050;
}

static void quotes_default(struct domain_spec *d)
{
	*d = tdx_guest();
	d->qgs_socket = NULL;
	d->has_mr_config_id = false;
}

static void keep_owner(struct domain_spec *d)
{
	volumes(d);
	d->rootfs = "/images/demo/rootfs.img";
	d->keep_owner = true;
}

static void slow_cpu_check(struct domain_spec *d)
{
	d->slow_cpu_check = true;
}

/* ------------------------------------------------------------------ golden files */

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

static const struct {
	const char *name;
	void (*change)(struct domain_spec *d); /* of a Linux guest; NULL: none */
} goldens[] = {
	{ "boot", boot },
	{ "linux", NULL },
	{ "kvm", kvm },
	{ "tdx", tdx },
	{ "one-vcpu", one_vcpu },
	{ "many-vcpus", many_vcpus },
	{ "bridge", bridge },
	{ "three-nics", three_nics },
	{ "volumes", volumes },
	{ "share-disk", share_disk },
	{ "tdx-share-disk", tdx_share_disk },
	{ "channels", channels },
	{ "one-node", one_node },
	{ "four-nodes", four_nodes },
	{ "gpu", gpu },
	{ "all-gpus", all_gpus },
	{ "every-register", every_register },
	{ "quotes-by-vsock", quotes_by_vsock },
	{ "quotes-default", quotes_default },
	{ "keep-owner", keep_owner },
	{ "slow-cpu-check", slow_cpu_check },
};

static void each_spec_matches_its_golden_file(void **st)
{
	(void)st;
	for (size_t i = 0; i < ARRAY_SIZE(goldens); i++) {
		struct domain_spec d = linux_guest();

		if (goldens[i].change)
			goldens[i].change(&d);
		check_golden(goldens[i].name, &d);
	}
}

static void each_golden_file_has_a_spec(void **st)
{
	DIR *dir = opendir("tests/golden");
	size_t found = 0;

	(void)st;
	assert_non_null(dir);
	for (const struct dirent *de; (de = readdir(dir));)
		found += strstr(de->d_name, ".xml") != NULL;
	(void)closedir(dir);
	assert_int_equal(found, ARRAY_SIZE(goldens));
}

static void the_same_spec_gives_the_same_bytes(void **st)
{
	(void)st;
	for (size_t i = 0; i < ARRAY_SIZE(goldens); i++) {
		struct domain_spec d = linux_guest();
		auto_free char *first = NULL, *second = NULL;
		struct err e;

		if (goldens[i].change)
			goldens[i].change(&d);
		assert_int_equal(domain_xml(&d, &first, &e), 0);
		assert_int_equal(domain_xml(&d, &second, &e), 0);
		assert_string_equal(first, second);
	}
}

/* The guest measures where its devices are: one that is absent must not leave a gap. */
static void slots_count_up_from_one_without_gaps(void **st)
{
	struct domain_spec d = linux_guest();
	auto_free char *xml = NULL;
	struct err e;
	unsigned want = 1;

	(void)st;
	d.share_mode = SHARE_NONE;
	channels(&d);
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
	d = boot_guest(), d.nics[0].mac[0] = '\0';
	refuse(&d, "MAC");
	d = linux_guest(), bridge(&d), d.nics[0].bridge = "";
	refuse(&d, "needs a bridge");
	volumes(&d), d.volumes[1] = NULL;
	refuse(&d, "volume");
	gpu(&d), d.devices[0].address = "18:00.0";
	refuse(&d, "PCI address");
	gpu(&d), d.devices[0].cell = 0;
	refuse(&d, "NUMA node that does not exist");
	four_nodes(&d), d.cells[3].memory_mib = 4095, d.memory_mib--;
	refuse(&d, "multiple of the huge page size");
	four_nodes(&d), d.memory_mib++;
	refuse(&d, "other vCPUs or memory");
	four_nodes(&d), d.cells[2].first_cpu = 5;
	refuse(&d, "each vCPU");
	four_nodes(&d), d.page_kib = 0;
	refuse(&d, "page size");
	tdx(&d), d.policy |= 2;
	refuse(&d, "policy");
	all_gpus(&d), d.n_volumes = DOMAIN_VOLUMES + 1;
	refuse(&d, "too many");
	d = linux_guest(), d.cmdline = "a\x01"
				       "b";
	refuse(&d, "control characters");
	d = linux_guest(), d.disk = "/vm/\xff\xfe";
	refuse(&d, "control characters");
	memset(folder, 'f', sizeof(folder));
	folder[0] = '/', folder[97] = '\0';
	folder[97] = '\0';
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

/* Ports of GPUs beside everything else can be more than the bus takes: no guess where the last one
 * might sit. */
static void a_full_root_bus_is_refused(void **st)
{
	char sentinel[] = "untouched", *xml = sentinel;
	struct domain_spec d = tdx_guest();
	struct err e = { 0 };

	(void)st;
	for (unsigned i = 0; i < 28; i++)
		d.devices[i] = (struct domain_device){ "0000:18:00.0", -1 };
	d.n_devices = 28;
	assert_int_equal(domain_xml(&d, &xml, &e), -ERR_INVALID);
	assert_ptr_equal(xml, sentinel);
	assert_non_null(strstr(e.text, "slots"));
}

static void mac_follows_the_rule_of_the_field(void **st)
{
	char mac[MAC_TEXT];
	unsigned first;

	(void)st;
	domain_mac("1ccfd97d-5eb4-478a-bbe6-88d254c16db7", 0, mac);
	assert_int_equal(sscanf(mac, "%2x:", &first), 1);
	assert_int_equal(first & 3, 2);
	/* printf '%s' 00000000-0000-4000-8000-000000000000 | sha256sum: db 80 55 e0 e0 30 ... */
	domain_mac("00000000-0000-4000-8000-000000000000", 0, mac);
	assert_string_equal(mac, "da:80:55:e0:e0:30");
	/* vectors of dstack-vmm */
	domain_mac("vm-123", 0, mac);
	assert_string_equal(mac, "96:b1:d8:b9:08:e6");
	domain_mac("vm-123", 1, mac);
	assert_string_equal(mac, "c6:74:2c:65:14:b9");
}

int main(void)
{
	const struct CMUnitTest t[] = {
		cmocka_unit_test(each_spec_matches_its_golden_file),
		cmocka_unit_test(each_golden_file_has_a_spec),
		cmocka_unit_test(the_same_spec_gives_the_same_bytes),
		cmocka_unit_test(slots_count_up_from_one_without_gaps),
		cmocka_unit_test(impossible_specs_are_refused_and_write_nothing),
		cmocka_unit_test(longest_channel_folder_keeps_its_whole_socket_path),
		cmocka_unit_test(a_full_root_bus_is_refused),
		cmocka_unit_test(mac_follows_the_rule_of_the_field),
	};

	return cmocka_run_group_tests_name("domain_xml", t, NULL, NULL);
}
