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

struct change_ask;

extern const struct field_table provision_table, create_table, preflight_table,
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

/* A request made into a struct cvm_ask, with what that borrows. */
struct parsed_cvm {
	struct cvm_ask ask;
	struct port_ask *ports; /* owned */
	struct gpu_ask *gpus;   /* owned */
	void *env;              /* owned: encrypted_env as bytes */
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

/* A create request that names a provision made before, instead of bringing everything along. */
bool is_commit_body(const json_t *body);

/* A change of the CVM called @name. *ret borrows from @body and from *ret_manifest, a new reference
 * (NULL: none). */
int parse_preflight_body(const json_t *body, const char *name, struct change_ask *ret,
			 json_t **ret_manifest, struct err *e);

#endif
