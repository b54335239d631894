/* SPDX-License-Identifier: Apache-2.0
 * config_settings.c - convert keys into settings, and the size of the host into capacity totals.
 *
 * No other room sees struct config. The rules between keys (config_check.c) hold for its values
 * here.
 */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/log.h"
#include "base/own.h"
#include "base/strings.h"
#include "daemon/device_id.h"
#include "daemon/config_settings.h"
#include "daemon/sockets.h"
#include "db/records.h"
#include "vmm/node/settings.h"

enum { SLOTS_DEFAULT = 64 };

static const uint64_t GIB = 1 << 30;

int settings_measure(const struct config *c, struct host_size *ret, struct err *e)
{
	auto_free char *cvms = xasprintf("%s/cvms", c->node.state_dir);
	struct host_size h;
	int r = host_measure("", c->node.state_dir, &h.measure, e);

	if (r < 0)
		return r;
	r = host_used_bytes(cvms, &h.disk_used_bytes, e);
	if (r < 0)
		return r;
	*ret = h;
	return 0;
}

/* The total of one resource; -1: not configured. @measured: 0 if the host was not measured. */
static int64_t settings_amount(const char *name, const struct config_amount *a, uint64_t measured,
			       int64_t reserve)
{
	uint64_t n;

	if (!config_amount(a, measured, (uint64_t)reserve, &n))
		return -1;
	if (!n && measured && a->kind == AMOUNT_AUTO)
		log_warn("capacity.reserve_%s is %lld but this host has only %llu: no capacity is "
			 "left for CVMs",
			 name, (long long)reserve, (unsigned long long)measured);
	return (int64_t)n;
}

static void settings_add_capacity(const struct config_capacity *c, const struct host_size *host,
				  struct vmm_settings *s)
{
	const struct host_measure *m = &host->measure;
	/* Existing disks are part of the total: their reservations are counted against it. They are
	 * sparse, so the space they occupy is added to what is free. */
	uint64_t disk = (m->disk_free_bytes + host->disk_used_bytes) / GIB;

	s->vcpus = settings_amount("vcpus", &c->vcpus, m->cpus * (uint64_t)c->vcpu_ratio,
				   c->reserve_vcpus);
	s->memory_mib =
		settings_amount("memory_mib", &c->memory_mib, m->memory_mib, c->reserve_memory_mib);
	s->disk_gib = settings_amount("disk_gib", &c->disk_gib, disk, c->reserve_disk_gib);
	s->slots = settings_amount("slots", &c->slots, SLOTS_DEFAULT, 0);
	s->tdx_keyids = c->tdx_keyids.kind == AMOUNT_NUMBER ? (int64_t)c->tdx_keyids.value : -1;
	s->tdx_keyids_auto = c->tdx_keyids.kind == AMOUNT_AUTO;
	s->cid_start = (uint32_t)c->cid_start;
	s->cid_count = (uint32_t)c->cid_count;
	s->release_on_stop = c->release_on_stop;
}

/* NULL-terminated array of borrowed strings. @first, if not NULL, is the first item, without a
 * duplicate. */
static const char *const *settings_strings(const struct config_list *l, const char *first)
{
	const char **v = xcalloc(l->n + 2, sizeof(*v));
	size_t n = 0;

	if (first)
		v[n++] = first;
	for (size_t i = 0; i < l->n; i++)
		if (!first || strcmp(l->v[i], first) != 0)
			v[n++] = l->v[i];
	return v;
}

static void settings_add_cvm(const struct config *c, struct vmm_settings *s)
{
	s->max_vcpus = c->cvm.max_vcpus;
	s->max_memory_mib = c->cvm.max_memory_mib;
	s->max_disk_gib = c->cvm.max_disk_gib;
	s->types = c->cvm.types.v;
	s->n_types = c->cvm.types.n;
	s->default_image = set_or_null(c->cvm.default_image);
	s->prod_without_tee = c->cvm.prod_without_tee;
	s->networks = c->cvm.networks;
	s->bridges = c->cvm.bridges;
	s->volumes_dir = c->cvm.volumes_dir;
	s->ports_enabled = c->ports.enabled;
	s->port_ranges = c->ports.range.v;
	s->n_port_ranges = c->ports.range.n;
	s->port_addresses = settings_strings(&c->ports.addresses, c->ports.default_address);
}

static void settings_add_gpu(const struct config_gpu *c, struct vmm_settings *s)
{
	s->gpu = (struct gpu_settings){ .enabled = c->enabled,
					.allow_attach_all = c->allow_attach_all,
					.listing = settings_strings(&c->listing, NULL),
					.exclude = settings_strings(&c->exclude, NULL),
					.include = settings_strings(&c->include, NULL) };
}

static void settings_add_guest(const struct config *c, struct vmm_settings *s)
{
	s->gateway_base_domain = c->gateway.base_domain;
	s->gateway_port = (unsigned)c->gateway.port;
	s->gateway_agent_port = (unsigned)c->gateway.agent_port;
	s->kms_urls = settings_strings(&c->guest.kms_urls, NULL);
	s->gateway_urls = settings_strings(&c->guest.gateway_urls, NULL);
	s->pccs_url = c->guest.pccs_url;
	s->docker_registry = c->guest.docker_registry;
	s->host_api_port = (unsigned)c->guest.host_api_port;
	s->share_mode = (enum share_mode)c->guest.share_mode;
}

static void settings_add_retention(const struct config *c, struct vmm_settings *s)
{
	s->log_max_bytes = (uint64_t)c->logs.serial_max_bytes;
	s->log_backups = (unsigned)c->logs.serial_backups;
	s->log_keep_boots = (unsigned)c->logs.keep_boots;
	s->log_check_s = (unsigned)c->logs.check_seconds;
	s->keep_operation_days = (unsigned)c->operations.keep_days;
	s->keep_event_days = (unsigned)c->events.keep_days;
	s->keep_idempotency_hours = (unsigned)c->idempotency.keep_hours;
	s->record_limit[RECORD_PROVISIONS] = c->records.provisions;
	s->record_limit[RECORD_REVISIONS] = c->records.revisions;
	s->record_limit[RECORD_ANSWERS] = c->records.answers;
	s->record_limit[RECORD_EVENTS] = c->records.events;
	s->max_operations = c->records.operations;
	s->max_events_bytes = c->records.events_total;
}

static void settings_add_policies(const struct config *c, struct vmm_settings *s)
{
	s->restart = (struct restart_settings){ .enabled = c->restart.enabled,
						.initial_s = (unsigned)c->restart.initial_backoff,
						.max_s = (unsigned)c->restart.max_backoff,
						.retries = (unsigned)c->restart.max_retries,
						.window_s = (unsigned)c->restart.reset_window };
	s->start = (struct start_settings){ .automatic = c->start.automatic,
					    .parallel = (unsigned)c->start.parallel };
}

static void settings_add_accounts(const struct config *c, struct vmm_settings *s)
{
	const struct config_billing *b = &c->billing;

	s->max_keys = (unsigned)c->tokens.max_per_workspace;
	s->keys_per_minute = (unsigned)c->tokens.made_per_minute;
	s->billing = (struct billing_settings){
		.enabled = b->enabled,
		.stop_on_empty = b->on_empty == 1,
		.currency = b->currency,
		.rates = { .vcpu = b->vcpu_hour,
			   .memory_gib = b->memory_gib_hour,
			   .disk_gib = b->disk_gib_hour,
			   .gpu = b->gpu_hour },
		.interval_s = (unsigned)b->interval,
	};
}

/* A prefix for absolute paths: @root without trailing slashes, so "" for "/". */
static char *path_prefix(const char *root)
{
	size_t n = strlen(root);

	while (n && root[n - 1] == '/')
		n--;
	return xstrndup(root, n);
}

static void settings_add_host(const struct config_host *c, struct vmm_settings *s)
{
	char id[SHA256_HEX] = "";

	if (*c->ppid)
		device_id_of_ppid(c->ppid, id);
	s->host_root = path_prefix(c->root);
	s->device_id = xstrdup(*c->device_id ? c->device_id : id);
}

void settings_make(const struct config *c, const struct host_size *host, struct vmm_settings *ret)
{
	struct vmm_settings s = {
		.state_dir = c->node.state_dir,
		.images_dir = c->images.dir,
		.node_id = c->node.id,
		.node_name = c->node.name,
		.region = c->node.region,
		.workspace = c->node.workspace,
		.hypervisor_uri = c->hypervisor.uri,
		.embed_root = c->hypervisor.embed_root,
		.emulator = set_or_null(c->hypervisor.emulator),
		.qgs_socket = set_or_null(c->hypervisor.qgs_socket),
		.qgs_port = (unsigned)c->hypervisor.qgs_port,
		.tdx_firmware = c->hypervisor.tdx_firmware,
		.tee = (enum tee_setting)c->hypervisor.tee,
		.boot_timeout_s = (unsigned)c->hypervisor.boot_timeout,
	};

	settings_add_host(&c->host, &s);
	settings_add_capacity(&c->capacity, host, &s);
	settings_add_cvm(c, &s);
	settings_add_gpu(&c->gpu, &s);
	settings_add_guest(c, &s);
	settings_add_retention(c, &s);
	settings_add_policies(c, &s);
	settings_add_accounts(c, &s);
	*ret = s;
}

void settings_free(struct vmm_settings *s)
{
	free((void *)s->port_addresses);
	free((void *)s->kms_urls);
	free((void *)s->gateway_urls);
	free((void *)s->gpu.listing);
	free((void *)s->gpu.exclude);
	free((void *)s->gpu.include);
	free((void *)s->host_root);
	free((void *)s->device_id);
	*s = (struct vmm_settings){ 0 };
}

struct server_limits settings_limits(const struct config *c)
{
	return (struct server_limits){
		.per_peer = (unsigned)c->api.max_connections_per_address,
		.connections = (unsigned)c->api.max_connections,
		.auth_fails = (unsigned)c->api.auth_failures_per_minute,
	};
}

static bool listen_is_unix(const char *address)
{
	char bound[256];
	struct err ignored;

	if (!strncmp(address, "fd:", 3))
		return !socket_address(atoi(address + 3), bound, &ignored) &&
		       !strncmp(bound, "unix:", 5);
	return !strncmp(address, "unix:", 5);
}

struct listen_spec settings_listen(const struct config *c, const char *address)
{
	struct listen_spec spec = { .address = address, .unix_mode = (unsigned)c->api.unix_mode };

	if (listen_is_unix(address))
		return spec;
	spec.tls_cert = set_or_null(c->api.tls_cert);
	spec.tls_key = set_or_null(c->api.tls_key);
	spec.tls_client_ca = set_or_null(c->api.tls_client_ca);
	spec.tls_client_required = c->api.tls_client == TLS_CLIENT_REQUIRED;
	return spec;
}
