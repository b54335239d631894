/* SPDX-License-Identifier: Apache-2.0
 * body_cvm.h - request bodies that create a CVM or preview one.
 *
 * Each table here is also a schema of the same name in openapi.yaml; a test compares the two.
 */
#ifndef TEEPOD_API_CLOUD_BODY_CVM_H
#define TEEPOD_API_CLOUD_BODY_CVM_H

#include "base/json.h"
#include "vmm/admit/networks.h"
#include "vmm/admit/request.h"

struct preflight_request;

extern const struct field_table provision_table, create_table, preflight_table,
	change_preflight_table;

/* All fields of provision, create and preflight, as sent. */
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

/* A body converted for vmm/, with the memory that the conversion borrows from. */
struct parsed_cvm {
	struct cvm_request req;
	struct port_request *ports; /* owned */
	struct gpu_request *gpus;   /* owned */
	void *env;                  /* owned: encrypted_env as bytes */
	size_t env_len;
	json_t *manifest; /* owned */
	char networks[NETWORKS_TEXT];
};

/* *ret borrows from @body, which must outlive it. On failure *ret is untouched. */
int cvm_body_read(const struct field_table *t, const json_t *body, struct cvm_body *ret,
		  struct err *e);
int parse_cvm_body(const struct cvm_body *req, const json_t *body, struct parsed_cvm *ret,
		   struct err *e);
/* Convert a body that commits a provision: only node and environment are in it. */
int parse_commit_body(const struct cvm_body *req, struct parsed_cvm *ret, struct err *e);
void parsed_cvm_end(struct parsed_cvm *a);
#define auto_parsed_cvm __attribute__((cleanup(parsed_cvm_end)))

/* True if a create request names an earlier provision instead of bringing a compose file. */
bool is_commit_body(const json_t *body);

/* Convert a preflight of a change of the CVM called @name. *ret borrows from @body and from
 * *ret_manifest, a new reference (NULL: none). */
int parse_preflight_body(const json_t *body, const char *name, struct preflight_request *ret,
			 json_t **ret_manifest, struct err *e);

#endif
