/* SPDX-License-Identifier: Apache-2.0
 * reservation_test.c - GPUs, hugepages and TDX key ids in admission: a host made of files, a real
 * database, no hypervisor.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/array.h"
#include "base/own.h"
#include "db/capacity.h"
#include "db/cvms.h"
#include "db/devices.h"
#include "db/operations.h"
#include "db/sql.h"
#include "db/turn.h"
#include "tests/unit/host_tree.h"
#include "tests/unit/node_fixture.h"
#include "vmm/admit/capacity.h"
#include "vmm/admit/reservation.h"
#include "vmm/admit/placement.h"
#include "vmm/cvm/create.h"
#include "vmm/cvm/update.h"
#include "vmm/host/host_watch.h"
#include "vmm/host/inventory.h"
#include "vmm/host/waiters.h"
#include "vmm/cvm/steps.h"
#include "vmm/op/step_job.h"
#include "vmm/vmm.h"

enum { GIB = 1024 };

static const char *const listing[] = { "10de:2335", NULL };
static const struct request_ref ref = { .request_id = "req-1",
					.caller = "tester",
					.inspected = true };

static void count_call(void *arg)
{
	++*(int *)arg;
}

static void read_inventory(struct node_fixture *n)
{
	int called = 0;

	inventory_refresh(n->v, count_call, &called);
	while (!called)
		(void)uv_run(&n->loop, UV_RUN_ONCE);
}

static void open_node(struct node_fixture *n)
{
	node_fixture_open(n);
	read_inventory(n);
}

/* With the settings in n->set. */
static void reopen_node(struct node_fixture *n)
{
	node_fixture_close(n);
	open_node(n);
}

/* 8 GPUs and 8 GiB of 1 GiB pages on each of two nodes. */
static int set_up(void **st)
{
	struct node_fixture *n;

	if (tree_set_up(st))
		return -1;
	tree_two_sockets(1048576, 8);
	n = node_fixture_new("/tmp");
	n->set.host_root = tree_root;
	n->set.vcpus = 128;
	n->set.memory_mib = 65536;
	n->set.disk_gib = 100;
	n->set.slots = 64;
	n->set.tdx_keyids = -1;
	n->set.ports_enabled = true;
	n->set.gpu = (struct gpu_settings){ .enabled = true,
					    .allow_attach_all = true,
					    .listing = listing };
	open_node(n);
	node_fixture_add_image(n, "demo", 0, false);
	*st = n;
	return 0;
}

/* When the inventory is not being read. */
static void check_db(struct node_fixture *n)
{
	while (uv_run(&n->loop, UV_RUN_NOWAIT) && inventory_is_reading(n->v))
		;
	node_fixture_check_db(n);
}

static int tear_down(void **st)
{
	struct node_fixture *n = *st;

	check_db(n);
	node_fixture_free(n);
	return tree_tear_down(st);
}

/* ------------------------------------------------------------------ calls */

static int create(struct node_fixture *n, const char *name, struct cvm_call *c, struct err *e)
{
	c->request.inspected = true;
	c->request.memory_mib = c->request.memory_mib ? c->request.memory_mib : 512;
	return cvm_call_create(n, name, c, e);
}

static void create_ok(struct node_fixture *n, const char *name, struct cvm_call *c)
{
	struct err e;

	if (create(n, name, c, &e))
		fail_msg("%s: %s", name, e.text);
}

/* As the end of a delete does it; the steps before need a hypervisor. */
static void delete_row(struct cvm_call *c)
{
	struct err e;

	assert_int_equal(cvms_get(vmm_db(c->n->v), c->row.id, &c->row, &e), 0);
	assert_int_equal(cvm_call_apply(c, cvm_call_delete_turn, &e), 0);
}

static int64_t count(struct node_fixture *n, const char *sql)
{
	int64_t v;
	struct err e;

	assert_int_equal(sql_int(vmm_db(n->v), &e, -1, &v, sql, ""), 0);
	return v;
}

/* A refusal reserves nothing: @cvms is the number of rows. */
static void expect_nothing_reserved(struct node_fixture *n, int64_t cvms)
{
	assert_int_equal(count(n, "SELECT count(*) FROM cvms"), cvms);
	if (cvms)
		return;
	assert_int_equal(count(n, "SELECT count(*) FROM devices WHERE cvm IS NOT NULL"), 0);
	assert_int_equal(
		count(n, "SELECT sum(hugepages_promised + pinned_promised) FROM numa_nodes"), 0);
	assert_int_equal(count(n, "SELECT sum(promised) FROM capacity"), 0);
	assert_int_equal(count(n, "SELECT count(*) FROM cvm_nodes"), 0);
}

static struct capacity_row gpus_of(struct node_fixture *n)
{
	struct capacity_row rows[CAPACITY_ROWS];
	struct err e;

	assert_int_equal(vmm_capacity(n->v, rows, &e), 0);
	assert_string_equal(rows[CAPACITY_ROWS - 1].resource, "gpus");
	return rows[CAPACITY_ROWS - 1];
}

/* ------------------------------------------------------------------ GPUs */

static void the_first_inventory_finds_devices_and_nodes(void **st)
{
	struct node_fixture *n = *st;

	assert_int_equal(count(n, "SELECT count(*) FROM devices WHERE kind = 'gpu' AND offered"),
			 8);
	assert_int_equal(count(n, "SELECT count(*) FROM devices WHERE kind = 'nvswitch'"), 4);
	assert_int_equal(count(n, "SELECT sum(hugepages_mib) FROM numa_nodes"), 16384);
	assert_int_equal(gpus_of(n).total, 8);
	assert_int_equal(gpus_of(n).promised, 0);
}

static void gpus_are_reserved_with_the_row_and_free_after_the_delete(void **st)
{
	static const struct gpu_request two[] = { { "ab:00.0", NULL }, { NULL, "10de:2335" } };
	struct cvm_call a = { .request = { .gpu_attach = GPU_LISTED, .gpus = two, .n_gpus = 2 } };
	auto_free struct device_row *d = NULL;
	struct node_fixture *n = *st;
	size_t n_d;
	struct err e;

	create_ok(n, "with-two", &a);
	assert_int_equal(a.row.gpus, 2);
	assert_string_equal(a.row.gpu_attach, "listed");
	assert_int_equal(vmm_devices_of(n->v, a.row.id, &d, &n_d, &e), 0);
	assert_int_equal(n_d, 2);
	assert_string_equal(d[0].address, "0000:18:00.0");
	assert_string_equal(d[1].address, "0000:ab:00.0");
	assert_string_equal(d[0].cvm_uuid, a.row.uuid);
	assert_int_equal(gpus_of(n).promised, 2);
	check_db(n);
	delete_row(&a);
	assert_int_equal(gpus_of(n).promised, 0);
	expect_nothing_reserved(n, 0);
}

static void all_gpus_come_with_the_nvswitches(void **st)
{
	static const struct gpu_request one[] = { { NULL, "10de:2335" } };
	struct cvm_call all = { .request = { .gpu_attach = GPU_ALL } };
	struct cvm_call late = { .request = {
					 .gpu_attach = GPU_LISTED, .gpus = one, .n_gpus = 1 } };
	struct node_fixture *n = *st;
	struct err e;

	create_ok(n, "takes-all", &all);
	assert_int_equal(all.row.gpus, 8);
	assert_int_equal(all.row.nvswitches, 4);
	assert_int_equal(count(n, "SELECT count(*) FROM devices WHERE cvm IS NOT NULL"), 12);
	assert_int_equal(create(n, "too-late", &late, &e), -ERR_CAPACITY);
	assert_string_equal(e.cap.resource, "gpus");
	expect_nothing_reserved(n, 1);
	delete_row(&all);
	create_ok(n, "too-late", &late);
	assert_int_equal(create(n, "takes-all", &all, &e), -ERR_CAPACITY);
	assert_int_equal(e.cap.asked, 8);
	assert_int_equal(e.cap.free, 7);
}

static void a_refusal_later_in_admission_leaves_the_gpus_free(void **st)
{
	static const struct gpu_request one[] = { { NULL, "10de:2335" } };
	struct cvm_call a = {
		.request = { .gpu_attach = GPU_LISTED, .gpus = one, .n_gpus = 1, .vcpus = 9999 }
	};
	struct node_fixture *n = *st;
	struct err e;

	assert_int_equal(create(n, "too-big", &a, &e), -ERR_CAPACITY);
	assert_string_equal(e.cap.resource, "vcpus");
	expect_nothing_reserved(n, 0);
}

static void a_missing_device_keeps_its_row_and_fails_the_start(void **st)
{
	static const struct gpu_request one[] = { { "18:00.0", NULL } };
	struct cvm_call a = { .request = { .gpu_attach = GPU_LISTED, .gpus = one, .n_gpus = 1 } };
	struct step_job j = { .set = { .host_root = tree_root } };
	struct node_fixture *n = *st;
	struct err e;

	create_ok(n, "holder", &a);
	assert_int_equal(vmm_devices_of(n->v, a.row.id, &j.devices, &j.n_devices, &e), 0);
	assert_int_equal(step_devices(&j, &e), 0);
	tree_remove(PCI_DEVICES "/0000:18:00.0");
	tree_remove(PCI_DEVICES "/0000:2a:00.0");
	read_inventory(n);
	assert_int_equal(count(n, "SELECT count(*) FROM devices WHERE kind = 'gpu'"), 7);
	assert_int_equal(count(n, "SELECT present FROM devices WHERE address = '0000:18:00.0'"), 0);
	assert_int_equal(step_devices(&j, &e), -ERR_HOST);
	free(j.devices);
	delete_row(&a);
	read_inventory(n);
	assert_int_equal(count(n, "SELECT count(*) FROM devices WHERE kind = 'gpu'"), 6);
}

static void unreadable_files_leave_the_inventory_unchanged(void **st)
{
	struct node_fixture *n = *st;

	tree_remove(PCI_DEVICES);
	tree_put(PCI_DEVICES, "no folder");
	tree_put("/sys/devices/system/node/node1/meminfo", "nonsense");
	read_inventory(n);
	assert_int_equal(count(n, "SELECT count(*) FROM devices"), 12);
	assert_int_equal(count(n, "SELECT sum(hugepages_mib) FROM numa_nodes"), 16384);
	assert_true(*inventory_error(n->v) != 0);
}

static void a_reload_changes_what_is_offered(void **st)
{
	static const char *const exclude[] = { "0000:18:00.0", NULL };
	struct node_fixture *n = *st;

	n->set.gpu.exclude = exclude;
	vmm_reload(n->v, &n->set);
	read_inventory(n);
	assert_int_equal(gpus_of(n).total, 7);
	n->set.gpu.enabled = false;
	vmm_reload(n->v, &n->set);
	read_inventory(n);
	assert_int_equal(gpus_of(n).total, 0);
}

/* ------------------------------------------------------------------ hugepages */

static void hugepages_are_reserved_as_given_not_as_requested(void **st)
{
	static const struct gpu_request both_nodes[] = { { "18:00.0", NULL }, { "9a:00.0", NULL } };
	struct cvm_call a = { .request = { .hugepages = true,
					   .vcpus = 3,
					   .memory_mib = 2 * GIB + 1,
					   .gpu_attach = GPU_LISTED,
					   .gpus = both_nodes,
					   .n_gpus = 2 } };
	struct node_fixture *n = *st;

	create_ok(n, "spread", &a);
	assert_string_equal(a.row.numa_nodes, "0,1");
	assert_int_equal(a.row.vcpus, 3);
	assert_int_equal(a.row.given_vcpus, 4);
	assert_int_equal(a.row.memory_mib, 2 * GIB + 1);
	assert_int_equal(a.row.given_memory_mib, 4 * GIB);
	assert_int_equal(count(n, "SELECT promised FROM capacity WHERE resource = 'vcpus'"), 4);
	assert_int_equal(count(n, "SELECT promised FROM capacity WHERE resource = 'memory_mib'"),
			 0);
	assert_int_equal(count(n, "SELECT hugepages_promised FROM numa_nodes WHERE node = 0"),
			 2 * GIB);
	assert_int_equal(count(n, "SELECT hugepages_promised FROM numa_nodes WHERE node = 1"),
			 2 * GIB);
	check_db(n);
	delete_row(&a);
	expect_nothing_reserved(n, 0);
}

static void the_next_node_is_taken_when_the_first_is_full_and_then_none(void **st)
{
	struct cvm_call a = { .request = { .hugepages = true, .memory_mib = 6 * GIB } }, b = a,
			c = a;
	struct node_fixture *n = *st;
	struct err e;

	create_ok(n, "first", &a);
	create_ok(n, "second", &b);
	assert_string_equal(a.row.numa_nodes, "0");
	assert_string_equal(b.row.numa_nodes, "1");
	assert_int_equal(create(n, "third", &c, &e), -ERR_CAPACITY);
	assert_string_equal(e.cap.resource, "hugepages_mib");
	assert_int_equal(e.cap.numa_node, 0);
	assert_int_equal(e.cap.asked, 6 * GIB);
	assert_int_equal(e.cap.free, 2 * GIB);
	assert_int_equal(e.cap.total, 8 * GIB);
	assert_string_equal(
		e.text,
		"not enough hugepages: asked 6144 MiB of NUMA node 0, free 2048 of 8192 MiB;"
		" node 1: free 2048 of 8192 MiB");
	assert_string_equal(e.hint, "2048 MiB would fit now");
	expect_nothing_reserved(n, 2);
}

static void with_gpus_only_their_nodes_count(void **st)
{
	static const struct gpu_request on_one[] = { { "9a:00.0", NULL } };
	struct cvm_call a = { .request = { .hugepages = true,
					   .memory_mib = 7 * GIB,
					   .gpu_attach = GPU_LISTED,
					   .gpus = on_one,
					   .n_gpus = 1 } };
	struct node_fixture *n = *st;
	struct err e;

	tree_put("/sys/devices/system/node/node1/hugepages/hugepages-1048576kB/free_hugepages",
		 "5\n");
	read_inventory(n);
	assert_int_equal(create(n, "gpu-on-one", &a, &e), -ERR_CAPACITY);
	assert_int_equal(e.cap.numa_node, 1);
	assert_string_equal(
		e.text,
		"not enough hugepages: asked 7168 MiB of NUMA node 1, free 5120 of 8192 MiB");
	expect_nothing_reserved(n, 0);
}

static void toggle_cpu(struct cvm_call *a, int want)
{
	struct err e;

	assert_int_equal(cvms_get(vmm_db(a->n->v), a->row.id, &a->row, &e), 0);
	assert_int_equal(cvm_call_apply(a, cvm_call_hold_cpu_turn, &e), want);
}

static void a_stopped_cvm_may_release_hugepages_and_keeps_gpus_and_nodes(void **st)
{
	static const struct gpu_request one[] = { { "18:00.0", NULL } };
	struct cvm_call a = { .request = { .hugepages = true,
					   .memory_mib = 6 * GIB,
					   .gpu_attach = GPU_LISTED,
					   .gpus = one,
					   .n_gpus = 1 } };
	struct cvm_call b = { .request = { .hugepages = true, .memory_mib = 6 * GIB } };
	struct node_fixture *n = *st;

	create_ok(n, "first", &a);
	toggle_cpu(&a, 0);
	assert_int_equal(count(n, "SELECT sum(hugepages_promised) FROM numa_nodes"), 0);
	assert_int_equal(gpus_of(n).promised, 1);
	create_ok(n, "second", &b);
	assert_string_equal(b.row.numa_nodes, "0");
	toggle_cpu(&a, -ERR_CAPACITY);
	assert_int_equal(count(n, "SELECT holds_cpu FROM cvms WHERE name = 'first'"), 0);
	check_db(n);
	delete_row(&b);
	toggle_cpu(&a, 0);
	assert_int_equal(count(n, "SELECT hugepages_promised FROM numa_nodes WHERE node = 0"),
			 6 * GIB);
	check_db(n);
}

static void pinned_cvms_spread_over_the_nodes_and_are_never_refused_for_it(void **st)
{
	struct node_fixture *n = *st;
	struct placement p;
	struct cvm_call a[4];
	struct err e;

	n->set.memory_mib = 1 << 20;
	reopen_node(n);
	for (int i = 0; i < 4; i++) {
		static const char *const name[] = { "pin-1", "pin-2", "pin-3", "pin-4" };

		a[i] = (struct cvm_call){ .request = { .pin_numa = true,
						       .memory_mib = 200 * GIB } };
		create_ok(n, name[i], &a[i]);
	}
	assert_string_equal(a[0].row.numa_nodes, "0");
	assert_string_equal(a[1].row.numa_nodes, "1");
	assert_string_equal(a[2].row.numa_nodes, "0");
	assert_int_equal(placement_of_cvm(n->v, &a[1].row, &p, &e), 0);
	assert_string_equal(p.cpuset, "32-63,96-127");
	assert_int_equal(p.page_kib, 0);
}

static void limits_of_one_cvm_apply_to_the_given_amounts(void **st)
{
	static const struct gpu_request both_nodes[] = { { "18:00.0", NULL }, { "9a:00.0", NULL } };
	struct cvm_call a = { .request = { .hugepages = true,
					   .vcpus = 3,
					   .memory_mib = 3 * GIB,
					   .gpu_attach = GPU_LISTED,
					   .gpus = both_nodes,
					   .n_gpus = 2 } };
	struct node_fixture *n = *st;
	struct err e;

	n->set.max_memory_mib = 3 * GIB;
	reopen_node(n);
	assert_int_equal(create(n, "too-much", &a, &e), -ERR_INVALID);
	assert_string_equal(e.field, "memory");
	assert_non_null(
		strstr(e.text, "memory 3072 becomes 4096 MiB with hugepages on 2 NUMA nodes"));
	n->set.max_memory_mib = 0;
	n->set.max_vcpus = 3;
	reopen_node(n);
	assert_int_equal(create(n, "too-much", &a, &e), -ERR_INVALID);
	assert_string_equal(e.field, "vcpu");
	expect_nothing_reserved(n, 0);
}

static void two_mib_pages_are_counted_as_well(void **st)
{
	struct cvm_call a = { .request = { .hugepages = true, .memory_mib = 700 } };
	struct node_fixture *n = *st;
	struct placement p;
	struct err e;

	tree_two_sockets(2048, 1024);
	read_inventory(n);
	assert_int_equal(count(n, "SELECT sum(hugepages_mib) FROM numa_nodes"), 4096);
	create_ok(n, "small-pages", &a);
	assert_int_equal(placement_of_cvm(n->v, &a.row, &p, &e), 0);
	assert_int_equal(p.page_kib, 2048);
	assert_int_equal(p.memory_mib, GIB);
}

/* ------------------------------------------------------------------ provision, TDX key ids */

static int provision_turn(void *arg, struct err *e)
{
	struct cvm_call *a = arg;
	struct provision_result p;
	int r = vmm_provision(a->n->v, vmm_default_workspace(a->n->v), &a->request, &p, e);

	return r ? r
		 : vmm_commit(a->n->v, vmm_default_workspace(a->n->v),
			      &(struct commit_request){ .app_id = p.app_id,
							.compose_hash = p.compose_hash,
							.stopped = true },
			      &ref, &a->row, &a->op, e);
}

static void a_commit_reserves_what_was_provisioned(void **st)
{
	static const struct gpu_request two[] = { { "db:00.0", NULL }, { NULL, "10de:2335" } };
	auto_json json_t *m = node_fixture_manifest("later");
	struct cvm_call a = { .n = *st,
			      .request = { .name = "later",
					   .prefer_dev = -1,
					   .vcpus = 1,
					   .memory_mib = 512,
					   .disk_gib = 1,
					   .manifest = m,
					   .inspected = true,
					   .hugepages = true,
					   .pin_numa = true,
					   .gpu_attach = GPU_LISTED,
					   .gpus = two,
					   .n_gpus = 2 } };
	struct err e;

	if (turn_do(vmm_turn(a.n->v), provision_turn, &a, &e))
		fail_msg("%s", e.text);
	assert_int_equal(a.row.gpus, 2);
	assert_true(a.row.hugepages && a.row.pin_numa);
	assert_string_equal(a.row.numa_nodes, "0,1");
	assert_int_equal(count(a.n, "SELECT count(*) FROM devices WHERE cvm IS NOT NULL AND "
				    "address IN ('0000:18:00.0',"
				    " '0000:db:00.0')"),
			 2);
}

static void devices_and_hugepages_need_a_fresh_inventory(void **st)
{
	static const struct gpu_request one[] = { { NULL, "10de:2335" } };
	auto_json json_t *m = node_fixture_manifest("x");
	struct cvm_request request = { .name = "looks",
				       .prefer_dev = -1,
				       .vcpus = 1,
				       .memory_mib = 64,
				       .disk_gib = 1,
				       .manifest = m };
	struct node_fixture *n = *st;
	struct err e;

	request.pin_numa = true;
	assert_int_equal(vmm_preflight(n->v, vmm_default_workspace(n->v), &request, NULL, &e), 0);
	request.hugepages = true;
	assert_int_equal(vmm_preflight(n->v, vmm_default_workspace(n->v), &request, NULL, &e),
			 -ERR_UNAVAILABLE);
	assert_true(inventory_may_allow(&e));
	request.gpu_attach = GPU_LISTED;
	request.gpus = one;
	request.n_gpus = 1;
	assert_int_equal(vmm_preflight(n->v, vmm_default_workspace(n->v), &request, NULL, &e),
			 -ERR_UNAVAILABLE);
	assert_true(inventory_may_allow(&e));
	request.inspected = true;
	assert_int_equal(vmm_preflight(n->v, vmm_default_workspace(n->v), &request, NULL, &e), 0);
}

/* A read that has begun may have missed a change that the new caller knows of. */
static void a_read_of_the_inventory_serves_only_earlier_callers(void **st)
{
	struct node_fixture *n = *st;
	int first = 0, later = 0;

	inventory_refresh(n->v, count_call, &first);
	inventory_refresh(n->v, count_call, &later);
	inventory_refresh(n->v, count_call, &later);
	while (!first)
		(void)uv_run(&n->loop, UV_RUN_ONCE);
	assert_int_equal(later, 0);
	while (later < 2)
		(void)uv_run(&n->loop, UV_RUN_ONCE);
	assert_int_equal(first, 1);
}

static void one_read_of_the_inventory_serves_a_limited_number_of_callers(void **st)
{
	struct node_fixture *n = *st;
	int first = 0, later = 0;

	inventory_refresh(n->v, count_call, &first);
	for (int i = 0; i < WAITERS_PER_RUN + 2; i++)
		inventory_refresh(n->v, count_call, &later);
	while (!later)
		(void)uv_run(&n->loop, UV_RUN_ONCE);
	assert_int_equal(first, 1);
	assert_int_equal(later, WAITERS_PER_RUN);
	while (later == WAITERS_PER_RUN)
		(void)uv_run(&n->loop, UV_RUN_ONCE);
	assert_int_equal(later, WAITERS_PER_RUN + 2);
}

static int reserve_turn(void *arg, struct err *e)
{
	struct cvm_call *a = arg;

	return capacity_reserve(a->n->v, &a->row, 0, e);
}

static void tdx_key_ids_are_refused_beyond_their_number_and_unlimited_while_unknown(void **st)
{
	struct cvm_call a = { .n = *st, .row = { .tdx = true, .holds_cpu = true, .disk_gib = 1 } };
	struct vmm *v = a.n->v;
	struct capacity_row row;
	struct err e;

	assert_int_equal(turn_do(vmm_turn(v), reserve_turn, &a, &e), 0);
	assert_int_equal(capacity_get(vmm_db(v), "tdx_keyids", &row, &e), 0);
	assert_int_equal(row.promised, 1);
	assert_int_equal(row.total, -1);
	vmm_set_tdx_keyids(v, 2);
	assert_int_equal(capacity_set_total(vmm_db(v), "tdx_keyids", 2, &e), 0);
	assert_int_equal(turn_do(vmm_turn(v), reserve_turn, &a, &e), 0);
	assert_int_equal(turn_do(vmm_turn(v), reserve_turn, &a, &e), -ERR_CAPACITY);
	assert_string_equal(e.cap.resource, "tdx_keyids");
	assert_int_equal(e.cap.total, 2);
	a.row.holds_cpu = false; /* stopped and released */
	assert_int_equal(turn_do(vmm_turn(v), reserve_turn, &a, &e), 0);
	/* These reservations have no row: count again. */
	assert_int_equal(capacity_recount(vmm_db(v), &(bool){ 0 }, &e), 0);
}

static void the_hosts_key_ids_are_the_total_unless_one_is_configured(void **st)
{
	struct node_fixture *n = *st;
	struct capacity_row row;
	struct err e;

	tree_put("/sys/fs/cgroup/misc.capacity", "tdx 31\n");
	host_watch_refresh(n->v);
	check_db(n);
	assert_int_equal(vmm_settings(n->v)->tdx_keyids, -1);
	n->set.tdx_keyids_auto = true;
	reopen_node(n);
	while (vmm_settings(n->v)->tdx_keyids < 0)
		(void)uv_run(&n->loop, UV_RUN_ONCE);
	assert_int_equal(capacity_get(vmm_db(n->v), "tdx_keyids", &row, &e), 0);
	assert_int_equal(row.total, 31);
	tree_put("/sys/fs/cgroup/misc.capacity", "tdx 40\n");
	host_watch_refresh(n->v);
	while (vmm_settings(n->v)->tdx_keyids == 31)
		(void)uv_run(&n->loop, UV_RUN_ONCE);
	assert_int_equal(capacity_get(vmm_db(n->v), "tdx_keyids", &row, &e), 0);
	assert_int_equal(row.total, 40);
	capacity_set_tdx_keyids(n->v, -1);
	assert_int_equal(vmm_settings(n->v)->tdx_keyids, 40);
}

/* ------------------------------------------------------------------ changes */

struct cvm_update {
	struct cvm_call *call;
	struct update_request request;
	struct op_row op;
};

static int update_turn(void *arg, struct err *e)
{
	struct cvm_update *c = arg;

	c->request.listed = -1;
	return vmm_update(c->call->n->v, &c->call->row, &c->request, &ref, &c->op, e);
}

/* Accepted: the new amounts are reserved beside the present ones. */
static void update_begin(struct cvm_update *c)
{
	struct err e;

	if (turn_do(vmm_turn(c->call->n->v), update_turn, c, &e) < 0)
		fail_msg("%s", e.text);
	assert_int_equal(c->op.state, OP_RUNNING);
}

static void update_finish(struct cvm_update *c)
{
	struct node_fixture *n = c->call->n;
	struct err e;

	c->op = node_fixture_finish_op(n, c->op.id);
	assert_int_equal(c->op.state, OP_SUCCEEDED);
	assert_int_equal(cvms_get(vmm_db(n->v), c->call->row.id, &c->call->row, &e), 0);
	assert_int_equal(count(n, "SELECT count(*) FROM changes"), 0);
	check_db(n);
}

static void new_gpus_are_reserved_beside_the_old_ones_until_the_change_ends(void **st)
{
	static const struct gpu_request first[] = { { "18:00.0", NULL } };
	static const struct gpu_request second[] = { { "2a:00.0", NULL }, { NULL, "10de:2335" } };
	struct cvm_call a = { .request = { .gpu_attach = GPU_LISTED, .gpus = first, .n_gpus = 1 } };
	struct cvm_update c = { .call = &a,
				.request = { .set_gpus = true,
					     .gpu_attach = GPU_LISTED,
					     .gpus = second,
					     .n_gpus = 2 } };
	auto_free struct device_row *now = NULL;
	struct node_fixture *n = *st;
	size_t n_now;
	struct err e;

	create_ok(n, "holder", &a);
	update_begin(&c);
	assert_int_equal(c.op.kind, OP_UPGRADE);
	assert_int_equal(gpus_of(n).promised, 2);
	assert_int_equal(vmm_devices_of(n->v, a.row.id, &now, &n_now, &e), 0);
	assert_int_equal(n_now, 1);
	update_finish(&c);
	assert_int_equal(a.row.gpus, 2);
	assert_int_equal(count(n,
			       "SELECT count(*) FROM devices WHERE cvm IS NOT NULL AND address IN"
			       " ('0000:18:00.0', '0000:2a:00.0')"),
			 2); /* "any of this product" keeps the device it had */
	c.request = (struct update_request){ .set_gpus = true };
	update_begin(&c);
	assert_int_equal(gpus_of(n).promised, 2);
	update_finish(&c);
	assert_int_equal(gpus_of(n).promised, 0);
	assert_string_equal(a.row.gpu_attach, "");
}

static void a_gpu_of_another_cvm_is_refused_and_nothing_is_reserved(void **st)
{
	static const struct gpu_request first[] = { { "18:00.0", NULL } },
					second[] = { { "2a:00.0", NULL } };
	struct cvm_call a = { .request = { .gpu_attach = GPU_LISTED, .gpus = first, .n_gpus = 1 } };
	struct cvm_call b = { .request = {
				      .gpu_attach = GPU_LISTED, .gpus = second, .n_gpus = 1 } };
	struct cvm_update c = { .call = &a,
				.request = { .set_gpus = true,
					     .gpu_attach = GPU_LISTED,
					     .gpus = second,
					     .n_gpus = 1,
					     .memory_mib = 1024 } };
	struct node_fixture *n = *st;
	struct err e;

	create_ok(n, "holder", &a);
	create_ok(n, "other", &b);
	assert_true(turn_do(vmm_turn(n->v), update_turn, &c, &e) < 0);
	assert_non_null(strstr(e.field, "gpus"));
	assert_int_equal(gpus_of(n).promised, 2);
	assert_int_equal(count(n, "SELECT promised FROM capacity WHERE resource = 'memory_mib'"),
			 1024);
	assert_int_equal(count(n, "SELECT count(*) FROM changes"), 0);
}

static void a_resize_reserves_the_larger_of_both_sizes(void **st)
{
	struct cvm_call a = { .request = { .hugepages = true, .memory_mib = 2 * GIB } };
	struct cvm_update c = { .call = &a, .request = { .memory_mib = 5 * GIB } };
	struct node_fixture *n = *st;
	struct err e;

	create_ok(n, "pages", &a);
	assert_int_equal(count(n, "SELECT sum(hugepages_promised) FROM numa_nodes"), 2 * GIB);
	update_begin(&c);
	assert_int_equal(c.op.kind, OP_RESIZE);
	assert_int_equal(count(n, "SELECT sum(hugepages_promised) FROM numa_nodes"), 5 * GIB);
	update_finish(&c);
	assert_int_equal(a.row.given_memory_mib, 5 * GIB);
	c.request = (struct update_request){ .memory_mib = 9 * GIB };
	assert_int_equal(turn_do(vmm_turn(n->v), update_turn, &c, &e), -ERR_CAPACITY);
	assert_string_equal(e.cap.resource, "hugepages_mib");
	assert_int_equal(e.cap.asked, 4 * GIB);
	assert_int_equal(e.cap.free, 3 * GIB);
	c.request = (struct update_request){ .memory_mib = 1 * GIB };
	update_begin(&c);
	assert_int_equal(count(n, "SELECT sum(hugepages_promised) FROM numa_nodes"), 5 * GIB);
	update_finish(&c);
	assert_int_equal(count(n, "SELECT sum(hugepages_promised) FROM numa_nodes"), 1 * GIB);
	delete_row(&a);
	expect_nothing_reserved(n, 0);
}

static void a_caller_with_a_large_weight_is_served_with_fewer_others(void **st)
{
	static const unsigned weights[] = {
		1, WAITERS_PER_RUN - 1, WAITERS_PER_RUN, 3 * WAITERS_PER_RUN, 1, 2
	};
	static const int served[] = { 2, 3, 4, 6 };
	struct host_waiter *list = NULL;
	int n = 0;

	(void)st;
	for (size_t i = 0; i < ARRAY_SIZE(weights); i++)
		waiters_add(&list, weights[i], count_call, &n);
	for (size_t i = 0; i < ARRAY_SIZE(served); i++) {
		struct host_waiter *some = waiters_take(&list);

		waiters_call(&some);
		assert_int_equal(n, served[i]);
	}
	assert_null(list);
	assert_null(waiters_take(&list));
}

int main(void)
{
#define WITH_NODE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest t[] = {
		cmocka_unit_test(a_caller_with_a_large_weight_is_served_with_fewer_others),
		WITH_NODE(the_first_inventory_finds_devices_and_nodes),
		WITH_NODE(gpus_are_reserved_with_the_row_and_free_after_the_delete),
		WITH_NODE(all_gpus_come_with_the_nvswitches),
		WITH_NODE(a_refusal_later_in_admission_leaves_the_gpus_free),
		WITH_NODE(a_missing_device_keeps_its_row_and_fails_the_start),
		WITH_NODE(unreadable_files_leave_the_inventory_unchanged),
		WITH_NODE(a_reload_changes_what_is_offered),
		WITH_NODE(hugepages_are_reserved_as_given_not_as_requested),
		WITH_NODE(the_next_node_is_taken_when_the_first_is_full_and_then_none),
		WITH_NODE(with_gpus_only_their_nodes_count),
		WITH_NODE(a_stopped_cvm_may_release_hugepages_and_keeps_gpus_and_nodes),
		WITH_NODE(pinned_cvms_spread_over_the_nodes_and_are_never_refused_for_it),
		WITH_NODE(limits_of_one_cvm_apply_to_the_given_amounts),
		WITH_NODE(two_mib_pages_are_counted_as_well),
		WITH_NODE(devices_and_hugepages_need_a_fresh_inventory),
		WITH_NODE(a_read_of_the_inventory_serves_only_earlier_callers),
		WITH_NODE(one_read_of_the_inventory_serves_a_limited_number_of_callers),
		WITH_NODE(a_commit_reserves_what_was_provisioned),
		WITH_NODE(the_hosts_key_ids_are_the_total_unless_one_is_configured),
		WITH_NODE(new_gpus_are_reserved_beside_the_old_ones_until_the_change_ends),
		WITH_NODE(a_gpu_of_another_cvm_is_refused_and_nothing_is_reserved),
		WITH_NODE(a_resize_reserves_the_larger_of_both_sizes),
		WITH_NODE(tdx_key_ids_are_refused_beyond_their_number_and_unlimited_while_unknown),
	};

	return cmocka_run_group_tests_name("reservation", t, NULL, NULL);
}
