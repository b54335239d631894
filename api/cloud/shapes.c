/* SPDX-License-Identifier: Apache-2.0
 * shapes.c - CVM rows in the cloud's two versions.
 *
 * v25 is X-Phala-Version 2025-10-28, v26 is 2026-01-21. In v25 "id" is a number, in v26 a string;
 * lifecycle answers have a number in both. public_logs, public_sysinfo, public_tcbinfo,
 * gateway_enabled, secure_time, listed and storage_fs must never be null; vcpu and disk_in_gb must
 * be whole numbers; kms_type is lower case. Extra keys are allowed in all of them, and carry what
 * is ours: ports, boot_progress, operation, desired, observed, mode.
 */
#include "api/cloud/shapes.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/cloud/log_link.h"
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
#include "vmm/cvm/status.h"
#include "vmm/node/node.h"
#include "vmm/node/settings.h"
#include "vmm/vmm.h"

/* Guests write some of these, and fixed sizes may cut a character in two. */
json_t *json_text_or_null(const char *s)
{
	return s && *s ? json_text(s) : json_null();
}

json_t *json_time_or_null(int64_t wall_ms)
{
	char at[CLOCK_TEXT];

	return wall_ms ? json_string(clock_rfc3339(wall_ms, at)) : json_null();
}

void json_put_text(json_t *o, const char *key, const char *value)
{
	if (*value)
		json_object_set_new(o, key, json_text(value));
}

/* Keys are ours and names were checked when they came in: jansson need not look at every byte once
 * more. */
static void put(json_t *o, const char *key, json_t *value)
{
	json_object_set_new_nocheck(o, key, value);
}

static void put_shared(json_t *o, const char *key, json_t *value)
{
	json_object_set_new_nocheck(o, key, json_incref(value));
}

static json_t *ascii(const char *s)
{
	return json_string_nocheck(s);
}

static const struct vmm_settings *settings(const struct shaper *s)
{
	return vmm_settings(api_of(s->call)->vmm);
}

void shaper_init(struct shaper *s, const struct call *c)
{
	*s = (struct shaper){ .call = c, .now_ms = clock_wall_ms() };
	s->node = json_pack("{s:s,s:I,s:s,s:s,s:n,s:n,s:s,s:s}", "object_type", "node", "id",
			    (json_int_t)settings(s)->node_id, "name", settings(s)->node_name,
			    "region", settings(s)->region, "device_id", "ppid", "status", "online",
			    "version", TEEPOD_VERSION);
	s->teepod = json_pack("{s:I,s:s,s:s}", "id", (json_int_t)settings(s)->node_id, "name",
			      settings(s)->node_name, "region_identifier", settings(s)->region);
	s->gateway = json_pack("{s:o,s:n}", "base_domain",
			       json_text_or_null(settings(s)->gateway_base_domain), "cname");
}

void shaper_end(struct shaper *s)
{
	json_decref(s->node);
	json_decref(s->teepod);
	json_decref(s->workspace);
	json_decref(s->gateway);
	json_decref(s->os);
}

/* Rows of one answer are nearly always of one workspace. */
static json_t *workspace(struct shaper *s, int64_t id)
{
	struct workspace_row ws;
	char ref[32];
	struct err e;

	if (s->workspace && s->workspace_id == id)
		return json_incref(s->workspace);
	if (vmm_workspace(api_of(s->call)->vmm, id, &ws, &e))
		return json_null();
	(void)snprintf(ref, sizeof(ref), "ws_%" PRId64, id);
	json_decref(s->workspace);
	s->workspace = json_pack("{s:s,s:s,s:s,s:s,s:n}", "object_type", "workspace", "id", ref,
				 "name", ws.name, "slug", ws.slug, "avatar_url");
	s->workspace_id = id;
	return json_incref(s->workspace);
}

static const char *mode(const struct cvm_row *c)
{
	return c->tdx ? "tdx" : "development";
}

static const char *status(const struct cvm_row *c)
{
	return status_word(cvm_status(c));
}

static void put_flags(json_t *o, const struct cvm_row *c)
{
	put(o, "public_logs", json_boolean(c->public_logs));
	put(o, "public_sysinfo", json_boolean(c->public_sysinfo));
	put(o, "public_tcbinfo", json_boolean(c->public_tcbinfo));
	put(o, "gateway_enabled", json_boolean(c->gateway_enabled));
	put(o, "secure_time", json_boolean(c->secure_time));
	put(o, "listed", json_boolean(c->listed));
	json_put_text(o, "storage_fs", c->storage_fs);
}

/* Ours, the same in both versions. */
static void put_own(json_t *o, const struct cvm_row *c)
{
	put(o, "desired", ascii(desired_word[c->desired]));
	put(o, "observed", ascii(observed_word[c->observed]));
	put(o, "pause_reason", json_text_or_null(paused_word[c->paused]));
	put(o, "mode", ascii(mode(c)));
	put(o, "tee", ascii(c->tdx ? "tdx" : "none"));
	put(o, "boots", json_integer(c->boot));
	put(o, "boot_progress", json_text_or_null(c->boot_progress));
	put(o, "boot_error", json_text_or_null(c->boot_error));
	put(o, "created_at", json_time_or_null(c->created_ms));
	put(o, "started_at", json_time_or_null(c->started_ms));
	put(o, "stopped_at", json_time_or_null(c->stopped_ms));
	put(o, "in_progress", json_boolean(c->op_id[0]));
	put(o, "generation", json_integer(c->policy.generation));
}

static json_t *memory_in_gb(int64_t mib)
{
	return mib % 1024 ? json_real((double)mib / 1024) : json_integer(mib / 1024);
}

static json_t *resource(const struct cvm_row *c)
{
	json_t *o = json_object();

	put(o, "instance_type", json_text_or_null(c->instance_type));
	put(o, "vcpu", json_integer(c->vcpus));
	put(o, "memory_in_gb", memory_in_gb(c->memory_mib));
	put(o, "disk_in_gb", json_integer(c->disk_gib));
	put(o, "gpus", json_integer(c->gpus));
	put(o, "compute_billing_price", json_null());
	put(o, "billing_period", json_null());
	return o;
}

/* Many CVMs share few images. */
static json_t *os(struct shaper *s, const struct cvm_row *c)
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

/* "https://<id>-<port>.<domain>" of the guest agent's page behind the gateway, the way dstack
 * builds it. */
static char *gateway_url(const struct vmm_settings *set, const char *id)
{
	if (set->gateway_port && set->gateway_port != 443)
		return xasprintf("https://%s-%u.%s:%u", id, set->gateway_agent_port,
				 set->gateway_base_domain, set->gateway_port);
	return xasprintf("https://%s-%u.%s", id, set->gateway_agent_port, set->gateway_base_domain);
}

static json_t *endpoints(const struct shaper *s, const struct cvm_row *c)
{
	const struct vmm_settings *set = settings(s);
	auto_free char *app = NULL, *instance = NULL;

	if (!c->gateway_enabled || !set->gateway_base_domain || !*set->gateway_base_domain ||
	    !c->instance_id[0])
		return json_array();
	app = gateway_url(set, c->app_id);
	instance = gateway_url(set, c->instance_id);
	return json_pack("[{s:s,s:s}]", "app", app, "instance", instance);
}

static json_t *progress(const struct cvm_row *c)
{
	static const char *const target[OP_KINDS] = {
		[OP_CREATE] = "running",   [OP_START] = "running",   [OP_STOP] = "stopped",
		[OP_SHUTDOWN] = "stopped", [OP_RESTART] = "running", [OP_DELETE] = "deleted",
		[OP_RESUME] = "running",
	};
	const char *to = target[c->op_kind]; /* NULL: what a change leaves as it is */
	char at[CLOCK_TEXT];

	return json_pack("{s:s,s:s,s:s}", "target",
			 to                              ? to
			 : c->desired == DESIRED_RUNNING ? "running"
							 : "stopped",
			 "started_at", clock_rfc3339(c->op_started_ms, at), "correlation_id",
			 c->op_id);
}

json_t *shape_cvm_v26(struct shaper *s, const struct cvm_row *c)
{
	json_t *o = json_object();
	char id[32];

	(void)snprintf(id, sizeof(id), "cvm_%" PRId64, c->id);
	put(o, "id", ascii(id));
	put(o, "name", ascii(c->name));
	put(o, "app_id", ascii(c->app_id));
	put(o, "vm_uuid", ascii(c->uuid));
	put(o, "instance_id", json_text_or_null(c->instance_id));
	put(o, "status", ascii(status(c)));
	put(o, "resource", resource(c));
	put_shared(o, "gateway", s->gateway);
	put_shared(o, "node_info", s->node);
	put(o, "os", os(s, c));
	put(o, "kms_type", ascii("phala"));
	put(o, "kms_info", json_null());
	put(o, "compose_hash", ascii(c->compose_hash));
	put(o, "services", json_array());
	put(o, "endpoints", endpoints(s, c));
	put(o, "workspace", workspace(s, c->workspace));
	put(o, "creator", json_null());
	if (c->op_id[0])
		put(o, "progress", progress(c));
	put_flags(o, c);
	put_own(o, c);
	return o;
}

static json_t *machine(const struct cvm_row *c)
{
	return json_pack("{s:I,s:I,s:I,s:I}", "vcpu", (json_int_t)c->vcpus, "memory",
			 (json_int_t)c->memory_mib, "disk_size", (json_int_t)c->disk_gib,
			 "gpu_count", (json_int_t)c->gpus);
}

/* The twelve keys that every lifecycle answer and the v25 detail have. */
static json_t *vm_core(struct shaper *s, const struct cvm_row *c)
{
	json_t *o = json_object();

	put(o, "id", json_integer(c->id));
	put(o, "name", ascii(c->name));
	put(o, "status", ascii(status(c)));
	put(o, "teepod_id", json_integer(settings(s)->node_id));
	put_shared(o, "teepod", s->teepod);
	put(o, "app_id", ascii(c->app_id));
	put(o, "vm_uuid", ascii(c->uuid));
	put(o, "instance_id", json_text_or_null(c->instance_id));
	put(o, "vcpu", json_integer(c->vcpus));
	put(o, "memory", json_integer(c->memory_mib));
	put(o, "disk_size", json_integer(c->disk_gib));
	put(o, "base_image", ascii(c->image_name));
	put(o, "encrypted_env_pubkey", json_null());
	put(o, "instance_type", json_text_or_null(c->instance_type));
	put(o, "compose_hash", ascii(c->compose_hash));
	return o;
}

json_t *shape_cvm_v25(struct shaper *s, const struct cvm_row *c)
{
	json_t *o = vm_core(s, c);
	auto_free char *logs = log_link(s->call, c);

	put(o, "project_id", json_null());
	put(o, "project_type", json_null());
	put(o, "dapp_dashboard_url", json_null());
	put(o, "syslog_endpoint", ascii(logs));
	put(o, "kms_info", json_null());
	put(o, "contract_address", json_null());
	put(o, "deployer_address", json_null());
	put(o, "scheduled_delete_at", json_null());
	put(o, "public_urls", endpoints(s, c));
	put(o, "gateway_domain", json_text_or_null(settings(s)->gateway_base_domain));
	put(o, "machine_info", machine(c));
	put(o, "updated_at", json_null());
	put_flags(o, c);
	put_own(o, c);
	return o;
}

static json_t *hosted(struct shaper *s, const struct cvm_row *c)
{
	bool up = cvm_status(c) == STATUS_RUNNING;
	char span[CLOCK_SPAN];

	(void)s;
	return json_pack("{s:s,s:s,s:s,s:s,s:n,s:s,s:o,s:o,s:o,s:o,s:o,s:s}", "id", c->uuid, "name",
			 c->name, "status", status(c), "uptime",
			 up ? clock_span(s->now_ms - c->started_ms, span) : "0s", "app_url",
			 "app_id", c->app_id, "instance_id", json_text_or_null(c->instance_id),
			 "exited_at", json_time_or_null(c->stopped_ms), "boot_progress",
			 json_text_or_null(c->boot_progress), "boot_error",
			 json_text_or_null(c->boot_error), "shutdown_progress",
			 json_text_or_null(c->shutdown_progress), "image_version", c->image_name);
}

json_t *shape_hosted_v25(struct shaper *s, const struct cvm_row *c)
{
	json_t *o = shape_cvm_v25(s, c);

	put(o, "hosted", hosted(s, c));
	put(o, "managed_user", json_null());
	put_shared(o, "node", s->teepod);
	put(o, "billing_period", json_null());
	return o;
}

/* Where the restarts are, and the policies. */
static void put_policy(const struct shaper *s, const struct cvm_row *c, json_t *o)
{
	const struct cvm_policy *p = &c->policy;

	put(o, "restart",
	    json_pack("{s:s,s:I,s:I,s:o,s:b,s:o}", "policy", restart_policy_word[p->restart],
		      "attempts", (json_int_t)p->attempts, "budget",
		      (json_int_t)settings(s)->restart.retries, "next_attempt_at",
		      json_time_or_null(p->next_ms), "exhausted", p->exhausted, "ended",
		      json_text_or_null(ended_word[p->ended])));
	put(o, "auto_start", json_boolean(p->auto_start));
	put(o, "start_order", json_integer(p->start_order));
	put(o, "waits_to",
	    p->turn == TURN_START   ? ascii("start")
	    : p->turn == TURN_DRAIN ? ascii("shut_down")
				    : json_null());
}

static int put_ports(struct shaper *s, const struct cvm_row *c, json_t *o, struct err *e)
{
	auto_free struct port_row *ports = NULL;
	size_t n;
	int r = vmm_ports(api_of(s->call)->vmm, c->id, &ports, &n, e);

	if (!r)
		put(o, "ports", shape_ports(ports, n));
	return r;
}

static int put_devices(struct shaper *s, const struct cvm_row *c, json_t *o, struct err *e)
{
	auto_free struct device_row *devices = NULL;
	json_t *list;
	size_t n;
	int r = vmm_devices_of(api_of(s->call)->vmm, c->id, &devices, &n, e);

	if (r)
		return r;
	list = json_array();
	for (size_t i = 0; i < n; i++)
		json_array_append_new(list, shape_device(&devices[i], 0));
	put(o, "devices", list);
	put(o, "placement", shape_placement(c));
	return 0;
}

static int put_compose(struct shaper *s, const struct cvm_row *c, json_t *o, struct err *e)
{
	auto_free char *text = NULL;
	json_t *manifest;
	int r = vmm_manifest(api_of(s->call)->vmm, c, &text, e);

	if (r)
		return r;
	manifest = json_loads(text, 0, NULL);
	put(o, "compose_file", manifest ? manifest : ascii(text));
	return 0;
}

static int put_operation(struct shaper *s, const struct cvm_row *c, json_t *o, struct err *e)
{
	struct op_row op;
	int r;

	if (!c->op_id[0]) {
		put(o, "operation", json_null());
		return 0;
	}
	r = vmm_operation(api_of(s->call)->vmm, c->op_id, &op, e);
	if (!r)
		put(o, "operation", shape_operation(s->call, &op));
	return r;
}

int shape_detail(struct shaper *s, const struct cvm_row *c, json_t **ret, struct err *e)
{
	auto_json json_t *o = s->call->version == 25 ? shape_cvm_v25(s, c) : shape_cvm_v26(s, c);
	int r = put_ports(s, c, o, e);

	put_policy(s, c, o);
	if (!r)
		r = put_devices(s, c, o, e);
	if (!r)
		r = put_compose(s, c, o, e);
	if (!r)
		r = put_operation(s, c, o, e);
	if (!r)
		*ret = take_ptr(&o);
	return r;
}

int shape_vm(struct shaper *s, const struct cvm_row *c, const struct op_row *op, json_t **ret,
	     struct err *e)
{
	auto_json json_t *o = vm_core(s, c);
	int r;

	put(o, "user_id", json_null());
	put(o, "app_url", json_null());
	put(o, "docker_compose_file", json_null());
	put_flags(o, c);
	put_own(o, c);
	put_policy(s, c, o);
	if (op->id[0]) {
		put(o, "operation_id", ascii(op->id));
		put(o, "correlation_id", ascii(op->id));
	}
	r = put_ports(s, c, o, e);
	if (!r)
		r = put_devices(s, c, o, e);
	if (!r)
		*ret = take_ptr(&o);
	return r;
}
