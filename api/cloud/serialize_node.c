/* SPDX-License-Identifier: Apache-2.0
 * serialize_node.c - resources of the node and their assignments, as JSON.
 *
 * A caller who sees one workspace must not learn who uses a device, nor how busy the node is.
 */
#include "api/cloud/serialize_node.h"

#include <assert.h>
#include <stdlib.h>

#include "api/cloud/context.h"
#include "api/cloud/json_or_null.h"
#include "api/http/call.h"
#include "base/json.h"
#include "db/capacity.h"
#include "db/cvms.h"
#include "db/devices.h"
#include "db/node.h"
#include "db/numa.h"
#include "db/policies.h"
#include "db/ports.h"
#include "vmm/admit/devices.h"
#include "vmm/admit/placement.h"
#include "vmm/cvm/maintenance.h"
#include "vmm/host/device_state.h"

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

	assert((int)state < DEVICE_STATES);
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

int serialize_maintenance(const struct call *c, json_t **ret, struct err *e)
{
	struct maintenance_row m = { 0 };
	struct drain_counts n = { 0 };
	int r = vmm_maintenance(api_of(c)->vmm, &m, &n, e);

	if (r)
		return r;
	*ret = json_pack("{s:b,s:o,s:o}", "enabled", m.on, "reason", json_text_or_null(m.reason),
			 "since", json_time_or_null(m.since_ms));
	if (api_scope(c))
		return 0;
	json_object_set_new(*ret, "by", json_text_or_null(m.caller));
	json_object_set_new(*ret, "drain",
			    json_pack("{s:I,s:I,s:I,s:I}", "waiting", (json_int_t)n.waiting,
				      "shutting_down", (json_int_t)n.under_way, "still_running",
				      (json_int_t)n.running, "down", (json_int_t)n.down));
	json_object_set_new(*ret, "waiting_to_start", json_integer(n.starting));
	return 0;
}
