/* SPDX-License-Identifier: Apache-2.0
 * mr_config.h - MRCONFIGID: the part of an app that the TDX hardware pins before the first
 * instruction.
 *
 * 48 bytes, in the forms of dstack (dstack-types, mr_config.rs):
 *
 *	V1  01 | compose hash | zeros
 *	V2  02 | keccak256(compose hash | app id | key provider kind | key provider id) | zeros
 *	V3  03 | sha256("dstack-mr-config-v3:" | 00 | document) | zeros
 *
 * The document of V3 is JCS (RFC 8785) and is passed in .sys-config.json.
 *
 * A manifest without key_provider_id gets V1, one with it V3. dstack's own images before 0.6.0 get
 * V2 instead of V3, because their guests refuse later versions. dstack's images before 0.5.2 do not
 * support MRCONFIGID: they get none, and key_provider_id is refused, because it would bind nothing.
 * Images of other families (not "dstack" or "dstack-...") follow the current rule, whatever their
 * version number is.
 */
#ifndef TEEPOD_VMM_TDX_MR_CONFIG_H
#define TEEPOD_VMM_TDX_MR_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "base/err.h"
#include "base/id.h"

enum { MR_CONFIG_ID_LEN = 48, APP_ID_LEN = 20, INSTANCE_SEED_LEN = 20 };

/* The numbers are the byte of the kind in V2. */
enum key_provider {
	KEY_PROVIDER_NONE,
	KEY_PROVIDER_LOCAL,
	KEY_PROVIDER_KMS,
	KEY_PROVIDER_TPM,
	KEY_PROVIDERS
};

struct mr_config_input {
	const char *manifest; /* exact bytes of app-compose.json, which are hashed */
	const char *app_id;   /* 40 hex digits */
	const char *image_family, *image_version;
	bool tdx;      /* false: an ordinary VM, without MRCONFIGID */
	bool has_gpus; /* V3 then pins the GPU policy */
	const uint8_t
		*instance_seed; /* INSTANCE_SEED_LEN bytes; NULL: the CVM does not exist yet */
};

struct mr_config {
	unsigned version; /* 0: none, 1, 2, 3 */
	bool pending;     /* V3 with an instance id whose seed is not known: id, document and
			     instance_info are missing */
	uint8_t id[MR_CONFIG_ID_LEN];
	char *document; /* V3: exact text for "mr_config" of .sys-config.json, owned; otherwise NULL
			 */
	char *instance_info; /* V3: required content of .instance_info, owned; otherwise NULL: keep
				the file */
};

/* Pure. ERR_COMPOSE_INVALID or ERR_INCOMPATIBLE naming the field of compose_file. Free with
 * mr_config_free(). */
int mr_config_choose(const struct mr_config_input *in, struct mr_config *ret, struct err *e);
void mr_config_free(struct mr_config *m);
#define auto_mr_config __attribute__((cleanup(mr_config_free)))

/* [job] The seed of the instance id of a CVM: from .instance_info in the shared folder (written by
 * the guest, or by us at an earlier boot), otherwise derived from @vm_uuid, so that the id is known
 * before the first start. dstack draws a random seed; a random UUID is one. */
void mr_config_seed(const char *shared_dir, const char *vm_uuid, uint8_t ret[INSTANCE_SEED_LEN]);

/* Check the fields of a manifest that MRCONFIGID includes. */
int mr_config_check(const json_t *manifest, struct err *e);

/* ------------------------------------------------------------------ the forms */

void mr_config_v1(const uint8_t compose_hash[SHA256_LEN], uint8_t ret[MR_CONFIG_ID_LEN]);
void mr_config_v2(const uint8_t compose_hash[SHA256_LEN], const uint8_t app_id[APP_ID_LEN],
		  enum key_provider kind, const void *provider_id, size_t n,
		  uint8_t ret[MR_CONFIG_ID_LEN]);
void mr_config_v3(const char *document, uint8_t ret[MR_CONFIG_ID_LEN]);

/* The first 20 bytes of SHA-256(seed | app id). */
void instance_id_of(const uint8_t seed[INSTANCE_SEED_LEN], const uint8_t app_id[APP_ID_LEN],
		    char ret[41]);

#endif
