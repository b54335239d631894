/* SPDX-License-Identifier: Apache-2.0
 * update_provision.h - check a manifest and store it under its hash, for a later update that names
 * the hash.
 *
 * The table and the 14 days are shared with POST /cvms/provision: equal hashes mean equal
 * manifests.
 */
#ifndef TEEPOD_VMM_CVM_UPDATE_PROVISION_H
#define TEEPOD_VMM_CVM_UPDATE_PROVISION_H
#include <jansson.h>

#include "base/id.h"

struct err;

struct vmm;

struct cvm_row;

/* [turn] Check @manifest as an update of @cvm would, and store it for the CVM's app. ret_hash: its
 * compose hash. */
int vmm_provision_update(struct vmm *v, const struct cvm_row *cvm, json_t *manifest,
			 char ret_hash[SHA256_HEX], struct err *e);

/* Load the manifest stored as @compose_hash ("0x" prefix allowed). *ret is a new reference.
 * ERR_INVALID if there is none. */
int vmm_provisioned_update(struct vmm *v, const struct cvm_row *cvm, const char *compose_hash,
			   json_t **ret, struct err *e);

#endif
