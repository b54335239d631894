/* SPDX-License-Identifier: Apache-2.0
 * settings.h - settings of the node.
 */
#ifndef TEEPOD_VMM_NODE_SETTINGS_H
#define TEEPOD_VMM_NODE_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <uv.h>
#include "base/err.h"
#include "db/records.h"
#include "db/text.h"
#include "vmm/virt/domain_spec.h"

struct port_range {
	bool tcp, udp;
	uint16_t from, to;
};

struct instance_type {
	char name[NAME_TEXT]; /* "tdx.small" */
	int64_t vcpus, memory_mib, disk_gib;
};

/* Lists are NULL-terminated; NULL = empty. */
struct gpu_settings {
	bool enabled, allow_attach_all;
	const char *const *listing; /* product ids that are offered: "10de:2335" */
	const char *const *exclude; /* PCI addresses that are not: "0000:18:00.0" */
	const char *const *include; /* only these GPUs, if there are any */
};

/* Restarts after a crash. The delay before attempt n (from 0) is initial_s << n, at most max_s.
 * After @retries attempts the node gives up. The count begins again once the guest ran for
 * @window_s. */
struct restart_settings {
	bool enabled;
	unsigned initial_s, max_s, retries, window_s;
};

struct start_settings {
	bool automatic;    /* start the CVMs that ran when the host went down */
	unsigned parallel; /* automatic starts, or shutdowns of a drain, at a time; 0 counts as 1 */
};

enum tee_setting { TEE_AUTO, TEE_TDX, TEE_NONE };

/* Micro-units of a currency; see meter.h for how they add up. */
struct billing_settings {
	bool enabled; /* read at start only */
	bool stop_on_empty;
	const char *currency; /* shown only; NULL = "" */
	struct rates {
		int64_t vcpu, memory_gib, disk_gib, gpu; /* per unit and hour */
	} rates;
	unsigned interval_s; /* a ledger row of a running CVM covers at most this time plus one
				minute */
};

/* Plain values. Arrays and strings are borrowed for the life of the vmm; vmm_reload() replaces
 * some of them. */
struct vmm_settings {
	uv_loop_t *loop;
	const char *state_dir; /* teepod.db, cvms/, libvirt/ below it */
	const char *images_dir;
	int64_t node_id;
	const char *node_name, *region, *workspace;
	const char *hypervisor_uri, *embed_root, *emulator, *qgs_socket;
	unsigned qgs_port;        /* vsock port; 0: qgs_socket */
	const char *tdx_firmware; /* for images without one */
	enum tee_setting tee;
	const char *host_root; /* prefix of /proc, /sys, /dev ...; "" = the machine itself; never
				  NULL */
	const char
		*device_id; /* of the TDX platform: 64 hex digits, or "" = not known; never NULL */
	unsigned boot_timeout_s;
	struct restart_settings restart;
	struct start_settings start;
	/* Totals; -1 = not configured. */
	int64_t vcpus, memory_mib, disk_gib, slots;
	int64_t tdx_keyids;   /* each TDX CVM that holds memory needs one; -1 = unknown, no limit */
	bool tdx_keyids_auto; /* the number that the host reports replaces tdx_keyids */
	struct gpu_settings gpu;
	uint32_t cid_start, cid_count;
	bool release_on_stop;
	struct billing_settings billing;
	unsigned max_keys, keys_per_minute;              /* per workspace; 0 = no limit */
	int64_t max_vcpus, max_memory_mib, max_disk_gib; /* per CVM; 0 = no limit */
	bool ports_enabled;
	const struct port_range *port_ranges;
	size_t n_port_ranges;
	const char *const *port_addresses; /* NULL-terminated, first is the default */
	const struct instance_type *types;
	size_t n_types;
	const char *default_image;
	bool prod_without_tee;
	const char *networks;    /* networks.h */
	const char *bridges;     /* comma-separated: further bridges that requests may name */
	const char *volumes_dir; /* "" = none */
	uint64_t log_max_bytes;
	unsigned log_backups, log_keep_boots, log_check_s;
	unsigned keep_operation_days, keep_event_days, keep_idempotency_hours;
	/* Per workspace, except max_events_bytes (all workspaces together); 0 = no limit. */
	int64_t record_limit[RECORDS], max_operations, max_events_bytes;
	const char *gateway_base_domain; /* "" = none */
	unsigned gateway_port, gateway_agent_port;
	const char *const *kms_urls, *const *gateway_urls; /* NULL-terminated */
	const char *pccs_url, *docker_registry;
	unsigned host_api_port;
	enum share_mode share_mode;
	bool import_demo_images; /* --dev: images found beside the program are imported */
	const char *demo_images_dir;
};

#endif
