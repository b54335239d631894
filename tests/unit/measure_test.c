/* SPDX-License-Identifier: Apache-2.0
 * measure_test.c - a TD's measurements put together: which register has a value, which a reason;
 * files are read once.
 *
 * The image is made of tests/data/measure, so the registers are those of measure_vectors.json. Run
 * from the project's root.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/fd.h"
#include "base/file.h"
#include "base/json.h"
#include "base/own.h"
#include "base/strings.h"
#include "db/cvms.h"
#include "vmm/compose/compose.h"
#include "vmm/guest/machine.h"
#include "vmm/guest/measure.h"
#include "vmm/node/node.h"
#include "vmm/node/settings.h"
#include "vmm/virt/hypervisor.h"
#include "vmm/vmm.h"

#define UUID     "c0ffee00-0000-4000-8000-000000000001"
#define MANIFEST "{\"manifest_version\":2,\"name\":\"a\",\"runner\":\"none\"}"
#define PINNED \
	"{\"key_provider_id\":\"33\",\"manifest_version\":2,\"name\":\"a\",\"runner\":\"none\"}"

struct node {
	char dir[40], images[64], firmware[64];
	uv_loop_t loop;
	struct vmm *v;
	struct vmm_settings set;
	struct hv_caps caps;
	struct cvm_row row;
	json_t *vectors;
};

static const char *const none[] = { NULL };

static void copy(const char *from, const char *to)
{
	auto_free char *source = xasprintf("tests/data/measure/%s", from), *data = NULL;
	struct err e;
	size_t n;

	if (file_read(source, 1 << 20, &data, &n, &e) < 0 || file_write(to, data, n, 0644, &e) < 0)
		fail_msg("%s", e.text);
}

static void put(const struct node *n, const char *name, const char *text)
{
	auto_free char *path = xasprintf("%s/dstack-0.6.0/%s", n->images, name);
	struct err e;

	assert_int_equal(file_write(path, text, strlen(text), 0644, &e), 0);
}

static void take_away(const struct node *n, const char *name)
{
	auto_free char *path = xasprintf("%s/dstack-0.6.0/%s", n->images, name);

	assert_int_equal(unlink(path), 0);
}

/* @own_firmware: a file of tests/data/measure, NULL: the image has none. */
static void make_image(const struct node *n, const char *own_firmware, const char *more)
{
	auto_free char *dir = xasprintf("%s/dstack-0.6.0", n->images),
		       *kernel = xasprintf("%s/bzImage", dir);
	auto_free char *initrd = xasprintf("%s/initrd", dir), *bios = xasprintf("%s/ovmf.fd", dir),
		       *meta = NULL;
	struct err e;

	assert_int_equal(file_mkdirs(dir, 0755, &e), 0);
	copy("kernel", kernel);
	copy("initrd", initrd);
	if (own_firmware)
		copy(own_firmware, bios);
	meta = xasprintf("{\"kernel\":\"bzImage\",\"initrd\":\"initrd\",\"cmdline\":\"console="
			 "ttyS0 init=/init\"%s%s}",
			 own_firmware ? ",\"bios\":\"ovmf.fd\"" : "", more);
	put(n, "metadata.json", meta);
}

static void make_row(struct node *n)
{
	struct cvm_row *c = &n->row;

	*c = (struct cvm_row){ .vcpus = 2,
			       .memory_mib = 2048,
			       .given_vcpus = 2,
			       .given_memory_mib = 2048,
			       .tdx = true };
	strcpy(c->uuid, UUID);
	strcpy(c->app_id, "1111111111111111111111111111111111111111");
	strcpy(c->image_name, "dstack-0.6.0");
	strcpy(c->image_version, "0.6.0");
	compose_hash(MANIFEST, c->compose_hash);
	memcpy(c->image_hash, c->compose_hash, sizeof(c->image_hash));
	n->caps = (struct hv_caps){ .qemu = "11.1.2", .tdx = true, .kvm = true };
}

static int set_up(void **st)
{
	struct node *n = xcalloc(1, sizeof(*n));
	auto_free char *text = NULL;
	auto_json json_t *all = NULL;
	struct err e;
	size_t size;

	(void)snprintf(n->dir, sizeof(n->dir), "/tmp/teepod-measure-XXXXXX");
	if (!mkdtemp(n->dir) || uv_loop_init(&n->loop))
		return -1;
	(void)snprintf(n->images, sizeof(n->images), "%s/images", n->dir);
	(void)snprintf(n->firmware, sizeof(n->firmware), "%s/node.fd", n->dir);
	n->set = (struct vmm_settings){ .loop = &n->loop,
					.state_dir = n->dir,
					.images_dir = n->images,
					.node_name = "n1",
					.region = "local",
					.workspace = "local",
					.hypervisor_uri =
						"qemu+unix:///system?socket=/nonexistent/sock",
					.tdx_firmware = n->firmware,
					.tee = TEE_NONE,
					.host_root = "",
					.device_id = "",
					.port_addresses = none,
					.kms_urls = none,
					.gateway_urls = none,
					.networks = "",
					.share_mode = SHARE_9P };
	if (vmm_open(&n->set, &n->v, &e) < 0 ||
	    file_read("tests/data/measure_vectors.json", 1 << 20, &text, &size, &e) < 0)
		return -1;
	all = json_read(text, size, &e);
	n->vectors = json_incref(json_object_get(all, "registers"));
	make_row(n);
	*st = n;
	return 0;
}

static void closed(void *arg, unsigned stuck)
{
	assert_int_equal(stuck, 0);
	*(bool *)arg = true;
}

static int tear_down(void **st)
{
	struct node *n = *st;
	bool over = false;
	struct err e;

	vmm_close(n->v, 2000, closed, &over);
	while (!over)
		(void)uv_run(&n->loop, UV_RUN_ONCE);
	(void)uv_run(&n->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&n->loop), 0);
	assert_int_equal(file_remove_tree(n->dir, &e), 0);
	json_decref(n->vectors);
	free(n);
	return 0;
}

/* ------------------------------------------------------------------ asking */

struct answer {
	unsigned n;
	bool failed;
	struct err err;
	struct measurements m; /* of the last; texts owned */
};

static void answer_end(struct answer *a)
{
	measurements_free(&a->m);
}

#define auto_answer __attribute__((cleanup(answer_end)))

static void answered(void *arg, const struct measurements *m, const struct err *e)
{
	struct answer *a = arg;

	a->n++;
	a->failed = !m;
	measurements_free(&a->m);
	if (e)
		a->err = *e;
	if (!m)
		return;
	a->m = *m;
	a->m.vm_config = xstrdup(m->vm_config);
	a->m.mr_config.document = m->mr_config.document ? xstrdup(m->mr_config.document) : NULL;
	a->m.mr_config.instance_info = NULL;
}

static void wait_for(const struct node *n, const struct answer *a, unsigned count)
{
	while (a->n < count)
		(void)uv_run((uv_loop_t *)&n->loop, UV_RUN_ONCE);
}

static void ask(struct node *n, const char *manifest, struct answer *a)
{
	a->n = 0;
	measure_with(n->v, &n->caps, &n->row, manifest, answered, a);
	wait_for(n, a, 1);
	if (a->failed)
		fail_msg("%s", a->err.text);
}

static void ask_refused(struct node *n, const char *manifest, int code, const char *said)
{
	auto_answer struct answer a = { 0 };

	measure_with(n->v, &n->caps, &n->row, manifest, answered, &a);
	wait_for(n, &a, 1);
	assert_true(a.failed);
	assert_int_equal(a.err.code, code);
	assert_non_null(strstr(a.err.text, said));
}

static const char *vector(const struct node *n, const char *name)
{
	return json_string_value(json_object_get(n->vectors, name));
}

static const char *mrtd_of(const struct node *n, const char *firmware)
{
	return json_string_value(json_object_get(json_object_get(n->vectors, "mrtd"), firmware));
}

static void has(const struct measured *m, const char *expected)
{
	char hex[SHA384_HEX];

	if (!m->known)
		fail_msg("no value: %s", m->reason);
	id_hex(m->value, SHA384_LEN, hex);
	assert_string_equal(hex, expected);
}

static void has_not(const struct measured *m, const char *why)
{
	assert_false(m->known);
	if (!strstr(m->reason, why))
		fail_msg("%s, expected %s", m->reason, why);
}

/* ------------------------------------------------------------------ registers */

static void the_images_own_firmware_is_measured(void **st)
{
	struct node *n = *st;
	auto_answer struct answer a = { 0 };

	make_image(n, "new.fd", "");
	ask(n, MANIFEST, &a);
	assert_true(a.m.tdx);
	assert_true(a.m.image_firmware);
	has(&a.m.mrtd, mrtd_of(n, "new.fd"));
	has(&a.m.rtmr[1], vector(n, "rtmr1"));
	has(&a.m.rtmr[2], vector(n, "rtmr2_first"));
	has_not(&a.m.rtmr[0], "vm_config");
	has_not(&a.m.rtmr[3], "guest");
	assert_int_equal(a.m.mr_config.version, 1);
}

static void the_nodes_firmware_serves_images_without_one(void **st)
{
	struct node *n = *st;
	auto_answer struct answer a = { 0 };

	make_image(n, NULL, "");
	ask(n, MANIFEST, &a);
	assert_false(a.m.image_firmware);
	has_not(&a.m.mrtd, "node.fd");
	has_not(&a.m.rtmr[1], "node.fd");
	has_not(&a.m.rtmr[2], "node.fd");
	copy("old.fd", n->firmware);
	ask(n, MANIFEST, &a);
	has(&a.m.mrtd, mrtd_of(n, "old.fd"));
	has(&a.m.rtmr[1], vector(n, "rtmr1"));
	has(&a.m.rtmr[2], vector(n, "rtmr2_last"));
	copy("new.fd", n->firmware); /* an upgrade of the package, while the daemon runs */
	ask(n, MANIFEST, &a);
	has(&a.m.mrtd, mrtd_of(n, "new.fd"));
	has(&a.m.rtmr[2], vector(n, "rtmr2_first"));
}

/* Vectors of 1024, 2047, 2048, 2815, 2816 and 65536 MiB. */
static void before_qemu_10_2_the_kernel_depends_on_the_memory_unless_the_firmware_takes_the_file(
	void **st)
{
	struct node *n = *st;
	auto_answer struct answer a = { 0 };
	json_t *each = json_object_get(n->vectors, "rtmr1_patched"), *one;
	size_t i;

	strcpy(n->caps.qemu, "10.1.3");
	make_image(n, "old.fd", "");
	json_array_foreach(each, i, one)
	{
		n->row.given_memory_mib = json_integer_value(json_object_get(one, "memory_mib"));
		ask(n, MANIFEST, &a);
		has(&a.m.rtmr[1], json_string_value(json_object_get(one, "value")));
	}
	strcpy(n->row.image_hash, "another");
	make_image(n, "new.fd", "");
	ask(n, MANIFEST, &a);
	has(&a.m.rtmr[1], vector(n, "rtmr1"));
	strcpy(n->row.image_hash, "a third");
	make_image(n, "old.fd", ",\"kernel_header_normalized\":true");
	ask(n, MANIFEST, &a);
	has(&a.m.rtmr[1], vector(n, "rtmr1"));
}

static void what_can_not_be_known_says_why(void **st)
{
	struct node *n = *st;
	auto_answer struct answer a = { 0 };
	auto_free char *bios = xasprintf("%s/dstack-0.6.0/ovmf.fd", n->images);

	n->caps.qemu[0] = '\0';
	make_image(n, "old.fd", "");
	ask(n, MANIFEST, &a);
	has_not(&a.m.rtmr[1], "QEMU is not known");
	has(&a.m.rtmr[2], vector(n, "rtmr2_last"));
	make_row(n);
	copy("kernel", bios);
	ask(n, MANIFEST, &a);
	has_not(&a.m.mrtd, "not a TDVF");
	has_not(&a.m.rtmr[1], "not a TDVF");
	make_image(n, "new.fd", "");
	put(n, "bzImage", "not a kernel");
	ask(n, MANIFEST, &a);
	has(&a.m.mrtd, mrtd_of(n, "new.fd"));
	has_not(&a.m.rtmr[1], "not an EFI application");
	put(n, "metadata.json", "{\"rootfs\":\"bzImage\",\"bios\":\"ovmf.fd\"}");
	n->row.image_hash[0] = '\0';
	ask(n, MANIFEST, &a);
	has(&a.m.mrtd, mrtd_of(n, "new.fd"));
	has_not(&a.m.rtmr[1], "boot loader of its own");
	has_not(&a.m.rtmr[2], "boot loader of its own");
}

#define MANIFEST_ACPI(word)                                                           \
	"{\"name\":\"app\",\"runner\":\"bash\",\"requirements\":{\"tdx_measure_acpi_" \
	"tables\":" word "}}"

static void the_lite_variant_is_taken_where_the_image_carries_it(void **st)
{
	struct node *n = *st;
	auto_answer struct answer a = { 0 };

	make_image(n, "new.fd", "");
	put(n, "sha256sum.txt", "sums");
	put(n, "digest.txt", "digest");
	n->row.given_memory_mib = 4096;
	ask(n, MANIFEST, &a);
	assert_false(a.m.lite);
	assert_null(strstr(a.m.vm_config, "tdx_measurement"));
	put(n, "measurement.tdx.cbor", "cbor");
	ask(n, MANIFEST, &a);
	assert_true(a.m.lite);
	has_not(&a.m.rtmr[0], "lite variant");
	assert_non_null(strstr(a.m.vm_config, "\"tdx_attestation_variant\":\"lite\""));
	assert_non_null(strstr(a.m.vm_config,
			       "{\"checksum_file\":\"c3Vtcw==\",\"measurement\":\"Y2Jvcg==\"}"));
	/* the rule about memory */
	n->row.given_memory_mib = 3071;
	ask(n, MANIFEST, &a);
	assert_false(a.m.lite);
	assert_non_null(strstr(a.m.vm_config, "tdx_measurement"));
	n->row.given_memory_mib = 2048;
	ask(n, MANIFEST, &a);
	assert_true(a.m.lite);
	/* the app decides */
	ask(n, MANIFEST_ACPI("true"), &a);
	assert_false(a.m.lite);
	n->row.given_memory_mib = 512;
	ask(n, MANIFEST_ACPI("false"), &a);
	assert_true(a.m.lite);
	ask_refused(n, MANIFEST_ACPI("\"yes\""), ERR_COMPOSE_INVALID, "tdx_measure_acpi_tables");
	take_away(n, "digest.txt");
	ask_refused(n, MANIFEST_ACPI("false"), ERR_IMAGE_MISMATCH, "measurement.tdx.cbor");
}

static void an_ordinary_vm_has_no_registers(void **st)
{
	struct node *n = *st;
	auto_answer struct answer a = { 0 };

	make_image(n, "new.fd", "");
	n->row.tdx = false;
	ask(n, PINNED, &a);
	assert_false(a.m.tdx);
	assert_int_equal(a.m.mr_config.version, 0);
	has_not(&a.m.mrtd, "ordinary VM");
	for (int i = 0; i < RTMRS; i++)
		has_not(&a.m.rtmr[i], "ordinary VM");
}

/* ------------------------------------------------------------------ MRCONFIGID and vm_config */

static void a_pinned_key_provider_needs_a_cvm_to_exist(void **st)
{
	struct node *n = *st;
	auto_answer struct answer a = { 0 };

	make_image(n, "new.fd", "");
	compose_hash(PINNED, n->row.compose_hash);
	ask(n, PINNED, &a);
	assert_int_equal(a.m.mr_config.version, 3);
	assert_false(a.m.mr_config.pending);
	assert_non_null(strstr(a.m.mr_config.document, "\"instance_id\":\""));
	n->row.uuid[0] = '\0';
	ask(n, PINNED, &a);
	assert_true(a.m.mr_config.pending);
}

static void vm_config_is_of_the_machine_as_given(void **st)
{
	struct node *n = *st;
	auto_answer struct answer a = { 0 };
	auto_json json_t *j = NULL;
	struct err e;

	make_image(n, "new.fd", "");
	n->row.vcpus = 3; /* asked; given 2 */
	ask(n, MANIFEST, &a);
	j = json_read(a.m.vm_config, strlen(a.m.vm_config), &e);
	assert_int_equal(json_integer_value(json_object_get(j, "cpu_count")), 2);
	assert_int_equal(json_integer_value(json_object_get(j, "memory_size")), 2048LL << 20);
	assert_string_equal(json_string_value(json_object_get(j, "qemu_version")), "11.1.2");
	assert_string_equal(json_string_value(json_object_get(j, "os_image_hash")),
			    n->row.image_hash);
}

static void refused(struct node *n, const char *manifest, enum err_code code, const char *field)
{
	auto_answer struct answer a = { 0 };

	measure_with(n->v, &n->caps, &n->row, manifest, answered, &a);
	wait_for(n, &a, 1);
	assert_true(a.failed);
	assert_int_equal(a.err.code, code);
	assert_string_equal(a.err.field, field);
}

static void what_could_not_start_is_refused(void **st)
{
	struct node *n = *st;

	make_image(n, "new.fd", "");
	refused(n, "{\"key_provider_id\":\"zz\"}", ERR_COMPOSE_INVALID,
		"compose_file.key_provider_id");
	strcpy(n->row.image_name, "dstack-0.5.1");
	refused(n, MANIFEST, ERR_HOST, ""); /* no such folder */
}

static void without_a_hypervisor_the_machine_is_not_known(void **st)
{
	struct node *n = *st;
	auto_answer struct answer a = { 0 };

	vmm_measure(n->v, &n->row, MANIFEST, answered, &a);
	assert_int_equal(a.n, 0);
	wait_for(n, &a, 1);
	assert_true(a.failed);
	assert_int_equal(a.err.code, ERR_UNAVAILABLE);
}

/* ------------------------------------------------------------------ reading once */

enum { INITRD = 8 << 20, ASKERS = 24 };

/* Bytes this process has read(2). */
static uint64_t bytes_read(void)
{
	auto_fclose FILE *f = fopen("/proc/self/io", "re");
	unsigned long long n = 0;

	assert_non_null(f);
	assert_int_equal(fscanf(f, "rchar: %llu", &n), 1);
	return n;
}

static void all_who_ask_at_once_share_one_reading_and_later_ones_need_none(void **st)
{
	struct node *n = *st;
	auto_answer struct answer a = { 0 };
	auto_free char *initrd = xasprintf("%s/dstack-0.6.0/initrd", n->images);
	uint64_t start, once;

	make_image(n, "new.fd", "");
	assert_int_equal(truncate(initrd, INITRD), 0);
	start = bytes_read();
	for (int i = 0; i < ASKERS; i++)
		measure_with(n->v, &n->caps, &n->row, MANIFEST, answered, &a);
	wait_for(n, &a, ASKERS);
	once = bytes_read() - start;
	assert_true(once >= INITRD);
	assert_true(once < 2 * INITRD);
	has(&a.m.mrtd, mrtd_of(n, "new.fd"));
	start = bytes_read();
	ask(n, MANIFEST, &a);
	assert_true(bytes_read() - start < INITRD / 8);
}

static unsigned order[3], answers;

static void answered_in_order(void *arg, const struct measurements *m, const struct err *e)
{
	(void)e;
	assert_non_null(m);
	order[answers++] = *(const unsigned *)arg;
}

static void who_asked_first_is_answered_first(void **st)
{
	static const unsigned who[3] = { 0, 1, 2 };
	struct node *n = *st;

	make_image(n, "new.fd", "");
	for (unsigned i = 0; i < 3; i++)
		measure_with(n->v, &n->caps, &n->row, MANIFEST, answered_in_order, (void *)&who[i]);
	while (answers < 3)
		(void)uv_run(&n->loop, UV_RUN_ONCE);
	assert_memory_equal(order, who, sizeof(order));
}

#define WITH_NODE(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest t[] = {
		WITH_NODE(the_images_own_firmware_is_measured),
		WITH_NODE(the_nodes_firmware_serves_images_without_one),
		WITH_NODE(
			before_qemu_10_2_the_kernel_depends_on_the_memory_unless_the_firmware_takes_the_file),
		WITH_NODE(what_can_not_be_known_says_why),
		WITH_NODE(the_lite_variant_is_taken_where_the_image_carries_it),
		WITH_NODE(an_ordinary_vm_has_no_registers),
		WITH_NODE(a_pinned_key_provider_needs_a_cvm_to_exist),
		WITH_NODE(vm_config_is_of_the_machine_as_given),
		WITH_NODE(what_could_not_start_is_refused),
		WITH_NODE(without_a_hypervisor_the_machine_is_not_known),
		WITH_NODE(all_who_ask_at_once_share_one_reading_and_later_ones_need_none),
		WITH_NODE(who_asked_first_is_answered_first),
	};

	return cmocka_run_group_tests_name("measure", t, NULL, NULL);
}
