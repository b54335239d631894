/* SPDX-License-Identifier: Apache-2.0
 * config_service.h - configuration of the daemon itself: node, API, threads, logs, retention.
 *
 * One struct per section of the file; see config_data.h.
 */
#ifndef TEEPOD_DAEMON_CONFIG_SERVICE_H
#define TEEPOD_DAEMON_CONFIG_SERVICE_H

#include "base/lanes.h"
#include "daemon/config_list.h"

enum tls_client { TLS_CLIENT_NONE, TLS_CLIENT_OPTIONAL, TLS_CLIENT_REQUIRED };
enum log_format { LOG_FORMAT_TEXT, LOG_FORMAT_JSON };

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

struct config_jobs {
	int64_t lane[LANES]; /* number of threads, by enum lane */
};

struct config_logs {
	int level;  /* enum log_level */
	int format; /* enum log_format */
	int64_t serial_max_bytes, serial_backups, keep_boots, check_seconds;
};

struct config_images {
	char *dir;
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
	int on_empty; /* 1: shut CVMs down; 0: refuse new starts only */
	char *currency;
	int64_t vcpu_hour, memory_gib_hour, disk_gib_hour, gpu_hour, interval;
};

#endif
