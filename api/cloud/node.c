/* SPDX-License-Identifier: Apache-2.0
 * node.c - GET /node: machine, capacity and hypervisor. GET /devices: GPUs.
 *
 * Only operators see totals of the machine and who uses it. A tenant sees what it may use.
 */
#include <unistd.h>

#include "api/cloud/context.h"
#include "api/cloud/json_or_null.h"
#include "api/cloud/lookup.h"
#include "api/cloud/route_tables.h"
#include "api/cloud/serialize_node.h"
#include "api/http/call.h"
#include "api/http/reply.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/own.h"
#include "db/capacity.h"
#include "db/cvms.h"
#include "db/devices.h"
#include "db/numa.h"
#include "vmm/admit/reservation.h"
#include "vmm/host/host_check.h"
#include "vmm/host/host_watch.h"
#include "vmm/node/node.h"
#include "vmm/node/settings.h"
#include "vmm/vmm.h"

/* Error and URI contain host paths: only operators see them. */
static json_t *serialize_hypervisor(const struct node_info *n, const char *uri, bool whole)
{
	const char *error = whole && !n->hypervisor_up ? n->hypervisor_error : "";

	return json_pack("{s:b,s:o,s:o,s:o,s:o,s:b}", "connected", n->hypervisor_up, "error",
			 json_text_or_null(error), "uri", json_text_or_null(whole ? uri : ""),
			 "libvirt", json_text_or_null(n->libvirt), "qemu",
			 json_text_or_null(n->qemu), "kvm", n->kvm);
}

static json_t *serialize_host_checks(const struct host_check *rows, size_t n)
{
	json_t *out = json_array();

	for (size_t i = 0; i < n; i++)
		json_array_append_new(out, json_pack("{s:s,s:s,s:b,s:o,s:o}", "name", rows[i].name,
						     "state", check_state_word[rows[i].state],
						     "required", rows[i].required, "value",
						     json_text(rows[i].value), "advice",
						     json_text_or_null(rows[i].advice)));
	return out;
}

static void put_node_tee(const struct vmm_settings *s, const struct node_info *n, json_t *body)
{
	static const char *const setting[] = {
		[TEE_AUTO] = "auto", [TEE_TDX] = "tdx", [TEE_NONE] = "none"
	};

	json_object_set_new(body, "device_id", json_text_or_null(s->device_id));
	json_object_set_new(
		body, "tee",
		json_pack("{s:s,s:s?}", "setting", setting[s->tee], "effective", n->tee));
}

/* Add the checks of the host for TDX to @body. */
static void put_node_checks(struct vmm *v, json_t *body)
{
	struct host_check rows[HOST_CHECKS];
	int64_t at = 0;
	bool known = vmm_host_checks(v, rows, &at);

	json_object_set_new(body, "checks", serialize_host_checks(rows, known ? HOST_CHECKS : 0));
	json_object_set_new(body, "checked_at", json_time_or_null(at));
}

static json_t *serialize_cvm_counts(int64_t count[DESIRED_MAX][OBSERVED_MAX])
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
	return json_pack("{s:I,s:o,s:o}", "total", (json_int_t)total, "desired", desired,
			 "observed", observed);
}

/* Add what only operators see: NUMA hugepages, checks, process id and CVM counts. */
static int put_node_operator_view(struct vmm *v, json_t *body, json_t *capacity, struct err *e)
{
	int64_t count[DESIRED_MAX][OBSERVED_MAX];
	auto_free struct numa_row *numa = NULL;
	size_t n_numa;
	int r = vmm_cvm_counts(v, count, e);

	if (!r)
		r = vmm_numa_nodes(v, &numa, &n_numa, e);
	if (r)
		return r;
	serialize_hugepages(capacity, numa, n_numa);
	put_node_checks(v, body);
	json_object_set_new(body, "pid", json_integer(getpid()));
	json_object_set_new(body, "cvms", serialize_cvm_counts(count));
	return 0;
}

/* The part of the answer that all callers see. */
static json_t *serialize_node(const struct call *c)
{
	const struct api *a = api_of(c);
	const struct vmm_settings *s = vmm_settings(a->vmm);
	bool whole = !api_scope(c);
	struct node_info n;
	char span[CLOCK_SPAN];
	json_t *body;

	vmm_node(a->vmm, &n);
	body = json_pack("{s:I,s:s,s:s,s:s,s:s,s:{s:b,s:o},s:s}", "id", (json_int_t)s->node_id,
			 "name", s->node_name, "region", s->region, "version", TEEPOD_VERSION,
			 "mode", n.mode, "tdx", "available", n.tdx, "reason",
			 json_text_or_null(n.tdx || !whole ? "" : n.tdx_reason), "uptime",
			 clock_span(clock_wall_ms() - a->started_ms, span));
	json_object_set_new(body, "started_at", json_time_or_null(a->started_ms));
	json_object_set_new(body, "hypervisor", serialize_hypervisor(&n, s->hypervisor_uri, whole));
	put_node_tee(s, &n, body);
	return body;
}

static void get_node(struct call *c)
{
	auto_json json_t *body = serialize_node(c);
	struct capacity_row rows[CAPACITY_ROWS];
	json_t *capacity, *maintenance;
	struct err e;

	if (api_visible_capacity(c, rows, &e) || serialize_maintenance(c, &maintenance, &e)) {
		call_reply_err(c, &e);
		return;
	}
	capacity = serialize_capacity(rows, CAPACITY_ROWS);
	json_object_set_new(body, "capacity", capacity);
	json_object_set_new(body, "maintenance", maintenance);
	if (!api_scope(c) && put_node_operator_view(api_of(c)->vmm, body, capacity, &e))
		call_reply_err(c, &e);
	else
		call_reply(c, 200, take_ptr(&body));
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
		json_array_append_new(items, serialize_device(&rows[i], api_scope(c)));
	call_reply(c, 200, json_pack("{s:o,s:I}", "items", items, "total", (json_int_t)n));
}

const struct route node_routes[] = {
	{ "GET", "/api/v1/node", ROLE_READER, 0, 0, get_node, NULL },
	{ "GET", "/api/v1/devices", ROLE_READER, 0, 0, get_devices, NULL },
	{ 0 },
};
