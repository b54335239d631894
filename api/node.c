/* SPDX-License-Identifier: Apache-2.0
 * node.c - GET /node: what this machine is, what it can still promise, and how its hypervisor is. GET /devices: its GPUs.
 */
#include <unistd.h>

#include "api/shapes.h"
#include "api/tables.h"
#include "base/clock.h"
#include "base/own.h"

static json_t *shape_hypervisor(const struct node_info *n, const char *uri)
{
	return json_pack("{s:b,s:o,s:o,s:o,s:o,s:b}", "connected", n->hypervisor_up, "error",
			 n->hypervisor_up ? json_null() : json_text_or_null(n->hypervisor_error), "uri",
			 json_text(uri), "libvirt", json_text_or_null(n->libvirt), "qemu",
			 json_text_or_null(n->qemu), "kvm", n->kvm);
}

static json_t *shape_checks(const struct host_check *rows, size_t n)
{
	json_t *out = json_array();

	for (size_t i = 0; i < n; i++)
		json_array_append_new(out, json_pack("{s:s,s:s,s:b,s:o,s:o}", "name", rows[i].name, "state",
						     check_state_word[rows[i].state], "required",
						     rows[i].required, "value", json_text(rows[i].value),
						     "advice", json_text_or_null(rows[i].advice)));
	return out;
}

/* Into @body: what this machine has of what a TDX host is made of. */
static void add_host(struct vmm *v, const struct node_info *n, json_t *body)
{
	static const char *const setting[] = { [TEE_AUTO] = "auto", [TEE_TDX] = "tdx", [TEE_NONE] = "none" };
	const struct vmm_settings *s = vmm_settings(v);
	struct host_check rows[HOST_CHECKS];
	int64_t at = 0;
	bool known = vmm_host_checks(v, rows, &at);

	json_object_set_new(body, "device_id", json_text_or_null(s->device_id));
	json_object_set_new(body, "tee",
			    json_pack("{s:s,s:s?}", "setting", setting[s->tee], "effective", n->tee));
	json_object_set_new(body, "checks", shape_checks(rows, known ? HOST_CHECKS : 0));
	json_object_set_new(body, "checked_at", json_time_or_null(at));
}

static json_t *shape_counts(int64_t count[DESIRED_MAX][OBSERVED_MAX])
{
	json_t *desired = json_object(), *observed = json_object();
	int64_t total = 0, of_desired[DESIRED_MAX] = { 0 }, of_observed[OBSERVED_MAX] = { 0 };

	for (int d = 0; d < DESIRED_MAX; d++) {
		for (int o = 0; o < OBSERVED_MAX; o++) {
			of_desired[d] += count[d][o];
			of_observed[o] += count[d][o];
			total += count[d][o];
		}
	}
	for (int d = 0; d < DESIRED_MAX; d++)
		json_object_set_new(desired, desired_word[d], json_integer(of_desired[d]));
	for (int o = 0; o < OBSERVED_MAX; o++)
		json_object_set_new(observed, observed_word[o], json_integer(of_observed[o]));
	return json_pack("{s:I,s:o,s:o}", "total", (json_int_t)total, "desired", desired, "observed",
			 observed);
}

static void get_node(struct call *c)
{
	const struct api *a = api_of(c);
	const struct vmm_settings *s = vmm_settings(a->vmm);
	int64_t count[DESIRED_MAX][OBSERVED_MAX];
	struct capacity_row rows[CAPACITY_ROWS];
	auto_free struct numa_row *numa = NULL;
	struct node_info n;
	char span[CLOCK_SPAN];
	json_t *body, *capacity, *maintenance;
	size_t n_numa;
	struct err e;

	if (vmm_capacity(a->vmm, rows, &e) || vmm_cvm_counts(a->vmm, count, &e) ||
	    vmm_numa_nodes(a->vmm, &numa, &n_numa, &e) || shape_maintenance(a->vmm, &maintenance, &e)) {
		call_reply_err(c, &e);
		return;
	}
	vmm_node(a->vmm, &n);
	body = json_pack("{s:I,s:s,s:s,s:s,s:s,s:{s:b,s:o},s:s,s:I}", "id", (json_int_t)s->node_id, "name",
			 s->node_name, "region", s->region, "version", TEEPOD_VERSION, "mode", n.mode, "tdx",
			 "available", n.tdx, "reason", n.tdx ? json_null() : json_text_or_null(n.tdx_reason),
			 "uptime", clock_span(clock_wall_ms() - a->started_ms, span), "pid",
			 (json_int_t)getpid());
	json_object_set_new(body, "started_at", json_time_or_null(a->started_ms));
	json_object_set_new(body, "hypervisor", shape_hypervisor(&n, s->hypervisor_uri));
	add_host(a->vmm, &n, body);
	capacity = shape_capacity(rows, CAPACITY_ROWS);
	shape_hugepages(capacity, numa, n_numa);
	json_object_set_new(body, "capacity", capacity);
	json_object_set_new(body, "cvms", shape_counts(count));
	json_object_set_new(body, "maintenance", maintenance);
	call_reply(c, 200, body);
}

static void get_devices(struct call *c)
{
	auto_free struct device_row *rows = NULL;
	json_t *items;
	struct err e;
	size_t n;

	if (vmm_devices(api_of(c)->vmm, &rows, &n, &e)) {
		call_reply_err(c, &e);
		return;
	}
	items = json_array();
	for (size_t i = 0; i < n; i++)
		json_array_append_new(items, shape_device(&rows[i], api_scope(c)));
	call_reply(c, 200, json_pack("{s:o,s:I}", "items", items, "total", (json_int_t)n));
}

const struct route node_routes[] = {
	{ "GET", "/api/v1/node", ROLE_READER, 0, 0, get_node, NULL },
	{ "GET", "/api/v1/devices", ROLE_READER, 0, 0, get_devices, NULL },
	{ 0 },
};
