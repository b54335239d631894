/* SPDX-License-Identifier: Apache-2.0
 * serialize_cvm.c - CVMs as JSON, in both versions of the API.
 *
 * v25 is X-Phala-Version 2025-10-28, v26 is 2026-01-21. "id" is a number in v25 and a string in
 * v26; answers of lifecycle requests have a number in both. Clients validate the objects:
 * public_logs, public_sysinfo, public_tcbinfo, gateway_enabled, secure_time, listed and storage_fs
 * must never be null; vcpu and disk_in_gb must be integers; kms_type must be lower case. Extra keys
 * are allowed. Ours are ports, boot_progress, operation, desired, observed, mode and those of
 * put_node_fields().
 */
#include "api/cloud/serialize_cvm.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

#include "api/cloud/context.h"
#include "api/cloud/json_or_null.h"
#include "api/cloud/log_link.h"
#include "api/cloud/serialize_node.h"
#include "api/cloud/serialize_operation.h"
#include "api/cloud/serialize_workspace.h"
#include "api/http/call.h"
#include "base/array.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/own.h"
#include "base/strings.h"
#include "db/cvms.h"
#include "db/devices.h"
#include "db/operations.h"
#include "db/policies.h"
#include "db/ports.h"
#include "db/workspaces.h"
#include "vmm/account/workspaces.h"
#include "vmm/admit/reservation.h"
#include "vmm/compose/compose.h"
#include "vmm/cvm/status.h"
#include "vmm/node/node.h"
#include "vmm/node/settings.h"
#include "vmm/vmm.h"

/* Our keys and checked names are valid UTF-8, so skip the check of jansson for them. */
static void put_key(json_t *o, const char *key, json_t *value)
{
	json_object_set_new_nocheck(o, key, value);
}

static void put_shared_value(json_t *o, const char *key, json_t *value)
{
	json_object_set_new_nocheck(o, key, json_incref(value));
}

static json_t *ascii_text(const char *s)
{
	return json_string_nocheck(s);
}

static const struct vmm_settings *serializer_settings(const struct cvm_serializer *s)
{
	assert(s->call);
	return vmm_settings(api_of(s->call)->vmm);
}

void cvm_serializer_init(struct cvm_serializer *s, const struct call *c)
{
	assert(!s->node && !s->teepod && !s->gateway);
	*s = (struct cvm_serializer){ .call = c, .now_ms = clock_wall_ms() };
	s->node = json_pack("{s:s,s:I,s:s,s:s,s:n,s:n,s:s,s:s}", "object_type", "node", "id",
			    (json_int_t)serializer_settings(s)->node_id, "name",
			    serializer_settings(s)->node_name, "region",
			    serializer_settings(s)->region, "device_id", "ppid", "status", "online",
			    "version", TEEPOD_VERSION);
	s->teepod = json_pack("{s:I,s:s,s:s}", "id", (json_int_t)serializer_settings(s)->node_id,
			      "name", serializer_settings(s)->node_name, "region_identifier",
			      serializer_settings(s)->region);
	s->gateway =
		json_pack("{s:o,s:n}", "base_domain",
			  json_text_or_null(serializer_settings(s)->gateway_base_domain), "cname");
}

void cvm_serializer_end(struct cvm_serializer *s)
{
	json_decref(s->node);
	json_decref(s->teepod);
	json_decref(s->workspace);
	json_decref(s->gateway);
	json_decref(s->os);
}

/* Nearly all rows of one answer belong to one workspace: keep its object. */
static json_t *serialize_cvm_workspace(struct cvm_serializer *s, int64_t id)
{
	if (!s->workspace || s->workspace_id != id) {
		json_decref(s->workspace);
		s->workspace = serialize_workspace_ref(api_of(s->call)->vmm, id);
		s->workspace_id = id;
	}
	return json_incref(s->workspace);
}

static const char *cvm_mode(const struct cvm_row *c)
{
	return c->tdx ? "tdx" : "development";
}

static const char *cvm_status_text(const struct cvm_row *c)
{
	return status_word(cvm_status(c));
}

static void put_visibility_flags(json_t *o, const struct cvm_row *c)
{
	const struct {
		const char *key;
		bool value;
	} flags[] = {
		{ "public_logs", c->public_logs },       { "public_sysinfo", c->public_sysinfo },
		{ "public_tcbinfo", c->public_tcbinfo }, { "gateway_enabled", c->gateway_enabled },
		{ "secure_time", c->secure_time },       { "listed", c->listed },
	};

	for (size_t i = 0; i < ARRAY_SIZE(flags); i++)
		put_key(o, flags[i].key, json_boolean(flags[i].value));
	json_put_text(o, "storage_fs", c->storage_fs);
}

/* Extra keys of this node, the same in both versions. */
static void put_node_fields(json_t *o, const struct cvm_row *c)
{
	put_key(o, "desired", ascii_text(desired_word[c->desired]));
	put_key(o, "observed", ascii_text(observed_word[c->observed]));
	put_key(o, "pause_reason", json_text_or_null(paused_word[c->paused]));
	put_key(o, "mode", ascii_text(cvm_mode(c)));
	put_key(o, "tee", ascii_text(c->tdx ? "tdx" : "none"));
	put_key(o, "boots", json_integer(c->boot));
	put_key(o, "boot_progress", json_text_or_null(c->boot_progress));
	put_key(o, "boot_error", json_text_or_null(c->boot_error));
	put_key(o, "created_at", json_time_or_null(c->created_ms));
	put_key(o, "started_at", json_time_or_null(c->started_ms));
	put_key(o, "stopped_at", json_time_or_null(c->stopped_ms));
	put_key(o, "in_progress", json_boolean(c->op_id[0]));
	put_key(o, "generation", json_integer(c->policy.generation));
}

static json_t *serialize_memory_gb(int64_t mib)
{
	return mib % 1024 ? json_real((double)mib / 1024) : json_integer(mib / 1024);
}

static json_t *serialize_cvm_resource(const struct cvm_row *c)
{
	json_t *o = json_object();

	put_key(o, "instance_type", json_text_or_null(c->instance_type));
	put_key(o, "vcpu", json_integer(c->vcpus));
	put_key(o, "memory_in_gb", serialize_memory_gb(c->memory_mib));
	put_key(o, "disk_in_gb", json_integer(c->disk_gib));
	put_key(o, "gpus", json_integer(c->gpus));
	put_key(o, "compute_billing_price", json_null());
	put_key(o, "billing_period", json_null());
	return o;
}

/* CVMs of one list share few images: keep the object of the last one. */
static json_t *serialize_cvm_os(struct cvm_serializer *s, const struct cvm_row *c)
{
	if (s->os && s->image_id == c->image)
		return json_incref(s->os);
	json_decref(s->os);
	s->os = json_pack("{s:s,s:s,s:b,s:o}", "name", c->image_name, "version", c->image_version,
			  "is_dev", c->image_dev, "os_image_hash",
			  json_text_or_null(c->image_hash));
	s->image_id = c->image;
	return json_incref(s->os);
}

/* URL of the page of the guest agent behind the gateway, in the form of dstack:
 * "https://<id>-<port>.<domain>". */
static char *gateway_url(const struct vmm_settings *set, const char *id)
{
	if (set->gateway_port && set->gateway_port != 443)
		return xasprintf("https://%s-%u.%s:%u", id, set->gateway_agent_port,
				 set->gateway_base_domain, set->gateway_port);
	return xasprintf("https://%s-%u.%s", id, set->gateway_agent_port, set->gateway_base_domain);
}

static json_t *serialize_endpoints(const struct cvm_serializer *s, const struct cvm_row *c)
{
	const struct vmm_settings *set = serializer_settings(s);
	auto_free char *app = NULL, *instance = NULL;

	if (!c->gateway_enabled || !set->gateway_base_domain || !*set->gateway_base_domain ||
	    !c->instance_id[0])
		return json_array();
	app = gateway_url(set, c->app_id);
	instance = gateway_url(set, c->instance_id);
	return json_pack("[{s:s,s:s}]", "app", app, "instance", instance);
}

static json_t *serialize_cvm_progress(const struct cvm_row *c)
{
	static const char *const target[OP_KINDS] = {
		[OP_CREATE] = "running",   [OP_START] = "running",   [OP_STOP] = "stopped",
		[OP_SHUTDOWN] = "stopped", [OP_RESTART] = "running", [OP_DELETE] = "deleted",
		[OP_RESUME] = "running",
	};
	const char *to = target[c->op_kind]; /* NULL: an update leaves the state as it is */
	char at[CLOCK_TEXT];

	assert(c->op_id[0]);
	return json_pack("{s:s,s:s,s:s}", "target",
			 to                              ? to
			 : c->desired == DESIRED_RUNNING ? "running"
							 : "stopped",
			 "started_at", clock_rfc3339(c->op_started_ms, at), "correlation_id",
			 c->op_id);
}

json_t *serialize_cvm_v26(struct cvm_serializer *s, const struct cvm_row *c)
{
	json_t *o = json_object();
	char id[32];

	assert(s->node && s->gateway); /* cvm_serializer_init() was called */
	(void)snprintf(id, sizeof(id), "cvm_%" PRId64, c->id);
	put_key(o, "id", ascii_text(id));
	put_key(o, "name", ascii_text(c->name));
	put_key(o, "app_id", ascii_text(c->app_id));
	put_key(o, "vm_uuid", ascii_text(c->uuid));
	put_key(o, "instance_id", json_text_or_null(c->instance_id));
	put_key(o, "status", ascii_text(cvm_status_text(c)));
	put_key(o, "resource", serialize_cvm_resource(c));
	put_shared_value(o, "gateway", s->gateway);
	put_shared_value(o, "node_info", s->node);
	put_key(o, "os", serialize_cvm_os(s, c));
	put_key(o, "kms_type", ascii_text("phala"));
	put_key(o, "kms_info", json_null());
	put_key(o, "compose_hash", ascii_text(c->compose_hash));
	put_key(o, "services", json_array());
	put_key(o, "endpoints", serialize_endpoints(s, c));
	put_key(o, "workspace", serialize_cvm_workspace(s, c->workspace));
	put_key(o, "creator", json_null());
	if (c->op_id[0])
		put_key(o, "progress", serialize_cvm_progress(c));
	put_visibility_flags(o, c);
	put_node_fields(o, c);
	return o;
}

static json_t *serialize_machine_info(const struct cvm_row *c)
{
	return json_pack("{s:I,s:I,s:I,s:I}", "vcpu", (json_int_t)c->vcpus, "memory",
			 (json_int_t)c->memory_mib, "disk_size", (json_int_t)c->disk_gib,
			 "gpu_count", (json_int_t)c->gpus);
}

/* Keys common to answers of lifecycle requests and to the v25 detail. */
static json_t *serialize_cvm_core(struct cvm_serializer *s, const struct cvm_row *c)
{
	json_t *o = json_object();

	assert(s->teepod); /* cvm_serializer_init() was called */
	put_key(o, "id", json_integer(c->id));
	put_key(o, "name", ascii_text(c->name));
	put_key(o, "status", ascii_text(cvm_status_text(c)));
	put_key(o, "teepod_id", json_integer(serializer_settings(s)->node_id));
	put_shared_value(o, "teepod", s->teepod);
	put_key(o, "app_id", ascii_text(c->app_id));
	put_key(o, "vm_uuid", ascii_text(c->uuid));
	put_key(o, "instance_id", json_text_or_null(c->instance_id));
	put_key(o, "vcpu", json_integer(c->vcpus));
	put_key(o, "memory", json_integer(c->memory_mib));
	put_key(o, "disk_size", json_integer(c->disk_gib));
	put_key(o, "base_image", ascii_text(c->image_name));
	put_key(o, "encrypted_env_pubkey", json_null());
	put_key(o, "instance_type", json_text_or_null(c->instance_type));
	put_key(o, "compose_hash", ascii_text(c->compose_hash));
	return o;
}

json_t *serialize_cvm_v25(struct cvm_serializer *s, const struct cvm_row *c)
{
	json_t *o = serialize_cvm_core(s, c);
	auto_free char *logs = log_link(s->call, c);

	put_key(o, "project_id", json_null());
	put_key(o, "project_type", json_null());
	put_key(o, "dapp_dashboard_url", json_null());
	put_key(o, "syslog_endpoint", ascii_text(logs));
	put_key(o, "kms_info", json_null());
	put_key(o, "contract_address", json_null());
	put_key(o, "deployer_address", json_null());
	put_key(o, "scheduled_delete_at", json_null());
	put_key(o, "public_urls", serialize_endpoints(s, c));
	put_key(o, "gateway_domain",
		json_text_or_null(serializer_settings(s)->gateway_base_domain));
	put_key(o, "machine_info", serialize_machine_info(c));
	put_key(o, "updated_at", json_null());
	put_visibility_flags(o, c);
	put_node_fields(o, c);
	return o;
}

static json_t *serialize_hosted(struct cvm_serializer *s, const struct cvm_row *c)
{
	bool up = cvm_status(c) == STATUS_RUNNING;
	char span[CLOCK_SPAN];

	(void)s;
	return json_pack("{s:s,s:s,s:s,s:s,s:n,s:s,s:o,s:o,s:o,s:o,s:o,s:s}", "id", c->uuid, "name",
			 c->name, "status", cvm_status_text(c), "uptime",
			 up ? clock_span(s->now_ms - c->started_ms, span) : "0s", "app_url",
			 "app_id", c->app_id, "instance_id", json_text_or_null(c->instance_id),
			 "exited_at", json_time_or_null(c->stopped_ms), "boot_progress",
			 json_text_or_null(c->boot_progress), "boot_error",
			 json_text_or_null(c->boot_error), "shutdown_progress",
			 json_text_or_null(c->shutdown_progress), "image_version", c->image_name);
}

json_t *serialize_cvm_hosted_v25(struct cvm_serializer *s, const struct cvm_row *c)
{
	json_t *o = serialize_cvm_v25(s, c);

	put_key(o, "hosted", serialize_hosted(s, c));
	put_key(o, "managed_user", json_null());
	put_shared_value(o, "node", s->teepod);
	put_key(o, "billing_period", json_null());
	return o;
}

/* Restart state and policies. */
static void put_cvm_policy(const struct cvm_serializer *s, const struct cvm_row *c, json_t *o)
{
	const struct cvm_policy *p = &c->policy;

	put_key(o, "restart",
		json_pack("{s:s,s:I,s:I,s:o,s:b,s:o}", "policy", restart_policy_word[p->restart],
			  "attempts", (json_int_t)p->attempts, "budget",
			  (json_int_t)serializer_settings(s)->restart.retries, "next_attempt_at",
			  json_time_or_null(p->next_ms), "exhausted", p->exhausted, "ended",
			  json_text_or_null(ended_word[p->ended])));
	put_key(o, "auto_start", json_boolean(p->auto_start));
	put_key(o, "start_order", json_integer(p->start_order));
	put_key(o, "waits_to",
		p->turn == TURN_START   ? ascii_text("start")
		: p->turn == TURN_DRAIN ? ascii_text("shut_down")
					: json_null());
}

static int put_cvm_ports(struct cvm_serializer *s, const struct cvm_row *c, json_t *o,
			 struct err *e)
{
	auto_free struct port_row *ports = NULL;
	size_t n;
	int r = vmm_ports(api_of(s->call)->vmm, c->id, &ports, &n, e);

	if (!r)
		put_key(o, "ports", serialize_ports(ports, n));
	return r;
}

static int put_cvm_devices(struct cvm_serializer *s, const struct cvm_row *c, json_t *o,
			   struct err *e)
{
	auto_free struct device_row *devices = NULL;
	json_t *list;
	size_t n;
	int r = vmm_devices_of(api_of(s->call)->vmm, c->id, &devices, &n, e);

	if (r)
		return r;
	list = json_array();
	for (size_t i = 0; i < n; i++)
		json_array_append_new(list, serialize_device(&devices[i], 0));
	put_key(o, "devices", list);
	put_key(o, "placement", serialize_placement(c));
	return 0;
}

static int put_cvm_manifest(struct cvm_serializer *s, const struct cvm_row *c, json_t *o,
			    struct err *e)
{
	auto_free char *text = NULL;
	json_t *manifest;
	int r = vmm_manifest(api_of(s->call)->vmm, c, &text, e);

	if (r)
		return r;
	manifest = json_loads(text, 0, NULL);
	put_key(o, "compose_file", manifest ? manifest : ascii_text(text));
	return 0;
}

static int put_cvm_operation(struct cvm_serializer *s, const struct cvm_row *c, json_t *o,
			     struct err *e)
{
	struct op_row op;
	int r;

	if (!c->op_id[0]) {
		put_key(o, "operation", json_null());
		return 0;
	}
	r = vmm_operation(api_of(s->call)->vmm, c->op_id, &op, e);
	if (!r)
		put_key(o, "operation", serialize_operation(s->call, &op));
	return r;
}

int serialize_cvm_detail(struct cvm_serializer *s, const struct cvm_row *c, json_t **ret,
			 struct err *e)
{
	auto_json json_t *o =
		s->call->version == 25 ? serialize_cvm_v25(s, c) : serialize_cvm_v26(s, c);
	int r = put_cvm_ports(s, c, o, e);

	put_cvm_policy(s, c, o);
	if (!r)
		r = put_cvm_devices(s, c, o, e);
	if (!r)
		r = put_cvm_manifest(s, c, o, e);
	if (!r)
		r = put_cvm_operation(s, c, o, e);
	if (!r)
		*ret = take_ptr(&o);
	return r;
}

int serialize_cvm_lifecycle(struct cvm_serializer *s, const struct cvm_row *row,
			    const struct op_row *op, json_t **ret, struct err *e)
{
	struct cvm_row with_op = *row;
	const struct cvm_row *c = &with_op;
	auto_json json_t *o = NULL;
	int r;

	if (op)
		cvm_row_overlay(&with_op, op);
	o = serialize_cvm_core(s, c);
	put_key(o, "user_id", json_null());
	put_key(o, "app_url", json_null());
	put_key(o, "docker_compose_file", json_null());
	put_visibility_flags(o, c);
	put_node_fields(o, c);
	put_cvm_policy(s, c, o);
	if (op && op->id[0]) {
		put_key(o, "operation_id", ascii_text(op->id));
		put_key(o, "correlation_id", ascii_text(op->id));
	}
	r = put_cvm_ports(s, c, o, e);
	if (!r)
		r = put_cvm_devices(s, c, o, e);
	if (!r)
		*ret = take_ptr(&o);
	return r;
}
