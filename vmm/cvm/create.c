/* SPDX-License-Identifier: Apache-2.0
 * create.c - preflight, provision and create.
 *
 * A create is one transaction: name, capacity, CID, host ports, app, revision, CVM, operation and
 * events appear together or not at all. Nothing on the host changes before the commit; the
 * operation's steps (steps.c) do that afterwards. A change of the host inside the transaction
 * would survive a rollback.
 *
 * Requests are checked in vmm/admit/.
 */
#include <assert.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/loop.h"
#include "base/own.h"
#include "db/apps.h"
#include "db/cvms.h"
#include "db/operations.h"
#include "db/policies.h"
#include "db/ports.h"
#include "db/records.h"
#include "db/text.h"
#include "vmm/account/billing.h"
#include "vmm/admit/admit.h"
#include "vmm/admit/capacity.h"
#include "vmm/admit/devices.h"
#include "vmm/admit/reservation.h"
#include "vmm/admit/ports.h"
#include "vmm/admit/quota.h"
#include "vmm/admit/request.h"
#include "vmm/compose/compose.h"
#include "vmm/compose/compose_merge.h"
#include "vmm/cvm/change.h"
#include "vmm/cvm/create.h"
#include "vmm/cvm/maintenance.h"
#include "vmm/node/node.h"
#include "vmm/node/records.h"
#include "vmm/node/settings.h"
#include "vmm/node/event.h"
#include "vmm/op/op_begin.h"
#include "vmm/virt/domain_spec.h"

static int create_admit(struct vmm *v, int64_t workspace, const struct cvm_request *req,
			struct admission *a, struct port_row ports[CVM_PORTS_MAX], struct err *e)
{
	const struct ports_for w = { .workspace = workspace, .probed = req->inspected };
	int r = admit_create(v, workspace, req, a, e);

	if (!r)
		r = maintenance_allows(v, e);
	if (!r)
		r = reservation_choose(v, req, a, e);
	a->row.host_ports = (int64_t)req->n_ports;
	if (!r)
		r = quota_check(v, workspace, NULL, &a->row, e);
	if (!r)
		r = billing_covers(v, workspace, NULL, &a->row, !req->stopped, e);
	if (!r)
		r = capacity_would_fit(v, &a->row, req->n_ports, e);
	if (!r)
		r = reservation_would_fit(v, a, e);
	if (!r)
		r = ports_resolve(v, &w, req->ports, req->n_ports, ports, e);
	return r;
}

int vmm_preflight(struct vmm *v, int64_t workspace, const struct cvm_request *req,
		  struct cvm_row *ret, struct err *e)
{
	struct port_row ports[CVM_PORTS_MAX];
	struct admission a;
	int r = create_admit(v, workspace, req, &a, ports, e);

	if (!r && ret)
		*ret = a.row;
	admission_free(&a);
	return r;
}

/* ------------------------------------------------------------------ provision */

static json_t *provision_ports_json(const struct cvm_request *req)
{
	json_t *list = json_array();

	for (size_t i = 0; i < req->n_ports; i++)
		(void)json_array_append_new(list, json_pack("{s:b, s:s*, s:i, s:i}", "udp",
							    (int)req->ports[i].udp, "address",
							    req->ports[i].host_address, "host_port",
							    (int)req->ports[i].host_port, "vm_port",
							    (int)req->ports[i].vm_port));
	return list;
}

static json_t *provision_tdx_json(const struct tdx_request *t)
{
	return t->given ? json_pack("{s:I, s:s, s:s}", "policy", (json_int_t)t->policy, "mr_owner",
				    t->mr_owner, "mr_owner_config", t->mr_owner_config)
			: NULL;
}

/* GPUs as requested: "any" is resolved at the reservation. */
static json_t *provision_gpus_json(const struct cvm_request *req)
{
	json_t *list = json_array();

	for (size_t i = 0; i < req->n_gpus; i++)
		(void)json_array_append_new(list,
					    json_pack("{s:s*, s:s*}", "slot", req->gpus[i].slot,
						      "product_id", req->gpus[i].product_id));
	return list;
}

/* The request with all defaults resolved, so that a later create is the same even if defaults
 * change. */
static char *provision_request_json(const struct cvm_request *req, const struct admission *a)
{
	auto_json json_t *j = json_pack(
		"{s:s, s:s, s:s, s:I, s:I, s:I, s:s*, s:b, s:i, s:o*, s:s, s:o}", "name",
		a->row.name, "image", a->row.image_name, "instance_type", a->row.instance_type,
		"vcpus", (json_int_t)a->row.vcpus, "memory_mib", (json_int_t)a->row.memory_mib,
		"disk_gib", (json_int_t)a->row.disk_gib, "user_config", req->user_config, "listed",
		(int)req->listed, "tee", (int)req->tee, "tdx", provision_tdx_json(&req->tdx),
		"networks", a->row.networks, "ports", provision_ports_json(req));

	(void)json_object_set_new(j, "policy",
				  json_pack("{s:s, s:b, s:I}", "restart",
					    restart_policy_word[a->row.policy.restart],
					    "auto_start", (int)a->row.policy.auto_start,
					    "start_order", (json_int_t)a->row.policy.start_order));
	(void)json_object_set_new(j, "hugepages", json_boolean(req->hugepages));
	(void)json_object_set_new(j, "pin_numa", json_boolean(req->pin_numa));
	(void)json_object_set_new(j, "gpu_attach", json_string(gpu_attach_word[req->gpu_attach]));
	(void)json_object_set_new(j, "gpus", provision_gpus_json(req));
	return json_canonical(j);
}

int vmm_provision(struct vmm *v, int64_t workspace, const struct cvm_request *req,
		  struct provision_result *ret, struct err *e)
{
	struct port_row ports[CVM_PORTS_MAX];
	struct admission a;
	int r = create_admit(v, workspace, req, &a, ports, e);

	if (!r) {
		auto_free char *request = provision_request_json(req, &a);

		r = provisions_put(vmm_db(v), workspace, a.row.app_id, a.row.compose_hash, request,
				   a.manifest, clock_wall_ms() + PROVISION_KEPT_MS, e);
		if (!r)
			r = records_fit(v, workspace, RECORD_PROVISIONS, e);
	}
	if (!r) {
		memcpy(ret->app_id, a.row.app_id, sizeof(ret->app_id));
		memcpy(ret->compose_hash, a.row.compose_hash, sizeof(ret->compose_hash));
		memcpy(ret->os_image_hash, a.row.image_hash, sizeof(ret->os_image_hash));
		memcpy(ret->instance_type, a.row.instance_type, sizeof(ret->instance_type));
	}
	admission_free(&a);
	return r;
}

/* ------------------------------------------------------------------ create */

static int create_insert_ports(struct vmm *v, int64_t cvm, const struct port_row *ports, size_t n,
			       struct err *e)
{
	int r = 0;

	for (size_t i = 0; !r && i < n; i++)
		r = ports_add(vmm_db(v), cvm, &ports[i], e);
	return r;
}

static int create_insert(struct vmm *v, const struct cvm_request *req, struct admission *a,
			 const struct port_row *ports, struct cvm_row *ret, struct err *e)
{
	const struct cvm_blobs blobs = { .encrypted_env = (void *)(uintptr_t)req->encrypted_env,
					 .encrypted_env_len = req->encrypted_env_len,
					 .user_config = (char *)(uintptr_t)req->user_config };
	struct cvm_row *c = &a->row;
	int64_t id;
	int r;

	id_uuid4(c->uuid);
	r = capacity_reserve(v, c, req->n_ports, e);
	if (!r)
		r = apps_ensure(vmm_db(v), c->workspace, c->app_id, c->name, &c->app, e);
	assert(req->n_ports <= CVM_PORTS_MAX);
	a->revision.app = c->app;
	if (!r)
		r = revisions_ensure(vmm_db(v), &a->revision, &c->revision, e);
	if (!r)
		r = cvms_insert(vmm_db(v), c, &blobs, &id, e);
	if (!r)
		r = reservation_make(v, id, a, e);
	if (!r)
		r = create_insert_ports(v, id, ports, req->n_ports, e);
	if (!r)
		r = meter_follow(v, id, e);
	if (!r)
		r = cvms_get(vmm_db(v), id, ret, e);
	return r == -ERR_NOT_FOUND ? err_set(e, ERR_HOST, "the row of the new CVM is missing") : r;
}

int vmm_create(struct vmm *v, int64_t workspace, const struct cvm_request *req,
	       const struct request_ref *ref, struct cvm_row *ret, struct op_row *ret_op,
	       struct err *e)
{
	struct port_row ports[CVM_PORTS_MAX];
	struct admission a;
	int r = create_admit(v, workspace, req, &a, ports, e);

	assert_loop_thread();
	if (!r)
		r = create_insert(v, req, &a, ports, ret, e);
	if (!r)
		r = event(v, ret, "", "cvm.created", e, "{s:s, s:s, s:s, s:I, s:I, s:I}", "name",
			  ret->name, "app_id", ret->app_id, "image", ret->image_name, "vcpus",
			  (json_int_t)ret->vcpus, "memory_mib", (json_int_t)ret->memory_mib,
			  "disk_gib", (json_int_t)ret->disk_gib);
	if (!r && req->stopped)
		r = op_record(v, ret, OP_CREATE, "{\"stopped\":true}", ref, ret_op, e);
	else if (!r)
		r = op_begin(v, ret, OP_CREATE, "{}", ref, ret_op, e);
	if (!r)
		r = change_add_history(v, ret, "[\"created\"]", ret_op, e);
	if (!r)
		r = records_fit(v, workspace, RECORD_REVISIONS, e);
	if (!r && !req->stopped) {
		memcpy(ret->op_id, ret_op->id, sizeof(ret->op_id));
		ret->op_kind = OP_CREATE;
		ret->op_started_ms = ret_op->started_ms;
	}
	admission_free(&a);
	return r;
}

/* ------------------------------------------------------------------ create from a provision */

static size_t provisioned_ports(const json_t *list, struct port_request out[CVM_PORTS_MAX])
{
	size_t i;
	json_t *p;

	json_array_foreach(list, i, p)
	{
		out[i] = (struct port_request){
			.udp = json_is_true(json_object_get(p, "udp")),
			.host_address = json_string_value(json_object_get(p, "address")),
			.host_port = (uint16_t)json_integer_value(json_object_get(p, "host_port")),
			.vm_port = (uint16_t)json_integer_value(json_object_get(p, "vm_port")),
		};
		if (i + 1 == CVM_PORTS_MAX)
			return CVM_PORTS_MAX;
	}
	return json_array_size(list);
}

/* Earlier versions stored a boolean. */
static enum tee_setting provisioned_tee(const json_t *j)
{
	if (json_is_true(json_object_get(j, "require_tdx")))
		return TEE_TDX;
	return (enum tee_setting)json_integer_value(json_object_get(j, "tee"));
}

static struct tdx_request provisioned_tdx(const json_t *j)
{
	struct tdx_request t = { .given = j != NULL, .policy = TDX_POLICY_SEPT_VE_DISABLE };

	if (!j)
		return t;
	t.policy = (uint64_t)json_integer_value(json_object_get(j, "policy"));
	(void)snprintf(t.mr_owner, sizeof(t.mr_owner), "%s",
		       json_string_value(json_object_get(j, "mr_owner")));
	(void)snprintf(t.mr_owner_config, sizeof(t.mr_owner_config), "%s",
		       json_string_value(json_object_get(j, "mr_owner_config")));
	return t;
}

static size_t provisioned_gpus(const json_t *list, struct gpu_request out[GPUS_MAX])
{
	size_t i, n = json_array_size(list);

	n = n < GPUS_MAX ? n : GPUS_MAX;
	for (i = 0; i < n; i++)
		out[i] = (struct gpu_request){
			.slot = json_string_value(json_object_get(json_array_get(list, i), "slot")),
			.product_id = json_string_value(
				json_object_get(json_array_get(list, i), "product_id")),
		};
	return n;
}

static enum gpu_attach provisioned_gpu_attach(const json_t *word)
{
	for (int i = 0; i < GPU_ATTACHES; i++)
		if (json_is_string(word) && !strcmp(json_string_value(word), gpu_attach_word[i]))
			return (enum gpu_attach)i;
	return GPU_NONE; /* stored by a version without GPUs */
}

static struct policy_request provisioned_policy(const json_t *j)
{
	const char *word = json_string_value(json_object_get(j, "restart"));
	struct policy_request p = { 0 };

	if (!j)
		return p; /* stored by a version without policies */
	p = (struct policy_request){ .has_restart = word != NULL,
				     .has_auto_start = true,
				     .has_order = true,
				     .auto_start = json_is_true(json_object_get(j, "auto_start")),
				     .start_order = json_integer_value(
					     json_object_get(j, "start_order")) };
	for (int i = 0; word && i < RESTART_POLICIES; i++)
		if (!strcmp(word, restart_policy_word[i]))
			p.restart = (enum restart_policy)i;
	return p;
}

static int create_not_provisioned(const char *compose_hash, struct err *e)
{
	err_field(e, ERR_INVALID, "compose_hash", compose_hash,
		  "compose_hash %.66s is not provisioned for this app", compose_hash);
	return err_hint(e, "POST /api/v1/cvms/provision first; a provision is kept for 14 days");
}

/* Normalize app id and hash to their stored form: lower case, without 0x. */
static int provision_key(const struct commit_request *given, char app[APP_ID_TEXT],
			 char hash[SHA256_HEX], struct err *e)
{
	const char *hex = given->compose_hash;
	int r = 0;

	if (!strncasecmp(hex, "0x", 2))
		hex += 2;
	if (!id_is_hex(hex, SHA256_HEX - 1))
		return create_not_provisioned(given->compose_hash, e);
	for (size_t i = 0; i < SHA256_HEX; i++)
		hash[i] = (char)tolower((unsigned char)hex[i]);
	app[0] = '\0';
	if (given->app_id && *given->app_id)
		r = compose_app_id(given->app_id, hash, app, e);
	return r;
}

int vmm_commit(struct vmm *v, int64_t workspace, const struct commit_request *given,
	       const struct request_ref *ref, struct cvm_row *ret, struct op_row *ret_op,
	       struct err *e)
{
	auto_free char *request = NULL, *manifest_text = NULL;
	auto_json json_t *j = NULL, *manifest = NULL;
	struct port_request ports[CVM_PORTS_MAX];
	struct gpu_request gpus[GPUS_MAX];
	char app[APP_ID_TEXT], wanted[APP_ID_TEXT], hash[SHA256_HEX];
	struct cvm_request req;
	int r = provision_key(given, wanted, hash, e);

	if (r)
		return r;
	r = provisions_get(vmm_db(v), workspace, wanted, hash, &request, &manifest_text, app, e);
	if (r)
		return r == -ERR_NOT_FOUND ? create_not_provisioned(given->compose_hash, e) : r;
	j = json_loads(request, 0, NULL);
	manifest = json_loads(manifest_text, 0, NULL);
	if (!j || !manifest)
		return err_set(e, ERR_HOST, "cannot parse the request provisioned as %s", hash);
	if (!json_object_get(j, "name")) /* stored for an update: update_provision.c */
		return create_not_provisioned(given->compose_hash, e);
	r = compose_envs_allowed(manifest, given->env_keys, "env_keys", e);
	if (r)
		return r;
	req = (struct cvm_request){
		.name = json_string_value(json_object_get(j, "name")),
		.image = json_string_value(json_object_get(j, "image")),
		.prefer_dev = -1,
		.instance_type = json_string_value(json_object_get(j, "instance_type")),
		.vcpus = json_integer_value(json_object_get(j, "vcpus")),
		.memory_mib = json_integer_value(json_object_get(j, "memory_mib")),
		.disk_gib = json_integer_value(json_object_get(j, "disk_gib")),
		.app_id = app,
		.manifest = manifest,
		.ports = ports,
		.n_ports = provisioned_ports(json_object_get(j, "ports"), ports),
		.encrypted_env = given->encrypted_env,
		.encrypted_env_len = given->encrypted_env_len,
		.user_config = json_string_value(json_object_get(j, "user_config")),
		.listed = json_is_true(json_object_get(j, "listed")),
		.tee = provisioned_tee(j),
		.tdx = provisioned_tdx(json_object_get(j, "tdx")),
		.networks = json_string_value(json_object_get(j, "networks")),
		.node_id = given->node_id,
		.region = given->region,
		.stopped = given->stopped,
		.policy = provisioned_policy(json_object_get(j, "policy")),
		.hugepages = json_is_true(json_object_get(j, "hugepages")),
		.pin_numa = json_is_true(json_object_get(j, "pin_numa")),
		.gpu_attach = provisioned_gpu_attach(json_object_get(j, "gpu_attach")),
		.gpus = gpus,
		.n_gpus = provisioned_gpus(json_object_get(j, "gpus"), gpus),
		.inspected = ref->inspected,
	};
	r = vmm_create(v, workspace, &req, ref, ret, ret_op, e);
	return r ? r : provisions_set_used(vmm_db(v), workspace, app, hash, e);
}
