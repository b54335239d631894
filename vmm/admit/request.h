/* SPDX-License-Identifier: Apache-2.0
 * request.h - create, update and policy requests for a CVM, as plain values.
 */
#ifndef TEEPOD_VMM_ADMIT_REQUEST_H
#define TEEPOD_VMM_ADMIT_REQUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>
#include "base/err.h"
#include "db/policies.h"
#include "vmm/node/settings.h"
#include "vmm/virt/domain_spec.h"

struct port_request {
	bool udp;
	const char *host_address; /* NULL = the node's default */
	uint16_t host_port;       /* 0 = choose a free one */
	uint16_t vm_port;
};

enum { TDX_MR_HEX = 2 * TDX_MR_LEN + 1 };

/* Registers of a TD that its owner sets. */
struct tdx_request {
	bool given; /* any of them is set: the CVM must be a TD */
	uint64_t policy;
	char mr_owner[TDX_MR_HEX], mr_owner_config[TDX_MR_HEX]; /* "" = zeros */
};

enum gpu_attach { GPU_NONE, GPU_LISTED, GPU_ALL, GPU_ATTACHES };

enum { GPUS_MAX = 64 }; /* entries in one request */

/* At least one of the two is set. */
struct gpu_request {
	const char *slot;       /* PCI address, "18:00.0" or "0000:18:00.0"; NULL = any free GPU */
	const char *product_id; /* "10de:2335"; NULL = any product in the slot */
};

enum { START_ORDER_MAX = 1000000 }; /* start_order: -START_ORDER_MAX to START_ORDER_MAX */

/* What the node may do with a CVM by itself. A field without its has_ flag is unchanged; defaults
 * of a new CVM: on-crash, true, 0. */
struct policy_request {
	bool has_restart, has_auto_start, has_order;
	enum restart_policy restart;
	bool auto_start;
	int64_t start_order;
};

/* Absent numbers are 0, absent texts NULL: admit.c fills them from the instance type, the image
 * preference and the defaults. */
struct cvm_request {
	const char *name;
	const char *image; /* name, or family only */
	int prefer_dev;    /* 1, 0, or -1 = no preference */
	const char *instance_type;
	int64_t vcpus, memory_mib, disk_gib;
	int64_t node_id;
	const char *region;
	const char *kms_id;
	const char *app_id;        /* 40 hex, optional 0x */
	json_t *manifest;          /* app-compose object (compose.h), borrowed */
	const char *manifest_text; /* compose_text() of the manifest, borrowed; NULL: admit.c makes
				      it */
	const struct port_request *ports;
	size_t n_ports;
	const void *encrypted_env;
	size_t encrypted_env_len;
	const char *user_config;
	bool listed;
	bool stopped;
	struct policy_request policy;
	enum tee_setting tee; /* TEE_TDX: refuse anything else */
	struct tdx_request tdx;
	const char *networks; /* networks.h; NULL or "" = the node's default */
	bool hugepages, pin_numa;
	enum gpu_attach gpu_attach;
	const struct gpu_request *gpus; /* GPU_LISTED */
	size_t n_gpus;
	bool inspected; /* the host was inspected for this request: inventory_refresh() */
};

/* Fields of an update; an absent field stays unchanged. All pointers are borrowed for the call. */
struct update_request {
	const char
		*instance_type; /* sizes come from the type unless given below; NULL = unchanged */
	int64_t vcpus, memory_mib, disk_gib; /* 0 = unchanged */
	json_t *manifest;          /* new app-compose object (compose.h); NULL = unchanged */
	const char *manifest_text; /* compose_text() of the manifest, or NULL */
	const char *image;         /* name or family; NULL = unchanged */
	bool set_env;              /* the new environment replaces the old one completely */
	const void *encrypted_env;
	size_t encrypted_env_len; /* 0 = remove it */
	bool set_user_config;
	const char *user_config; /* NULL = remove it */
	bool set_ports;
	const struct port_request *ports; /* the complete new list */
	size_t n_ports;
	bool set_gpus;
	enum gpu_attach gpu_attach;
	const struct gpu_request *gpus; /* the complete new list */
	size_t n_gpus;
	int listed;         /* 1 or 0; -1 = unchanged */
	bool allow_restart; /* a running CVM may be restarted for the change */
	unsigned timeout_s; /* seconds for a graceful stop, 10..1200; 0 = default (60) */
	bool force;         /* stop hard, without a graceful stop */
};

#endif
