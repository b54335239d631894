/* SPDX-License-Identifier: Apache-2.0
 * config_guests.h - configuration of the host, of its capacity and of the guests on it.
 *
 * One struct per section of the file; see config_data.h.
 */
#ifndef TEEPOD_DAEMON_CONFIG_GUESTS_H
#define TEEPOD_DAEMON_CONFIG_GUESTS_H

#include "daemon/config_list.h"
#include "daemon/config_value.h"

struct config_hypervisor {
	char *uri, *embed_root, *emulator, *qgs_socket, *tdx_firmware;
	int tee; /* enum tee_setting */
	int64_t boot_timeout, qgs_port;
};

struct config_host {
	char *root, *ppid, *device_id; /* ppid, device_id: lower-case hex */
};

struct config_capacity {
	struct config_amount vcpus, memory_mib, disk_gib, slots, tdx_keyids;
	int64_t vcpu_ratio, reserve_vcpus, reserve_memory_mib, reserve_disk_gib;
	int64_t cid_start, cid_count;
	bool release_on_stop;
};

struct config_ports {
	bool enabled;
	struct config_ranges range;
	struct config_list addresses;
	char *default_address;
};

struct config_cvm {
	int64_t max_vcpus, max_memory_mib, max_disk_gib; /* 0: limited only by capacity */
	struct config_types types;
	char *default_image, *networks, *bridges, *volumes_dir;
	bool prod_without_tee;
};

struct config_gpu {
	bool enabled, allow_attach_all;
	struct config_list listing, exclude,
		include; /* product ids; PCI addresses with their domain */
};

struct config_gateway {
	char *base_domain;
	int64_t port, agent_port;
};

struct config_kms {
	struct config_list urls;
};

struct config_guest {
	struct config_list kms_urls, gateway_urls;
	char *pccs_url, *docker_registry;
	int64_t host_api_port;
	int share_mode; /* enum share_mode */
};

struct config_restart {
	bool enabled;
	int64_t initial_backoff, max_backoff, max_retries, reset_window;
};

struct config_start {
	bool automatic;
	int64_t parallel;
};

#endif
