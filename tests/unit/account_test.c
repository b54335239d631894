/* SPDX-License-Identifier: Apache-2.0
 * account_test.c - quotas of workspaces, API keys, and billing with clocks that jump.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/cloud/serialize_workspace.h"
#include "api/http/key_rate.h"
#include "base/alloc.h"
#include "base/array.h"
#include "base/clock.h"
#include "base/own.h"
#include "base/strings.h"
#include "db/cvms.h"
#include "db/devices.h"
#include "db/keys.h"
#include "db/ledger.h"
#include "db/operations.h"
#include "db/sql.h"
#include "db/turn.h"
#include "db/workspaces.h"
#include "tests/unit/node_fixture.h"
#include "vmm/account/balance.h"
#include "vmm/account/workspaces.h"
#include "vmm/account/billing.h"
#include "vmm/account/keys.h"
#include "vmm/account/meter.h"
#include "vmm/admit/quota.h"
#include "vmm/cvm/observe.h"
#include "vmm/node/node.h"
#include "vmm/node/records.h"
#include "vmm/vmm.h"

enum { HOUR = METER_HOUR_MS };

/* ------------------------------------------------------------------ arithmetic */

static void a_running_cvm_pays_for_everything_and_a_stopped_one_for_its_disk(void **st)
{
	const struct rates r = { .vcpu = 1000, .memory_gib = 100, .disk_gib = 7, .gpu = 50000 };
	const struct cvm_size c = { .vcpus = 2, .memory_mib = 1536, .disk_gib = 10, .gpus = 1 };
	const struct cvm_size tiny = { .vcpus = 1, .memory_mib = 1 };
	const struct rates most = { .vcpu = 1000000000,
				    .memory_gib = 1000000000,
				    .disk_gib = 1000000000 };
	const struct cvm_size huge = { .vcpus = INT64_MAX,
				       .memory_mib = INT64_MAX,
				       .disk_gib = INT64_MAX };

	(void)st;
	assert_int_equal(meter_rate(&r, &c, true), 2000 + 150 + 70 + 50000);
	assert_int_equal(meter_rate(&r, &c, false), 70);
	assert_int_equal(meter_rate(&r, &tiny, true), 1001); /* rounded up to a micro-unit */
	assert_int_equal(meter_rate(&most, &huge, true), INT64_MAX);
}

static void charges_in_parts_add_up_to_one_charge(void **st)
{
	static const int64_t rates[] = { 1, 7, 999, 3600000, 123456789 };

	(void)st;
	srand(7);
	for (size_t i = 0; i < ARRAY_SIZE(rates); i++) {
		int64_t rest = 0, whole_rest = 0, sum = 0, elapsed = 0;

		for (int k = 0; k < 1000; k++) {
			int64_t ms = rand() % 5000;

			elapsed += ms;
			sum += meter_charge(rates[i], ms, &rest);
			assert_in_range(rest, 0, HOUR - 1);
		}
		assert_int_equal(sum, meter_charge(rates[i], elapsed, &whole_rest));
		assert_int_equal(rest, whole_rest);
	}
}

static void backward_time_costs_nothing_and_a_charge_saturates(void **st)
{
	int64_t rest = 5;

	(void)st;
	assert_int_equal(meter_charge(1000, -1, &rest), 0);
	assert_int_equal(meter_charge(1000, 0, &rest), 0);
	assert_int_equal(rest, 5);
	assert_int_equal(meter_charge(INT64_MAX, INT64_MAX, &rest), INT64_MAX);
}

static struct clock_reading reading(int64_t wall_ms, int64_t boot_ms, const char *boot_id)
{
	struct clock_reading r = { .wall_ms = wall_ms, .boot_ms = boot_ms };

	(void)snprintf(r.boot_id, sizeof(r.boot_id), "%s", boot_id);
	return r;
}

static void metered_time_follows_the_boot_clock_not_the_wall_clock(void **st)
{
	static const struct {
		int64_t wall_ms, boot_ms;
		const char *boot_id;
		bool booted;
		int64_t now_ms;
	} steps[] = {
		{ 1000000, 500, "a", false, 1000000 }, /* starts at the wall clock */
		{ 1000100, 600, "a", false, 1000100 }, /* both advance */
		{ 5, 700, "a", false, 1000200 },       /* wall set back */
		{ 9000000, 800, "a", false, 1000300 }, /* wall set ahead */
		{ 9000000, 750, "a", false, 1000300 }, /* a boot clock that goes back is ignored */
		{ 9000000, 800, "a", false, 1000300 }, /* and no time counts twice */
		{ 9000100, 900, "a", false, 1000400 },
		{ 900000, 10, "b", true, 1000400 }, /* booted, wall clock behind: unchanged */
		{ 900000, 110, "b", false, 1000500 },
		{ 2000000, 20, "c", true, 2000000 }, /* booted, wall clock ahead: follows it */
	};
	struct meter_clock c = { 0 };

	(void)st;
	for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
		struct clock_reading r =
			reading(steps[i].wall_ms, steps[i].boot_ms, steps[i].boot_id);

		assert_int_equal(meter_clock_advance(&c, &r), steps[i].booted);
		assert_int_equal(c.now_ms, steps[i].now_ms);
	}
}

static void the_clock_of_this_host_goes_forward(void **st)
{
	struct clock_reading a, b;

	(void)st;
	clock_read(&a);
	clock_read(&b);
	assert_string_equal(a.boot_id, b.boot_id);
	assert_int_equal(strlen(a.boot_id), UUID_TEXT - 1);
	assert_true(b.boot_ms >= a.boot_ms && a.boot_ms > 0);
}

static void a_quota_refuses_growth_beyond_it_with_the_right_code(void **st)
{
	static const struct {
		int64_t max[QUOTAS], held[QUOTAS], more[QUOTAS], after[QUOTAS];
		int result; /* err_code */
		int64_t asked, left, total;
	} cases[] = {
		{ { -1, -1, -1, -1, -1, -1 },
		  { 9, 9, 9, 9, 9, 0 },
		  { 99, 99, 99, 1, 9, 0 },
		  { 99, 99, 99, 1, 9, 0 },
		  0,
		  0,
		  0,
		  0 },
		{ { 8, -1, -1, -1, -1, -1 },
		  { 4, 0, 0, 0, 0, 0 },
		  { 4, 0, 0, 1, 0, 0 },
		  { 4, 0, 0, 1, 0, 0 },
		  0,
		  0,
		  0,
		  0 },
		{ { 8, -1, -1, -1, -1, -1 },
		  { 4, 0, 0, 0, 0, 0 },
		  { 5, 0, 0, 1, 0, 0 },
		  { 5, 0, 0, 1, 0, 0 },
		  ERR_QUOTA,
		  5,
		  4,
		  8 },
		{ { 8, -1, -1, -1, -1, -1 },
		  { 0, 0, 0, 0, 0, 0 },
		  { 9, 0, 0, 1, 0, 0 },
		  { 9, 0, 0, 1, 0, 0 },
		  ERR_QUOTA_SIZE,
		  9,
		  8,
		  8 },
		{ { -1, 100, -1, -1, -1, -1 },
		  { 0, 60, 0, 0, 0, 0 },
		  { 0, 41, 0, 0, 0, 0 },
		  { 0, 80, 0, 1, 0, 0 },
		  ERR_QUOTA,
		  41,
		  40,
		  100 },
		{ { -1, -1, 10, -1, -1, -1 },
		  { 0, 0, 10, 0, 0, 0 },
		  { 0, 0, 1, 1, 0, 0 },
		  { 0, 0, 1, 1, 0, 0 },
		  ERR_QUOTA,
		  1,
		  0,
		  10 },
		{ { -1, -1, -1, 3, -1, -1 },
		  { 0, 0, 0, 3, 0, 0 },
		  { 1, 1, 1, 1, 0, 0 },
		  { 1, 1, 1, 1, 0, 0 },
		  ERR_QUOTA_CVMS,
		  3,
		  0,
		  3 },
		{ { -1, -1, -1, 3, 0, -1 },
		  { 0, 0, 0, 2, 0, 0 },
		  { 1, 1, 1, 1, 1, 0 },
		  { 1, 1, 1, 1, 1, 0 },
		  ERR_QUOTA_SIZE,
		  1,
		  0,
		  0 },
		{ { -1, -1, -1, -1, -1, 100 },
		  { 0, 0, 0, 0, 0, 70 },
		  { 0, 0, 0, 1, 0, 64 },
		  { 0, 0, 0, 1, 0, 64 },
		  ERR_QUOTA,
		  64,
		  30,
		  100 },
		/* a limit below the usage takes nothing away, and allows a decrease */
		{ { 2, -1, -1, 1, -1, -1 },
		  { 8, 0, 0, 3, 0, 0 },
		  { -1, 0, 0, 0, 0, 0 },
		  { 3, 0, 0, 1, 0, 0 },
		  0,
		  0,
		  0,
		  0 },
		{ { 2, -1, -1, -1, -1, -1 },
		  { 8, 0, 0, 3, 0, 0 },
		  { 1, 0, 0, 0, 0, 0 },
		  { 1, 0, 0, 1, 0, 0 },
		  ERR_QUOTA,
		  1,
		  0,
		  2 },
	};

	(void)st;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct workspace_row w = { .slug = "team" };
		struct err e;

		memcpy(w.max, cases[i].max, sizeof(w.max));
		memcpy(w.held, cases[i].held, sizeof(w.held));
		assert_int_equal(quota_allows(&w, cases[i].more, cases[i].after, &e),
				 -cases[i].result);
		if (!cases[i].result)
			continue;
		assert_int_equal(e.cap.asked, cases[i].asked);
		assert_int_equal(e.cap.free, cases[i].left);
		assert_int_equal(e.cap.total, cases[i].total);
		assert_non_null(strstr(e.text, "team"));
	}
}

static void only_a_cvm_that_holds_them_counts_for_vcpus_and_memory(void **st)
{
	const struct cvm_row c = { .given_vcpus = 2,
				   .given_memory_mib = 512,
				   .disk_gib = 10,
				   .gpus = 1,
				   .holds_cpu = false };
	struct cvm_row held = c;
	int64_t n[QUOTAS];

	(void)st;
	quota_needs(&c, n);
	assert_int_equal(n[QUOTA_VCPUS] + n[QUOTA_MEMORY], 0);
	assert_int_equal(n[QUOTA_DISK], 10);
	assert_int_equal(n[QUOTA_CVMS], 1);
	assert_int_equal(n[QUOTA_GPUS], 1);
	held.holds_cpu = true;
	quota_needs(&held, n);
	assert_int_equal(n[QUOTA_VCPUS], 2);
	assert_int_equal(n[QUOTA_MEMORY], 512);
}

static unsigned take(struct key_rate *r, int64_t id, int64_t per_minute, int64_t now)
{
	return key_rate_take(r, &(struct key_budget){ id, per_minute }, 1, now);
}

static void a_key_may_use_one_minute_of_requests_at_once(void **st)
{
	struct key_rate *r = key_rate_new();
	int64_t now = 1000, second = 1000000;

	(void)st;
	for (int i = 0; i < 60; i++)
		assert_int_equal(take(r, 1, 60, now), 0);
	assert_int_equal(take(r, 1, 60, now), 1);
	assert_int_equal(take(r, 2, 60, now), 0); /* keys are counted separately */
	assert_int_equal(take(r, 1, 60, now + second), 0);
	assert_int_equal(take(r, 1, 60, now + second), 1);
	assert_int_equal(key_rate_take(r, NULL, 0, now), 0);
	assert_int_equal(take(r, 3, 1, now), 0);
	assert_int_equal(take(r, 3, 1, now + second), 59);
	for (int64_t id = 10; id < 2000; id++) /* many keys, each with its own entry */
		assert_int_equal(take(r, id, 1, now), 0);
	for (int64_t id = 10; id < 2000; id++)
		assert_int_equal(take(r, id, 1, now + second), 59);
	key_rate_free(r);
}

static void money_is_written_without_floating_point(void **st)
{
	static const struct {
		int64_t micro;
		const char *text;
	} cases[] = { { 0, "0" },         { 1, "0.000001" },
		      { 1500000, "1.5" }, { -12345678, "-12.345678" },
		      { 2000000, "2" },   { INT64_MIN, "-9223372036854.775808" } };
	char out[MONEY_TEXT];

	(void)st;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_string_equal(money_text(cases[i].micro, out), cases[i].text);
}

static void times_are_parsed_as_they_are_formatted(void **st)
{
	static const struct {
		const char *text;
		int64_t ms;
	} good[] = { { "1970-01-01T00:00:00Z", 0 },
		     { "2026-01-21T08:24:20.374Z", 1768983860374 },
		     { "2026-01-21t08:24:20.374999999z", 1768983860374 },
		     { "2026-01-21T10:24:20.374+02:00", 1768983860374 },
		     { "2026-01-21 02:54:20.374-05:30", 1768983860374 },
		     { "2024-02-29T00:00:00Z", 1709164800000 } };
	static const char *const bad[] = { "",
					   "now",
					   "2026-01-21",
					   "2026-01-21T08:24:20",
					   "2026-02-29T00:00:00Z",
					   "2026-13-01T00:00:00Z",
					   "2026-01-21T24:00:00Z",
					   "2026-01-21T08:24:20.Z",
					   "2026-01-21T08:24:20Z ",
					   "1969-12-31T23:59:59Z",
					   "1970-01-01T00:00:00+01:00",
					   "+2026-01-21T08:24:20Z",
					   "2026-1-21T08:24:20Z" };
	int64_t ms = 7;

	(void)st;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		assert_false(clock_parse(bad[i], &ms));
		assert_int_equal(ms, 7);
	}
	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		assert_true(clock_parse(good[i].text, &ms));
		assert_int_equal(ms, good[i].ms);
	}
}

static void keys_of_one_parent_share_its_rate_and_a_refusal_charges_none(void **st)
{
	const struct key_budget first[] = { { 2, 30 }, { 1, 40 } },
				second[] = { { 3, 30 }, { 1, 40 } };
	struct key_rate *r = key_rate_new();
	const int64_t now = 1000000;

	(void)st;
	for (unsigned i = 0; i < 30; i++)
		assert_int_equal(key_rate_take(r, first, 2, now), 0);
	assert_int_equal(key_rate_take(r, first, 2, now), 2); /* its own limit */
	for (unsigned i = 0; i < 10; i++)
		assert_int_equal(key_rate_take(r, second, 2, now), 0);
	for (unsigned i = 0; i < 100; i++)
		assert_int_equal(key_rate_take(r, second, 2, now), 2); /* the parent's */
	assert_int_equal(take(r, 1, 40, now), 2);
	for (unsigned i = 0; i < 20; i++)
		assert_int_equal(take(r, 3, 30, now), 0); /* 10 of 30 were charged */
	assert_int_equal(take(r, 3, 30, now), 2);
	key_rate_free(r);
}

/* ------------------------------------------------------------------ a node */

static int set_up(void **st)
{
	struct node_fixture *n = node_fixture_new("/tmp");

	n->set.max_keys = 5;
	n->set.keys_per_minute = 100;
	/* Per hour: a vCPU 3600000 (1 a millisecond), a GiB of disk 36000 (1 in 100 ms). */
	n->set.billing =
		(struct billing_settings){ .interval_s = 3600,
					   .rates = { .vcpu = HOUR, .disk_gib = HOUR / 100 } };
	node_fixture_open(n);
	node_fixture_add_image(n, "demo", 0, false);
	*st = n;
	return 0;
}

static int tear_down(void **st)
{
	struct node_fixture *n = *st;

	node_fixture_close(n);
	node_fixture_check_db(n);
	node_fixture_free(n);
	return 0;
}

/* ------------------------------------------------------------------ quotas */

static int create(struct node_fixture *n, const char *name, int64_t vcpus, struct cvm_call *ret,
		  struct err *e)
{
	*ret = (struct cvm_call){ .request = { .vcpus = vcpus, .disk_gib = 10 } };
	return cvm_call_create(n, name, ret, e);
}

static int limit_turn(void *arg, struct err *e)
{
	struct cvm_call *a = arg;
	struct workspace_request w = { .max = { 4, QUOTA_KEEP, 25, QUOTA_UNLIMITED, QUOTA_KEEP,
						QUOTA_KEEP } };
	struct workspace_row got;

	return vmm_workspace_change(a->n->v, "local", &w, &got, e);
}

static struct workspace_row workspace(struct node_fixture *n)
{
	struct workspace_row w;
	struct err e;

	assert_int_equal(vmm_workspace_find(n->v, "local", &w, &e), 0);
	return w;
}

static void workspace_usage_is_the_sum_of_its_cvms(void **st)
{
	struct node_fixture *n = *st;
	struct cvm_call first, second;
	struct err e;

	assert_int_equal(turn_do(vmm_turn(n->v), limit_turn, &(struct cvm_call){ .n = n }, &e), 0);
	assert_int_equal(create(n, "first", 3, &first, &e), 0);
	assert_int_equal(create(n, "second", 2, &second, &e), -ERR_QUOTA);
	assert_string_equal(e.cap.resource, "vcpus");
	assert_int_equal(e.cap.free, 1);
	assert_int_equal(create(n, "second", 5, &second, &e), -ERR_QUOTA_SIZE);
	assert_int_equal(create(n, "second", 1, &second, &e), 0);
	assert_int_equal(workspace(n).held[QUOTA_VCPUS], 4);
	assert_int_equal(workspace(n).held[QUOTA_MEMORY], 200);
	assert_int_equal(workspace(n).held[QUOTA_DISK], 20);
	assert_int_equal(workspace(n).held[QUOTA_CVMS], 2);
	assert_int_equal(turn_do(vmm_turn(n->v), cvm_call_delete_turn, &first, &e), 0);
	assert_int_equal(workspace(n).held[QUOTA_VCPUS], 1);
	assert_int_equal(workspace(n).held[QUOTA_DISK], 10);
}

static void a_stopped_cvm_that_released_cpu_is_checked_again_at_start(void **st)
{
	struct node_fixture *n = *st;
	struct cvm_call first, second;
	struct err e;

	assert_int_equal(turn_do(vmm_turn(n->v), limit_turn, &(struct cvm_call){ .n = n }, &e), 0);
	assert_int_equal(create(n, "first", 3, &first, &e), 0);
	assert_int_equal(turn_do(vmm_turn(n->v), cvm_call_hold_cpu_turn, &first, &e), 0);
	assert_int_equal(workspace(n).held[QUOTA_VCPUS], 0);
	assert_int_equal(workspace(n).held[QUOTA_DISK], 10);
	assert_int_equal(create(n, "second", 2, &second, &e), 0);
	first.power.kind = OP_START;
	assert_int_equal(turn_do(vmm_turn(n->v), cvm_call_power_turn, &first, &e), -ERR_QUOTA);
	assert_int_equal(e.cap.asked, 3);
	assert_int_equal(e.cap.free, 2);
	assert_int_equal(workspace(n).held[QUOTA_VCPUS], 2);
	assert_int_equal(turn_do(vmm_turn(n->v), cvm_call_delete_turn, &second, &e), 0);
	assert_int_equal(turn_do(vmm_turn(n->v), cvm_call_hold_cpu_turn, &first, &e), 0);
	assert_int_equal(workspace(n).held[QUOTA_VCPUS], 3);
}

static void a_change_is_checked_for_what_it_adds(void **st)
{
	struct node_fixture *n = *st;
	struct cvm_row after;
	struct cvm_call a;
	struct err e;

	assert_int_equal(turn_do(vmm_turn(n->v), limit_turn, &(struct cvm_call){ .n = n }, &e), 0);
	assert_int_equal(create(n, "first", 3, &a, &e), 0);
	after = a.row;
	after.given_vcpus = 4;
	assert_int_equal(quota_check(n->v, a.row.workspace, &a.row, &after, &e), 0);
	after.disk_gib = 26;
	assert_int_equal(quota_check(n->v, a.row.workspace, &a.row, &after, &e), -ERR_QUOTA_SIZE);
	assert_string_equal(e.cap.resource, "disk_gib");
	after.disk_gib = 1;
	after.given_vcpus = 5;
	assert_int_equal(quota_check(n->v, a.row.workspace, &a.row, &after, &e), -ERR_QUOTA_SIZE);
}

static int take_gpu(void *arg, struct err *e)
{
	struct cvm_call *a = arg;
	struct device_row d = {
		.kind = DEVICE_GPU, .iommu_group = 1, .offered = true, .present = true
	};
	struct db *db = vmm_db(a->n->v);
	int r;

	(void)snprintf(d.address, sizeof(d.address), "0000:18:00.0");
	(void)snprintf(d.product_id, sizeof(d.product_id), "10de:2335");
	r = devices_put(db, &d, e);
	if (!r)
		r = sql_run(db, e, "UPDATE cvms SET gpu_attach = 'listed' WHERE id = ?", "i",
			    a->row.id);
	r = r < 0 ? r : devices_reserve(db, d.address, a->row.id, e);
	return r < 0 ? r : 0;
}

static void a_gpu_counts_from_reservation_until_delete(void **st)
{
	struct node_fixture *n = *st;
	struct cvm_call a;
	struct err e;

	assert_int_equal(create(n, "first", 1, &a, &e), 0);
	assert_int_equal(turn_do(vmm_turn(n->v), take_gpu, &a, &e), 0);
	assert_int_equal(workspace(n).held[QUOTA_GPUS], 1);
	assert_int_equal(turn_do(vmm_turn(n->v), cvm_call_delete_turn, &a, &e), 0);
	assert_int_equal(workspace(n).held[QUOTA_GPUS], 0);
}

/* ------------------------------------------------------------------ workspaces and keys */

struct key_call {
	struct node_fixture *n;
	struct workspace_row w;
	struct key_row k;
	struct key_request request;
	char text[API_KEY_TEXT];
};

static int add_workspace(void *arg, struct err *e)
{
	struct key_call *k = arg;
	const struct workspace_request request = { .slug = "team", .max = { -1, -1, -1, -1, -1 } };

	return vmm_workspace_add(k->n->v, &request, &k->w, e);
}

static int delete_workspace(void *arg, struct err *e)
{
	struct key_call *k = arg;

	return vmm_workspace_delete(k->n->v, "team", e);
}

static int make_key(void *arg, struct err *e)
{
	struct key_call *k = arg;

	return vmm_key_make(k->n->v, &k->request, &k->k, k->text, e);
}

static int revoke_key(void *arg, struct err *e)
{
	struct key_call *k = arg;

	return vmm_key_revoke(k->n->v, k->k.id, e);
}

static void the_number_of_a_deleted_workspace_is_not_reused_and_its_keys_are_invalid(void **st)
{
	struct node_fixture *n = *st;
	struct key_call k = { .n = n };
	struct key_row row;
	int64_t first;
	struct err e;

	assert_int_equal(turn_do(vmm_turn(n->v), add_workspace, &k, &e), 0);
	assert_int_equal(turn_do(vmm_turn(n->v), add_workspace, &k, &e), -ERR_CONFLICT);
	first = k.w.id;
	k.request = (struct key_request){ .workspace = first, .name = "ci", .role = 2 };
	assert_int_equal(turn_do(vmm_turn(n->v), make_key, &k, &e), 0);
	assert_int_equal(vmm_authenticate(n->v, k.text, &row, &e), 0);
	assert_string_equal(row.workspace_slug, "team");
	assert_int_equal(turn_do(vmm_turn(n->v), delete_workspace, &k, &e), 0);
	assert_int_equal(vmm_authenticate(n->v, k.text, &row, &e), -ERR_UNAUTHENTICATED);
	assert_int_equal(vmm_workspace_find(n->v, "team", &k.w, &e), -ERR_NOT_FOUND);
	assert_int_equal(turn_do(vmm_turn(n->v), delete_workspace, &k, &e), -ERR_NOT_FOUND);
	assert_int_equal(turn_do(vmm_turn(n->v), add_workspace, &k, &e), 0);
	assert_int_not_equal(k.w.id, first);
}

static void a_key_ends_by_expiry_or_revocation_and_its_text_is_not_stored(void **st)
{
	struct node_fixture *n = *st;
	struct key_call k = {
		.n = n,
		.request = { .workspace = vmm_default_workspace(n->v), .name = "ci", .role = 2 }
	};
	uint64_t generation = vmm_keys_generation(n->v);
	int64_t found = -1;
	struct key_row row;
	struct err e;

	assert_int_equal(turn_do(vmm_turn(n->v), make_key, &k, &e), 0);
	assert_int_equal(vmm_authenticate(n->v, k.text, &row, &e), 0);
	assert_memory_equal(row.prefix, k.text, strlen(row.prefix));
	assert_int_equal(strlen(row.prefix), 13);
	assert_int_equal(
		sql_int(vmm_db(n->v), &e, -1, &found,
			"SELECT count(*) FROM api_keys WHERE instr(hex(hash) || name || prefix, ?)",
			"s", k.text + 13),
		0);
	assert_int_equal(found, 0);
	assert_int_equal(turn_do(vmm_turn(n->v), revoke_key, &k, &e), 0);
	assert_int_not_equal(vmm_keys_generation(n->v), generation);
	assert_int_equal(vmm_key(n->v, k.k.id, &row, &e), -ERR_NOT_FOUND);
	assert_int_equal(vmm_authenticate(n->v, k.text, &row, &e), -ERR_UNAUTHENTICATED);
	assert_int_equal(turn_do(vmm_turn(n->v), revoke_key, &k, &e), -ERR_NOT_FOUND);
	k.request.expires_ms = clock_wall_ms() + 3600000;
	assert_int_equal(turn_do(vmm_turn(n->v), make_key, &k, &e), 0);
	assert_int_equal(vmm_key(n->v, k.k.id, &row, &e), 0);
	assert_true(row.expires_ms == k.request.expires_ms);
	k.request.expires_ms = 1;
	assert_int_equal(turn_do(vmm_turn(n->v), make_key, &k, &e), -ERR_INVALID);
}

static int64_t hour_from_now(void)
{
	return clock_wall_ms() + 3600000;
}

/* Each key is made by the one before. */
static void make_descendants(struct node_fixture *n, struct key_call *k, unsigned length)
{
	struct err e;

	for (unsigned i = 0; i < length; i++) {
		k[i] = (struct key_call){ .n = n };
		k[i].request = (struct key_request){ .workspace = vmm_default_workspace(n->v),
						 .name = "ci",
						 .role = 2,
						 .parent = i ? k[i - 1].k.id : 0 };
		assert_int_equal(turn_do(vmm_turn(n->v), make_key, &k[i], &e), 0);
		assert_int_equal(k[i].k.parent, k[i].request.parent);
	}
}

static void a_key_has_no_more_rights_than_its_parent(void **st)
{
	struct node_fixture *n = *st;
	struct key_call parent = {
		.n = n,
		.request = { .workspace = vmm_default_workspace(n->v), .name = "p", .role = 2 }
	};
	struct key_call k = parent;
	struct err e;

	parent.request.expires_ms = hour_from_now();
	parent.request.per_minute = 30;
	assert_int_equal(turn_do(vmm_turn(n->v), make_key, &parent, &e), 0);
	k.request.parent = parent.k.id;
	assert_int_equal(turn_do(vmm_turn(n->v), make_key, &k, &e), 0);
	assert_int_equal(k.k.expires_ms, parent.k.expires_ms);
	assert_int_equal(k.k.per_minute, 30);
	k.request.expires_ms = parent.k.expires_ms - 1;
	k.request.per_minute = 29;
	assert_int_equal(turn_do(vmm_turn(n->v), make_key, &k, &e), 0);
	assert_int_equal(k.k.expires_ms, parent.k.expires_ms - 1);
	assert_int_equal(k.k.per_minute, 29);
	k.request.per_minute = 31;
	assert_int_equal(turn_do(vmm_turn(n->v), make_key, &k, &e), -ERR_FORBIDDEN);
	assert_string_equal(e.field, "limits.requests_per_minute");
	assert_string_equal(e.value, "31");
	k.request.expires_ms = parent.k.expires_ms + 1;
	assert_int_equal(turn_do(vmm_turn(n->v), make_key, &k, &e), -ERR_FORBIDDEN);
	assert_string_equal(e.field, "expires_at");
}

static void a_key_made_by_another_credential_expires_with_it(void **st)
{
	struct node_fixture *n = *st;
	struct key_call k = {
		.n = n,
		.request = { .workspace = vmm_default_workspace(n->v), .name = "p", .role = 2 }
	};
	struct err e;

	k.request.ends_ms = hour_from_now();
	assert_int_equal(turn_do(vmm_turn(n->v), make_key, &k, &e), 0);
	assert_int_equal(k.k.expires_ms, k.request.ends_ms);
	k.request.expires_ms = k.request.ends_ms + 1;
	assert_int_equal(turn_do(vmm_turn(n->v), make_key, &k, &e), -ERR_FORBIDDEN);
}

static void revoking_a_key_revokes_its_descendants(void **st)
{
	struct node_fixture *n = *st;
	struct key_call k[4], other;
	struct key_row row;
	struct err e;

	make_descendants(n, k, 4);
	make_descendants(n, &other, 1);
	assert_int_equal(turn_do(vmm_turn(n->v), revoke_key, &k[1], &e), 0);
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(vmm_authenticate(n->v, k[i].text, &row, &e),
				 i ? -ERR_UNAUTHENTICATED : 0);
	assert_int_equal(vmm_authenticate(n->v, other.text, &row, &e), 0);
	assert_int_equal(turn_do(vmm_turn(n->v), revoke_key, &k[3], &e), -ERR_NOT_FOUND);
	k[3].request.parent = k[1].k.id;
	assert_int_equal(turn_do(vmm_turn(n->v), make_key, &k[3], &e), -ERR_UNAUTHENTICATED);
}

static void the_depth_of_descendant_keys_is_limited(void **st)
{
	struct node_fixture *n = *st;
	struct key_call k[KEY_LINE_MAX + 1];
	struct key_row row;
	struct err e;

	n->set.max_keys = 0;
	node_fixture_reload(n);
	make_descendants(n, k, KEY_LINE_MAX);
	k[KEY_LINE_MAX] = k[KEY_LINE_MAX - 1];
	k[KEY_LINE_MAX].request.parent = k[KEY_LINE_MAX - 1].k.id;
	assert_int_equal(turn_do(vmm_turn(n->v), make_key, &k[KEY_LINE_MAX], &e), -ERR_FORBIDDEN);
	assert_string_equal(e.field, "parent");
	assert_int_equal(turn_do(vmm_turn(n->v), revoke_key, &k[0], &e), 0);
	assert_int_equal(vmm_key(n->v, k[KEY_LINE_MAX - 1].k.id, &row, &e), -ERR_NOT_FOUND);
}

static void deleting_a_workspace_revokes_keys_made_by_its_keys_elsewhere(void **st)
{
	struct node_fixture *n = *st;
	struct key_call k = { .n = n }, child = { .n = n };
	struct key_row row;
	struct err e;

	assert_int_equal(turn_do(vmm_turn(n->v), add_workspace, &k, &e), 0);
	k.request = (struct key_request){ .workspace = k.w.id, .name = "admin", .role = 4 };
	assert_int_equal(turn_do(vmm_turn(n->v), make_key, &k, &e), 0);
	child.request = (struct key_request){ .workspace = vmm_default_workspace(n->v),
					  .name = "child",
					  .role = 4,
					  .parent = k.k.id };
	assert_int_equal(turn_do(vmm_turn(n->v), make_key, &child, &e), 0);
	assert_int_equal(turn_do(vmm_turn(n->v), delete_workspace, &k, &e), 0);
	assert_int_equal(vmm_authenticate(n->v, child.text, &row, &e), -ERR_UNAUTHENTICATED);
}

static void last_use_is_recorded_once_a_minute(void **st)
{
	struct node_fixture *n = *st;
	struct key_call k = {
		.n = n,
		.request = { .workspace = vmm_default_workspace(n->v), .name = "ci", .role = 2 }
	};
	struct key_row row;
	int64_t used;
	struct err e;

	assert_int_equal(turn_do(vmm_turn(n->v), make_key, &k, &e), 0);
	assert_int_equal(vmm_authenticate(n->v, k.text, &row, &e), 0);
	assert_int_equal(vmm_key(n->v, k.k.id, &row, &e), 0);
	used = row.last_used_ms;
	assert_true(used > 0);
	assert_int_equal(keys_set_used(vmm_db(n->v), k.k.id, used - 59000, &e), 0);
	assert_int_equal(vmm_authenticate(n->v, k.text, &row, &e), 0);
	assert_int_equal(vmm_key(n->v, k.k.id, &row, &e), 0);
	assert_int_equal(row.last_used_ms, used - 59000);
	assert_int_equal(keys_set_used(vmm_db(n->v), k.k.id, used + 3600000, &e),
			 0); /* the clock was set back */
	assert_int_equal(vmm_authenticate(n->v, k.text, &row, &e), 0);
	assert_int_equal(vmm_key(n->v, k.k.id, &row, &e), 0);
	assert_true(row.last_used_ms >= used && row.last_used_ms < used + 60000);
}

static void keys_are_limited_in_number_and_in_rate(void **st)
{
	struct node_fixture *n = *st;
	struct key_call k = {
		.n = n,
		.request = { .workspace = vmm_default_workspace(n->v), .name = "ci", .role = 2 }
	};
	struct err e;

	for (int i = 0; i < 5; i++)
		assert_int_equal(turn_do(vmm_turn(n->v), make_key, &k, &e), 0);
	assert_int_equal(turn_do(vmm_turn(n->v), make_key, &k, &e), -ERR_KEYS);
	assert_int_equal(e.cap.total, 5);
	assert_int_equal(turn_do(vmm_turn(n->v), revoke_key, &k, &e), 0);
	n->set.keys_per_minute = 5;
	node_fixture_reload(n);
	assert_int_equal(turn_do(vmm_turn(n->v), make_key, &k, &e), -ERR_KEY_RATE);
	assert_in_range(e.retry_s, 50, 60);
	n->set.keys_per_minute = 6;
	node_fixture_reload(n);
	assert_int_equal(turn_do(vmm_turn(n->v), make_key, &k, &e), 0);
}

/* ------------------------------------------------------------------ billing */

static struct clock_reading test_clock;

static void read_test_clock(struct clock_reading *ret)
{
	*ret = test_clock;
}

/* From here on the test sets the node's time. */
static void charge_from_now(struct node_fixture *n)
{
	node_fixture_close(n);
	n->set.billing.enabled = true;
	node_fixture_open(n);
	clock_read(&test_clock);
	billing_set_clock(n->v, read_test_clock);
}

struct credit {
	struct node_fixture *n;
	int64_t amount;
};

static int credit_turn(void *arg, struct err *e)
{
	const struct credit *c = arg;
	struct ledger_row row;

	return vmm_credit(c->n->v, vmm_default_workspace(c->n->v), c->amount, "for a test",
			  "tester", &row, e);
}

static void credit(struct node_fixture *n, int64_t amount)
{
	struct credit c = { n, amount };
	struct err e;

	assert_int_equal(turn_do(vmm_turn(n->v), credit_turn, &c, &e), 0);
}

struct observation {
	struct cvm_call *call;
	enum observed observed;
};

static int observe_turn(void *arg, struct err *e)
{
	struct observation *o = arg;
	struct cvm_call *a = o->call;
	int r = observe_apply(a->n->v, &a->row, o->observed, e);

	return r ? r : cvms_get(vmm_db(a->n->v), a->row.id, &a->row, e);
}

static void observe(struct cvm_call *a, enum observed observed)
{
	struct observation o = { a, observed };
	struct err e;

	assert_int_equal(turn_do(vmm_turn(a->n->v), observe_turn, &o, &e), 0);
}

static int check_turn(void *arg, struct err *e)
{
	return billing_check(arg, e);
}

static void pass(int64_t ms)
{
	test_clock.boot_ms += ms;
	test_clock.wall_ms += ms;
}

static struct balance balance(struct node_fixture *n)
{
	struct balance b;
	struct err e;

	assert_int_equal(vmm_balance(n->v, vmm_default_workspace(n->v), &b, &e), 0);
	return b;
}

static int64_t entries(struct node_fixture *n)
{
	int64_t count = -1;
	struct err e;

	assert_int_equal(sql_int(vmm_db(n->v), &e, -1, &count,
				 "SELECT count(*) FROM ledger WHERE kind = 'charge'", ""),
			 0);
	return count;
}

static void time_is_charged_once_at_its_rate_despite_wall_clock_changes(void **st)
{
	struct node_fixture *n = *st;
	struct cvm_call a;
	struct err e;
	int64_t left = 100000000;

	charge_from_now(n);
	credit(n, left);
	assert_int_equal(create(n, "first", 2, &a, &e), 0);
	pass(10000);
	assert_int_equal(balance(n).left, left -= 10000 / 10); /* 10 GiB of disk: 1 in 10 ms */
	observe(&a, OBSERVED_RUNNING);
	test_clock.wall_ms -= 999999999; /* set back by days, while it runs */
	test_clock.boot_ms += 1000;
	assert_int_equal(balance(n).left, left -= 2000 + 100);
	test_clock.wall_ms += 2999999999; /* and far ahead */
	test_clock.boot_ms += 1000;
	observe(&a, OBSERVED_OFF);
	assert_int_equal(balance(n).left, left -= 2000 + 100);
	assert_int_equal(balance(n).booked, left); /* only the interval that just began is open */
	assert_int_equal(entries(n), 2);
	test_clock.boot_ms -= 500; /* ignored: a boot clock does not go back */
	observe(&a, OBSERVED_RUNNING);
	assert_int_equal(balance(n).left, left);
	test_clock.boot_ms += 500;
	assert_int_equal(balance(n).left, left);
	pass(100);
	assert_int_equal(turn_do(vmm_turn(n->v), cvm_call_delete_turn, &a, &e), 0);
	assert_int_equal(balance(n).left, left -= 200 + 10);
	assert_int_equal(balance(n).booked, left);
	assert_int_equal(balance(n).rate, 0);
	pass(HOUR);
	assert_int_equal(balance(n).left, left);
}

static void a_long_interval_is_written_every_hour(void **st)
{
	struct node_fixture *n = *st;
	struct cvm_call a;
	struct err e;

	charge_from_now(n);
	credit(n, 1000000000);
	assert_int_equal(create(n, "first", 1, &a, &e), 0);
	observe(&a, OBSERVED_RUNNING);
	for (int i = 0; i < 180; i++) {
		pass(60000);
		assert_int_equal(turn_do(vmm_turn(n->v), check_turn, n->v, &e), 0);
	}
	assert_int_equal(entries(n), 3);
	assert_int_equal(balance(n).booked, 1000000000 - 3LL * (HOUR + HOUR / 10));
}

static void a_daemon_restart_neither_loses_nor_repeats_time(void **st)
{
	struct node_fixture *n = *st;
	struct cvm_call a;
	struct err e;
	int64_t left = 100000000;

	charge_from_now(n);
	credit(n, left);
	assert_int_equal(create(n, "first", 1, &a, &e), 0);
	observe(&a, OBSERVED_RUNNING);
	pass(5000);
	assert_int_equal(turn_do(vmm_turn(n->v), check_turn, n->v, &e), 0);
	left = balance(n).left;
	node_fixture_close(n);
	node_fixture_open(n); /* the real clock is behind: no change */
	assert_int_equal(balance(n).left, left);
	billing_set_clock(n->v, read_test_clock);
	pass(1000);
	assert_int_equal(balance(n).left, left - 1000 - 100);
}

static void after_a_host_reboot_a_running_cvm_paid_only_for_its_disk(void **st)
{
	struct node_fixture *n = *st;
	struct balance b;
	struct cvm_call a;
	struct err e;

	charge_from_now(n);
	credit(n, 100000000);
	assert_int_equal(create(n, "first", 1, &a, &e), 0);
	observe(&a, OBSERVED_RUNNING);
	pass(5000);
	assert_int_equal(turn_do(vmm_turn(n->v), check_turn, n->v, &e), 0);
	assert_int_equal(balance(n).left, 100000000 - 5000 - 500);
	/* Move everything one hour into the past, before a boot. */
	assert_true(
		sql_run(vmm_db(n->v), &e,
			"UPDATE billing_clock SET boot_id = 'another', now_ms = now_ms - 3600000",
			"") == 1);
	assert_true(sql_run(vmm_db(n->v), &e, "UPDATE meters SET from_ms = from_ms - 3600000",
			    "") == 1);
	node_fixture_close(n);
	node_fixture_open(n);
	b = balance(n);
	/* 5 s of everything, then an hour of disk. The limits allow for the difference between the
	 * test's clock and the real one. */
	assert_in_range(100000000 - b.left, 5000 + 500 + (HOUR - 5000) / 10 - 2000,
			5000 + 500 + HOUR / 10 + 2000);
	assert_int_equal(entries(n), 2);
}

static void the_balance_must_cover_the_next_hour(void **st)
{
	struct node_fixture *n = *st;
	struct cvm_call a, b;
	struct err e;

	charge_from_now(n);
	assert_int_equal(create(n, "first", 1, &a, &e), -ERR_BALANCE);
	assert_int_equal(e.cap.asked, HOUR / 10);
	assert_int_equal(e.cap.free, 0);
	credit(n, HOUR / 10);
	assert_int_equal(create(n, "first", 1, &a, &e), 0);
	a.power.kind = OP_START;
	assert_int_equal(turn_do(vmm_turn(n->v), cvm_call_power_turn, &a, &e), -ERR_BALANCE);
	assert_int_equal(e.cap.asked, HOUR + HOUR / 10);
	credit(n, HOUR);
	assert_int_equal(turn_do(vmm_turn(n->v), cvm_call_power_turn, &a, &e), 0);
	/* It is about to run: its next hour is reserved, and another CVM cannot use it. */
	assert_int_equal(create(n, "second", 1, &b, &e), -ERR_BALANCE);
}

static void an_empty_balance_stops_running_cvms_only_if_configured(void **st)
{
	struct node_fixture *n = *st;
	struct cvm_call a;
	struct op_row op;
	struct err e;

	charge_from_now(n);
	credit(n, 2LL * HOUR);
	assert_int_equal(create(n, "first", 1, &a, &e), 0);
	assert_int_equal(cvms_set_desired(vmm_db(n->v), a.row.id, DESIRED_RUNNING, &e), 0);
	observe(&a, OBSERVED_RUNNING);
	pass(3LL * HOUR);
	assert_int_equal(turn_do(vmm_turn(n->v), check_turn, n->v, &e), 0);
	assert_true(balance(n).left < 0);
	assert_int_equal(ops_running_of(vmm_db(n->v), a.row.id, &op, &e), -ERR_NOT_FOUND);
	n->set.billing.stop_on_empty = true;
	node_fixture_reload(n);
	assert_int_equal(turn_do(vmm_turn(n->v), check_turn, n->v, &e), 0);
	assert_int_equal(ops_running_of(vmm_db(n->v), a.row.id, &op, &e), 0);
	assert_int_equal(op.kind, OP_SHUTDOWN);
	assert_string_equal(op.caller, "billing");
	assert_int_equal(turn_do(vmm_turn(n->v), check_turn, n->v, &e), 0); /* and not twice */
}

static void the_ledger_is_append_only_and_its_sum_is_the_balance(void **st)
{
	struct node_fixture *n = *st;
	struct ledger_row *rows = NULL;
	int64_t total;
	struct err e;
	size_t count;

	charge_from_now(n);
	credit(n, 70);
	credit(n, -20);
	assert_true(sql_run(vmm_db(n->v), &e, "UPDATE ledger SET amount = 1000", "") < 0);
	assert_true(sql_run(vmm_db(n->v), &e, "DELETE FROM ledger", "") < 0);
	assert_int_equal(
		vmm_ledger(n->v, vmm_default_workspace(n->v), 0, 10, &rows, &count, &total, &e), 0);
	assert_int_equal(total, 2);
	assert_int_equal(rows[0].amount, -20);
	assert_int_equal(rows[0].balance, 50);
	assert_int_equal(rows[1].balance, 70);
	free(rows);
	assert_int_equal(balance(n).left, 50);
}

static void disabling_billing_closes_open_intervals(void **st)
{
	struct node_fixture *n = *st;
	struct cvm_call a;
	struct err e;

	charge_from_now(n);
	credit(n, 100000000);
	assert_int_equal(create(n, "first", 1, &a, &e), 0);
	pass(1000);
	assert_int_equal(turn_do(vmm_turn(n->v), check_turn, n->v, &e), 0);
	node_fixture_close(n);
	n->set.billing.enabled = false;
	node_fixture_open(n);
	assert_int_equal(balance(n).booked, 100000000 - 100);
	assert_int_equal(balance(n).left, 100000000 - 100);
	assert_false(balance(n).enabled);
}

#define ON_A_NODE(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

/* ------------------------------------------------------------------ records */

static int fit_turn(void *arg, struct err *e)
{
	struct node_fixture *n = arg;

	return records_fit(n->v, vmm_default_workspace(n->v), RECORD_PROVISIONS, e);
}

static void only_as_many_records_are_dropped_as_their_length_requires(void **st)
{
	static const char add[] =
		"WITH RECURSIVE i (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM i WHERE x < 127)"
		" INSERT INTO provisions (workspace, app_id, compose_hash, request, manifest,"
		" created_ms, expires_ms, used) SELECT ?, 'app', 'hash' || x, '', CASE WHEN x < 64"
		" THEN 'm' ELSE hex(zeroblob(5000)) END, x, 1 << 60, 1 FROM i";
	const int64_t long_bytes = 256 + 10000;
	struct node_fixture *n = *st;
	int64_t left = 0;
	struct err e;

	node_fixture_close(n);
	n->set.record_limit[RECORD_PROVISIONS] = 64 * long_bytes - 1; /* one too many */
	node_fixture_open(n);
	assert_int_equal(sql_run(vmm_db(n->v), &e, add, "i", vmm_default_workspace(n->v)), 127);
	assert_int_equal(turn_do(vmm_turn(n->v), fit_turn, n, &e), 0);
	assert_int_equal(
		sql_int(vmm_db(n->v), &e, -1, &left, "SELECT count(*) FROM provisions", ""), 0);
	assert_in_range(left, 64 - 8, 63);
	assert_true(sql_run(vmm_db(n->v), &e, "DELETE FROM provisions", "") > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_running_cvm_pays_for_everything_and_a_stopped_one_for_its_disk),
		cmocka_unit_test(charges_in_parts_add_up_to_one_charge),
		cmocka_unit_test(backward_time_costs_nothing_and_a_charge_saturates),
		cmocka_unit_test(metered_time_follows_the_boot_clock_not_the_wall_clock),
		cmocka_unit_test(the_clock_of_this_host_goes_forward),
		cmocka_unit_test(a_quota_refuses_growth_beyond_it_with_the_right_code),
		cmocka_unit_test(only_a_cvm_that_holds_them_counts_for_vcpus_and_memory),
		cmocka_unit_test(a_key_may_use_one_minute_of_requests_at_once),
		cmocka_unit_test(keys_of_one_parent_share_its_rate_and_a_refusal_charges_none),
		cmocka_unit_test(money_is_written_without_floating_point),
		cmocka_unit_test(times_are_parsed_as_they_are_formatted),
		ON_A_NODE(workspace_usage_is_the_sum_of_its_cvms),
		ON_A_NODE(a_stopped_cvm_that_released_cpu_is_checked_again_at_start),
		ON_A_NODE(a_change_is_checked_for_what_it_adds),
		ON_A_NODE(a_gpu_counts_from_reservation_until_delete),
		ON_A_NODE(the_number_of_a_deleted_workspace_is_not_reused_and_its_keys_are_invalid),
		ON_A_NODE(a_key_ends_by_expiry_or_revocation_and_its_text_is_not_stored),
		ON_A_NODE(a_key_has_no_more_rights_than_its_parent),
		ON_A_NODE(a_key_made_by_another_credential_expires_with_it),
		ON_A_NODE(revoking_a_key_revokes_its_descendants),
		ON_A_NODE(the_depth_of_descendant_keys_is_limited),
		ON_A_NODE(deleting_a_workspace_revokes_keys_made_by_its_keys_elsewhere),
		ON_A_NODE(last_use_is_recorded_once_a_minute),
		ON_A_NODE(keys_are_limited_in_number_and_in_rate),
		ON_A_NODE(time_is_charged_once_at_its_rate_despite_wall_clock_changes),
		ON_A_NODE(a_long_interval_is_written_every_hour),
		ON_A_NODE(a_daemon_restart_neither_loses_nor_repeats_time),
		ON_A_NODE(after_a_host_reboot_a_running_cvm_paid_only_for_its_disk),
		ON_A_NODE(the_balance_must_cover_the_next_hour),
		ON_A_NODE(an_empty_balance_stops_running_cvms_only_if_configured),
		ON_A_NODE(the_ledger_is_append_only_and_its_sum_is_the_balance),
		ON_A_NODE(disabling_billing_closes_open_intervals),
		ON_A_NODE(only_as_many_records_are_dropped_as_their_length_requires),
	};

	return cmocka_run_group_tests_name("account", tests, NULL, NULL);
}
