/* SPDX-License-Identifier: Apache-2.0
 * create.h - preflight, provision and create. Loop thread only.
 */
#ifndef TEEPOD_VMM_CVM_CREATE_H
#define TEEPOD_VMM_CVM_CREATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>
#include "base/err.h"
#include "db/text.h"
#include "vmm/compose/compose.h"

struct cvm_request;
struct cvm_row;
struct op_row;
struct request_ref;
struct vmm;

struct provision_result {
	char app_id[APP_ID_TEXT], compose_hash[SHA256_HEX], os_image_hash[SHA256_HEX],
		instance_type[NAME_TEXT];
};

struct commit_request {
	const char *app_id; /* NULL or "" = any app */
	const char *compose_hash;
	const void *encrypted_env;
	size_t encrypted_env_len;
	const json_t *env_keys; /* names in encrypted_env; NULL = unknown */
	int64_t node_id;        /* 0 = this node */
	const char *region;
	bool stopped;
};

/* Check a create request without a change. 0, or the error that a create would return. *ret (may be
 * NULL): the row that it would insert, without id and CID. */
int vmm_preflight(struct vmm *v, int64_t workspace, const struct cvm_request *req,
		  struct cvm_row *ret, struct err *e);
/* [turn] Check a create request and store it for 14 days. */
int vmm_provision(struct vmm *v, int64_t workspace, const struct cvm_request *req,
		  struct provision_result *ret, struct err *e);
/* [turn] Create a CVM, from a request or from a stored provision. The operation starts after the
 * commit, unless the CVM is created stopped. */
int vmm_create(struct vmm *v, int64_t workspace, const struct cvm_request *req,
	       const struct request_ref *ref, struct cvm_row *ret, struct op_row *ret_op,
	       struct err *e);
int vmm_commit(struct vmm *v, int64_t workspace, const struct commit_request *given,
	       const struct request_ref *ref, struct cvm_row *ret, struct op_row *ret_op,
	       struct err *e);

#endif
