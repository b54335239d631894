/* SPDX-License-Identifier: Apache-2.0
 * request.h - what a client may ask of a CVM.
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
	const char *host_address; /* NULL = default */
	uint16_t host_port;       /* 0 = pick a free one */
	uint16_t vm_port;
};

enum { TDX_MR_HEX = 2 * TDX_MR_LEN + 1 };

/* Registers of a TD that its owner sets. */
struct tdx_request {
	bool given; /* any of it: then the CVM has to be a TD */
	uint64_t policy;
	char mr_owner[TDX_MR_HEX], mr_owner_config[TDX_MR_HEX]; /* "" = zeros */
};

enum gpu_attach { GPU_NONE, GPU_LISTED, GPU_ALL, GPU_ATTACHES };

enum { GPUS_MAX = 64 }; /* listed by one request */

/* One of the two at least. */
struct gpu_request {
	const char *slot;       /* "18:00.0" or "0000:18:00.0": this one; NULL = any free one */
	const char *product_id; /* "10de:2335"; NULL = whatever is in the slot */
};

/* What the node may do with a CVM by itself. */
enum { START_ORDER_MAX = 1000000 }; /* and its negative */

struct policy_request {
	bool has_restart, has_auto_start,
		has_order; /* what is not said stays: on-crash, yes, 0 for a new CVM */
	enum restart_policy restart;
	bool auto_start;
	int64_t start_order;
};

/* Absent numbers are 0, absent texts NULL: matched from instance type, image preference and
 * defaults. */
struct cvm_request {
	const char *name;
	const char *image; /* name or bare family */
	int prefer_dev;    /* 1, 0, or -1 = no preference */
	const char *instance_type;
	int64_t vcpus, memory_mib, disk_gib;
	int64_t node_id;
	const char *region;
	const char *kms_id;
	const char *app_id;        /* 40 hex, optional 0x */
	json_t *manifest;          /* app-compose object (compose.h), borrowed */
	const char *manifest_text; /* compose_text() of it, borrowed; NULL: it is made here */
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
	const char *manifest_text; /* compose_text() of the manifest, if the caller has it */
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
