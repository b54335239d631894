/* SPDX-License-Identifier: Apache-2.0
 * serialize_node.c - apps, states, operations, events, capacity, images and ports as JSON.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/cloud/serialize_cvm.h"
#include "api/http/envelope.h"
#include "base/clock.h"
#include "db/capacity.h"
#include "db/cvms.h"
#include "db/devices.h"
#include "db/events.h"
#include "db/images.h"
#include "db/numa.h"
#include "db/operations.h"
#include "db/ports.h"
#include "db/text.h"
#include "vmm/admit/devices.h"
#include "vmm/host/device_state.h"
#include "vmm/admit/placement.h"
#include "vmm/cvm/status.h"
#include "images/state.h"
#include "vmm/node/node.h"
#include "vmm/node/settings.h"
#include "vmm/op/op_error.h"
#include "vmm/cvm/steps.h"

/* Flat where the other v25 shapes have an object: clients insist on teepod_name here. */
static json_t *serialize_app_cvm_v25(struct cvm_serializer *s, const struct cvm_row *c)
{
	const struct vmm_settings *set = vmm_settings(api_of(s->call)->vmm);
	json_t *o = serialize_cvm_v25(s, c);

	json_object_set_new(o, "teepod_name", json_string(set->node_name));
	json_object_set_new(o, "region_identifier", json_string(set->region));
	json_object_set_new(o, "kms_type", json_string("phala"));
	return o;
}

json_t *serialize_app(struct cvm_serializer *s, const struct cvm_row *c)
{
	json_t *cvm =
		s->call->version == 25 ? serialize_app_cvm_v25(s, c) : serialize_cvm_v26(s, c);
	char id[APP_ID_TEXT + 8];

	(void)snprintf(id, sizeof(id), "app_%s", c->app_id);
	return json_pack("{s:s,s:s,s:s,s:o,s:s,s:o}", "id", id, "name", c->name, "app_id",
			 c->app_id, "created_at", json_time_or_null(c->created_ms), "kms_type",
			 "phala", "current_cvm", cvm);
}

static bool cvm_has_uptime(const struct cvm_row *c)
{
	return c->started_ms && cvm_status(c) == STATUS_RUNNING;
}

/* Clients refuse null here: what is not known is left out. */
json_t *serialize_state(const struct cvm_row *c, int64_t now_ms)
{
	json_t *o = json_object();
	char span[CLOCK_SPAN], at[CLOCK_TEXT];

	json_object_set_new(o, "id", json_string(c->uuid));
	json_object_set_new(o, "name", json_string(c->name));
	json_object_set_new(o, "status", json_string(status_word(cvm_status(c))));
	json_put_text(o, "pause_reason", paused_word[c->paused]);
	json_put_text(o, "instance_id", c->instance_id);
	if (cvm_has_uptime(c))
		json_put_text(o, "uptime", clock_span(now_ms - c->started_ms, span));
	else if (c->stopped_ms)
		json_put_text(o, "exited_at", clock_rfc3339(c->stopped_ms, at));
	json_put_text(o, "boot_progress", c->boot_progress);
	json_put_text(o, "boot_error", c->boot_error);
	json_put_text(o, "shutdown_progress", c->shutdown_progress);
	return o;
}

json_t *serialize_status(const struct cvm_row *c, int64_t now_ms)
{
	json_t *o = json_object();
	char span[CLOCK_SPAN];

	json_object_set_new(o, "vm_uuid", json_string(c->uuid));
	json_object_set_new(o, "status", json_string(status_word(cvm_status(c))));
	json_object_set_new(o, "pause_reason", json_text_or_null(paused_word[c->paused]));
	json_object_set_new(o, "in_progress", json_boolean(c->op_id[0]));
	json_object_set_new(o, "uptime",
			    cvm_has_uptime(c)
				    ? json_string(clock_span(now_ms - c->started_ms, span))
				    : json_null());
	json_object_set_new(o, "boot_progress", json_text_or_null(c->boot_progress));
	json_object_set_new(o, "boot_error", json_text_or_null(c->boot_error));
	json_object_set_new(o, "operation_type",
			    c->op_id[0] ? json_string(op_kind_word[c->op_kind]) : json_null());
	json_object_set_new(o, "operation_started_at",
			    json_time_or_null(c->op_id[0] ? c->op_started_ms : 0));
	json_object_set_new(o, "correlation_id", json_text_or_null(c->op_id));
	return o;
}

void cvm_row_overlay(struct cvm_row *c, const struct op_row *op)
{
	if (op->state != OP_QUEUED && op->state != OP_RUNNING)
		return;
	memcpy(c->op_id, op->id, sizeof(c->op_id));
	c->op_kind = op->kind;
	c->op_started_ms = op->started_ms ? op->started_ms : op->created_ms;
}

/* ------------------------------------------------------------------ operations */

/* @at: the step the operation stands at, @i: the one that is described. */
static const char *step_state_word(const struct op_row *op, int at, int i)
{
	if (op->state == OP_SUCCEEDED)
		return "done";
	if (op->state == OP_QUEUED)
		return "pending";
	if (op->undoing)
		return i > at                    ? "undone"
		       : i < at                  ? "done"
		       : op->state == OP_RUNNING ? "running"
						 : "undone";
	if (i != at)
		return i < at ? "done" : "pending";
	return op->state == OP_RUNNING ? "running" : "failed";
}

static json_t *serialize_steps(const struct op_row *op, const char **ret_current)
{
	const char *const *names = vmm_steps(op->kind);
	const int at = vmm_step_at(op);
	json_t *a = json_array();

	*ret_current = "";
	for (int i = 0; names[i]; i++) {
		json_array_append_new(a, json_pack("{s:s,s:s}", "name", names[i], "state",
						   step_state_word(op, at, i)));
		if (i == at && op->state != OP_SUCCEEDED)
			*ret_current = names[i];
	}
	return a;
}

static json_t *serialize_op_error(const struct call *c, const struct op_row *op)
{
	struct err why;

	if (!vmm_op_error(op, &why))
		return json_null();
	if (c->caller.role < ROLE_OPERATOR)
		err_hide_total(&why);
	return envelope_body(&why, op->request_id);
}

json_t *serialize_operation(const struct call *c, const struct op_row *op)
{
	json_t *o = json_object();
	const char *current;

	json_object_set_new(o, "id", json_string(op->id));
	json_object_set_new(o, "kind", json_string(op_kind_word[op->kind]));
	json_object_set_new(o, "state", json_string(op_state_word[op->state]));
	json_object_set_new(o, "cvm",
			    json_pack("{s:s,s:s}", "vm_uuid", op->cvm_uuid, "name", op->cvm_name));
	json_object_set_new(o, "steps", serialize_steps(op, &current));
	json_object_set_new(o, "step", json_text_or_null(current));
	json_object_set_new(o, "undoing", json_boolean(op->undoing));
	json_object_set_new(o, "cancel_requested", json_boolean(op->cancel));
	json_object_set_new(o, "error", serialize_op_error(c, op));
	json_object_set_new(o, "created_at", json_time_or_null(op->created_ms));
	json_object_set_new(o, "started_at", json_time_or_null(op->started_ms));
	json_object_set_new(o, "finished_at", json_time_or_null(op->finished_ms));
	json_object_set_new(o, "request_id", json_text_or_null(op->request_id));
	json_object_set_new(o, "caller", json_text_or_null(op->caller));
	return o;
}

/* ------------------------------------------------------------------ the rest */

json_t *serialize_event(const struct event_row *ev)
{
	json_t *data = json_stored(ev->data);

	return json_pack("{s:I,s:o,s:s,s:o,s:o,s:o}", "seq", (json_int_t)ev->seq, "at",
			 json_time_or_null(ev->at_ms), "type", ev->type, "vm_uuid",
			 json_text_or_null(ev->cvm_uuid), "operation_id",
			 json_text_or_null(ev->op_id), "data", data ? data : json_null());
}

json_t *serialize_capacity(const struct capacity_row *rows, size_t n)
{
	json_t *a = json_array();

	for (size_t i = 0; i < n; i++) {
		bool set = rows[i].total >= 0;
		int64_t left = set && rows[i].total > rows[i].promised
				       ? rows[i].total - rows[i].promised
				       : 0;

		json_array_append_new(a, json_pack("{s:s,s:o,s:I,s:o}", "resource",
						   rows[i].resource, "total",
						   set ? json_integer(rows[i].total) : json_null(),
						   "promised", (json_int_t)rows[i].promised, "free",
						   set ? json_integer(left) : json_null()));
	}
	return a;
}

void serialize_hugepages(json_t *capacity, const struct numa_row *rows, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const struct numa_row *r = &rows[i];

		if (!r->hugepages_mib && !r->hugepages_promised)
			continue;
		json_array_append_new(capacity, json_pack("{s:s,s:I,s:I,s:I,s:I,s:I}", "resource",
							  "hugepages_mib", "total",
							  (json_int_t)r->hugepages_mib, "promised",
							  (json_int_t)r->hugepages_promised, "free",
							  (json_int_t)numa_free_hugepages(r),
							  "numa_node", (json_int_t)r->node,
							  "page_kib", (json_int_t)r->page_kib));
	}
}

json_t *serialize_device(const struct device_row *d, int64_t workspace)
{
	bool own = d->cvm && workspace == d->workspace, may_see = !workspace || own;
	char why[DEVICE_WHY];
	enum device_state state = device_state(d, why);
	json_t *o;

	if (!may_see && d->cvm && state == DEVICE_IN_USE)
		state = DEVICE_RESERVED;
	o = json_pack(
		"{s:s,s:s,s:s,s:o,s:I,s:o,s:o,s:b,s:s,s:o}", "address", d->address, "kind",
		device_kind_word[d->kind], "product_id", d->product_id, "description",
		json_text(d->description), "numa_node", (json_int_t)d->numa_node, "iommu_group",
		d->iommu_group < 0 || !may_see ? json_null() : json_integer(d->iommu_group),
		"driver", json_text_or_null(may_see ? d->driver : ""), "offered", d->offered,
		"state", device_state_word[state], "reason", json_text_or_null(may_see ? why : ""));

	json_object_set_new(o, "vm_uuid",
			    may_see && d->cvm ? json_string(d->cvm_uuid) : json_null());
	return o;
}

static json_t *serialize_node_numbers(const char *text)
{
	json_t *a = json_array();

	while (*text) {
		char *end;

		json_array_append_new(a, json_integer((json_int_t)strtoul(text, &end, 10)));
		text = *end == ',' ? end + 1 : "";
	}
	return a;
}

json_t *serialize_placement(const struct cvm_row *c)
{
	return json_pack("{s:b,s:b,s:o,s:I,s:I,s:o}", "hugepages", c->hugepages, "pin_numa",
			 c->pin_numa, "numa_nodes", serialize_node_numbers(c->numa_nodes), "vcpus",
			 (json_int_t)c->given_vcpus, "memory_mib", (json_int_t)c->given_memory_mib,
			 "gpu_attach", json_text_or_null(c->gpu_attach));
}

json_t *serialize_image(const struct image_row *row, const struct image_status *status)
{
	return json_pack("{s:s,s:s,s:s,s:b,s:s,s:I,s:o,s:s,s:o}", "name", row->name, "family",
			 row->family, "version", row->version, "is_dev", row->is_dev,
			 "os_image_hash", row->os_image_hash, "bytes", (json_int_t)row->bytes,
			 "created_at", json_time_or_null(row->created_ms), "state",
			 image_state_word[status->state], "state_reason",
			 *status->reason ? json_string(status->reason) : json_null());
}

json_t *serialize_ports(const struct port_row *ports, size_t n)
{
	json_t *a = json_array();

	for (size_t i = 0; i < n; i++)
		json_array_append_new(
			a, json_pack("{s:s,s:s,s:i,s:i}", "protocol", ports[i].udp ? "udp" : "tcp",
				     "host_address", ports[i].host_address, "host_port",
				     (int)ports[i].host_port, "vm_port", (int)ports[i].vm_port));
	return a;
}
