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

static const struct vmm_settings *serializer_settings(const struct cvm_serializer *s)
{
	assert(s->call);
	return vmm_settings(api_of(s->call)->vmm);
}

void cvm_serializer_init(struct cvm_serializer *s, const struct call *c)
{
	*s = (struct cvm_serializer){ .call = c, .now_ms = clock_wall_ms() };
}

void cvm_serializer_end(struct cvm_serializer *s)
{
	json_shared_end(&s->node);
	json_shared_end(&s->teepod);
	json_shared_end(&s->workspace);
	json_shared_end(&s->gateway);
	json_shared_end(&s->os);
	json_shared_end(&s->memory);
}

struct json_shared *serialize_cvm_node(struct cvm_serializer *s)
{
	const struct vmm_settings *set = serializer_settings(s);

	if (!s->node.value)
		s->node.value = json_pack("{s:s,s:I,s:s,s:s,s:n,s:n,s:s,s:s}", "object_type",
					  "node", "id", (json_int_t)set->node_id, "name",
					  set->node_name, "region", set->region, "device_id",
					  "ppid", "status", "online", "version", TEEPOD_VERSION);
	return &s->node;
}

static struct json_shared *serialize_cvm_teepod(struct cvm_serializer *s)
{
	const struct vmm_settings *set = serializer_settings(s);

	if (!s->teepod.value)
		s->teepod.value = json_pack("{s:I,s:s,s:s}", "id", (json_int_t)set->node_id, "name",
					    set->node_name, "region_identifier", set->region);
	return &s->teepod;
}

static struct json_shared *serialize_cvm_gateway(struct cvm_serializer *s)
{
	if (!s->gateway.value)
		s->gateway.value = json_pack(
			"{s:o,s:n}", "base_domain",
			json_text_or_null(serializer_settings(s)->gateway_base_domain), "cname");
	return &s->gateway;
}

/* Nearly all rows of one answer belong to one workspace: keep its object. */
static struct json_shared *serialize_cvm_workspace(struct cvm_serializer *s, int64_t id)
{
	if (!s->workspace.value || s->workspace_id != id) {
		json_shared_set(&s->workspace, serialize_workspace_ref(api_of(s->call)->vmm, id));
		s->workspace_id = id;
	}
	return &s->workspace;
}

static const char *cvm_mode(const struct cvm_row *c)
{
	return c->tdx ? "tdx" : "development";
}

static const char *cvm_status_text(const struct cvm_row *c)
{
	return status_word(cvm_status(c));
}

static void put_visibility_flags(struct json_out *o, const struct cvm_row *c)
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
		json_out_bool(o, flags[i].key, flags[i].value);
	if (*c->storage_fs)
		json_out_text_or_null(o, "storage_fs", c->storage_fs);
}

/* Extra keys of this node, the same in both versions. */
static void put_node_fields(struct json_out *o, const struct cvm_row *c)
{
	json_out_word(o, "desired", desired_word[c->desired]);
	json_out_word(o, "observed", observed_word[c->observed]);
	json_out_text_or_null(o, "pause_reason", paused_word[c->paused]);
	json_out_word(o, "mode", cvm_mode(c));
	json_out_word(o, "tee", c->tdx ? "tdx" : "none");
	json_out_int(o, "boots", c->boot);
	json_out_text_or_null(o, "boot_progress", c->boot_progress);
	json_out_text_or_null(o, "boot_error", c->boot_error);
	json_out_time_or_null(o, "created_at", c->created_ms);
	json_out_time_or_null(o, "started_at", c->started_ms);
	json_out_time_or_null(o, "stopped_at", c->stopped_ms);
	json_out_bool(o, "in_progress", c->op_id[0]);
	json_out_int(o, "generation", c->policy.generation);
}

/* CVMs of one list have few sizes: keep the number of the last one. */
static struct json_shared *serialize_memory_gb(struct cvm_serializer *s, int64_t mib)
{
	if (!s->memory.value || s->memory_mib != mib) {
		json_shared_set(&s->memory, mib % 1024 ? json_real((double)mib / 1024)
						       : json_integer(mib / 1024));
		s->memory_mib = mib;
	}
	return &s->memory;
}

static void put_cvm_resource(struct cvm_serializer *s, const struct cvm_row *c,
			     struct json_out *outer)
{
	struct json_out o = json_out_begin(outer, "resource");

	json_out_text_or_null(&o, "instance_type", c->instance_type);
	json_out_int(&o, "vcpu", c->vcpus);
	json_out_shared(&o, "memory_in_gb", serialize_memory_gb(s, c->memory_mib));
	json_out_int(&o, "disk_in_gb", c->disk_gib);
	json_out_int(&o, "gpus", c->gpus);
	json_out_null(&o, "compute_billing_price");
	json_out_null(&o, "billing_period");
	json_out_end(&o);
}

/* CVMs of one list share few images: keep the object of the last one. */
static struct json_shared *serialize_cvm_os(struct cvm_serializer *s, const struct cvm_row *c)
{
	if (s->os.value && s->image_id == c->image)
		return &s->os;
	json_shared_set(&s->os, json_pack("{s:s,s:s,s:b,s:o}", "name", c->image_name, "version",
					  c->image_version, "is_dev", c->image_dev, "os_image_hash",
					  json_text_or_null(c->image_hash)));
	s->image_id = c->image;
	return &s->os;
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

void serialize_cvm_v26(struct cvm_serializer *s, const struct cvm_row *c, struct json_out *o)
{
	char id[32];

	(void)snprintf(id, sizeof(id), "cvm_%" PRId64, c->id);
	json_out_word(o, "id", id);
	json_out_text_or_null(o, "name", c->name);
	json_out_word(o, "app_id", c->app_id);
	json_out_word(o, "vm_uuid", c->uuid);
	json_out_text_or_null(o, "instance_id", c->instance_id);
	json_out_word(o, "status", cvm_status_text(c));
	put_cvm_resource(s, c, o);
	json_out_shared(o, "gateway", serialize_cvm_gateway(s));
	json_out_shared(o, "node_info", serialize_cvm_node(s));
	json_out_shared(o, "os", serialize_cvm_os(s, c));
	json_out_word(o, "kms_type", "phala");
	json_out_null(o, "kms_info");
	json_out_word(o, "compose_hash", c->compose_hash);
	json_out_value(o, "services", json_array());
	json_out_value(o, "endpoints", serialize_endpoints(s, c));
	json_out_shared(o, "workspace", serialize_cvm_workspace(s, c->workspace));
	json_out_null(o, "creator");
	if (c->op_id[0])
		json_out_value(o, "progress", serialize_cvm_progress(c));
	put_visibility_flags(o, c);
	put_node_fields(o, c);
}

static json_t *serialize_machine_info(const struct cvm_row *c)
{
	return json_pack("{s:I,s:I,s:I,s:I}", "vcpu", (json_int_t)c->vcpus, "memory",
			 (json_int_t)c->memory_mib, "disk_size", (json_int_t)c->disk_gib,
			 "gpu_count", (json_int_t)c->gpus);
}

/* Keys common to answers of lifecycle requests and to the v25 detail. */
static void put_cvm_core(struct cvm_serializer *s, const struct cvm_row *c, struct json_out *o)
{
	json_out_int(o, "id", c->id);
	json_out_text_or_null(o, "name", c->name);
	json_out_word(o, "status", cvm_status_text(c));
	json_out_int(o, "teepod_id", serializer_settings(s)->node_id);
	json_out_shared(o, "teepod", serialize_cvm_teepod(s));
	json_out_word(o, "app_id", c->app_id);
	json_out_word(o, "vm_uuid", c->uuid);
	json_out_text_or_null(o, "instance_id", c->instance_id);
	json_out_int(o, "vcpu", c->vcpus);
	json_out_int(o, "memory", c->memory_mib);
	json_out_int(o, "disk_size", c->disk_gib);
	json_out_text_or_null(o, "base_image", c->image_name);
	json_out_null(o, "encrypted_env_pubkey");
	json_out_text_or_null(o, "instance_type", c->instance_type);
	json_out_word(o, "compose_hash", c->compose_hash);
}

void serialize_cvm_v25(struct cvm_serializer *s, const struct cvm_row *c, struct json_out *o)
{
	auto_free char *logs = log_link(s->call, c);

	put_cvm_core(s, c, o);
	json_out_null(o, "project_id");
	json_out_null(o, "project_type");
	json_out_null(o, "dapp_dashboard_url");
	json_out_text_or_null(o, "syslog_endpoint", logs);
	json_out_null(o, "kms_info");
	json_out_null(o, "contract_address");
	json_out_null(o, "deployer_address");
	json_out_null(o, "scheduled_delete_at");
	json_out_value(o, "public_urls", serialize_endpoints(s, c));
	json_out_text_or_null(o, "gateway_domain", serializer_settings(s)->gateway_base_domain);
	json_out_value(o, "machine_info", serialize_machine_info(c));
	json_out_null(o, "updated_at");
	put_visibility_flags(o, c);
	put_node_fields(o, c);
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

void serialize_cvm_hosted_v25(struct cvm_serializer *s, const struct cvm_row *c, struct json_out *o)
{
	serialize_cvm_v25(s, c, o);
	json_out_value(o, "hosted", serialize_hosted(s, c));
	json_out_null(o, "managed_user");
	json_out_shared(o, "node", serialize_cvm_teepod(s));
	json_out_null(o, "billing_period");
}

/* Restart state and policies. */
static void put_cvm_policy(const struct cvm_serializer *s, const struct cvm_row *c,
			   struct json_out *outer)
{
	const struct cvm_policy *p = &c->policy;
	struct json_out o = json_out_begin(outer, "restart");

	json_out_word(&o, "policy", restart_policy_word[p->restart]);
	json_out_int(&o, "attempts", p->attempts);
	json_out_int(&o, "budget", (int64_t)serializer_settings(s)->restart.retries);
	json_out_time_or_null(&o, "next_attempt_at", p->next_ms);
	json_out_bool(&o, "exhausted", p->exhausted);
	json_out_text_or_null(&o, "ended", ended_word[p->ended]);
	json_out_end(&o);
	json_out_bool(outer, "auto_start", p->auto_start);
	json_out_int(outer, "start_order", p->start_order);
	json_out_text_or_null(outer, "waits_to",
			      p->turn == TURN_START   ? "start"
			      : p->turn == TURN_DRAIN ? "shut_down"
						      : NULL);
}

static int put_cvm_ports(struct cvm_serializer *s, const struct cvm_row *c, struct json_out *o,
			 struct err *e)
{
	auto_free struct port_row *ports = NULL;
	size_t n;
	int r = vmm_ports(api_of(s->call)->vmm, c->id, &ports, &n, e);

	if (!r)
		json_out_value(o, "ports", serialize_ports(ports, n));
	return r;
}

static int put_cvm_devices(struct cvm_serializer *s, const struct cvm_row *c, struct json_out *o,
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
	json_out_value(o, "devices", list);
	json_out_value(o, "placement", serialize_placement(c));
	return 0;
}

static int put_cvm_manifest(struct cvm_serializer *s, const struct cvm_row *c, struct json_out *o,
			    struct err *e)
{
	auto_free char *text = NULL;
	json_t *manifest;
	int r = vmm_manifest(api_of(s->call)->vmm, c, &text, e);

	if (r)
		return r;
	manifest = json_loads(text, 0, NULL);
	json_out_value(o, "compose_file", manifest ? manifest : json_text(text));
	return 0;
}

static int put_cvm_operation(struct cvm_serializer *s, const struct cvm_row *c, struct json_out *o,
			     struct err *e)
{
	struct op_row op;
	int r;

	if (!c->op_id[0]) {
		json_out_null(o, "operation");
		return 0;
	}
	r = vmm_operation(api_of(s->call)->vmm, c->op_id, &op, e);
	if (!r)
		json_out_value(o, "operation", serialize_operation(s->call, &op));
	return r;
}

int serialize_cvm_detail(struct cvm_serializer *s, const struct cvm_row *c, json_t **ret,
			 struct err *e)
{
	auto_json json_t *object = json_object();
	struct json_out o = { .object = object };
	int r;

	if (s->call->version == 25)
		serialize_cvm_v25(s, c, &o);
	else
		serialize_cvm_v26(s, c, &o);
	r = put_cvm_ports(s, c, &o, e);
	put_cvm_policy(s, c, &o);
	if (!r)
		r = put_cvm_devices(s, c, &o, e);
	if (!r)
		r = put_cvm_manifest(s, c, &o, e);
	if (!r)
		r = put_cvm_operation(s, c, &o, e);
	if (!r)
		*ret = take_ptr(&object);
	return r;
}

int serialize_cvm_lifecycle(struct cvm_serializer *s, const struct cvm_row *row,
			    const struct op_row *op, json_t **ret, struct err *e)
{
	struct cvm_row with_op = *row;
	const struct cvm_row *c = &with_op;
	auto_json json_t *object = json_object();
	struct json_out o = { .object = object };
	int r;

	if (op)
		cvm_row_overlay(&with_op, op);
	put_cvm_core(s, c, &o);
	json_out_null(&o, "user_id");
	json_out_null(&o, "app_url");
	json_out_null(&o, "docker_compose_file");
	put_visibility_flags(&o, c);
	put_node_fields(&o, c);
	put_cvm_policy(s, c, &o);
	if (op && op->id[0]) {
		json_out_word(&o, "operation_id", op->id);
		json_out_word(&o, "correlation_id", op->id);
	}
	r = put_cvm_ports(s, c, &o, e);
	if (!r)
		r = put_cvm_devices(s, c, &o, e);
	if (!r)
		*ret = take_ptr(&object);
	return r;
}
