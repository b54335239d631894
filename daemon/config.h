/* SPDX-License-Identifier: Apache-2.0
 * config.h - what the operator asked for: defaults, files, drop-ins and options, in one plain
 * struct.
 *
 * Every key is one row of the table in config_keys.c: that row parses it, prints it, documents it
 * and tells whether SIGHUP may change it. Layers, each winning over those before: the table's
 * default, the presets of
 * --dev, the file, its drop-ins in the order of their names, --hypervisor and --listen, -o. A list
 * given in a layer (one file is one layer) replaces the list of those before.
 *
 * Strings are never NULL: "" means not set (see set_or_null()).
 */
#ifndef TEEPOD_DAEMON_CONFIG_H
#define TEEPOD_DAEMON_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "api/http/caller.h"
#include "base/buf.h"
#include "base/lanes.h"
#include "base/log.h"
#include "daemon/config_list.h"
#include "daemon/options.h"
#include "vmm/vmm.h"

#define CONFIG_FILE_DEFAULT "/etc/teepod/teepod.conf"

enum tls_client { TLS_CLIENT_NONE, TLS_CLIENT_OPTIONAL, TLS_CLIENT_REQUIRED };
enum log_format { LOG_FORMAT_TEXT, LOG_FORMAT_JSON };

/* "auto" (measure the host), "none" (not configured: every request for it is refused), or a number.
 */
struct config_amount {
	enum { AMOUNT_AUTO, AMOUNT_NONE, AMOUNT_NUMBER } kind;
	uint64_t value; /* AMOUNT_NUMBER */
};

struct config_node {
	char *name, *region, *state_dir, *workspace, *public_url;
	int64_t id;
};

struct config_api {
	struct config_list listen, hosts;
	char *tls_cert, *tls_key, *tls_client_ca;
	int tls_client; /* enum tls_client */
	int64_t unix_mode;
	struct config_uids unix_admin_uids;
	int unix_role, cert_role; /* enum role */
	int64_t max_connections, max_connections_per_address, max_streams, max_streams_per_caller;
	int64_t auth_failures_per_minute, drain_seconds;
	struct config_list trusted_proxies;
};

struct config_hypervisor {
	char *uri, *embed_root, *emulator, *qgs_socket, *tdx_firmware;
	int tee; /* enum tee_setting */
	int64_t boot_timeout, qgs_port;
};

struct config_jobs {
	int64_t lane[LANES]; /* threads of each */
};

struct config_host {
	char *root, *ppid, *device_id; /* the last two lower-case hex */
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
	int64_t max_vcpus, max_memory_mib, max_disk_gib; /* 0: no limit of its own */
	struct config_types types;
	char *default_image, *networks, *bridges, *volumes_dir;
	bool prod_without_tee;
};

struct config_gpu {
	bool enabled, allow_attach_all;
	struct config_list listing, exclude,
		include; /* product ids; PCI addresses with their domain */
};

struct config_logs {
	int level;  /* enum log_level */
	int format; /* enum log_format */
	int64_t serial_max_bytes, serial_backups, keep_boots, check_seconds;
};

struct config_images {
	char *dir;
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

struct config_operations {
	int64_t keep_days;
};

struct config_events {
	int64_t keep_days;
};

struct config_idempotency {
	int64_t keep_hours;
};

struct config_tokens {
	int64_t max_per_workspace, made_per_minute; /* 0: no limit */
};

struct config_records { /* 0: no limit */
	int64_t provisions, revisions, answers, operations, events, events_total;
};

struct config_billing {
	bool enabled;
	int on_empty; /* 1: stop */
	char *currency;
	int64_t vcpu_hour, memory_gib_hour, disk_gib_hour, gpu_hour, interval;
};

struct config {
	struct config_node node;
	struct config_api api;
	struct config_hypervisor hypervisor;
	struct config_jobs jobs;
	struct config_host host;
	struct config_capacity capacity;
	struct config_ports ports;
	struct config_cvm cvm;
	struct config_gpu gpu;
	struct config_logs logs;
	struct config_images images;
	struct config_gateway gateway;
	struct config_kms kms;
	struct config_guest guest;
	struct config_restart restart;
	struct config_start start;
	struct config_operations operations;
	struct config_events events;
	struct config_idempotency idempotency;
	struct config_tokens tokens;
	struct config_records records;
	struct config_billing billing;

	char **origin; /* by row of the table: "default", "/etc/teepod/teepod.conf:12", "-o", ... */
};

/* Read everything @o says. 0 and *ret, or -ERR_INVALID with every error found appended to @errors,
 * one a line, *ret untouched. Takes no locks, makes no files, may be called again at any time. */
int config_load(const struct options *o, struct config **ret, struct buf *errors);

/* Certificates that are out of date, one a line. No reason not to start: the unix socket works, and
 * a renewed one is taken by SIGHUP. --check-config counts them as mistakes. */
void config_check_dates(const struct config *c, struct buf *out);

void config_free(struct config *c);

/* What a reload found. Each list holds "section.key: old -> new", in the order of the table. */
struct config_changes {
	struct config_list applied; /* reloadable, now in the running struct */
	struct config_list restart; /* changed in the files, still the old value here */
};

/* Change in *@c what differs in @fresh and may change at run time. What it replaced is in @fresh
 * afterwards: free that when nobody uses the old values any more. -ERR_INVALID and nothing changed
 * when the result, with the old values of all that needs a restart, breaks a rule between keys. */
int config_apply(struct config *c, struct config *fresh, struct config_changes *ret,
		 struct buf *errors);

void config_changes_free(struct config_changes *ch);

/* --print-config: every key with its value and where that came from, aligned. */
void config_print(const struct config *c, struct buf *out);

/* --help-config: configs/teepod.conf, every key commented out at its default with its explanation.
 */
void config_print_help(struct buf *out);

/* The amount to promise: the number; or @measured less @reserve, but at least 1; or false for
 * "none". */
bool config_amount(const struct config_amount *a, uint64_t measured, uint64_t reserve,
		   uint64_t *ret);

static inline const char *set_or_null(const char *s)
{
	return *s ? s : NULL;
}

#endif
