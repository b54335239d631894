/* SPDX-License-Identifier: Apache-2.0
 * body_update.c - request bodies of updates, rollbacks and replications.
 *
 * All updates fill one struct. The table of each route lists the members that a client may set with
 * this route. Tables of the cloud's routes accept unknown keys (the SDK's resize repeats the
 * identifier of the CVM); the others refuse them.
 */
#include "api/cloud/body_update.h"

#include <stdlib.h>

#include "api/cloud/body_parts.h"
#include "api/cloud/body_power.h"
#include "base/alloc.h"
#include "base/array.h"
#include "base/json.h"
#include "vmm/admit/request.h"
#include "vmm/compose/compose.h"
#include "vmm/compose/compose_lint.h"
#include "vmm/compose/compose_merge.h"
#include "vmm/cvm/replicate.h"
#include "vmm/cvm/update.h"

enum {
	OPT = FIELD_NULLABLE,
	SCRIPT_BYTES = 1024 * 1024,
	ENVS = 1024,
	HASH_TEXT = 66,
	GIVEN = 1,
	NAME = 64
};

struct update_body {
	const char *instance_type, *image, *docker_compose_file, *pre_launch_script, *encrypted_env,
		*user_config, *compose_hash;
	int64_t vcpu, memory, disk_size;
	json_t *allowed_envs, *env_keys, *ports, *gpus, *compose_manifest;
	bool public_logs, public_sysinfo, public_tcbinfo, listed, allow_restart, allow_force_stop,
		update_env_vars;
};

#define AT(m) offsetof(struct update_body, m)

#define RESTART                                                             \
	{ "allow_restart",                                                  \
	  FIELD_SWITCH,                                                     \
	  OPT,                                                              \
	  0,                                                                \
	  0,                                                                \
	  AT(allow_restart),                                                \
	  NULL,                                                             \
	  NULL,                                                             \
	  "a running CVM may be restarted for the change" },                \
		{ "allow_force_stop",                                       \
		  FIELD_BOOL,                                               \
		  OPT,                                                      \
		  0,                                                        \
		  0,                                                        \
		  AT(allow_force_stop),                                     \
		  NULL,                                                     \
		  NULL,                                                     \
		  "power the CVM off instead of a shutdown by the guest" }, \
		TIMEOUT_FIELDS
#define TEXT(n, max, rule)                                             \
	{                                                              \
#n, FIELD_STRING, OPT, 0, max, AT(n), NULL, NULL, rule \
	}
#define FLAG(n)                                                    \
	{                                                          \
#n, FIELD_BOOL, OPT, 0, 0, AT(n), NULL, NULL, NULL \
	}
#define NAMES(n, max, rule)                                             \
	{                                                               \
#n, FIELD_STRINGS, OPT, 0, max, AT(n), NULL, NULL, rule \
	}
#define NUMBER(n, max, rule)                                        \
	{                                                           \
#n, FIELD_INT, OPT, 1, max, AT(n), NULL, NULL, rule \
	}
#define RESOURCES                                                                      \
	TEXT(instance_type, 63,                                                        \
	     "vcpu, memory and disk_size of the request override those of the type"),  \
		NUMBER(vcpu, BODY_VCPUS, NULL), NUMBER(memory, BODY_MEMORY_MIB, "MB"), \
		NUMBER(disk_size, BODY_DISK_GIB, "GB; a disk cannot shrink")
#define VISIBILITY FLAG(public_logs), FLAG(public_sysinfo), FLAG(public_tcbinfo), FLAG(listed)
#define ENV        TEXT(encrypted_env, 2 * BODY_ENV_BYTES, "hex digits; replaces the whole environment")
#define SOFTWARE                          \
	{ "docker_compose_file",          \
	  FIELD_STRING,                   \
	  OPT,                            \
	  GIVEN,                          \
	  COMPOSE_LINT_MAX,               \
	  AT(docker_compose_file),        \
	  NULL,                           \
	  NULL,                           \
	  "docker compose text (YAML)" }, \
		TEXT(pre_launch_script, SCRIPT_BYTES, "empty: remove it")

static const struct field resources_fields[] = { RESOURCES, RESTART };

/* The SDK sends a count and a product; other clients send a list. */
static const struct field gpus_fields[] = {
	{ "attach_mode", FIELD_WORD, OPT, 0, 0, FIELD_NOWHERE, gpu_attach_words, NULL, NULL },
	{ "gpus", FIELD_OBJECTS, OPT, 0, GPUS_MAX, FIELD_NOWHERE, NULL, &gpu_table,
	  "replaces the whole list" },
	{ "count", FIELD_INT, OPT, 0, GPUS_MAX, FIELD_NOWHERE, NULL, NULL,
	  "number of GPUs of product_name" },
	{ "product_name", FIELD_STRING, OPT, 0, 9, FIELD_NOWHERE, NULL, NULL,
	  "a product id such as 10de:2335" },
};
static const struct field_table gpus_table = { "GpusChange", gpus_fields, ARRAY_SIZE(gpus_fields),
					       true };

static const struct field update_fields[] = {
	SOFTWARE,
	NAMES(allowed_envs, ENVS, "names of the variables that may be set"),
	ENV,
	NAMES(env_keys, BODY_ENV_KEYS, "names in encrypted_env"),
	VISIBILITY,
	TEXT(user_config, BODY_USER_CONFIG, "empty: remove it"),
	RESOURCES,
	{ "image", FIELD_STRING, OPT, 1, NAME, AT(image), NULL, NULL,
	  "name of an image, or of a family: its newest image" },
	{ "gpus", FIELD_OBJECT, OPT, 0, 0, AT(gpus), NULL, &gpus_table, NULL },
	{ "ports", FIELD_OBJECTS, OPT, 0, BODY_PORTS, AT(ports), NULL, &port_table,
	  "replaces the whole list" },
	RESTART,
};

/* The older client also sends manifest_version 1, a name of its own and more. They are ignored. */
static const struct field manifest_fields[] = {
	{ "docker_compose_file", FIELD_STRING, FIELD_REQUIRED, 1, COMPOSE_LINT_MAX,
	  AT(docker_compose_file), NULL, NULL, "docker compose text (YAML)" },
	TEXT(pre_launch_script, SCRIPT_BYTES, "empty: remove it"),
	NAMES(allowed_envs, ENVS, "empty and no encrypted_env: unchanged"),
	FLAG(public_logs),
	FLAG(public_sysinfo),
	FLAG(public_tcbinfo),
};
static const struct field_table manifest_table = { "ComposeManifest", manifest_fields,
						   ARRAY_SIZE(manifest_fields), false };

static const struct field legacy_update_fields[] = {
	{ "compose_manifest", FIELD_OBJECT, FIELD_REQUIRED, 0, 0, AT(compose_manifest), NULL,
	  &manifest_table, NULL },
	ENV,
	NAMES(env_keys, BODY_ENV_KEYS, "names in encrypted_env"),
	RESTART,
};

static const struct field envs_fields[] = {
	{ "encrypted_env", FIELD_STRING, FIELD_REQUIRED, 0, 2 * BODY_ENV_BYTES, AT(encrypted_env),
	  NULL, NULL, "hex digits; replaces the whole environment" },
	NAMES(env_keys, BODY_ENV_KEYS, "names in encrypted_env; they become allowed_envs"),
	{ "compose_hash", FIELD_STRING, OPT, 0, HASH_TEXT, FIELD_NOWHERE, NULL, NULL, "ignored" },
	{ "transaction_hash", FIELD_STRING, OPT, 0, HASH_TEXT, FIELD_NOWHERE, NULL, NULL,
	  "ignored" },
	RESTART,
};

static const struct field os_image_fields[] = {
	{ "os_image_name", FIELD_STRING, FIELD_REQUIRED, 1, NAME, AT(image), NULL, NULL,
	  "name of an image, or of a family: its newest image" },
	RESTART,
};

static const struct field visibility_fields[] = { VISIBILITY, RESTART };

static const struct field compose_provision_fields[] = {
	{ "env_keys", FIELD_STRINGS, OPT, 0, BODY_ENV_KEYS, FIELD_NOWHERE, NULL, NULL,
	  "names in the new environment" },
	{ "update_env_vars", FIELD_BOOL, OPT, 0, 0, FIELD_NOWHERE, NULL, NULL, "ignored" },
};

static const struct field compose_commit_fields[] = {
	{ "compose_hash", FIELD_STRING, FIELD_REQUIRED, GIVEN, HASH_TEXT, AT(compose_hash), NULL,
	  NULL, "hash that compose_file/provision returned" },
	ENV,
	NAMES(env_keys, BODY_ENV_KEYS, "names in encrypted_env"),
	{ "update_env_vars", FIELD_BOOL, OPT, 0, 0, AT(update_env_vars), NULL, NULL,
	  "false: encrypted_env is ignored" },
	RESTART,
};

#define TABLE(n, name, strict) \
	const struct field_table n##_table = { name, n##_fields, ARRAY_SIZE(n##_fields), strict }

TABLE(resources, "ResourcesRequest", false);
TABLE(update, "UpdateRequest", true);
TABLE(legacy_update, "LegacyUpdateRequest", false);
TABLE(envs, "EnvsRequest", false);
TABLE(os_image, "OsImageRequest", false);
TABLE(visibility, "VisibilityRequest", false);
TABLE(compose_provision, "ComposeProvisionRequest", false);
TABLE(compose_commit, "ComposeCommitRequest", false);

/* ------------------------------------------------------------------ rules between fields */

static int member_flag(const json_t *body, const char *key, bool value)
{
	return member_given(body, key) ? value : -1;
}

static struct compose_merge update_body_merge(const struct update_body *q, const json_t *body)
{
	return (struct compose_merge){
		.docker_compose_file = q->docker_compose_file,
		.pre_launch_script = q->pre_launch_script,
		.allowed_envs = q->allowed_envs,
		.public_logs = member_flag(body, "public_logs", q->public_logs),
		.public_sysinfo = member_flag(body, "public_sysinfo", q->public_sysinfo),
		.public_tcbinfo = member_flag(body, "public_tcbinfo", q->public_tcbinfo),
	};
}

/* An upgrade without a new environment keeps the old environment and its allowed_envs. */
static int read_legacy_manifest(struct update_body *q, struct compose_merge *ret, struct err *e)
{
	int r = fields_read(&manifest_table, q->compose_manifest, "compose_manifest", q, e);

	if (r)
		return r;
	if (!json_array_size(q->allowed_envs) && !(q->encrypted_env && *q->encrypted_env))
		q->allowed_envs = NULL;
	*ret = update_body_merge(q, q->compose_manifest);
	return 0;
}

static int read_counted_gpus(const json_t *gpus, struct parsed_update *a, struct err *e)
{
	const char *product = json_string_value(json_object_get(gpus, "product_name"));
	size_t n = (size_t)json_number_value(json_object_get(gpus, "count"));

	if (json_array_size(json_object_get(gpus, "gpus")) || member_given(gpus, "attach_mode"))
		return err_field(e, ERR_INCOMPATIBLE, "gpus.count", NULL,
				 "gpus has both a count and a list: send one of them");
	if (n && !(product && *product))
		return err_field(
			e, ERR_INVALID, "gpus.product_name", NULL,
			"gpus.product_name is missing: GET /api/v1/devices lists product ids");
	a->gpus = xcalloc(n ? n : 1, sizeof(*a->gpus));
	for (size_t i = 0; i < n; i++)
		a->gpus[i].product_id = product;
	a->req.gpu_attach = n ? GPU_LISTED : GPU_NONE;
	a->req.n_gpus = n;
	return 0;
}

static int read_new_gpus(const json_t *gpus, struct parsed_update *a, struct err *e)
{
	const json_t *list = json_object_get(gpus, "gpus");
	int r = 0;

	a->req.set_gpus = true;
	if (member_given(gpus, "count")) {
		r = read_counted_gpus(gpus, a, e);
	} else {
		a->req.gpu_attach = parse_gpu_attach(gpus);
		a->req.n_gpus = json_array_size(list);
		a->gpus = xcalloc(a->req.n_gpus ? a->req.n_gpus : 1, sizeof(*a->gpus));
		parse_gpus(list, a->gpus);
	}
	a->req.gpus = a->gpus;
	return r;
}

static void read_new_ports(const json_t *list, struct parsed_update *a)
{
	a->req.set_ports = true;
	a->req.n_ports = json_array_size(list);
	a->ports = xcalloc(a->req.n_ports ? a->req.n_ports : 1, sizeof(*a->ports));
	parse_ports(list, a->ports);
	a->req.ports = a->ports;
}

/* @restart: the default of allow_restart on this route. */
static struct update_request update_body_settings(const struct update_body *q, const json_t *body,
						  bool restart)
{
	return (struct update_request){
		.instance_type = text_or_null(q->instance_type),
		.vcpus = q->vcpu,
		.memory_mib = q->memory,
		.disk_gib = q->disk_size,
		.image = q->image,
		.set_user_config = q->user_config != NULL,
		.user_config = text_or_null(q->user_config),
		.listed = member_flag(body, "listed", q->listed),
		.allow_restart = member_given(body, "allow_restart") ? q->allow_restart : restart,
		.force = q->allow_force_stop,
	};
}

static int read_update_env(const struct update_body *q, struct parsed_update *a, struct err *e)
{
	if (!q->encrypted_env)
		return 0;
	a->req.set_env = true;
	return parse_encrypted_env(q->encrypted_env, &a->env, &a->req.encrypted_env_len, e);
}

static int update_body_fill(const struct field_table *t, struct update_body *q, const json_t *body,
			    struct parsed_update *a, struct err *e)
{
	int r = 0;

	a->req = update_body_settings(q, body, t != &resources_table);
	r = parse_timeout(body, &a->req.timeout_s, e);
	a->merge = update_body_merge(q, body);
	a->compose_hash = q->compose_hash;
	a->env_keys = q->env_keys;
	a->envs_replace = t == &envs_table;
	if (!r && q->compose_manifest)
		r = read_legacy_manifest(q, &a->merge, e);
	if (!r)
		r = read_update_env(q, a, e);
	if (member_given(body, "update_env_vars") && !q->update_env_vars)
		a->req.set_env = false;
	a->req.encrypted_env = a->env;
	if (!r && q->ports)
		read_new_ports(q->ports, a);
	if (!r && q->gpus)
		r = read_new_gpus(q->gpus, a, e);
	return r;
}

int parse_update_body(const struct field_table *t, const json_t *body, struct parsed_update *ret,
		      struct err *e)
{
	auto_parsed_update struct parsed_update a = { 0 };
	struct update_body q = { 0 };
	int r = fields_read(t, body, "", &q, e);

	if (!r)
		r = update_body_fill(t, &q, body, &a, e);
	if (r)
		return r;
	*ret = a;
	a = (struct parsed_update){ 0 };
	return 0;
}

void parsed_update_end(struct parsed_update *a)
{
	free(a->env);
	free(a->ports);
	free(a->gpus);
}

/* ------------------------------------------------------------------ rollback */

static const struct field rollback_fields[] = {
	{ "vm_uuid", FIELD_STRING, OPT, GIVEN, NAME, offsetof(struct rollback_body, vm_uuid), NULL,
	  NULL, "UUID of a CVM of the app; default: all its CVMs" },
	{ "allow_restart", FIELD_SWITCH, OPT, 0, 0, offsetof(struct rollback_body, allow_restart),
	  NULL, NULL, "a running CVM may be restarted for the change; default: true" },
	TIMEOUT_FIELDS,
	{ "allow_force_stop", FIELD_BOOL, OPT, 0, 0,
	  offsetof(struct rollback_body, allow_force_stop), NULL, NULL,
	  "power the CVM off instead of a shutdown by the guest" },
};
TABLE(rollback, "RollbackRequest", true);

int parse_rollback_body(const json_t *body, struct rollback_body *ret, struct err *e)
{
	struct rollback_body q = { .allow_restart = true };
	int r = fields_read(&rollback_table, body, "", &q, e);

	if (!r)
		r = parse_timeout(body, &q.timeout_s, e);
	if (!r)
		*ret = q;
	return r;
}

/* ------------------------------------------------------------------ replicas */

struct replica_body {
	const char *encrypted_env, *compose_hash, *docker_compose_file, *pre_launch_script;
	int64_t node_id, teepod_id, count;
	json_t *env_keys;
	bool partial, stopped;
};

#undef AT
#define AT(m) offsetof(struct replica_body, m)

#define REPLICA                                                                                      \
	{                                                                                            \
		"node_id", FIELD_INT,           OPT, 0, INT32_MAX, AT(node_id), NULL,                \
		NULL,      "default: this node"                                                      \
	},                                                                                           \
		{ "teepod_id", FIELD_INT, OPT,                                                       \
		  0,           INT32_MAX, AT(teepod_id),                                             \
		  NULL,        NULL,      "older name of node_id" },                                 \
		TEXT(encrypted_env, 2 * BODY_ENV_BYTES,                                              \
		     "hex digits; default: the environment of the source"),                          \
		NAMES(env_keys, BODY_ENV_KEYS,                                                       \
		      "names in encrypted_env; each must be in allowed_envs"),                       \
		TEXT(compose_hash, HASH_TEXT,                                                        \
		     "revision of the app: 64 hex digits, with or without 0x"),                      \
		NUMBER(count, REPLICAS_MAX, "number of replicas; the answer is then a list"),        \
		{ "partial", FIELD_BOOL, OPT,                                                        \
		  0,         0,          AT(partial),                                                \
		  NULL,      NULL,       "create as many of count as fit, instead of all or none" }, \
	{                                                                                            \
		"stopped", FIELD_BOOL, OPT, 0, 0, AT(stopped), NULL, NULL,                           \
			"create the CVM without starting it"                                         \
	}

static const struct field replica_fields[] = { REPLICA };
static const struct field instance_fields[] = {
	REPLICA,
	SOFTWARE,
	{ "token", FIELD_STRING, OPT, 0, 128, FIELD_NOWHERE, NULL, NULL, "ignored" },
	{ "transaction_hash", FIELD_STRING, OPT, 0, HASH_TEXT, FIELD_NOWHERE, NULL, NULL,
	  "ignored" },
};
TABLE(replica, "ReplicaRequest", false);
TABLE(instance, "InstanceRequest", false);

int parse_replica_body(const struct field_table *t, const json_t *body, struct parsed_replica *ret,
		       struct err *e)
{
	struct parsed_replica a = { 0 };
	struct replica_body q = { 0 };
	int r = fields_read(t, body, "", &q, e);

	if (!r)
		r = parse_node_id(q.teepod_id, q.node_id, &a.req.node_id, e);
	if (!r && q.partial && !q.count)
		r = err_field(e, ERR_INCOMPATIBLE, "partial", "true",
			      "partial is true, but count is missing");
	if (!r)
		r = parse_encrypted_env(q.encrypted_env, &a.env, &a.req.encrypted_env_len, e);
	if (r)
		return r;
	a.req.set_env = q.encrypted_env != NULL;
	a.req.encrypted_env = a.env;
	a.req.env_keys = q.env_keys;
	a.req.compose_hash = text_or_null(q.compose_hash);
	a.req.stopped = q.stopped;
	a.req.software = (struct compose_merge){ .docker_compose_file = q.docker_compose_file,
						 .pre_launch_script = q.pre_launch_script,
						 .public_logs = -1,
						 .public_sysinfo = -1,
						 .public_tcbinfo = -1 };
	a.count = q.count;
	a.partial = q.partial;
	*ret = a;
	return 0;
}
