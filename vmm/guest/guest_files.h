/* SPDX-License-Identifier: Apache-2.0
 * guest_files.h - write the files of the shared folder in the format that dstack guests read. Jobs
 * only.
 */
#ifndef TEEPOD_VMM_GUEST_GUEST_FILES_H
#define TEEPOD_VMM_GUEST_GUEST_FILES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"

/* Maximum sizes in bytes. The guest's copy step stops the boot when a file is larger. */
enum {
	GUEST_APP_COMPOSE_MAX = 50 * 1024 * 1024,
	GUEST_SYS_CONFIG_MAX = 32 * 1024,
	GUEST_ENV_MAX = 256 * 1024,
	GUEST_USER_CONFIG_MAX = 50 * 1024 * 1024,
};

/* Inputs from which a verifier recomputes the measurements. A wrong value makes the attestation
 * fail. */
struct guest_vm_config {
	const char *os_image_hash; /* "" or NULL = unknown */
	const char *image;
	const char *qemu_version;    /* NULL = unknown */
	const char *host_share_mode; /* "9p" or "vhd" */
	const char *ovmf_variant;    /* from the image's metadata; NULL or "" = not given */
	bool tdx_lite;               /* tdx_variant.h */
	const char *tdx_checksum_file, *tdx_measurement; /* base64; NULL = none */
	unsigned vcpus;
	uint64_t memory_mib;
	unsigned num_gpus, num_nvswitches, num_nics, num_volumes;
	bool hugepages;
};

struct guest_files {
	const char *dir;         /* the shared folder; created if missing */
	const char *app_compose; /* exact bytes: the guest hashes them */
	size_t app_compose_len;
	const char *app_id;        /* 40 hex */
	const void *encrypted_env; /* NULL = none; an existing file is removed */
	size_t encrypted_env_len;
	const char *user_config;                           /* NULL or "" = none */
	const char *const *kms_urls, *const *gateway_urls; /* NULL-terminated; NULL = none */
	const char *pccs_url, *docker_registry;            /* NULL = "" */
	unsigned host_api_port;    /* vsock port of the host API; 0 = not by vsock */
	const char *mr_config;     /* MrConfigV3 document; NULL = none */
	const char *instance_info; /* content of .instance_info; NULL = keep the existing file */
	struct guest_vm_config vm;
};

/* [job] Write all files, each one atomically. Keeps an existing .instance_info unless @g gives one:
 * it holds the guest's identity. ERR_TOO_LARGE if a file exceeds its limit, ERR_HOST if a write
 * fails. */
int guest_files_write(const struct guest_files *g, struct err *e);

/* [job] Give QEMU's group @gid read access to the CVM's folder @cvm and to its folder @shared;
 * other users get none. A daemon that is not root must be a member of @gid. */
int guest_files_open_to(const char *cvm, const char *shared, gid_t gid, struct err *e);

/* [job] Give QEMU's group @gid access to the disk @path: to read, and with @writable to write. */
int guest_disk_open_to(const char *path, gid_t gid, bool writable, struct err *e);

/* The vm_config text inside .sys-config.json. malloc'd, never NULL. */
char *guest_vm_config_text(const struct guest_vm_config *vm);

#endif
