/* SPDX-License-Identifier: Apache-2.0
 * quota_test.c - quotas of workspaces: the rule, and what CVMs use of them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "base/array.h"
#include "db/cvms.h"
#include "db/devices.h"
#include "db/sql.h"
#include "db/turn.h"
#include "db/workspaces.h"
#include "tests/unit/node_fixture.h"
#include "vmm/account/workspaces.h"
#include "vmm/admit/quota.h"

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

/* ------------------------------------------------------------------ a node */

static int set_up(void **st)
{
	struct node_fixture *n = node_fixture_new("/tmp");

	node_fixture_open(n);
	node_fixture_add_image(n, "demo", 0, false);
	*st = n;
	return 0;
}

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

#define WITH_NODE(f) cmocka_unit_test_setup_teardown(f, set_up, node_fixture_tear_down)

int main(void)
{
	const struct CMUnitTest t[] = {
		cmocka_unit_test(a_quota_refuses_growth_beyond_it_with_the_right_code),
		cmocka_unit_test(only_a_cvm_that_holds_them_counts_for_vcpus_and_memory),
		WITH_NODE(workspace_usage_is_the_sum_of_its_cvms),
		WITH_NODE(a_stopped_cvm_that_released_cpu_is_checked_again_at_start),
		WITH_NODE(a_change_is_checked_for_what_it_adds),
		WITH_NODE(a_gpu_counts_from_reservation_until_delete),
	};

	return cmocka_run_group_tests_name("quota", t, NULL, NULL);
}
