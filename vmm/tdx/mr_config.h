/* SPDX-License-Identifier: Apache-2.0
 * mr_config.h - MRCONFIGID: what of an app the TD's hardware register pins before the guest's first
 * instruction.
 *
 * 48 bytes, dstack's forms (dstack-types, mr_config.rs; a guest compares them with what it finds
 * and refuses to boot): V1  01 | compose hash | zeros V2  02 | keccak256(compose hash | app id |
 * kind of key provider | key provider id) | zeros V3  03 | sha256("dstack-mr-config-v3:" | 00 |
 * document) | zeros; the document, JCS (RFC 8785), is in .sys-config.json
 *
 * Which one: a manifest without key_provider_id has V1. With one it is V3, but V2 for dstack's own
 * images before 0.6.0, whose guests refuse every version above 2. dstack's images before 0.5.2 know
 * no MRCONFIGID: they get none, and a key_provider_id, which would bind nothing there, is refused.
 * Images that are not dstack's (family not "dstack" or "dstack-...") follow the present rule,
 * whatever their version number says.
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

/* The numbers are V2's byte for the kind. */
enum key_provider {
	KEY_PROVIDER_NONE,
	KEY_PROVIDER_LOCAL,
	KEY_PROVIDER_KMS,
	KEY_PROVIDER_TPM,
	KEY_PROVIDERS
};

struct mr_config_input {
	const char *manifest; /* app-compose.json, the exact bytes that are hashed */
	const char *app_id;   /* 40 hex digits */
	const char *image_family, *image_version;
	bool tdx;      /* false: an ordinary VM has no MRCONFIGID */
	bool has_gpus; /* V3 then pins the GPU policy */
	const uint8_t
		*instance_seed; /* INSTANCE_SEED_LEN bytes; NULL: the CVM does not exist yet */
};

struct mr_config {
	unsigned version; /* 0: none, 1, 2, 3 */
	bool pending;     /* V3 that names an instance id whose seed is not known: id, document and
			     instance_info missing */
	uint8_t id[MR_CONFIG_ID_LEN];
	char *document; /* V3: the exact text for "mr_config" of .sys-config.json, owned; else NULL
			 */
	char *instance_info; /* V3: what .instance_info has to hold for it, owned; else NULL: leave
				the file alone */
};

/* Pure. ERR_COMPOSE_INVALID or ERR_INCOMPATIBLE naming the field of compose_file. Free with
 * mr_config_free(). */
int mr_config_choose(const struct mr_config_input *in, struct mr_config *ret, struct err *e);
void mr_config_free(struct mr_config *m);
#define auto_mr_config __attribute__((cleanup(mr_config_free)))

/* [job] The seed of a CVM's instance id: the one in the shared folder's .instance_info (the
 * guest's, or ours of an earlier boot), else derived from @vm_uuid, so that the id shown before the
 * first start is the measured one. dstack draws a seed; a random UUID is one. */
void mr_config_seed(const char *shared_dir, const char *vm_uuid, uint8_t ret[INSTANCE_SEED_LEN]);

/* The fields of a manifest that MRCONFIGID is made of are well-formed. */
int mr_config_check(const json_t *manifest, struct err *e);

/* ------------------------------------------------------------------ the forms */

void mr_config_v1(const uint8_t compose_hash[SHA256_LEN], uint8_t ret[MR_CONFIG_ID_LEN]);
void mr_config_v2(const uint8_t compose_hash[SHA256_LEN], const uint8_t app_id[APP_ID_LEN],
		  enum key_provider kind, const void *provider_id, size_t n,
		  uint8_t ret[MR_CONFIG_ID_LEN]);
void mr_config_v3(const char *document, uint8_t ret[MR_CONFIG_ID_LEN]);

/* SHA-256 of (seed | app id), cut to 20 bytes. */
void instance_id_of(const uint8_t seed[INSTANCE_SEED_LEN], const uint8_t app_id[APP_ID_LEN],
		    char ret[41]);

#endif
