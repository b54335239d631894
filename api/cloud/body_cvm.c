/* SPDX-License-Identifier: Apache-2.0
 * body_cvm.c - request bodies: tables of fields, and the way from there to what the vmm is asked.
 *
 * The cloud's clients pass unknown keys through, so the bodies they send are read leniently; what
 * is ours is strict, because a misspelt field that is ignored is a CVM other than the one asked
 * for. null counts as absent wherever a field may be absent. What a table can not say (either this
 * or that) is said below it.
 */
#include "api/cloud/body_cvm.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "api/cloud/body_machine.h"
#include "api/cloud/body_policy.h"
#include "base/alloc.h"
#include "base/array.h"
#include <jansson.h>
#include "base/id.h"
#include "base/own.h"
#include "vmm/compose/compose_merge.h"
#include "vmm/admit/request.h"
#include "vmm/compose/compose.h"
#include "vmm/cvm/change_preflight.h"
#include "vmm/cvm/power.h"
#include "vmm/node/settings.h"
#include "vmm/virt/domain_spec.h"
#include "vmm/virt/xml_out.h"

enum { OPT = FIELD_NULLABLE, BATCH_MAX = 1000, PATH_BYTES_MAX = 4096 };

static const char *const protocol_words[] = { "tcp", "udp", NULL };
static const char *const kms_words[] = { "phala", "ethereum", "base", "legacy", NULL };

static const struct field port_fields[] = {
	{ "protocol", FIELD_WORD, OPT, 0, 0, FIELD_NOWHERE, protocol_words, NULL, "tcp if absent" },
	{ "host_address", FIELD_STRING, OPT, 0, 45, FIELD_NOWHERE, NULL, NULL,
	  "one of the node's ports.addresses; the first if absent" },
	{ "host_port", FIELD_INT, OPT, 0, 65535, FIELD_NOWHERE, NULL, NULL,
	  "0 or absent: a free one is picked" },
	{ "vm_port", FIELD_INT, FIELD_REQUIRED, 1, 65535, FIELD_NOWHERE, NULL, NULL, NULL },
};

const struct field_table port_table = { "PortRequest", port_fields, ARRAY_SIZE(port_fields), true };

const char *const gpu_attach_words[] = { "listed", "all", NULL };

static const struct field gpu_fields[] = {
	{ "slot", FIELD_STRING, OPT, 0, 12, FIELD_NOWHERE, NULL, NULL,
	  "PCI address: 18:00.0 or 0000:18:00.0; any free GPU of the product if absent" },
	{ "product_id", FIELD_STRING, OPT, 0, 9, FIELD_NOWHERE, NULL, NULL,
	  "such as 10de:2335; whatever is in the slot if absent" },
};

const struct field_table gpu_table = { "GpuRequest", gpu_fields, ARRAY_SIZE(gpu_fields), true };

static const struct field gpus_fields[] = {
	{ "attach_mode", FIELD_WORD, OPT, 0, 0, FIELD_NOWHERE, gpu_attach_words, NULL,
	  "listed if absent; all: every GPU that is offered, and the NVSwitches" },
	{ "gpus", FIELD_OBJECTS, OPT, 0, GPUS_MAX, FIELD_NOWHERE, NULL, &gpu_table, NULL },
};

static const struct field_table gpus_table = { "GpusRequest", gpus_fields, ARRAY_SIZE(gpus_fields),
					       true };

#define AT(member) offsetof(struct cvm_body, member)

/* What a CVM shall be: the same in provision, create and preflight. */
#define CVM_FIELDS                                                                                    \
	{ "compose_file",                                                                             \
	  FIELD_OBJECT,                                                                               \
	  OPT,                                                                                        \
	  0,                                                                                          \
	  0,                                                                                          \
	  AT(compose_file),                                                                           \
	  NULL,                                                                                       \
	  NULL,                                                                                       \
	  "docker_compose_file with options, or a whole app-compose" },                               \
		{ "image", FIELD_STRING, OPT,                                                         \
		  0,       64,           AT(image),                                                   \
		  NULL,    NULL,         "image name, or a family: its newest" },                     \
		{ "prefer_dev", FIELD_BOOL, OPT, 0, 0, AT(prefer_dev), NULL, NULL, NULL },            \
		{ "instance_type",                                                                    \
		  FIELD_STRING,                                                                       \
		  OPT,                                                                                \
		  0,                                                                                  \
		  63,                                                                                 \
		  AT(instance_type),                                                                  \
		  NULL,                                                                               \
		  NULL,                                                                               \
		  "numbers given besides win over the type's" },                                      \
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
		  tee_words, NULL,       "auto: what the node and its configuration say" },           \
		{ "require_tdx", FIELD_BOOL,        OPT, 0, 0, AT(require_tdx), NULL,                 \
		  NULL,          "same as tee: tdx" },                                                \
		{ "tdx", FIELD_OBJECT, OPT, 0, 0, AT(tdx), NULL, &tdx_table, NULL },                  \
		POLICY_FIELDS,                                                                        \
		{ "networks", FIELD_OBJECTS,  OPT,                                                    \
		  1,          DOMAIN_NICS,    AT(networks),                                           \
		  NULL,       &network_table, "the node's cvm.networks if absent" },                  \
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

#define CVM_NAME(flags)                                                                            \
	{                                                                                          \
		"name", FIELD_STRING, flags, 1, 63, AT(name), NULL, NULL,                          \
			"5 to 63 letters, digits and single hyphens, beginning with a letter; no " \
			"UUID, app id or path word"                                                \
	}

static const struct field provision_fields[] = { CVM_NAME(FIELD_REQUIRED), CVM_FIELDS };
static const struct field preflight_fields[] = { CVM_NAME(OPT), CVM_FIELDS };
static const struct field create_fields[] = {
	CVM_NAME(OPT),
	CVM_FIELDS,
	{ "compose_hash", FIELD_STRING, OPT, 1, 66, AT(compose_hash), NULL, NULL,
	  "of a provision made before: 64 hex digits" },
	{ "stopped", FIELD_BOOL, OPT, 0, 0, AT(stopped), NULL, NULL, "create, and do not start" },
};

const struct field_table provision_table = { "ProvisionRequest", provision_fields,
					     ARRAY_SIZE(provision_fields), false };
const struct field_table preflight_table = { "PreflightRequest", preflight_fields,
					     ARRAY_SIZE(preflight_fields), true };
const struct field_table create_table = { "CreateRequest", create_fields, ARRAY_SIZE(create_fields),
					  true };

/* The same, as the cloud's clients send it after a provision. */
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

/* ------------------------------------------------------------------ what a table can not say */

/* Things of the cloud that this node does not do: taken silently they would be a promise. */
static int refuse_unsupported_fields(const struct cvm_body *q, struct err *e)
{
	const struct {
		const char *field;
		bool asked;
	} no[] = {
		{ "kms_urls", json_array_size(q->kms_urls) > 0 },
		{ "gateway_urls", json_array_size(q->gateway_urls) > 0 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(no); i++) {
		if (no[i].asked)
			return err_field(e, ERR_UNSUPPORTED, no[i].field, NULL,
					 "this node offers no %s for a single CVM", no[i].field);
	}
	if (q->kms == KMS_ETHEREUM || q->kms == KMS_BASE)
		return err_field(e, ERR_INCOMPATIBLE, "kms", kms_words[q->kms],
				 "no on-chain KMS is configured on this node");
	if (q->kms_contract && *q->kms_contract)
		return err_field(e, ERR_INCOMPATIBLE, "kms_contract", q->kms_contract,
				 "no on-chain KMS is configured on this node");
	if (q->kms_id && *q->kms_id)
		return err_field(e, ERR_INCOMPATIBLE, "kms_id", q->kms_id,
				 "a KMS can not be chosen on this node: GET /kms lists none");
	return 0;
}

int parse_node_id(int64_t teepod_id, int64_t node_id, int64_t *ret, struct err *e)
{
	if (teepod_id && node_id && teepod_id != node_id)
		return err_field(e, ERR_INCOMPATIBLE, "node_id", NULL,
				 "node_id is %lld and teepod_id, its older name, is %lld",
				 (long long)node_id, (long long)teepod_id);
	*ret = node_id ? node_id : teepod_id;
	return 0;
}

int parse_encrypted_env(const char *hex, void **ret, size_t *ret_len, struct err *e)
{
	size_t n = hex ? strlen(hex) : 0;
	auto_free void *bytes = NULL;

	if (!n)
		return 0;
	bytes = xmalloc(n / 2 + 1);
	if (n % 2 || !id_unhex(hex, bytes, n / 2))
		return err_field(e, ERR_INVALID, "encrypted_env", hex,
				 "encrypted_env must be an even number of hex digits, without 0x");
	*ret = take_ptr(&bytes);
	*ret_len = n / 2;
	return 0;
}

static const char *member_text(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s && *s ? s : NULL;
}

/* The table has checked types and ranges. */
void parse_ports(const json_t *list, struct port_request *out)
{
	const json_t *item;
	size_t i;

	json_array_foreach((json_t *)list, i, item)
	{
		const char *protocol = member_text(item, "protocol");

		out[i] = (struct port_request){
			.udp = protocol && (*protocol | 0x20) == 'u',
			.host_address = member_text(item, "host_address"),
			.host_port =
				(uint16_t)json_number_value(json_object_get(item, "host_port")),
			.vm_port = (uint16_t)json_number_value(json_object_get(item, "vm_port")),
		};
	}
}

void parse_gpus(const json_t *list, struct gpu_request *out)
{
	const json_t *item;
	size_t i;

	json_array_foreach((json_t *)list, i, item) out[i] =
		(struct gpu_request){ .slot = member_text(item, "slot"),
				      .product_id = member_text(item, "product_id") };
}

enum gpu_attach parse_gpu_attach(const json_t *gpus)
{
	const char *word = member_text(gpus, "attach_mode");

	if (word && !strcasecmp(word, "all"))
		return GPU_ALL;
	return json_array_size(json_object_get(gpus, "gpus")) ? GPU_LISTED : GPU_NONE;
}

static const char *text_or_null(const char *s)
{
	return s && *s ? s : NULL;
}

static int cvm_body_fill(const struct cvm_body *q, const json_t *body, struct parsed_cvm *a,
			 struct err *e)
{
	const json_t *prefer = json_object_get(body, "prefer_dev");
	int r = refuse_unsupported_fields(q, e);

	a->ask = (struct cvm_request){
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
		r = parse_tee((enum tee_setting)q->tee, q->require_tdx, &a->ask.tee, e);
	if (!r)
		r = parse_tdx(q->tdx, &a->ask.tdx, e);
	if (!r)
		r = parse_network_list(q->networks, a->networks, e);
	if (!r)
		r = parse_node_id(q->teepod_id, q->node_id, &a->ask.node_id, e);
	if (!r)
		r = parse_encrypted_env(q->encrypted_env, &a->env, &a->env_len, e);
	return r;
}

/* What the rest of the request says about its manifest has to be true of it. */
static int check_body_manifest(const struct cvm_body *req, const json_t *manifest, struct err *e)
{
	const char *hash = text_or_null(req->compose_hash);

	if (hash && !compose_hash_names(manifest, hash))
		return err_field(e, ERR_INCOMPATIBLE, "compose_hash", hash,
				 "compose_hash is not the hash of the compose file given with it");
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
	a.ports = xcalloc(a.ask.n_ports, sizeof(*a.ports));
	parse_ports(req->ports, a.ports);
	a.ask.ports = a.ports;
	a.gpus = xcalloc(a.ask.n_gpus, sizeof(*a.gpus));
	parse_gpus(json_object_get(req->gpus, "gpus"), a.gpus);
	a.ask.gpus = a.gpus;
	a.ask.manifest = a.manifest;
	a.ask.encrypted_env = a.env;
	a.ask.encrypted_env_len = a.env_len;
	*ret = a;
	ret->ask.networks = ret->networks;
	a = (struct parsed_cvm){ 0 };
	return 0;
}

int parse_commit_body(const struct cvm_body *req, struct parsed_cvm *ret, struct err *e)
{
	int r = refuse_unsupported_fields(req, e);

	if (!r && !req->app_id)
		r = err_field(e, ERR_INVALID, "app_id", NULL,
			      "app_id is missing: POST /cvms/provision answered it with the "
			      "compose_hash");
	if (!r)
		r = parse_node_id(req->teepod_id, req->node_id, &ret->ask.node_id, e);
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
	  NULL, NULL, "GB; a disk only grows" },
	{ "image", FIELD_STRING, OPT, 1, 64, offsetof(struct preflight_body, image), NULL, NULL,
	  "image name, or a family: its newest" },
	{ "compose_file", FIELD_OBJECT, OPT, 0, 0, offsetof(struct preflight_body, compose_file),
	  NULL, NULL, "docker_compose_file with options, or a whole app-compose" },
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

/* ------------------------------------------------------------------ power */

#define NEW_DISK                                                                                   \
	{                                                                                          \
		"new_disk", FIELD_BOOL, OPT, 0, 0, offsetof(struct power_request, new_disk), NULL, \
			NULL, "make an empty data disk if the CVM's own is lost"                   \
	}

static const struct field start_fields[] = { NEW_DISK };

static const struct field shutdown_fields[] = {
	TIMEOUT_FIELDS,
	{ "force", FIELD_BOOL, OPT, 0, 0, offsetof(struct power_request, force), NULL, NULL,
	  "stop hard when time is up" },
};

static const struct field restart_fields[] = {
	NEW_DISK,
	TIMEOUT_FIELDS,
	{ "force", FIELD_BOOL, OPT, 0, 0, offsetof(struct power_request, force), NULL, NULL,
	  "stop hard, at once" },
};

const struct field_table start_table = { "StartRequest", start_fields, ARRAY_SIZE(start_fields),
					 false };
const struct field_table shutdown_table = { "ShutdownRequest", shutdown_fields,
					    ARRAY_SIZE(shutdown_fields), false };
const struct field_table restart_table = { "RestartRequest", restart_fields,
					   ARRAY_SIZE(restart_fields), false };

const char *const timeout_names[] = { "timeout", "timeout_s", "shutdown_timeout", NULL };

int parse_timeout(const json_t *body, unsigned *ret, struct err *e)
{
	const char *first = NULL;
	unsigned given = 0;

	for (size_t i = 0; timeout_names[i]; i++) {
		const json_t *j = json_object_get(body, timeout_names[i]);
		unsigned value = (unsigned)json_number_value(j);
		char text[16];

		if (!value)
			continue;
		(void)snprintf(text, sizeof(text), "%u", value);
		if (first && value != given)
			return err_field(
				e, ERR_INCOMPATIBLE, timeout_names[i], text,
				"%s is %u, and %s, another name of it, is %s: give one of them",
				first, given, timeout_names[i], text);
		first = timeout_names[i];
		given = value;
	}
	*ret = given;
	return 0;
}

int parse_power_body(const struct field_table *t, const json_t *body, struct power_request *ret,
		     struct err *e)
{
	struct power_request ask = { .kind = ret->kind };
	int r = fields_read(t, body, "", &ask, e);

	if (!r)
		r = parse_timeout(body, &ask.timeout_s, e);
	if (!r)
		*ret = ask;
	return r;
}

int refuse_timeout(const json_t *body, const char *verb, struct err *e)
{
	for (size_t i = 0; timeout_names[i]; i++) {
		const json_t *j = json_object_get(body, timeout_names[i]);
		auto_free char *text = j && !json_is_null(j) ? json_canonical(j) : NULL;

		if (!text)
			continue;
		err_field(e, ERR_INVALID, timeout_names[i], text,
			  "%s has no %s: it does not wait for the guest", verb, timeout_names[i]);
		return err_hint(e, "shutdown and restart give the guest time to power off");
	}
	return 0;
}

/* ------------------------------------------------------------------ images, states */

static const struct field image_ask_fields[] = {
	{ "source", FIELD_STRING, FIELD_REQUIRED, 1, PATH_BYTES_MAX,
	  offsetof(struct image_body, source), NULL, NULL,
	  "absolute path on the node of an image folder or tar file" },
	{ "name", FIELD_STRING, OPT, 1, 64, offsetof(struct image_body, name), NULL, NULL,
	  "the folder's own name if absent" },
};

const struct field_table image_import_table = { "ImageImportRequest", image_ask_fields,
						ARRAY_SIZE(image_ask_fields), true };

int parse_image_body(const json_t *body, struct image_body *ret, struct err *e)
{
	struct image_body q = { 0 };
	int r = fields_read(&image_import_table, body, "", &q, e);

	if (!r && q.source[0] != '/')
		return err_field(e, ERR_INVALID, "source", q.source,
				 "source must be an absolute path on the node");
	if (!r)
		*ret = q;
	return r;
}

static const struct field status_batch_fields[] = {
	{ "vm_uuids", FIELD_STRINGS, FIELD_REQUIRED, 0, BATCH_MAX, FIELD_NOWHERE, NULL, NULL,
	  NULL },
};

const struct field_table status_batch_table = { "StatusBatchRequest", status_batch_fields,
						ARRAY_SIZE(status_batch_fields), false };
