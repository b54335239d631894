/* SPDX-License-Identifier: Apache-2.0
 * devices_test.c - choice of GPUs, and error texts of refusals. No host, no database.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "db/capacity.h"
#include "db/devices.h"
#include "vmm/admit/devices.h"
#include "vmm/host/device_state.h"
#include "vmm/admit/request.h"
#include "vmm/node/settings.h"

enum { GPUS = 4, SWITCHES = 2, ALL = GPUS + SWITCHES, OURS = 1, THEIRS = 2 };

static const char *const listing[] = { "10de:2335", "10de:233b", NULL };
static const struct gpu_settings open_handed = { .enabled = true,
						 .allow_attach_all = true,
						 .listing = listing };

/* By address: two NVSwitches, then GPUs at 10, 20, 30 (10de:2335) and 40 (10de:233b); all free. */
static void host(struct device_row d[ALL])
{
	for (int i = 0; i < ALL; i++) {
		d[i] = (struct device_row){ .kind = i < SWITCHES ? DEVICE_NVSWITCH : DEVICE_GPU,
					    .iommu_group = i,
					    .present = true };
		(void)snprintf(d[i].address, sizeof(d[i].address), "0000:%02x:00.0",
			       i < SWITCHES ? i + 1 : 0x10 * (i - 1));
		(void)snprintf(d[i].product_id, sizeof(d[i].product_id), "%s",
			       i < SWITCHES  ? "10de:22a3"
			       : i < ALL - 1 ? "10de:2335"
					     : "10de:233b");
		(void)snprintf(d[i].driver, sizeof(d[i].driver), "vfio-pci");
		d[i].offered = device_offered(&open_handed, &d[i]);
		assert_true(d[i].offered);
	}
}

static struct device_row *gpu(struct device_row d[ALL], int n)
{
	return &d[SWITCHES + n];
}

static void hold(struct device_row *d, int64_t workspace)
{
	d->cvm = 7;
	d->workspace = workspace;
	(void)snprintf(d->cvm_uuid, sizeof(d->cvm_uuid), "067f3961-1a54-4c98-aad4-5b627046ac53");
}

static int choose(const struct device_row d[ALL], const struct gpu_settings *g,
		  const struct cvm_request *request, char out[160], struct err *e)
{
	auto_free struct device_row *got = NULL;
	size_t n = 0, used = 0;
	int r = devices_choose(g, request, OURS, d, ALL, &got, &n, e);

	out[0] = '\0';
	for (size_t i = 0; i < n; i++)
		used += (size_t)snprintf(out + used, 160 - used, "%s%.2s", i ? " " : "",
					 got[i].address + 5);
	return r;
}

static void expect_chosen(const struct device_row d[ALL], const struct cvm_request *request,
			  const char *want)
{
	char got[160];
	struct err e;

	if (choose(d, &open_handed, request, got, &e))
		fail_msg("%s", e.text);
	assert_string_equal(got, want);
}

static struct cvm_request listed(const struct gpu_request *gpus, size_t n)
{
	return (struct cvm_request){ .gpu_attach = GPU_LISTED, .gpus = gpus, .n_gpus = n };
}

#define LISTED(...)                                         \
	listed((const struct gpu_request[]){ __VA_ARGS__ }, \
	       sizeof((const struct gpu_request[]){ __VA_ARGS__ }) / sizeof(struct gpu_request))

static void slots_first_then_the_lowest_free_of_each_product(void **st)
{
	struct device_row d[ALL];
	struct cvm_request request = { 0 };

	(void)st;
	host(d);
	expect_chosen(d, &request, "");
	request = LISTED({ "10:00.0", NULL });
	expect_chosen(d, &request, "10");
	request = LISTED({ "0000:30:00.0", "10DE:2335" }, { "20:00.0", NULL });
	expect_chosen(d, &request, "20 30");
	/* "any" does not take a device that a later entry names */
	request = LISTED({ NULL, "10de:2335" }, { "10:00.0", NULL });
	expect_chosen(d, &request, "10 20");
	request = LISTED({ NULL, "10de:233b" }, { NULL, "10de:2335" }, { NULL, "10de:2335" });
	expect_chosen(d, &request, "10 20 40");
	hold(gpu(d, 0), THEIRS);
	request = LISTED({ NULL, "10de:2335" });
	expect_chosen(d, &request, "20");
	snprintf(gpu(d, 1)->driver, DRIVER_TEXT, "nvidia");
	expect_chosen(d, &request, "30");
}

static void all_is_every_offered_gpu_with_the_nvswitches(void **st)
{
	const struct cvm_request request = { .gpu_attach = GPU_ALL };
	struct device_row d[ALL];

	(void)st;
	host(d);
	expect_chosen(d, &request, "10 20 30 40 01 02");
	gpu(d, 3)->offered = false;
	d[1].offered = false;
	snprintf(gpu(d, 3)->driver, DRIVER_TEXT, "nvidia");
	expect_chosen(d, &request, "10 20 30 01");
}

static void expect_refusal(const struct device_row d[ALL], const struct gpu_settings *g,
			   const struct cvm_request *request, enum err_code code, const char *field,
			   const char *text)
{
	char got[160];
	struct err e;

	assert_int_equal(choose(d, g, request, got, &e), -(int)code);
	assert_string_equal(e.field, field);
	if (!strstr(e.text, text))
		fail_msg("\"%s\" does not contain \"%s\"", e.text, text);
	assert_string_equal(got, "");
}

#define REFUSED(code, field, text, ...)                                              \
	do {                                                                         \
		const struct cvm_request request_ = LISTED(__VA_ARGS__);             \
		expect_refusal(d, &open_handed, &request_, (code), (field), (text)); \
	} while (0)

static void an_entry_that_can_not_be_met_is_named(void **st)
{
	struct device_row d[ALL];

	(void)st;
	host(d);
	REFUSED(ERR_GPU, "gpus.gpus[0].slot", "no GPU is offered at 0000:99:00.0",
		{ "99:00.0", NULL });
	REFUSED(ERR_GPU, "gpus.gpus[0].slot", "no GPU is offered at 0000:01:00.0",
		{ "01:00.0", NULL });
	REFUSED(ERR_GPU, "gpus.gpus[1].slot", "requested twice", { "10:00.0", NULL },
		{ "0000:10:00.0", NULL });
	REFUSED(ERR_GPU, "gpus.gpus[0].product_id", "the GPU at 0000:10:00.0 is 10de:2335",
		{ "10:00.0", "10de:233b" });
	REFUSED(ERR_GPU, "gpus.gpus[0].product_id", "no GPU with product id 10de:2330",
		{ NULL, "10de:2330" });
	REFUSED(ERR_INVALID, "gpus.gpus[1].slot", "no PCI address", { "10:00.0", NULL },
		{ "gpu0", NULL });
	REFUSED(ERR_INVALID, "gpus.gpus[1].slot", "neither slot nor product_id",
		{ "10:00.0", NULL }, { NULL, NULL });
	gpu(d, 0)->offered = false;
	REFUSED(ERR_GPU, "gpus.gpus[0].slot", "no GPU is offered at 0000:10:00.0",
		{ "10:00.0", NULL });
}

static void a_holder_is_named_only_in_its_own_workspace(void **st)
{
	struct device_row d[ALL];
	const struct cvm_request request = LISTED({ "10:00.0", NULL });
	char got[160];
	struct err e;

	(void)st;
	host(d);
	hold(gpu(d, 0), OURS);
	expect_refusal(d, &open_handed, &request, ERR_GPU, "gpus.gpus[0].slot",
		       "reserved by CVM 067f3961-");
	hold(gpu(d, 0), THEIRS);
	expect_refusal(d, &open_handed, &request, ERR_GPU, "gpus.gpus[0].slot",
		       "reserved by another CVM");
	(void)choose(d, &open_handed, &request, got, &e);
	assert_null(strstr(e.text, "067f3961"));
	assert_null(strstr(e.hint, "067f3961"));
}

static void a_gpu_that_is_free_here_but_busy_on_the_host_has_its_own_error(void **st)
{
	struct device_row d[ALL];

	(void)st;
	host(d);
	snprintf(gpu(d, 0)->driver, DRIVER_TEXT, "nvidia");
	gpu(d, 1)->opened = true;
	REFUSED(ERR_GPU_BUSY, "gpus.gpus[0].slot",
		"gpu 0000:10:00.0 is free, but bound to the host's driver nvidia",
		{ "10:00.0", NULL });
	REFUSED(ERR_GPU_BUSY, "gpus.gpus[0].slot", "in use by another program",
		{ "20:00.0", NULL });
	/* one is really free, two are wanted, three would be enough on paper */
	REFUSED(ERR_GPU_BUSY, "gpus.gpus[0].product_id", "0000:10:00.0 is free, but",
		{ NULL, "10de:2335" }, { NULL, "10de:2335" });
	expect_refusal(d, &open_handed, &(struct cvm_request){ .gpu_attach = GPU_ALL },
		       ERR_GPU_BUSY, "gpus.attach_mode", "0000:10:00.0 is free, but");
}

static void a_shortage_of_gpus_is_reported_in_numbers(void **st)
{
	struct device_row d[ALL];
	const struct cvm_request three =
		LISTED({ NULL, "10de:2335" }, { NULL, "10de:2335" }, { NULL, "10de:2335" });
	char got[160];
	struct err e;

	(void)st;
	host(d);
	hold(gpu(d, 0), THEIRS);
	assert_int_equal(choose(d, &open_handed, &three, got, &e), -ERR_CAPACITY);
	assert_string_equal(e.cap.resource, "gpus");
	assert_int_equal(e.cap.asked, 3);
	assert_int_equal(e.cap.free, 2);
	assert_int_equal(e.cap.total, 3);
	assert_string_equal(e.field, "gpus.gpus[0].product_id");
	assert_string_equal(e.hint, "2 would fit now");
	snprintf(gpu(d, 1)->broken_reason, 8, "dead");
	assert_int_equal(choose(d, &open_handed, &three, got, &e), -ERR_CAPACITY);
	assert_int_equal(e.cap.total, 2);
	assert_non_null(strstr(e.hint, "1 more are broken"));
	assert_int_equal(
		choose(d, &open_handed, &(struct cvm_request){ .gpu_attach = GPU_ALL }, got, &e),
		-ERR_CAPACITY);
	assert_int_equal(e.cap.asked, 3);
	assert_int_equal(e.cap.free, 2);
}

static void a_slot_taken_counts_against_the_product(void **st)
{
	struct device_row d[ALL];
	const struct cvm_request request = LISTED({ "30:00.0", NULL }, { NULL, "10de:2335" },
						  { NULL, "10de:2335" }, { NULL, "10de:2335" });
	char got[160];
	struct err e;

	(void)st;
	host(d);
	assert_int_equal(choose(d, &open_handed, &request, got, &e), -ERR_CAPACITY);
	assert_int_equal(e.cap.free, 2);
}

static void broken_ones_are_refused_with_their_reason(void **st)
{
	struct device_row d[ALL];

	(void)st;
	host(d);
	snprintf(gpu(d, 0)->broken_reason, 32, "it does not answer");
	REFUSED(ERR_GPU, "gpus.gpus[0].slot", "gpu 0000:10:00.0 is broken: it does not answer",
		{ "10:00.0", NULL });
	expect_refusal(d, &open_handed, &(struct cvm_request){ .gpu_attach = GPU_ALL }, ERR_GPU,
		       "gpus.attach_mode", "0000:10:00.0 is broken");
	host(d);
	snprintf(d[0].broken_reason, 32, "it does not answer");
	expect_refusal(d, &open_handed, &(struct cvm_request){ .gpu_attach = GPU_ALL }, ERR_GPU,
		       "gpus.attach_mode", "nvswitch 0000:01:00.0 is broken");
	host(d);
	gpu(d, 2)->present = false;
	REFUSED(ERR_GPU, "gpus.gpus[0].slot", "no longer on the PCI bus", { "30:00.0", NULL });
}

static void gpu_requests_that_the_operator_forbids_are_refused(void **st)
{
	struct device_row d[ALL];
	struct gpu_settings g = open_handed;
	const struct cvm_request one = LISTED({ "10:00.0", NULL }), all = { .gpu_attach = GPU_ALL };
	struct cvm_request both = one;

	(void)st;
	host(d);
	both.gpu_attach = GPU_ALL;
	expect_refusal(d, &g, &both, ERR_INCOMPATIBLE, "gpus.gpus", "gpus must be empty");
	g.allow_attach_all = false;
	expect_refusal(d, &g, &all, ERR_GPU, "gpus.attach_mode",
		       "not allowed on this node; allowed: listed");
	g.enabled = false;
	expect_refusal(d, &g, &one, ERR_GPU, "gpus", "does not attach GPUs");
	for (int i = 0; i < ALL; i++)
		d[i].offered = false;
	expect_refusal(d, &open_handed, &all, ERR_CAPACITY, "gpus.attach_mode",
		       "asked 1, free 0 of 0");
}

static void members_of_one_iommu_group_go_together(void **st)
{
	struct device_row d[ALL];
	const struct cvm_request two = LISTED({ "10:00.0", NULL }, { "20:00.0", NULL });

	(void)st;
	host(d);
	gpu(d, 0)->iommu_group = gpu(d, 1)->iommu_group = 50;
	REFUSED(ERR_GPU, "gpus", "0000:10:00.0 is in IOMMU group 50 together with 0000:20:00.0",
		{ "10:00.0", NULL });
	expect_chosen(d, &two, "10 20");
}

static void the_offer_follows_listing_exclude_and_include(void **st)
{
	static const char *const two[] = { "0000:20:00.0", "0000:02:00.0", NULL },
				 *const empty[] = { NULL };
	struct gpu_settings g = open_handed;
	struct device_row d[ALL];

	(void)st;
	host(d);
	g.exclude = two;
	assert_true(device_offered(&g, gpu(d, 0)));
	assert_false(device_offered(&g, gpu(d, 1)));
	assert_false(device_offered(&g, &d[1]));
	g.exclude = empty;
	g.include = two;
	assert_false(device_offered(&g, gpu(d, 0)));
	assert_true(device_offered(&g, gpu(d, 1)));
	assert_true(device_offered(&g, &d[0]));
	g.include = empty;
	g.listing = empty;
	assert_false(device_offered(&g, gpu(d, 0)));
	g.listing = listing;
	g.enabled = false;
	assert_false(device_offered(&g, gpu(d, 0)));
	assert_false(device_offered(&g, &d[0]));
}

static void states_follow_from_what_is_seen_and_held(void **st)
{
	struct device_row d[ALL];
	char why[DEVICE_WHY];

	(void)st;
	host(d);
	assert_int_equal(device_state(&d[0], why), DEVICE_FREE);
	hold(&d[0], OURS);
	assert_int_equal(device_state(&d[0], why), DEVICE_RESERVED);
	d[0].cvm_up = true;
	snprintf(d[0].driver, DRIVER_TEXT, "anything");
	assert_int_equal(device_state(&d[0], why), DEVICE_IN_USE);
	assert_string_equal(why, "");
	d[0].present = false;
	assert_int_equal(device_state(&d[0], why), DEVICE_BROKEN);
	assert_non_null(strstr(why, "no longer on the PCI bus"));
	d[1].driver[0] = '\0';
	assert_int_equal(device_state(&d[1], why), DEVICE_FREE);
}

static void counts_leave_out_what_can_not_be_given(void **st)
{
	struct capacity_row c;
	struct device_row d[ALL];

	(void)st;
	host(d);
	hold(gpu(d, 0), THEIRS);
	devices_count(d, ALL, &c);
	assert_int_equal(c.total, 4);
	assert_int_equal(c.promised, 1);
	snprintf(gpu(d, 1)->broken_reason, 8, "dead");
	snprintf(gpu(d, 2)->driver, DRIVER_TEXT, "nvidia");
	devices_count(d, ALL, &c);
	assert_int_equal(c.total, 2);
	assert_int_equal(c.promised, 1);
}

int main(void)
{
	const struct CMUnitTest t[] = {
		cmocka_unit_test(slots_first_then_the_lowest_free_of_each_product),
		cmocka_unit_test(all_is_every_offered_gpu_with_the_nvswitches),
		cmocka_unit_test(an_entry_that_can_not_be_met_is_named),
		cmocka_unit_test(a_holder_is_named_only_in_its_own_workspace),
		cmocka_unit_test(a_gpu_that_is_free_here_but_busy_on_the_host_has_its_own_error),
		cmocka_unit_test(a_shortage_of_gpus_is_reported_in_numbers),
		cmocka_unit_test(a_slot_taken_counts_against_the_product),
		cmocka_unit_test(broken_ones_are_refused_with_their_reason),
		cmocka_unit_test(gpu_requests_that_the_operator_forbids_are_refused),
		cmocka_unit_test(members_of_one_iommu_group_go_together),
		cmocka_unit_test(the_offer_follows_listing_exclude_and_include),
		cmocka_unit_test(states_follow_from_what_is_seen_and_held),
		cmocka_unit_test(counts_leave_out_what_can_not_be_given),
	};

	return cmocka_run_group_tests_name("devices", t, NULL, NULL);
}
