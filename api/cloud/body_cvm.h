/* SPDX-License-Identifier: Apache-2.0
 * body_cvm.h - what request bodies may hold, and what they become.
 *
 * Each table here is also a schema of the same name in openapi.yaml; a test holds the two against
 * each other.
 */
#ifndef TEEPOD_API_CLOUD_BODY_CVM_H
#define TEEPOD_API_CLOUD_BODY_CVM_H

#include "base/json.h"
#include "vmm/admit/networks.h"
#include "vmm/admit/request.h"

struct preflight_request;
struct power_request;

/* How much a request may name, whatever the node has. */
enum {
	BODY_ENV_BYTES = 256 * 1024,
	BODY_USER_CONFIG = 64 * 1024,
	BODY_PORTS = 64,
	BODY_ENV_KEYS = 1000,
	BODY_VCPUS = 65536,
	BODY_MEMORY_MIB = 1 << 30,
	BODY_DISK_GIB = 1 << 24,
};

extern const struct field_table provision_table, create_table, preflight_table, start_table,
	shutdown_table, restart_table, image_import_table, status_batch_table,
	change_preflight_table;

/* Provision, create and preflight: all fields any of them has. */
struct cvm_body {
	const char *name, *image, *instance_type, *region, *kms_id, *app_id, *compose_hash,
		*encrypted_env, *user_config;
	const char *kms_contract;
	int64_t vcpu, memory, disk_size, teepod_id, node_id, nonce;
	json_t *compose_file, *networks, *tdx, *ports, *env_keys, *gpus, *kms_urls, *gateway_urls;
	bool listed, stopped, require_tdx, prefer_dev, hugepages, pin_numa;
	int kms; /* enum kms_word */
	int tee; /* enum tee_setting */
};

enum kms_word { KMS_PHALA, KMS_ETHEREUM, KMS_BASE, KMS_LEGACY };

/* A request made into a struct cvm_request, with what that borrows. */
struct parsed_cvm {
	struct cvm_request ask;
	struct port_request *ports; /* owned */
	struct gpu_request *gpus;   /* owned */
	void *env;                  /* owned: encrypted_env as bytes */
	size_t env_len;
	json_t *manifest; /* owned */
	char networks[NETWORKS_TEXT];
};

/* @body is borrowed by *ret and has to outlive it. */
int cvm_body_read(const struct field_table *t, const json_t *body, struct cvm_body *ret,
		  struct err *e);
int parse_cvm_body(const struct cvm_body *req, const json_t *body, struct parsed_cvm *ret,
		   struct err *e);
/* The same for what POST /cvms/provision remembered: only its node and environment are in the
 * request. */
int parse_commit_body(const struct cvm_body *req, struct parsed_cvm *ret, struct err *e);
void parsed_cvm_end(struct parsed_cvm *a);
#define auto_parsed_cvm __attribute__((cleanup(parsed_cvm_end)))

/* Parts that other bodies have too; part of what is listed above. */
extern const struct field_table port_table, gpu_table;
extern const char *const gpu_attach_words[];

/* Of lists that their tables have checked: @out has room for all. Strings are borrowed. */
void parse_ports(const json_t *list, struct port_request *out);
void parse_gpus(const json_t *list, struct gpu_request *out);
/* "all", or whether any are listed. */
enum gpu_attach parse_gpu_attach(const json_t *gpus);
/* @teepod_id is the older name of @node_id; 0 = not given. */
int parse_node_id(int64_t teepod_id, int64_t node_id, int64_t *ret, struct err *e);

/* "0a1b" -> bytes, malloc'd; *ret NULL for none. */
int parse_encrypted_env(const char *hex, void **ret, size_t *ret_len, struct err *e);

/* A create request that names a provision made before, instead of bringing everything along. */
bool is_commit_body(const json_t *body);

/* A change of the CVM called @name. *ret borrows from @body and from *ret_manifest, a new reference
 * (NULL: none). */
int parse_preflight_body(const json_t *body, const char *name, struct preflight_request *ret,
			 json_t **ret_manifest, struct err *e);

/* How long a guest has to power off by itself: the same names, unit and range in each body whose
 * operation may shut one down. */
#define TIMEOUT_FIELD(name, rule)                                                          \
	{                                                                                  \
		name, FIELD_INT, FIELD_NULLABLE, 10, 1200, FIELD_NOWHERE, NULL, NULL, rule \
	}
#define TIMEOUT_FIELDS                                                                          \
	TIMEOUT_FIELD("timeout", "seconds for the guest to power off by itself; 60 if absent"), \
		TIMEOUT_FIELD("timeout_s", "same as timeout"),                                  \
		TIMEOUT_FIELD("shutdown_timeout", "same as timeout")

extern const char *const timeout_names[]; /* ends with NULL */

/* From a body that its table has checked. *ret 0: none given. ERR_INCOMPATIBLE when two of the
 * names differ. */
int parse_timeout(const json_t *body, unsigned *ret, struct err *e);
/* Of a verb that waits for no guest, ERR_INVALID when a time is given all the same. */
int refuse_timeout(const json_t *body, const char *verb, struct err *e);
int parse_power_body(const struct field_table *t, const json_t *body, struct power_request *ret,
		     struct err *e);

struct image_body {
	const char *source, *name; /* name NULL: the image's own */
};
int parse_image_body(const json_t *body, struct image_body *ret, struct err *e);

#endif
