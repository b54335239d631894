/* SPDX-License-Identifier: Apache-2.0
 * body_cvm.c - request bodies that create a CVM or preview one: field tables, and their conversion
 * for vmm/.
 *
 * Clients of the cloud send unknown keys, so the tables of the cloud's routes accept them. The
 * other tables refuse unknown keys: if a misspelt field were ignored, the CVM would differ from the
 * one requested. null means absent for every optional field. Rules between fields, which a table
 * cannot express, are checked below the tables.
 */
#include "api/cloud/body_cvm.h"

#include <assert.h>
#include <stdlib.h>

#include "api/cloud/body_machine.h"
#include "api/cloud/body_parts.h"
#include "api/cloud/body_policy.h"
#include "base/alloc.h"
#include "base/array.h"
#include "base/json.h"
#include "vmm/admit/request.h"
#include "vmm/compose/compose.h"
#include "vmm/compose/compose_merge.h"
#include "vmm/cvm/change_preflight.h"
#include "vmm/cvm/power.h"
#include "vmm/node/settings.h"
#include "vmm/virt/domain_spec.h"

enum { OPT = FIELD_NULLABLE };

static const char *const kms_words[] = { "phala", "ethereum", "base", "legacy", NULL };
static_assert(ARRAY_SIZE(kms_words) == KMS_LEGACY + 2, "every KMS has its word");

static const struct field gpus_fields[] = {
	{ "attach_mode", FIELD_WORD, OPT, 0, 0, FIELD_NOWHERE, gpu_attach_words, NULL,
	  "default: listed; all means every offered GPU and the NVSwitches" },
	{ "gpus", FIELD_OBJECTS, OPT, 0, GPUS_MAX, FIELD_NOWHERE, NULL, &gpu_table, NULL },
};

static const struct field_table gpus_table = { "GpusRequest", gpus_fields, ARRAY_SIZE(gpus_fields),
					       true };

#define AT(member) offsetof(struct cvm_body, member)

/* The description of a CVM: the same fields in provision, create and preflight. */
#define CVM_FIELDS                                                                                    \
	{ "compose_file",                                                                             \
	  FIELD_OBJECT,                                                                               \
	  OPT,                                                                                        \
	  0,                                                                                          \
	  0,                                                                                          \
	  AT(compose_file),                                                                           \
	  NULL,                                                                                       \
	  NULL,                                                                                       \
	  "docker_compose_file with options, or a complete app-compose manifest" },                   \
		{ "image", FIELD_STRING, OPT,                                                         \
		  0,       64,           AT(image),                                                   \
		  NULL,    NULL,         "name of an image, or of a family: its newest image" },      \
		{ "prefer_dev", FIELD_BOOL, OPT, 0, 0, AT(prefer_dev), NULL, NULL, NULL },            \
		{ "instance_type",                                                                    \
		  FIELD_STRING,                                                                       \
		  OPT,                                                                                \
		  0,                                                                                  \
		  63,                                                                                 \
		  AT(instance_type),                                                                  \
		  NULL,                                                                               \
		  NULL,                                                                               \
		  "vcpu, memory and disk_size of the request override those of the type" },           \
		{ "vcpu", FIELD_INT, OPT, 1, BODY_VCPUS, AT(vcpu), NULL, NULL, NULL },                \
		{ "memory", FIELD_INT, OPT, 1, BODY_MEMORY_MIB, AT(memory), NULL, NULL, "MB" },       \
		{ "disk_size", FIELD_INT, OPT, 1, BODY_DISK_GIB, AT(disk_size), NULL, NULL, "GB" },   \
		{ "teepod_id", FIELD_INT, OPT,                                                        \
		  0,           INT32_MAX, AT(teepod_id),                                              \
		  NULL,        NULL,      "older name of node_id" },                                  \
		{ "node_id", FIELD_INT, OPT, 0, INT32_MAX, AT(node_id), NULL, NULL, NULL },           \
		{ "region", FIELD_STRING, OPT, 0, 63, AT(region), NULL, NULL, NULL },                 \
		{ "ports", FIELD_OBJECTS, OPT, 0, BODY_PORTS, AT(ports), NULL, &port_table, NULL },   \
		{ "user_config",   FIELD_STRING, OPT,  0,   BODY_USER_CONFIG,                         \
		  AT(user_config), NULL,         NULL, NULL },                                        \
		{ "listed", FIELD_BOOL, OPT, 0, 0, AT(listed), NULL, NULL, NULL },                    \
		{ "tee",     FIELD_WORD, OPT,                                                         \
		  0,         0,          AT(tee),                                                     \
		  tee_words, NULL,       "auto: decided by the node and its configuration" },         \
		{ "require_tdx", FIELD_BOOL,        OPT, 0, 0, AT(require_tdx), NULL,                 \
		  NULL,          "same as tee: tdx" },                                                \
		{ "tdx", FIELD_OBJECT, OPT, 0, 0, AT(tdx), NULL, &tdx_table, NULL },                  \
		POLICY_FIELDS,                                                                        \
		{ "networks", FIELD_OBJECTS,  OPT,                                                    \
		  1,          DOMAIN_NICS,    AT(networks),                                           \
		  NULL,       &network_table, "default: cvm.networks of the node" },                  \
		{ "kms", FIELD_WORD, OPT, 0, 0, AT(kms), kms_words, NULL, NULL },                     \
		{ "kms_id", FIELD_STRING, OPT, 0, 64, AT(kms_id), NULL, NULL, NULL },                 \
		{ "kms_contract", FIELD_STRING, OPT, 0, 64, AT(kms_contract), NULL, NULL, NULL },     \
		{ "app_id", FIELD_STRING, OPT, 0, 42, AT(app_id), NULL, NULL, "40 hex digits" },      \
		{ "nonce", FIELD_INT, OPT, 0, INT64_MAX, AT(nonce), NULL, NULL, NULL },               \
		{ "encrypted_env",   FIELD_STRING, OPT,  0,           2 * BODY_ENV_BYTES,             \
		  AT(encrypted_env), NULL,         NULL, "hex digits" },                              \
		{ "env_keys", FIELD_STRINGS, OPT, 0, BODY_ENV_KEYS, AT(env_keys), NULL, NULL, NULL }, \
		{ "hugepages", FIELD_BOOL, OPT, 0, 0, AT(hugepages), NULL, NULL, NULL },              \
		{ "pin_numa", FIELD_BOOL, OPT, 0, 0, AT(pin_numa), NULL, NULL, NULL },                \
		{ "gpus", FIELD_OBJECT, OPT, 0, 0, AT(gpus), NULL, &gpus_table, NULL },               \
		{ "kms_urls", FIELD_STRINGS, OPT, 0, 16, AT(kms_urls), NULL, NULL, NULL },            \
	{                                                                                             \
		"gateway_urls", FIELD_STRINGS, OPT, 0, 16, AT(gateway_urls), NULL, NULL, NULL         \
	}

#define CVM_NAME(flags)                                                                        \
	{                                                                                      \
		"name", FIELD_STRING, flags, 1, 63, AT(name), NULL, NULL,                      \
			"5 to 63 letters, digits and single hyphens, starting with a letter; " \
			"not a UUID, an app id or a word of an API path"                       \
	}

static const struct field provision_fields[] = { CVM_NAME(FIELD_REQUIRED), CVM_FIELDS };
static const struct field preflight_fields[] = { CVM_NAME(OPT), CVM_FIELDS };
static const struct field create_fields[] = {
	CVM_NAME(OPT),
	CVM_FIELDS,
	{ "compose_hash", FIELD_STRING, OPT, 1, 66, AT(compose_hash), NULL, NULL,
	  "hash that POST /cvms/provision returned: 64 hex digits" },
	{ "stopped", FIELD_BOOL, OPT, 0, 0, AT(stopped), NULL, NULL,
	  "create the CVM without starting it" },
};

const struct field_table provision_table = { "ProvisionRequest", provision_fields,
					     ARRAY_SIZE(provision_fields), false };
const struct field_table preflight_table = { "PreflightRequest", preflight_fields,
					     ARRAY_SIZE(preflight_fields), true };
const struct field_table create_table = { "CreateRequest", create_fields, ARRAY_SIZE(create_fields),
					  true };

/* The same fields, as clients of the cloud send them after a provision: unknown keys are accepted.
 */
static const struct field_table commit_table = { "CreateRequest", create_fields,
						 ARRAY_SIZE(create_fields), false };

bool is_commit_body(const json_t *body)
{
	const json_t *file = json_object_get(body, "compose_file");

	return json_is_string(json_object_get(body, "compose_hash")) &&
	       (!file || json_is_null(file));
}

int cvm_body_read(const struct field_table *t, const json_t *body, struct cvm_body *ret,
		  struct err *e)
{
	bool commit = t == &create_table && is_commit_body(body);
	struct cvm_body q = { 0 };
	int r = fields_read(commit ? &commit_table : t, body, "", &q, e);

	if (!r && t == &create_table && !commit && !q.name)
		r = err_field(e, ERR_INVALID, "name", NULL, "name is missing");
	if (!r)
		*ret = q;
	return r;
}

/* ------------------------------------------------------------------ rules between fields */

/* Refuse features of the cloud that this node does not have. If they were accepted, the
 * caller would believe that the CVM has them. */
static int refuse_unsupported_fields(const struct cvm_body *q, struct err *e)
{
	const struct {
		const char *field;
		bool given;
	} no[] = {
		{ "kms_urls", json_array_size(q->kms_urls) > 0 },
		{ "gateway_urls", json_array_size(q->gateway_urls) > 0 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(no); i++) {
		if (no[i].given)
			return err_field(e, ERR_UNSUPPORTED, no[i].field, NULL,
					 "%s is not supported: this node has no such setting for a "
					 "single CVM",
					 no[i].field);
	}
	if (q->kms == KMS_ETHEREUM || q->kms == KMS_BASE)
		return err_field(e, ERR_INCOMPATIBLE, "kms", kms_words[q->kms],
				 "no on-chain KMS is configured on this node");
	if (q->kms_contract && *q->kms_contract)
		return err_field(e, ERR_INCOMPATIBLE, "kms_contract", q->kms_contract,
				 "no on-chain KMS is configured on this node");
	if (q->kms_id && *q->kms_id)
		return err_field(e, ERR_INCOMPATIBLE, "kms_id", q->kms_id,
				 "kms_id is not supported: this node has no KMS to choose from");
	return 0;
}

static int cvm_body_fill(const struct cvm_body *q, const json_t *body, struct parsed_cvm *a,
			 struct err *e)
{
	const json_t *prefer = json_object_get(body, "prefer_dev");
	int r = refuse_unsupported_fields(q, e);

	a->req = (struct cvm_request){
		.name = text_or_null(q->name),
		.image = text_or_null(q->image),
		.prefer_dev = prefer && !json_is_null(prefer) ? q->prefer_dev : -1,
		.instance_type = text_or_null(q->instance_type),
		.vcpus = q->vcpu,
		.memory_mib = q->memory,
		.disk_gib = q->disk_size,
		.region = text_or_null(q->region),
		.kms_id = text_or_null(q->kms_id),
		.app_id = text_or_null(q->app_id),
		.user_config = text_or_null(q->user_config),
		.n_ports = json_array_size(q->ports),
		.listed = q->listed,
		.stopped = q->stopped,
		.policy = policy_from_body(body),
		.networks = a->networks,
		.hugepages = q->hugepages,
		.pin_numa = q->pin_numa,
		.gpu_attach = parse_gpu_attach(q->gpus),
		.n_gpus = json_array_size(json_object_get(q->gpus, "gpus")),
	};
	if (!r)
		r = parse_tee((enum tee_setting)q->tee, q->require_tdx, &a->req.tee, e);
	if (!r)
		r = parse_tdx(q->tdx, &a->req.tdx, e);
	if (!r)
		r = parse_network_list(q->networks, a->networks, e);
	if (!r)
		r = parse_node_id(q->teepod_id, q->node_id, &a->req.node_id, e);
	if (!r)
		r = parse_encrypted_env(q->encrypted_env, &a->env, &a->env_len, e);
	return r;
}

/* compose_hash and env_keys of the request must match its manifest. */
static int check_body_manifest(const struct cvm_body *req, const json_t *manifest, struct err *e)
{
	const char *hash = text_or_null(req->compose_hash);

	if (hash && !compose_hash_names(manifest, hash))
		return err_field(
			e, ERR_INCOMPATIBLE, "compose_hash", hash,
			"compose_hash does not match the compose file in the same request");
	return compose_envs_allowed(manifest, req->env_keys, "env_keys", e);
}

int parse_cvm_body(const struct cvm_body *req, const json_t *body, struct parsed_cvm *ret,
		   struct err *e)
{
	auto_parsed_cvm struct parsed_cvm a = { 0 };
	int r = cvm_body_fill(req, body, &a, e);

	if (!r && !req->compose_file)
		r = err_field(e, ERR_COMPOSE_MISSING, "compose_file", NULL,
			      "compose_file is missing");
	if (!r)
		r = compose_manifest(req->compose_file, req->name, &a.manifest, e);
	if (!r)
		r = check_body_manifest(req, a.manifest, e);
	if (r)
		return r;
	assert(json_is_object(a.manifest));
	a.ports = xcalloc(a.req.n_ports, sizeof(*a.ports));
	parse_ports(req->ports, a.ports);
	a.req.ports = a.ports;
	a.gpus = xcalloc(a.req.n_gpus, sizeof(*a.gpus));
	parse_gpus(json_object_get(req->gpus, "gpus"), a.gpus);
	a.req.gpus = a.gpus;
	a.req.manifest = a.manifest;
	a.req.encrypted_env = a.env;
	a.req.encrypted_env_len = a.env_len;
	*ret = a;
	ret->req.networks = ret->networks;
	a = (struct parsed_cvm){ 0 };
	return 0;
}

int parse_commit_body(const struct cvm_body *req, struct parsed_cvm *ret, struct err *e)
{
	int r = refuse_unsupported_fields(req, e);

	if (!r && !req->app_id)
		r = err_field(e, ERR_INVALID, "app_id", NULL,
			      "app_id is missing: send the app_id that POST /cvms/provision "
			      "returned with the compose_hash");
	if (!r)
		r = parse_node_id(req->teepod_id, req->node_id, &ret->req.node_id, e);
	return r ? r : parse_encrypted_env(req->encrypted_env, &ret->env, &ret->env_len, e);
}

void parsed_cvm_end(struct parsed_cvm *a)
{
	free(a->ports);
	free(a->gpus);
	free(a->env);
	json_decref(a->manifest);
}

/* ------------------------------------------------------------------ changes */

struct preflight_body {
	int64_t vcpu, memory, disk_size;
	const char *image;
	json_t *compose_file;
};

static const struct field change_fields[] = {
	{ "vcpu", FIELD_INT, OPT, 1, BODY_VCPUS, offsetof(struct preflight_body, vcpu), NULL, NULL,
	  NULL },
	{ "memory", FIELD_INT, OPT, 1, BODY_MEMORY_MIB, offsetof(struct preflight_body, memory),
	  NULL, NULL, "MB" },
	{ "disk_size", FIELD_INT, OPT, 1, BODY_DISK_GIB, offsetof(struct preflight_body, disk_size),
	  NULL, NULL, "GB; a disk cannot shrink" },
	{ "image", FIELD_STRING, OPT, 1, 64, offsetof(struct preflight_body, image), NULL, NULL,
	  "name of an image, or of a family: its newest image" },
	{ "compose_file", FIELD_OBJECT, OPT, 0, 0, offsetof(struct preflight_body, compose_file),
	  NULL, NULL, "docker_compose_file with options, or a complete app-compose manifest" },
};

const struct field_table change_preflight_table = { "ChangePreflightRequest", change_fields,
						    ARRAY_SIZE(change_fields), true };

int parse_preflight_body(const json_t *body, const char *name, struct preflight_request *ret,
			 json_t **ret_manifest, struct err *e)
{
	struct preflight_body q = { 0 };
	json_t *manifest = NULL;
	int r = fields_read(&change_preflight_table, body, "", &q, e);

	if (!r && q.compose_file)
		r = compose_manifest(q.compose_file, name, &manifest, e);
	if (r)
		return r;
	*ret = (struct preflight_request){ .vcpus = q.vcpu,
					   .memory_mib = q.memory,
					   .disk_gib = q.disk_size,
					   .image = q.image,
					   .manifest = manifest };
	*ret_manifest = manifest;
	return 0;
}
