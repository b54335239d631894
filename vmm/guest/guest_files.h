/* SPDX-License-Identifier: Apache-2.0
 * guest_files.h - the files of the folder shared with the guest, as dstack's guests read them.
 */
#ifndef TEEPOD_VMM_GUEST_GUEST_FILES_H
#define TEEPOD_VMM_GUEST_GUEST_FILES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"

/* What the guest's copy step accepts; it would stop the boot over more. */
enum {
	GUEST_APP_COMPOSE_MAX = 50 * 1024 * 1024,
	GUEST_SYS_CONFIG_MAX = 32 * 1024,
	GUEST_ENV_MAX = 256 * 1024,
	GUEST_USER_CONFIG_MAX = 50 * 1024 * 1024,
};

/* Inputs from which a verifier recomputes the measurements: a wrong value is a failed attestation.
 */
struct guest_vm_config {
	const char *os_image_hash; /* "" or NULL = unknown */
	const char *image;
	const char *qemu_version;                        /* NULL = unknown */
	const char *host_share_mode;                     /* "9p" or "vhd" */
	const char *ovmf_variant;                        /* of the image; NULL or "" = not said */
	bool tdx_lite;                                   /* tdx_variant.h */
	const char *tdx_checksum_file, *tdx_measurement; /* base64; NULL = none */
	unsigned vcpus;
	uint64_t memory_mib;
	unsigned num_gpus, num_nvswitches, num_nics, num_volumes;
	bool hugepages;
};

struct guest_files {
	const char *dir;         /* the shared folder; made if missing */
	const char *app_compose; /* exact bytes, the hashed ones */
	size_t app_compose_len;
	const char *app_id;        /* 40 hex */
	const void *encrypted_env; /* NULL = none: an older file is removed */
	size_t encrypted_env_len;
	const char *user_config;                           /* NULL or "" = none */
	const char *const *kms_urls, *const *gateway_urls; /* NULL-terminated; NULL = none */
	const char *pccs_url, *docker_registry;            /* NULL = "" */
	unsigned host_api_port;    /* vsock port of the host API; 0 = not by vsock */
	const char *mr_config;     /* MrConfigV3 document; NULL = none */
	const char *instance_info; /* what .instance_info has to hold for it; NULL = what is there
				      stays */
	struct guest_vm_config vm;
};

/* [job] Write or renew all files, each atomically. An .instance_info that is there stays: the
 * guest's identity is in it. */
int guest_files_write(const struct guest_files *g, struct err *e);

/* [job] Let QEMU's group @gid into the CVM's folder @cvm and the shared one in it, to read there,
 * and nobody else. A daemon that is not root must be a member of @gid. */
int guest_files_open_to(const char *cvm, const char *shared, gid_t gid, struct err *e);

/* [job] Let QEMU's group @gid read the disk image @path, and write it when @writable. */
int guest_disk_open_to(const char *path, gid_t gid, bool writable, struct err *e);

/* The vm_config text inside .sys-config.json. malloc'd, never NULL. */
char *guest_vm_config_text(const struct guest_vm_config *vm);

#endif
