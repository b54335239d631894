/* SPDX-License-Identifier: Apache-2.0
 * node_fixture.c - a node in a temporary folder, and calls that create and change its CVMs.
 */
#include "tests/unit/node_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/json.h"
#include "base/lanes.h"
#include "base/own.h"
#include "base/strings.h"
#include "db/capacity.h"
#include "db/check.h"
#include "db/images.h"
#include "db/turn.h"
#include "vmm/account/billing.h"
#include "vmm/admit/capacity.h"
#include "vmm/admit/port_probe.h"
#include "vmm/cvm/create.h"
#include "vmm/host/inventory.h"
#include "vmm/vmm.h"

enum { OP_WAIT_MS = 10000 };

const struct request_ref fixture_ref = { .request_id = "req-1", .caller = "tester" };

/* ------------------------------------------------------------------ the node */

static const char *const addresses[] = { "127.0.0.1", NULL };
static const char *const none[] = { NULL };

static void fixture_default_settings(struct node_fixture *n)
{
	n->set = (struct vmm_settings){
		.loop = &n->loop,
		.state_dir = n->dir,
		.images_dir = n->images,
		.node_id = 1,
		.node_name = "n1",
		.region = "local",
		.workspace = "local",
		.hypervisor_uri = "qemu+unix:///system?socket=/nonexistent/sock",
		.tee = TEE_NONE,
		.host_root = "",
		.networks = "user",
		.bridges = "",
		.volumes_dir = "",
		.prod_without_tee = true,
		.device_id = "",
		.tdx_firmware = "",
		.vcpus = 64,
		.memory_mib = 8192,
		.disk_gib = 1000,
		.slots = 50,
		.cid_start = 1000,
		.cid_count = 100,
		.port_addresses = addresses,
		.keep_operation_days = 1,
		.keep_event_days = 1,
		.keep_idempotency_hours = 1,
		.kms_urls = none,
		.gateway_urls = none,
	};
}

struct node_fixture *node_fixture_new(const char *parent)
{
	struct node_fixture *n = xcalloc(1, sizeof(*n));

	(void)snprintf(n->dir, sizeof(n->dir), "%s/teepod-node-XXXXXX", parent);
	assert_non_null(mkdtemp(n->dir));
	(void)snprintf(n->images, sizeof(n->images), "%s/images", n->dir);
	assert_int_equal(uv_loop_init(&n->loop), 0);
	fixture_default_settings(n);
	return n;
}

void node_fixture_set_ports(struct node_fixture *n, uint16_t first, uint16_t last)
{
	assert_null(n->v);
	n->ranges[0] = (struct port_range){ true, true, first, last };
	n->set.ports_enabled = true;
	n->set.port_ranges = n->ranges;
	n->set.n_port_ranges = 1;
}

void node_fixture_open(struct node_fixture *n)
{
	struct err e;

	assert_null(n->v);
	if (vmm_open(&n->set, &n->v, &e))
		fail_msg("%s", e.text);
}

void node_fixture_reload(struct node_fixture *n)
{
	vmm_reload(n->v, &n->set);
}

static void fixture_closed(void *arg, unsigned stuck)
{
	assert_int_equal(stuck, 0);
	*(bool *)arg = true;
}

void node_fixture_close(struct node_fixture *n)
{
	bool over = false;

	vmm_close(n->v, 2000, fixture_closed, &over);
	while (!over)
		(void)uv_run(&n->loop, UV_RUN_ONCE);
	n->v = NULL;
}

void node_fixture_free(struct node_fixture *n)
{
	struct err e;

	if (n->v)
		node_fixture_close(n);
	assert_int_equal(lanes_close(&n->loop), 0);
	(void)uv_run(&n->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&n->loop), 0);
	assert_int_equal(file_remove_tree(n->dir, &e), 0);
	free(n);
}

void node_fixture_run(struct node_fixture *n, int64_t ms)
{
	int64_t end = clock_mono_ms() + ms;

	do
		(void)uv_run(&n->loop, UV_RUN_NOWAIT);
	while (clock_mono_ms() < end && !usleep(500));
}

void node_fixture_come_to_rest(struct node_fixture *n)
{
	while (!strcmp(vmm_link_error(n->v), "connecting") || inventory_is_reading(n->v) ||
	       vmm_jobs(n->v))
		node_fixture_run(n, 5);
	node_fixture_run(n, 20);
}

/* ------------------------------------------------------------------ rows */

void node_fixture_check_db(const struct node_fixture *n)
{
	auto_free char *path = xasprintf("%s/teepod.db", n->dir);
	auto_buf struct buf found = { 0 };
	struct err e;
	int bad = db_check(path, &found, &e);

	if (bad)
		fail_msg("%s", bad < 0 ? e.text : (char *)found.data);
}

void node_fixture_add_image(struct node_fixture *n, const char *family, unsigned minor, bool dev)
{
	struct image_row row = { .v = { 1, minor, 0, 0 }, .nv = 3, .is_dev = dev };
	struct err e;

	(void)snprintf(row.name, sizeof(row.name), "%s-1.%u.0", family, minor);
	(void)snprintf(row.family, sizeof(row.family), "%s", family);
	(void)snprintf(row.version, sizeof(row.version), "1.%u.0", minor);
	assert_int_equal(images_add(vmm_db(n->v), &row, &row.id, &e), 0);
}

int64_t node_fixture_reserved(const struct node_fixture *n, const char *resource)
{
	struct capacity_row row;
	struct err e;

	assert_int_equal(capacity_get(vmm_db(n->v), resource, &row, &e), 0);
	return row.promised;
}

struct op_row node_fixture_op(const struct node_fixture *n, const char *op_id)
{
	struct op_row row = { 0 };
	struct err e;

	assert_int_equal(ops_get(vmm_db(n->v), op_id, &row, &e), 0);
	return row;
}

struct op_row node_fixture_finish_op(struct node_fixture *n, const char *op_id)
{
	int64_t end = clock_mono_ms() + OP_WAIT_MS;

	while (node_fixture_op(n, op_id).state == OP_RUNNING && clock_mono_ms() < end)
		node_fixture_run(n, 5);
	assert_int_not_equal(node_fixture_op(n, op_id).state, OP_RUNNING);
	return node_fixture_op(n, op_id);
}

int node_fixture_tear_down(void **st)
{
	struct node_fixture *n = *st;

	node_fixture_close(n);
	node_fixture_check_db(n);
	node_fixture_free(n);
	return 0;
}

/* ------------------------------------------------------------------ calls */

json_t *node_fixture_manifest(const char *name)
{
	return json_pack("{s:i, s:s, s:s, s:s}", "manifest_version", 2, "name", name, "runner",
			 "docker-compose", "docker_compose_file",
			 "services:\n  a:\n    image: b\n");
}

int cvm_call_apply(struct cvm_call *c, int (*turn)(void *call, struct err *e), struct err *e)
{
	return turn_do(vmm_turn(c->n->v), turn, c, e);
}

int cvm_call_create_turn(void *call, struct err *e)
{
	struct cvm_call *c = call;

	return vmm_create(c->n->v, vmm_default_workspace(c->n->v), &c->request, &fixture_ref,
			  &c->row, &c->op, e);
}

int cvm_call_power_turn(void *call, struct err *e)
{
	struct cvm_call *c = call;

	return vmm_power(c->n->v, &c->row, &c->power, &fixture_ref, &c->op, e);
}

int cvm_call_hold_cpu_turn(void *call, struct err *e)
{
	struct cvm_call *c = call;
	int r = capacity_hold_cpu(c->n->v, &c->row, !c->row.holds_cpu, e);

	return r ? r : cvms_get(vmm_db(c->n->v), c->row.id, &c->row, e);
}

int cvm_call_delete_turn(void *call, struct err *e)
{
	struct cvm_call *c = call;
	int r = capacity_release(c->n->v, &c->row, 0, e);

	if (!r)
		r = meter_end(c->n->v, c->row.id, e);
	return r ? r : cvms_delete(vmm_db(c->n->v), c->row.id, e);
}

/* A create under way: it may be applied twice. */
struct create_attempt {
	struct cvm_call *call;
	struct err *e;
	int result;
	bool over;
};

static void create_again(void *arg)
{
	struct create_attempt *a = arg;

	a->call->request.inspected = true;
	a->result = cvm_call_apply(a->call, cvm_call_create_turn, a->e);
	if (a->result >= 0 || !admission_retry(a->call->n->v, a->e, true, create_again, a))
		a->over = true;
}

static int create_with_retry(struct cvm_call *c, struct err *e)
{
	struct create_attempt a = { .call = c, .e = e };

	a.result = cvm_call_apply(c, cvm_call_create_turn, e);
	if (a.result < 0 && admission_retry(c->n->v, e, c->request.inspected, create_again, &a))
		while (!a.over)
			(void)uv_run(&c->n->loop, UV_RUN_ONCE);
	return a.result;
}

int cvm_call_create(struct node_fixture *n, const char *name, struct cvm_call *c, struct err *e)
{
	auto_json json_t *manifest = node_fixture_manifest(name);
	struct cvm_request *req = &c->request;
	bool inspected = req->inspected;
	int r;

	c->n = n;
	req->name = name;
	req->prefer_dev = -1;
	req->vcpus = req->vcpus ? req->vcpus : 1;
	req->memory_mib = req->memory_mib ? req->memory_mib : 100;
	req->disk_gib = req->disk_gib ? req->disk_gib : 1;
	req->stopped = true;
	req->manifest = manifest;
	r = create_with_retry(c, e);
	req->inspected = inspected;
	req->manifest = NULL;
	return r;
}
