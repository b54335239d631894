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
#include "tests/unit/node_fixture.h"
#include "vmm/compose/compose.h"
#include "vmm/guest/machine.h"
#include "vmm/guest/measure.h"
#include "vmm/node/node.h"
#include "vmm/node/settings.h"
#include "vmm/virt/hypervisor.h"

#define UUID     "c0ffee00-0000-4000-8000-000000000001"
#define MANIFEST "{\"manifest_version\":2,\"name\":\"a\",\"runner\":\"none\"}"
#define PINNED \
	"{\"key_provider_id\":\"33\",\"manifest_version\":2,\"name\":\"a\",\"runner\":\"none\"}"

/* A node, and the CVM that is measured. */
struct measured_node {
	struct node_fixture *n;
	char firmware[64];
	struct hv_caps caps;
	struct cvm_row row;
	json_t *vectors;
};

static void copy(const char *from, const char *to)
{
	auto_free char *source = xasprintf("tests/data/measure/%s", from), *data = NULL;
	struct err e;
	size_t n;

	if (file_read(source, 1 << 20, &data, &n, &e) < 0 || file_write(to, data, n, 0644, &e) < 0)
		fail_msg("%s", e.text);
}

static void put(const struct measured_node *t, const char *name, const char *text)
{
	auto_free char *path = xasprintf("%s/dstack-0.6.0/%s", t->n->images, name);
	struct err e;

	assert_int_equal(file_write(path, text, strlen(text), 0644, &e), 0);
}

static void take_away(const struct measured_node *t, const char *name)
{
	auto_free char *path = xasprintf("%s/dstack-0.6.0/%s", t->n->images, name);

	assert_int_equal(unlink(path), 0);
}

/* @own_firmware: a file of tests/data/measure, NULL: the image has none. */
static void make_image(const struct measured_node *t, const char *own_firmware, const char *more)
{
	auto_free char *dir = xasprintf("%s/dstack-0.6.0", t->n->images),
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
	put(t, "metadata.json", meta);
}

static void make_row(struct measured_node *t)
{
	struct cvm_row *c = &t->row;

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
	t->caps = (struct hv_caps){ .qemu = "11.1.2", .tdx = true, .kvm = true };
}

static int set_up(void **st)
{
	struct measured_node *t = xcalloc(1, sizeof(*t));
	auto_free char *text = NULL;
	auto_json json_t *all = NULL;
	struct err e;
	size_t size;

	t->n = node_fixture_new("/tmp");
	(void)snprintf(t->firmware, sizeof(t->firmware), "%s/node.fd", t->n->dir);
	t->n->set.tdx_firmware = t->firmware;
	t->n->set.networks = "";
	t->n->set.share_mode = SHARE_9P;
	node_fixture_open(t->n);
	assert_int_equal(file_read("tests/data/measure_vectors.json", 1 << 20, &text, &size, &e),
			 0);
	all = json_read(text, size, &e);
	t->vectors = json_incref(json_object_get(all, "registers"));
	make_row(t);
	*st = t;
	return 0;
}

static int tear_down(void **st)
{
	struct measured_node *t = *st;

	node_fixture_free(t->n);
	json_decref(t->vectors);
	free(t);
	return 0;
}

/* ------------------------------------------------------------------ calls */

struct measure_reply {
	unsigned n;
	bool failed;
	struct err err;
	struct measurements m; /* of the last; texts owned */
};

static void measure_reply_free(struct measure_reply *a)
{
	measurements_free(&a->m);
}

#define auto_reply __attribute__((cleanup(measure_reply_free)))

static void answered(void *arg, const struct measurements *m, const struct err *e)
{
	struct measure_reply *a = arg;

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

static void wait_for(const struct measured_node *t, const struct measure_reply *a, unsigned count)
{
	while (a->n < count)
		(void)uv_run((uv_loop_t *)&t->n->loop, UV_RUN_ONCE);
}

static void measure_ok(struct measured_node *t, const char *manifest, struct measure_reply *a)
{
	a->n = 0;
	measure_with(t->n->v, &t->caps, &t->row, manifest, answered, a);
	wait_for(t, a, 1);
	if (a->failed)
		fail_msg("%s", a->err.text);
}

static void measure_refused(struct measured_node *t, const char *manifest, int code,
			    const char *text)
{
	auto_reply struct measure_reply a = { 0 };

	measure_with(t->n->v, &t->caps, &t->row, manifest, answered, &a);
	wait_for(t, &a, 1);
	assert_true(a.failed);
	assert_int_equal(a.err.code, code);
	assert_non_null(strstr(a.err.text, text));
}

static const char *vector(const struct measured_node *t, const char *name)
{
	return json_string_value(json_object_get(t->vectors, name));
}

static const char *mrtd_of(const struct measured_node *t, const char *firmware)
{
	return json_string_value(json_object_get(json_object_get(t->vectors, "mrtd"), firmware));
}

static void register_is(const struct measured *m, const char *expected)
{
	char hex[SHA384_HEX];

	if (!m->known)
		fail_msg("no value: %s", m->reason);
	id_hex(m->value, SHA384_LEN, hex);
	assert_string_equal(hex, expected);
}

static void register_unknown(const struct measured *m, const char *why)
{
	assert_false(m->known);
	if (!strstr(m->reason, why))
		fail_msg("%s, expected %s", m->reason, why);
}

/* ------------------------------------------------------------------ registers */

static void the_images_own_firmware_is_measured(void **st)
{
	struct measured_node *t = *st;
	auto_reply struct measure_reply a = { 0 };

	make_image(t, "new.fd", "");
	measure_ok(t, MANIFEST, &a);
	assert_true(a.m.tdx);
	assert_true(a.m.image_firmware);
	register_is(&a.m.mrtd, mrtd_of(t, "new.fd"));
	register_is(&a.m.rtmr[1], vector(t, "rtmr1"));
	register_is(&a.m.rtmr[2], vector(t, "rtmr2_first"));
	register_unknown(&a.m.rtmr[0], "vm_config");
	register_unknown(&a.m.rtmr[3], "guest");
	assert_int_equal(a.m.mr_config.version, 1);
}

static void the_nodes_firmware_serves_images_without_one(void **st)
{
	struct measured_node *t = *st;
	auto_reply struct measure_reply a = { 0 };

	make_image(t, NULL, "");
	measure_ok(t, MANIFEST, &a);
	assert_false(a.m.image_firmware);
	register_unknown(&a.m.mrtd, "node.fd");
	register_unknown(&a.m.rtmr[1], "node.fd");
	register_unknown(&a.m.rtmr[2], "node.fd");
	copy("old.fd", t->firmware);
	measure_ok(t, MANIFEST, &a);
	register_is(&a.m.mrtd, mrtd_of(t, "old.fd"));
	register_is(&a.m.rtmr[1], vector(t, "rtmr1"));
	register_is(&a.m.rtmr[2], vector(t, "rtmr2_last"));
	copy("new.fd", t->firmware); /* an upgrade of the package, while the daemon runs */
	measure_ok(t, MANIFEST, &a);
	register_is(&a.m.mrtd, mrtd_of(t, "new.fd"));
	register_is(&a.m.rtmr[2], vector(t, "rtmr2_first"));
}

/* Vectors of 1024, 2047, 2048, 2815, 2816 and 65536 MiB. */
static void before_qemu_10_2_the_kernel_depends_on_the_memory_unless_the_firmware_takes_the_file(
	void **st)
{
	struct measured_node *t = *st;
	auto_reply struct measure_reply a = { 0 };
	json_t *each = json_object_get(t->vectors, "rtmr1_patched"), *one;
	size_t i;

	strcpy(t->caps.qemu, "10.1.3");
	make_image(t, "old.fd", "");
	json_array_foreach(each, i, one)
	{
		t->row.given_memory_mib = json_integer_value(json_object_get(one, "memory_mib"));
		measure_ok(t, MANIFEST, &a);
		register_is(&a.m.rtmr[1], json_string_value(json_object_get(one, "value")));
	}
	strcpy(t->row.image_hash, "another");
	make_image(t, "new.fd", "");
	measure_ok(t, MANIFEST, &a);
	register_is(&a.m.rtmr[1], vector(t, "rtmr1"));
	strcpy(t->row.image_hash, "a third");
	make_image(t, "old.fd", ",\"kernel_header_normalized\":true");
	measure_ok(t, MANIFEST, &a);
	register_is(&a.m.rtmr[1], vector(t, "rtmr1"));
}

static void a_register_without_a_value_has_a_reason(void **st)
{
	struct measured_node *t = *st;
	auto_reply struct measure_reply a = { 0 };
	auto_free char *bios = xasprintf("%s/dstack-0.6.0/ovmf.fd", t->n->images);

	t->caps.qemu[0] = '\0';
	make_image(t, "old.fd", "");
	measure_ok(t, MANIFEST, &a);
	register_unknown(&a.m.rtmr[1], "QEMU is not known");
	register_is(&a.m.rtmr[2], vector(t, "rtmr2_last"));
	make_row(t);
	copy("kernel", bios);
	measure_ok(t, MANIFEST, &a);
	register_unknown(&a.m.mrtd, "not a TDVF");
	register_unknown(&a.m.rtmr[1], "not a TDVF");
	make_image(t, "new.fd", "");
	put(t, "bzImage", "not a kernel");
	measure_ok(t, MANIFEST, &a);
	register_is(&a.m.mrtd, mrtd_of(t, "new.fd"));
	register_unknown(&a.m.rtmr[1], "not an EFI application");
	put(t, "metadata.json", "{\"rootfs\":\"bzImage\",\"bios\":\"ovmf.fd\"}");
	t->row.image_hash[0] = '\0';
	measure_ok(t, MANIFEST, &a);
	register_is(&a.m.mrtd, mrtd_of(t, "new.fd"));
	register_unknown(&a.m.rtmr[1], "its own boot loader");
	register_unknown(&a.m.rtmr[2], "its own boot loader");
}

#define MANIFEST_ACPI(word)                                                           \
	"{\"name\":\"app\",\"runner\":\"bash\",\"requirements\":{\"tdx_measure_acpi_" \
	"tables\":" word "}}"

static void the_lite_variant_is_taken_where_the_image_carries_it(void **st)
{
	struct measured_node *t = *st;
	auto_reply struct measure_reply a = { 0 };

	make_image(t, "new.fd", "");
	put(t, "sha256sum.txt", "sums");
	put(t, "digest.txt", "digest");
	t->row.given_memory_mib = 4096;
	measure_ok(t, MANIFEST, &a);
	assert_false(a.m.lite);
	assert_null(strstr(a.m.vm_config, "tdx_measurement"));
	put(t, "measurement.tdx.cbor", "cbor");
	measure_ok(t, MANIFEST, &a);
	assert_true(a.m.lite);
	register_unknown(&a.m.rtmr[0], "lite variant");
	assert_non_null(strstr(a.m.vm_config, "\"tdx_attestation_variant\":\"lite\""));
	assert_non_null(strstr(a.m.vm_config,
			       "{\"checksum_file\":\"c3Vtcw==\",\"measurement\":\"Y2Jvcg==\"}"));
	/* the rule about memory */
	t->row.given_memory_mib = 3071;
	measure_ok(t, MANIFEST, &a);
	assert_false(a.m.lite);
	assert_non_null(strstr(a.m.vm_config, "tdx_measurement"));
	t->row.given_memory_mib = 2048;
	measure_ok(t, MANIFEST, &a);
	assert_true(a.m.lite);
	/* the app decides */
	measure_ok(t, MANIFEST_ACPI("true"), &a);
	assert_false(a.m.lite);
	t->row.given_memory_mib = 512;
	measure_ok(t, MANIFEST_ACPI("false"), &a);
	assert_true(a.m.lite);
	measure_refused(t, MANIFEST_ACPI("\"yes\""), ERR_COMPOSE_INVALID,
			"tdx_measure_acpi_tables");
	take_away(t, "digest.txt");
	measure_refused(t, MANIFEST_ACPI("false"), ERR_IMAGE_MISMATCH, "measurement.tdx.cbor");
}

static void an_ordinary_vm_has_no_registers(void **st)
{
	struct measured_node *t = *st;
	auto_reply struct measure_reply a = { 0 };

	make_image(t, "new.fd", "");
	t->row.tdx = false;
	measure_ok(t, PINNED, &a);
	assert_false(a.m.tdx);
	assert_int_equal(a.m.mr_config.version, 0);
	register_unknown(&a.m.mrtd, "ordinary VM");
	for (int i = 0; i < RTMRS; i++)
		register_unknown(&a.m.rtmr[i], "ordinary VM");
}

/* ------------------------------------------------------------------ MRCONFIGID and vm_config */

static void a_pinned_key_provider_needs_a_cvm_to_exist(void **st)
{
	struct measured_node *t = *st;
	auto_reply struct measure_reply a = { 0 };

	make_image(t, "new.fd", "");
	compose_hash(PINNED, t->row.compose_hash);
	measure_ok(t, PINNED, &a);
	assert_int_equal(a.m.mr_config.version, 3);
	assert_false(a.m.mr_config.pending);
	assert_non_null(strstr(a.m.mr_config.document, "\"instance_id\":\""));
	t->row.uuid[0] = '\0';
	measure_ok(t, PINNED, &a);
	assert_true(a.m.mr_config.pending);
}

static void vm_config_is_of_the_machine_as_given(void **st)
{
	struct measured_node *t = *st;
	auto_reply struct measure_reply a = { 0 };
	auto_json json_t *j = NULL;
	struct err e;

	make_image(t, "new.fd", "");
	t->row.vcpus = 3; /* requested; 2 are in effect */
	measure_ok(t, MANIFEST, &a);
	j = json_read(a.m.vm_config, strlen(a.m.vm_config), &e);
	assert_int_equal(json_integer_value(json_object_get(j, "cpu_count")), 2);
	assert_int_equal(json_integer_value(json_object_get(j, "memory_size")), 2048LL << 20);
	assert_string_equal(json_string_value(json_object_get(j, "qemu_version")), "11.1.2");
	assert_string_equal(json_string_value(json_object_get(j, "os_image_hash")),
			    t->row.image_hash);
}

static void field_refused(struct measured_node *t, const char *manifest, enum err_code code,
			  const char *field)
{
	auto_reply struct measure_reply a = { 0 };

	measure_with(t->n->v, &t->caps, &t->row, manifest, answered, &a);
	wait_for(t, &a, 1);
	assert_true(a.failed);
	assert_int_equal(a.err.code, code);
	assert_string_equal(a.err.field, field);
}

static void a_cvm_that_could_not_start_is_refused(void **st)
{
	struct measured_node *t = *st;

	make_image(t, "new.fd", "");
	field_refused(t, "{\"key_provider_id\":\"zz\"}", ERR_COMPOSE_INVALID,
		      "compose_file.key_provider_id");
	strcpy(t->row.image_name, "dstack-0.5.1");
	field_refused(t, MANIFEST, ERR_HOST, ""); /* no such folder */
}

static void without_a_hypervisor_the_machine_is_not_known(void **st)
{
	struct measured_node *t = *st;
	auto_reply struct measure_reply a = { 0 };

	vmm_measure(t->n->v, &t->row, MANIFEST, answered, &a);
	assert_int_equal(a.n, 0);
	wait_for(t, &a, 1);
	assert_true(a.failed);
	assert_int_equal(a.err.code, ERR_UNAVAILABLE);
}

/* ------------------------------------------------------------------ reading once */

enum { INITRD = 8 << 20, CALLERS = 24 };

/* Bytes this process has read(2). */
static uint64_t bytes_read(void)
{
	auto_fclose FILE *f = fopen("/proc/self/io", "re");
	unsigned long long n = 0;

	assert_non_null(f);
	assert_int_equal(fscanf(f, "rchar: %llu", &n), 1);
	return n;
}

static void concurrent_requests_share_one_read_and_later_ones_need_none(void **st)
{
	struct measured_node *t = *st;
	auto_reply struct measure_reply a = { 0 };
	auto_free char *initrd = xasprintf("%s/dstack-0.6.0/initrd", t->n->images);
	uint64_t start, once;

	make_image(t, "new.fd", "");
	assert_int_equal(truncate(initrd, INITRD), 0);
	start = bytes_read();
	for (int i = 0; i < CALLERS; i++)
		measure_with(t->n->v, &t->caps, &t->row, MANIFEST, answered, &a);
	wait_for(t, &a, CALLERS);
	once = bytes_read() - start;
	assert_true(once >= INITRD);
	assert_true(once < 2 * INITRD);
	register_is(&a.m.mrtd, mrtd_of(t, "new.fd"));
	start = bytes_read();
	measure_ok(t, MANIFEST, &a);
	assert_true(bytes_read() - start < INITRD / 8);
}

static unsigned order[3], answers;

static void answered_in_order(void *arg, const struct measurements *m, const struct err *e)
{
	(void)e;
	assert_non_null(m);
	order[answers++] = *(const unsigned *)arg;
}

static void requests_are_answered_in_order(void **st)
{
	static const unsigned who[3] = { 0, 1, 2 };
	struct measured_node *t = *st;

	make_image(t, "new.fd", "");
	for (unsigned i = 0; i < 3; i++)
		measure_with(t->n->v, &t->caps, &t->row, MANIFEST, answered_in_order,
			     (void *)&who[i]);
	while (answers < 3)
		(void)uv_run(&t->n->loop, UV_RUN_ONCE);
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
		WITH_NODE(a_register_without_a_value_has_a_reason),
		WITH_NODE(the_lite_variant_is_taken_where_the_image_carries_it),
		WITH_NODE(an_ordinary_vm_has_no_registers),
		WITH_NODE(a_pinned_key_provider_needs_a_cvm_to_exist),
		WITH_NODE(vm_config_is_of_the_machine_as_given),
		WITH_NODE(a_cvm_that_could_not_start_is_refused),
		WITH_NODE(without_a_hypervisor_the_machine_is_not_known),
		WITH_NODE(concurrent_requests_share_one_read_and_later_ones_need_none),
		WITH_NODE(requests_are_answered_in_order),
	};

	return cmocka_run_group_tests_name("measure", t, NULL, NULL);
}
