/* SPDX-License-Identifier: Apache-2.0
 * update_provision.h - a manifest checked and remembered under its hash, for an update of the app
 * that names it by that.
 *
 * They share the table, and the 14 days, with what POST /cvms/provision remembers: equal hashes are
 * equal manifests.
 */
#ifndef TEEPOD_VMM_CVM_UPDATE_PROVISION_H
#define TEEPOD_VMM_CVM_UPDATE_PROVISION_H
#include <jansson.h>

#include "base/id.h"

struct err;

struct vmm;

struct cvm_row;

/* [turn] Remember @manifest for the app of @cvm. */
int vmm_provision_update(struct vmm *v, const struct cvm_row *cvm, json_t *manifest,
			 char ret_hash[SHA256_HEX], struct err *e);

/* What was remembered as @compose_hash ("0x" before it allowed). *ret: a new reference. */
int vmm_provisioned_update(struct vmm *v, const struct cvm_row *cvm, const char *compose_hash,
			   json_t **ret, struct err *e);

#endif
