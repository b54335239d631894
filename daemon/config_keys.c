/* SPDX-License-Identifier: Apache-2.0
 * config_keys.c - the table of keys: type, default, range and explanation of each.
 *
 * To add a key: add a member in config_service.h or config_guests.h, a row here, and the same row
 * to docs/configuration.md and docs/man/teepod.conf.5; then run `teepod --help-config >
 * configs/teepod.conf`. A test compares all of them. The rows of a section are consecutive and in
 * the order in which they are printed. Names and defaults are an interface: do not change them.
 */
#include <assert.h>
#include <string.h>

#include "api/http/call.h"
#include "base/array.h"
#include "base/log.h"
#include "daemon/config_data.h"
#include "daemon/config_item.h"
#include "daemon/config_keys.h"
#include "daemon/config_value.h"
#include "vmm/node/settings.h"
#include "vmm/virt/domain_spec.h"

#define AT(member) offsetof(struct config, member)

static const struct config_word tls_client_words[] = { { "none", TLS_CLIENT_NONE },
						       { "optional", TLS_CLIENT_OPTIONAL },
						       { "required", TLS_CLIENT_REQUIRED },
						       { 0 } };

static const struct config_word unix_role_words[] = {
	{ "none", ROLE_NONE }, { "reader", ROLE_READER }, { "operator", ROLE_OPERATOR }, { 0 }
};

static const struct config_word cert_role_words[] = {
	{ "reader", ROLE_READER }, { "operator", ROLE_OPERATOR }, { "admin", ROLE_ADMIN }, { 0 }
};

static const struct config_word tee_words[] = {
	{ "auto", TEE_AUTO }, { "tdx", TEE_TDX }, { "none", TEE_NONE }, { 0 }
};

static const struct config_word share_words[] = { { "9p", SHARE_9P },
						  { "vhd", SHARE_DISK },
						  { 0 } };

static const struct config_word level_words[] = { { "error", LOG_LEVEL_ERROR },
						  { "warn", LOG_LEVEL_WARN },
						  { "info", LOG_LEVEL_INFO },
						  { "debug", LOG_LEVEL_DEBUG },
						  { 0 } };

static const struct config_word empty_words[] = { { "refuse", 0 }, { "stop", 1 }, { 0 } };

static const struct config_word format_words[] = { { "text", LOG_FORMAT_TEXT },
						   { "json", LOG_FORMAT_JSON },
						   { 0 } };

/* clang-format off */
const struct config_section config_sections[] = {
	{ "node", "Identity of this node." },
	{ "api", "Where and how the REST API listens." },
	{ "hypervisor", "How guests are run." },
	{ "jobs",
	  "Threads for blocking calls, which run outside the event loop. There are four lanes, "
	  "each with its own threads. A call that takes longer than a second (in lane bulk: "
	  "longer than its deadline) is no longer counted, and another thread replaces its "
	  "thread. A lane has at most 1024 threads." },
	{ "host",
	  "The physical host: where its properties are read, and its identity as a TDX platform." },
	{ "capacity",
	  "Total resources that CVMs may reserve. auto: measure the host at start and subtract "
	  "the reserve_ amount. A number: use it as it is. none: not configured, every request "
	  "for the resource is refused." },
	{ "ports", "Port forwards: TCP and UDP ports of this host that are forwarded to guests." },
	{ "cvm", "Limits and defaults of one CVM." },
	{ "gpu", "GPUs for CVMs, by PCI passthrough of whole devices. See docs/gpus.md." },
	{ "logs", "The daemon's own log and the serial logs of guests." },
	{ "images", "OS images." },
	{ "gateway", "How apps are reached from outside: <app_id>-<port>.<base_domain>." },
	{ "kms", "Key management servers, as this node reaches them." },
	{ "guest",
	  "Settings for guests. They are written to .sys-config.json at each start of a guest." },
	{ "restart",
	  "Automatic restart of CVMs whose guest crashed. See docs/policies.md. Each CVM has "
	  "its own restart_policy." },
	{ "start", "Automatic start of CVMs by the node." },
	{ "operations", "Finished operations." },
	{ "events", "The event log." },
	{ "idempotency", "Responses stored for Idempotency-Key." },
	{ "tokens", "API tokens created over the API. See docs/workspaces.md." },
	{ "records",
	  "Limits on the database space that one workspace may use. See docs/capacity.md." },
	{ "billing",
	  "Prepaid balances of workspaces. A rate is a whole number of micro-units (millionths) "
	  "of the currency per hour. See docs/workspaces.md." },
};

const size_t config_sections_n = ARRAY_SIZE(config_sections);

const struct config_key config_keys[] = {
	{ "node", "name", &type_name, AT(node.name),
	  .preset = "",
	  .doc = "Name of the node in API responses, logs and towards guests. Default: the host "
		 "name." },
	{ "node", "id", &type_int, AT(node.id),
	  .preset = "1",
	  .doc = "Number of the node, teepod_id and node_id in the API. Unique in a fleet.",
	  .min = 1, .max = 2147483647 },
	{ "node", "region", &type_name, AT(node.region),
	  .preset = "local",
	  .doc = "Region of the node. Shown to clients, and compared with the region that a "
		 "request names." },
	{ "node", "state_dir", &type_path, AT(node.state_dir),
	  .preset = "/var/lib/teepod",
	  .doc = "Folder of the database, of guest files, disks and logs. QEMU must be able to "
		 "traverse it: mode 0711." },
	{ "node", "workspace", &type_slug, AT(node.workspace),
	  .preset = "local",
	  .doc = "Slug of the default workspace. It owns the CVMs of callers that have no "
		 "workspace of their own." },
	{ "node", "public_url", &type_url, AT(node.public_url),
	  .preset = "",
	  .doc = "Scheme, host and port under which clients reach this node, without a slash at "
		 "the end. Used in links. Empty: use the host that the client's request names." },
	{ "api", "listen", &type_listen, AT(api.listen),
	  .preset = "127.0.0.1:8090, unix:/run/teepod/teepod.sock",
	  .doc = "Addresses to listen on. A TCP address that is not a loopback address requires "
		 "tls_cert and tls_key. Port 0 selects a free port. Sockets passed by systemd "
		 "are used in addition; such a socket replaces an entry here with the same "
		 "address." },
	{ "api", "hosts", &type_hosts, AT(api.hosts),
	  .preset = "",
	  .doc = "More names by which clients reach a TCP address without TLS, for example "
		 "through a reverse proxy. A request is refused with 421 if its Host is none of "
		 "these, nor localhost, a loopback address, node.name or the host of "
		 "node.public_url. It is refused with 403 if its Origin is another host. "
		 "Without this check a web page could reach the node through the browser of a "
		 "user on this host." },
	{ "api", "tls_cert", &type_path, AT(api.tls_cert),
	  .preset = "",
	  .doc = "PEM file with the server's certificate chain. If set, every TCP address uses "
		 "TLS 1.3, or TLS 1.2 with ECDHE and AES-GCM or ChaCha20 only. SIGHUP reads the "
		 "file again." },
	{ "api", "tls_key", &type_path, AT(api.tls_key),
	  .preset = "",
	  .doc = "PEM file with the private key of tls_cert." },
	{ "api", "tls_client_ca", &type_path, AT(api.tls_client_ca),
	  .preset = "",
	  .doc = "PEM file with the CA certificates that client certificates are verified "
		 "against." },
	{ "api", "tls_client", &type_word, AT(api.tls_client),
	  .preset = "none",
	  .doc = "Client certificates. none: not requested. optional: verified if the client "
		 "sends one. required: connections without one are refused.",
	  .words = tls_client_words },
	{ "api", "unix_mode", &type_mode, AT(api.unix_mode),
	  .preset = "0660",
	  .doc = "Permission bits of the unix sockets that teepod creates, octal.",
	  .max = 0777 },
	{ "api", "unix_admin_uids", &type_uids, AT(api.unix_admin_uids),
	  .preset = "0",
	  .doc = "User IDs that have the role admin on a unix socket.",
	  .flags = KEY_RELOAD },
	{ "api", "unix_role", &type_word, AT(api.unix_role),
	  .preset = "none",
	  .doc = "Role of all other users who can connect to a unix socket. none: they need an "
		 "API key.",
	  .words = unix_role_words, .flags = KEY_RELOAD },
	{ "api", "cert_role", &type_word, AT(api.cert_role),
	  .preset = "operator",
	  .doc = "Role of clients with a verified certificate.",
	  .words = cert_role_words, .flags = KEY_RELOAD },
	{ "api", "max_connections", &type_int, AT(api.max_connections),
	  .preset = "4096",
	  .doc = "Maximum number of open connections. At the limit, a new connection replaces "
		 "an existing one, in this order: one that was answered without a key; the one "
		 "that has been without an authenticated request for the longest time; an idle "
		 "one; one whose request is still being received. A connection whose request is "
		 "being processed is never replaced. Root and the daemon's user have 64 more on "
		 "unix sockets. The limit is lowered, with a warning, if RLIMIT_NOFILE leaves "
		 "too few descriptors for other work.",
	  .min = 1, .max = 1000000 },
	{ "api", "max_connections_per_address", &type_int, AT(api.max_connections_per_address),
	  .preset = "1024",
	  .doc = "Maximum number of open connections from one address (IPv6: one /64), or from "
		 "one user of a unix socket. Root and the daemon's user are exempt.",
	  .min = 1, .max = 1000000 },
	{ "api", "max_streams", &type_int, AT(api.max_streams),
	  .preset = "512",
	  .doc = "Maximum number of open streams of events, states and logs; more are refused "
		 "with 429. A log without follow counts until it has been sent. The keys of one "
		 "workspace together may use two thirds. Requests that wait for an operation "
		 "(?wait=) and pages of more than 100 rows are counted separately, with the same "
		 "limits.",
	  .min = 1, .max = 1000000, .flags = KEY_RELOAD },
	{ "api", "max_streams_per_caller", &type_int, AT(api.max_streams_per_caller),
	  .preset = "64",
	  .doc = "The same for one API key, uid or client certificate. All users of a CVM's log "
		 "link count as one caller.",
	  .min = 1, .max = 1000000, .flags = KEY_RELOAD },
	{ "api", "auth_failures_per_minute", &type_int, AT(api.auth_failures_per_minute),
	  .preset = "10",
	  .doc = "Number of wrong API keys per minute from one address that are answered with "
		 "401; further ones are answered with 429. A valid key is never refused because "
		 "of them. Requests without a key are not counted.",
	  .min = 1, .max = 1000000 },
	{ "api", "trusted_proxies", &type_proxies, AT(api.trusted_proxies),
	  .preset = "",
	  .doc = "Reverse proxies in front of the node. For a request from one of them, the "
		 "client is the last address in X-Forwarded-For or Forwarded that is not listed "
		 "here; wrong API keys are counted for that address. "
		 "max_connections_per_address does not apply to the proxies." },
	{ "api", "drain_seconds", &type_int, AT(api.drain_seconds),
	  .preset = "20",
	  .doc = "Time at shutdown for responses that are being sent and operation steps that "
		 "are running. The process ends at most 6 s later.",
	  .unit = "s", .max = 3600, .flags = KEY_RELOAD },
	{ "hypervisor", "uri", &type_uri, AT(hypervisor.uri),
	  .preset = "qemu:///system",
	  .doc = "libvirt URI: qemu:///system, qemu+unix:///system?socket=/path, or "
		 "qemu:///embed to run QEMU without libvirtd (guest state is then below "
		 "embed_root)." },
	{ "hypervisor", "embed_root", &type_path, AT(hypervisor.embed_root),
	  .preset = "",
	  .doc = "Folder of libvirt's embedded driver, for uri = qemu:///embed. Keep the path "
		 "short: socket paths below it are limited to 107 bytes. Default: "
		 "state_dir/libvirt." },
	{ "hypervisor", "emulator", &type_path, AT(hypervisor.emulator),
	  .preset = "",
	  .doc = "QEMU binary. Empty: the one in libvirt's capabilities." },
	{ "hypervisor", "tee", &type_word, AT(hypervisor.tee),
	  .preset = "auto",
	  .doc = "auto: confidential VMs (TDX) if the host supports them, otherwise ordinary "
		 "VMs. tdx: refuse to start a CVM without TDX. none: always ordinary VMs, for "
		 "development. Without TDX nothing in a guest is confidential.",
	  .words = tee_words },
	{ "hypervisor", "qgs_socket", &type_path, AT(hypervisor.qgs_socket),
	  .preset = "",
	  .doc = "Socket of Intel's quote generation service (QGS). Empty: libvirt's default, "
		 "/var/run/tdx-qgs/qgs.socket." },
	{ "hypervisor", "qgs_port", &type_int, AT(hypervisor.qgs_port),
	  .preset = "0",
	  .doc = "vsock port of the quote generation service on this host (Intel's default: "
		 "4050). 0: use qgs_socket.",
	  .max = INT64_C(4294967294) },
	{ "hypervisor", "tdx_firmware", &type_path, AT(hypervisor.tdx_firmware),
	  .preset = "/usr/share/ovmf/OVMF.inteltdx.ms.fd",
	  .doc = "Firmware of TDX guests whose image contains none. It is measured (MRTD)." },
	{ "hypervisor", "boot_timeout", &type_int, AT(hypervisor.boot_timeout),
	  .preset = "720",
	  .doc = "How long a start waits for the guest to report that it has booted.",
	  .unit = "s", .min = 10, .max = 86400, .flags = KEY_RELOAD },
	{ "jobs", "kill", &type_int, AT(jobs.lane[LANE_KILL]),
	  .preset = "16",
	  .doc = "Threads that kill guests and close connections.",
	  .min = 1, .max = 512 },
	{ "jobs", "guest", &type_int, AT(jobs.lane[LANE_GUEST]),
	  .preset = "32",
	  .doc = "Threads that wait for a response of QEMU. Starts that take longer than a "
		 "second are not counted, so this does not limit how many guests start in "
		 "parallel.",
	  .min = 1, .max = 512 },
	{ "jobs", "bulk", &type_int, AT(jobs.lane[LANE_BULK]),
	  .preset = "4",
	  .doc = "Threads that import, hash and measure images.",
	  .min = 1, .max = 512 },
	{ "jobs", "short", &type_int, AT(jobs.lane[LANE_SHORT]),
	  .preset = "16",
	  .doc = "Threads for all other blocking calls: domain definitions, guest files, logs.",
	  .min = 1, .max = 512 },
	{ "host", "root", &type_path, AT(host.root),
	  .preset = "/",
	  .doc = "Prefix of the files from which the properties of the host are read: /proc, "
		 "/sys, /dev, /etc/machine-id, the QGS socket and the TDX firmware. For tests "
		 "only: leave it at /. Guests and the measurement for auto amounts do not use "
		 "it." },
	{ "host", "ppid", &type_hex, AT(host.ppid),
	  .preset = "",
	  .doc = "PPID of the platform, from its PCK certificate (extension "
		 "1.2.840.113741.1.13.1.1). device_id is its SHA-256.",
	  .rule = "32 hex digits", .max = 32 },
	{ "host", "device_id", &type_hex, AT(host.device_id),
	  .preset = "",
	  .doc = "Identity of this TDX platform in on-chain allow lists: the SHA-256 of its "
		 "PPID. Only needed if ppid is not set. If both are set, they must match.",
	  .rule = "64 hex digits", .max = 64 },
	{ "capacity", "vcpus", &type_amount, AT(capacity.vcpus),
	  .preset = "auto",
	  .doc = "Virtual CPUs. auto: online CPUs times vcpu_ratio, minus reserve_vcpus.",
	  .max = 1000000 },
	{ "capacity", "vcpu_ratio", &type_int, AT(capacity.vcpu_ratio),
	  .preset = "1",
	  .doc = "With vcpus = auto: virtual CPUs per CPU of the host.",
	  .min = 1, .max = 64 },
	{ "capacity", "memory_mib", &type_amount, AT(capacity.memory_mib),
	  .preset = "auto",
	  .doc = "Memory in ordinary pages. auto: memory of the host that is not reserved for "
		 "hugepages, minus reserve_memory_mib. The memory of a TD is pinned: never set "
		 "more than the host has.",
	  .unit = "MiB", .max = INT64_C(1099511627776) },
	{ "capacity", "disk_gib", &type_amount, AT(capacity.disk_gib),
	  .preset = "auto",
	  .doc = "Data disks. auto: free space in the file system of state_dir plus the space "
		 "that existing disks occupy, minus reserve_disk_gib.",
	  .unit = "GiB", .max = 1073741824 },
	{ "capacity", "slots", &type_amount, AT(capacity.slots),
	  .preset = "64",
	  .doc = "Number of CVMs, running or not. With TDX: at most the number of TDX key IDs. "
		 "auto is 64.",
	  .max = 1000000 },
	{ "capacity", "tdx_keyids", &type_amount, AT(capacity.tdx_keyids),
	  .preset = "auto",
	  .doc = "TDX private key IDs, set by the firmware. Each TDX CVM that holds memory uses "
		 "one. auto: as reported by the host; unlimited if it reports none. none: not "
		 "counted.",
	  .max = 65535 },
	{ "capacity", "reserve_vcpus", &type_int, AT(capacity.reserve_vcpus),
	  .preset = "1",
	  .doc = "Reserved for the host with vcpus = auto.",
	  .max = 100000 },
	{ "capacity", "reserve_memory_mib", &type_int, AT(capacity.reserve_memory_mib),
	  .preset = "2048",
	  .doc = "Reserved for the host with memory_mib = auto.",
	  .unit = "MiB", .max = 1073741824 },
	{ "capacity", "reserve_disk_gib", &type_int, AT(capacity.reserve_disk_gib),
	  .preset = "10",
	  .doc = "Kept free with disk_gib = auto.",
	  .unit = "GiB", .max = 1073741824 },
	{ "capacity", "release_on_stop", &type_bool, AT(capacity.release_on_stop),
	  .preset = "no",
	  .doc = "yes: a CVM that stops releases its vCPUs, memory, hugepages and TDX key ID, "
		 "and its next start may fail for lack of them; it keeps its GPUs. no: it keeps "
		 "everything, and can always be started again.",
	  .flags = KEY_RELOAD },
	{ "capacity", "cid_start", &type_int, AT(capacity.cid_start),
	  .preset = "1000",
	  .doc = "First vsock context ID for guests.",
	  .min = 3, .max = INT64_C(4294967294) },
	{ "capacity", "cid_count", &type_int, AT(capacity.cid_count),
	  .preset = "1000",
	  .doc = "Number of context IDs for guests.",
	  .min = 1, .max = INT64_C(4294967294) },
	{ "ports", "enabled", &type_bool, AT(ports.enabled),
	  .preset = "yes",
	  .doc = "Allow port forwards." },
	{ "ports", "range", &type_ranges, AT(ports.range),
	  .preset = "20000-29999",
	  .doc = "Host ports that may be forwarded: PORT or FROM-TO for both protocols, or "
		 "after tcp: or udp: for one.",
	  .flags = KEY_RELOAD },
	{ "ports", "addresses", &type_addresses, AT(ports.addresses),
	  .preset = "127.0.0.1",
	  .doc = "Host addresses that port forwards may bind. 0.0.0.0 allows all interfaces." },
	{ "ports", "default_address", &type_address, AT(ports.default_address),
	  .preset = "127.0.0.1",
	  .doc = "Address of a port forward that names none. Must be listed in addresses." },
	{ "cvm", "max_vcpus", &type_int, AT(cvm.max_vcpus),
	  .preset = "0",
	  .doc = "Maximum number of vCPUs of one CVM. 0: limited only by capacity.",
	  .max = 4096 },
	{ "cvm", "max_memory_mib", &type_int, AT(cvm.max_memory_mib),
	  .preset = "0",
	  .doc = "Maximum memory of one CVM. 0: limited only by capacity.",
	  .unit = "MiB", .max = 1073741824 },
	{ "cvm", "max_disk_gib", &type_int, AT(cvm.max_disk_gib),
	  .preset = "0",
	  .doc = "Maximum size of the data disk of one CVM. 0: limited only by capacity.",
	  .unit = "GiB", .max = 1073741824 },
	{ "cvm", "types", &type_types, AT(cvm.types),
	  .preset = "tdx.small:1:2048:20, tdx.medium:2:4096:40, tdx.large:4:8192:40, "
		    "tdx.xlarge:8:16384:80, tdx.2xlarge:16:32768:80, tdx.4xlarge:32:65536:160, "
		    "tdx.8xlarge:64:131072:200",
	  .doc = "Instance types, smallest first, as NAME:VCPUS:MEMORY_MIB:DISK_GIB.",
	  .flags = KEY_RELOAD },
	{ "cvm", "default_image", &type_text, AT(cvm.default_image),
	  .preset = "",
	  .doc = "OS image of a CVM whose request names none, with or without version. Empty: "
		 "the newest production image, otherwise the newest image.",
	  .max = 64 },
	{ "cvm", "prod_without_tee", &type_bool, AT(cvm.prod_without_tee),
	  .preset = "no",
	  .doc = "Allow production images to run as ordinary VMs, where their secrets are not "
		 "protected. no: only dev images may." },
	{ "cvm", "networks", &type_networks, AT(cvm.networks),
	  .preset = "user",
	  .doc = "Network interfaces of a CVM whose request names none, in this order. user: "
		 "QEMU's user network, the only one with port forwards. bridge:NAME: an "
		 "interface on that bridge of the host. The number of interfaces is measured.",
	  .max = 500 },
	{ "cvm", "bridges", &type_text, AT(cvm.bridges),
	  .preset = "",
	  .doc = "Bridges that requests may name, in addition to those in networks.",
	  .max = 500 },
	{ "cvm", "volumes_dir", &type_path, AT(cvm.volumes_dir),
	  .preset = "",
	  .doc = "Folder of the read-only volumes that an app-compose may name in "
		 "verity_volumes. Empty: no volumes." },
	{ "gpu", "enabled", &type_bool, AT(gpu.enabled),
	  .preset = "no",
	  .doc = "Allow CVMs to use GPUs.",
	  .flags = KEY_RELOAD },
	{ "gpu", "listing", &type_products, AT(gpu.listing),
	  .preset = "10de:2335",
	  .doc = "PCI product IDs of the GPUs that are offered. Empty: none.",
	  .flags = KEY_RELOAD },
	{ "gpu", "exclude", &type_slots, AT(gpu.exclude),
	  .preset = "",
	  .doc = "Devices that are not offered; also applies to NVSwitches.",
	  .flags = KEY_RELOAD },
	{ "gpu", "include", &type_slots, AT(gpu.include),
	  .preset = "",
	  .doc = "If not empty, only these GPUs are offered.",
	  .flags = KEY_RELOAD },
	{ "gpu", "allow_attach_all", &type_bool, AT(gpu.allow_attach_all),
	  .preset = "yes",
	  .doc = "Allow a CVM to request all offered GPUs together with the NVSwitches that "
		 "connect them.",
	  .flags = KEY_RELOAD },
	{ "logs", "level", &type_word, AT(logs.level),
	  .preset = "info",
	  .doc = "Lowest severity that is logged.",
	  .words = level_words, .flags = KEY_RELOAD },
	{ "logs", "format", &type_word, AT(logs.format),
	  .preset = "text",
	  .doc = "Format of log lines on standard error: text, or json with one object per "
		 "line. If standard error is the journal, messages are sent to it with "
		 "structured fields instead.",
	  .words = format_words, .flags = KEY_RELOAD },
	{ "logs", "serial_max_bytes", &type_size, AT(logs.serial_max_bytes),
	  .preset = "4M",
	  .doc = "Size at which a serial log is rotated. 0: never.",
	  .unit = "bytes, K, M or G", .max = INT64_C(1099511627776), .flags = KEY_RELOAD },
	{ "logs", "serial_backups", &type_int, AT(logs.serial_backups),
	  .preset = "3",
	  .doc = "Number of rotated files to keep for one boot.",
	  .max = 100, .flags = KEY_RELOAD },
	{ "logs", "keep_boots", &type_int, AT(logs.keep_boots),
	  .preset = "5",
	  .doc = "Number of earlier boots whose logs are kept.",
	  .max = 1000, .flags = KEY_RELOAD },
	{ "logs", "check_seconds", &type_int, AT(logs.check_seconds),
	  .preset = "5",
	  .doc = "Interval between checks of the log sizes.",
	  .unit = "s", .min = 1, .max = 3600, .flags = KEY_RELOAD },
	{ "images", "dir", &type_path, AT(images.dir),
	  .preset = "",
	  .doc = "Folder of the image store. Default: state_dir/images." },
	{ "gateway", "base_domain", &type_host, AT(gateway.base_domain),
	  .preset = "localhost",
	  .doc = "Domain of the gateway." },
	{ "gateway", "port", &type_int, AT(gateway.port),
	  .preset = "8082",
	  .doc = "Port of the gateway. 443 is omitted from URLs.",
	  .min = 1, .max = 65535 },
	{ "gateway", "agent_port", &type_int, AT(gateway.agent_port),
	  .preset = "8090",
	  .doc = "Port in the guest that serves its dashboard.",
	  .min = 1, .max = 65535 },
	{ "kms", "urls", &type_urls, AT(kms.urls),
	  .preset = "",
	  .doc = "KMS servers that are asked for the public encryption key of an app, in this "
		 "order." },
	{ "guest", "kms_urls", &type_urls, AT(guest.kms_urls),
	  .preset = "",
	  .doc = "KMS servers, as guests reach them." },
	{ "guest", "gateway_urls", &type_urls, AT(guest.gateway_urls),
	  .preset = "",
	  .doc = "Gateway servers, as guests reach them." },
	{ "guest", "pccs_url", &type_url, AT(guest.pccs_url),
	  .preset = "",
	  .doc = "Provisioning certificate caching service (PCCS) for attestation collateral. "
		 "Empty: Intel's service." },
	{ "guest", "docker_registry", &type_text, AT(guest.docker_registry),
	  .preset = "",
	  .doc = "Registry mirror for container images. Empty: none." },
	{ "guest", "host_api_port", &type_int, AT(guest.host_api_port),
	  .preset = "10000",
	  .doc = "vsock port on which teepod serves requests of guests.",
	  .min = 1, .max = INT64_C(4294967294) },
	{ "guest", "share_mode", &type_word, AT(guest.share_mode),
	  .preset = "9p",
	  .doc = "How a guest receives its files. 9p: a shared folder. vhd: a read-only FAT "
		 "disk labelled DSTACKSHR, created again at each start. The mode is measured.",
	  .words = share_words },
	{ "restart", "enabled", &type_bool, AT(restart.enabled),
	  .preset = "yes",
	  .doc = "Restart a CVM when its QEMU has died. no: never, whatever its restart_policy "
		 "is.",
	  .flags = KEY_RELOAD },
	{ "restart", "initial_backoff", &type_int, AT(restart.initial_backoff),
	  .preset = "5",
	  .doc = "Delay before the first restart. It doubles with each further restart.",
	  .unit = "s", .min = 1, .max = 86400, .flags = KEY_RELOAD },
	{ "restart", "max_backoff", &type_int, AT(restart.max_backoff),
	  .preset = "300",
	  .doc = "Maximum delay.",
	  .unit = "s", .min = 1, .max = 86400, .flags = KEY_RELOAD },
	{ "restart", "max_retries", &type_int, AT(restart.max_retries),
	  .preset = "5",
	  .doc = "Number of automatic restarts of a CVM. After that it stays stopped until a "
		 "client starts it.",
	  .max = 1000000, .flags = KEY_RELOAD },
	{ "restart", "reset_window", &type_int, AT(restart.reset_window),
	  .preset = "300",
	  .doc = "After a guest has run for this time, its restarts are counted from zero again.",
	  .unit = "s", .min = 1, .max = 2592000, .flags = KEY_RELOAD },
	{ "start", "auto", &type_bool, AT(start.automatic),
	  .preset = "yes",
	  .doc = "After a reboot of the host, start the CVMs that were running before, unless "
		 "their auto_start is false.",
	  .flags = KEY_RELOAD },
	{ "start", "parallel", &type_int, AT(start.parallel),
	  .preset = "8",
	  .doc = "Number of CVMs that the node starts, or shuts down in a drain, at the same "
		 "time.",
	  .min = 1, .max = 128, .flags = KEY_RELOAD },
	{ "operations", "keep_days", &type_int, AT(operations.keep_days),
	  .preset = "30",
	  .doc = "How long finished operations are kept.",
	  .unit = "days", .min = 1, .max = 36500, .flags = KEY_RELOAD },
	{ "events", "keep_days", &type_int, AT(events.keep_days),
	  .preset = "30",
	  .doc = "How long events are kept.",
	  .unit = "days", .min = 1, .max = 36500, .flags = KEY_RELOAD },
	{ "idempotency", "keep_hours", &type_int, AT(idempotency.keep_hours),
	  .preset = "24",
	  .doc = "How long a request with the same key gets the stored response.",
	  .unit = "h", .min = 24, .max = 87600, .flags = KEY_RELOAD },
	{ "tokens", "max_per_workspace", &type_int, AT(tokens.max_per_workspace),
	  .preset = "100",
	  .doc = "Maximum number of valid tokens of one workspace. 0: no limit.",
	  .max = 1000000, .flags = KEY_RELOAD },
	{ "tokens", "made_per_minute", &type_int, AT(tokens.made_per_minute),
	  .preset = "30",
	  .doc = "Maximum number of tokens that are created in one workspace per minute. 0: no "
		 "limit.",
	  .max = 1000000, .flags = KEY_RELOAD },
	{ "records", "provisions", &type_size, AT(records.provisions),
	  .preset = "32M",
	  .doc = "Maximum size of the provisions of one workspace. At the limit the oldest used "
		 "one is deleted; if none was used, the new one is refused. 0: no limit.",
	  .unit = "bytes, K, M or G", .max = INT64_C(1099511627776), .flags = KEY_RELOAD },
	{ "records", "revisions", &type_size, AT(records.revisions),
	  .preset = "32M",
	  .doc = "Maximum size of the manifests and revision histories of the apps of one "
		 "workspace. At the limit the oldest entries that no CVM uses are deleted; if "
		 "there are none, the create or change is refused. 0: no limit.",
	  .unit = "bytes, K, M or G", .max = INT64_C(1099511627776), .flags = KEY_RELOAD },
	{ "records", "answers", &type_size, AT(records.answers),
	  .preset = "32M",
	  .doc = "Maximum size of the responses stored for the Idempotency-Keys of one "
		 "workspace, and the same again for all operators together. At the limit a new "
		 "key is refused until old ones expire (idempotency.keep_hours). 0: no limit.",
	  .unit = "bytes, K, M or G", .max = INT64_C(1099511627776), .flags = KEY_RELOAD },
	{ "records", "operations", &type_int, AT(records.operations),
	  .preset = "20000",
	  .doc = "Maximum number of operations of one workspace. At the limit the oldest "
		 "finished ones are deleted before operations.keep_days have passed. 0: no "
		 "limit.",
	  .max = INT64_C(1000000000), .flags = KEY_RELOAD },
	{ "records", "events", &type_size, AT(records.events),
	  .preset = "64M",
	  .doc = "Maximum size of the events of one workspace. At the limit its tenants can "
		 "only delete and stop until old events expire (events.keep_days). Operators "
		 "are not limited. 0: no limit.",
	  .unit = "bytes, K, M or G", .max = INT64_C(1099511627776), .flags = KEY_RELOAD },
	{ "records", "events_total", &type_size, AT(records.events_total),
	  .preset = "1G",
	  .doc = "Maximum size of the event log of all workspaces. At the limit the oldest "
		 "events are deleted before events.keep_days have passed. 0: no limit.",
	  .unit = "bytes, K, M or G", .max = INT64_C(1099511627776), .flags = KEY_RELOAD },
	{ "billing", "enabled", &type_bool, AT(billing.enabled),
	  .preset = "no",
	  .doc = "Charge workspaces for the resources of their CVMs, and refuse to create or "
		 "start a CVM if the balance does not cover the next hour." },
	{ "billing", "on_empty", &type_word, AT(billing.on_empty),
	  .preset = "refuse",
	  .doc = "What happens when a balance is used up. refuse: running CVMs keep running, "
		 "the balance becomes negative, and starts are refused. stop: CVMs are shut "
		 "down as well, and killed after a minute.",
	  .words = empty_words, .flags = KEY_RELOAD },
	{ "billing", "currency", &type_name, AT(billing.currency),
	  .preset = "USD",
	  .doc = "Name of the currency, as shown to clients. Amounts are not converted." },
	{ "billing", "vcpu_hour", &type_int, AT(billing.vcpu_hour),
	  .preset = "0",
	  .doc = "Price of one vCPU of a running CVM for an hour.",
	  .unit = "micro-units", .max = 1000000000, .flags = KEY_RELOAD },
	{ "billing", "memory_gib_hour", &type_int, AT(billing.memory_gib_hour),
	  .preset = "0",
	  .doc = "Price of one GiB of memory of a running CVM for an hour.",
	  .unit = "micro-units", .max = 1000000000, .flags = KEY_RELOAD },
	{ "billing", "disk_gib_hour", &type_int, AT(billing.disk_gib_hour),
	  .preset = "0",
	  .doc = "Price of one GiB of disk of any CVM for an hour.",
	  .unit = "micro-units", .max = 1000000000, .flags = KEY_RELOAD },
	{ "billing", "gpu_hour", &type_int, AT(billing.gpu_hour),
	  .preset = "0",
	  .doc = "Price of one GPU of a running CVM for an hour.",
	  .unit = "micro-units", .max = 1000000000, .flags = KEY_RELOAD },
	{ "billing", "interval", &type_int, AT(billing.interval),
	  .preset = "3600",
	  .doc = "Maximum time that one ledger entry covers. Shorter entries are written when a "
		 "CVM starts, stops or is resized.",
	  .unit = "s", .min = 60, .max = 86400, .flags = KEY_RELOAD },
};
/* clang-format on */

const size_t config_keys_n = ARRAY_SIZE(config_keys);

const struct config_key *config_key_find(const char *section, const char *name)
{
	for (size_t i = 0; i < config_keys_n; i++) {
		const struct config_key *k = &config_keys[i];

		if (!strcmp(k->section, section) && !strcmp(k->name, name))
			return k;
	}
	return NULL;
}

size_t config_key_row(const struct config_key *k)
{
	assert(k >= config_keys && k < config_keys + config_keys_n);
	return (size_t)(k - config_keys);
}
