/* SPDX-License-Identifier: Apache-2.0
 * config_keys.c - the table of keys.
 *
 * To add one: a member in config.h, a row here, then `teepod --help-config > configs/teepod.conf`.
 * Rows of a section stand together, in the order in which they are printed.
 */
#include <assert.h>
#include <string.h>

#include "api/http/call.h"
#include "base/log.h"
#include "base/own.h"
#include "daemon/config_data.h"
#include "daemon/config_item.h"
#include "daemon/config_keys.h"
#include "daemon/config_value.h"
#include "vmm/node/settings.h"
#include "vmm/virt/domain_spec.h"
#include "vmm/vmm.h"

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

const struct config_section config_sections[] = {
	{ "node", "Who this node is." },
	{ "api", "Where and how the REST API listens." },
	{ "hypervisor", "How guests are run." },
	{ "jobs", "Blocking calls run beside the event loop, in four lanes with threads of their "
		  "own. A call "
		  "that runs for more than a second (in the lane bulk: past its deadline) no "
		  "longer counts: "
		  "another thread takes its place. A lane never has more than 1024 threads." },
	{ "host", "The machine below: what teepod looks at, and its identity as a TDX platform." },
	{ "capacity",
	  "What may be promised to CVMs in all. auto measures the host at start and keeps "
	  "the reserve_ amounts for it; a number is taken as it is; none means not "
	  "configured: every request for it is refused." },
	{ "ports", "TCP and UDP ports of this host that lead into guests." },
	{ "cvm", "What one CVM may be." },
	{ "gpu", "GPUs that CVMs may be given, whole, by PCI passthrough. See docs/gpus.md." },
	{ "logs", "The daemon's own log and the guests' serial logs." },
	{ "images", "OS images." },
	{ "gateway", "How the outside reaches apps: <app_id>-<port>.<base_domain>." },
	{ "kms", "Key management as seen from this node." },
	{ "guest", "Told to guests in .sys-config.json, rewritten at each start of a guest." },
	{ "restart",
	  "CVMs whose guest crashed are started again. See docs/policies.md; restart_policy is "
	  "a CVM's own." },
	{ "start", "CVMs that the node starts by itself." },
	{ "operations", "Finished operations." },
	{ "events", "The event log." },
	{ "idempotency", "Answers remembered for Idempotency-Key." },
	{ "tokens", "API tokens that are made over the API. See docs/workspaces.md." },
	{ "records", "What one workspace may make the database grow by. See docs/capacity.md." },
	{ "billing", "Prepaid balances of workspaces. Rates are whole micro-units (millionths) of "
		     "the currency "
		     "for an hour. See docs/workspaces.md." },
};

const size_t config_sections_n = ARRAY_SIZE(config_sections);

/* clang-format off */
const struct config_key config_keys[] = {
	{ "node", "name", &type_name, AT(node.name),
	  .preset = "",
	  .doc = "Name of the node in answers, logs and the guests' view. Default: the host name." },
	{ "node", "id", &type_int, AT(node.id),
	  .preset = "1",
	  .doc = "Number of the node: teepod_id and node_id on the wire. Unique in a fleet.",
	  .min = 1, .max = 2147483647 },
	{ "node", "region", &type_name, AT(node.region),
	  .preset = "local",
	  .doc = "Region shown to clients and matched against the region they ask for." },
	{ "node", "state_dir", &type_path, AT(node.state_dir),
	  .preset = "/var/lib/teepod",
	  .doc = "Database, guest files and disks, logs. QEMU must be able to pass through it: "
		 "mode 0711." },
	{ "node", "workspace", &type_slug, AT(node.workspace),
	  .preset = "local",
	  .doc = "Slug of the default workspace: where CVMs of callers without a workspace of "
		 "their own go." },
	{ "node", "public_url", &type_url, AT(node.public_url),
	  .preset = "",
	  .doc = "Scheme, host and port under which clients reach this node, used in links; no "
		 "slash at the end. Empty: what the client asked for." },
	{ "api", "listen", &type_listen, AT(api.listen),
	  .preset = "127.0.0.1:8090, unix:/run/teepod/teepod.sock",
	  .doc = "Addresses to listen on. TCP needs tls_cert and tls_key unless it is a loopback "
		 "address. Port 0 takes a free one. Sockets handed over by systemd are taken "
		 "besides, and take the place of the same address here." },
	{ "api", "hosts", &type_hosts, AT(api.hosts),
	  .preset = "",
	  .doc = "Further names by which clients reach a TCP address without TLS, for example through a "
		 "reverse proxy. A request whose Host is not one of them, nor localhost, a loopback "
		 "address, node.name or the host of node.public_url, is refused (421), and one whose "
		 "Origin is of another host too (403): a web page could otherwise reach the node through "
		 "the browser of somebody on this host." },
	{ "api", "tls_cert", &type_path, AT(api.tls_cert),
	  .preset = "",
	  .doc = "PEM file with the server's certificate chain. With it every TCP address speaks "
		 "TLS 1.3, or 1.2 with ephemeral keys (ECDHE) and AES-GCM or ChaCha20 only. SIGHUP "
		 "reads the file again." },
	{ "api", "tls_key", &type_path, AT(api.tls_key),
	  .preset = "",
	  .doc = "PEM file with the private key of tls_cert." },
	{ "api", "tls_client_ca", &type_path, AT(api.tls_client_ca),
	  .preset = "",
	  .doc = "PEM file with the authorities that client certificates must be signed by." },
	{ "api", "tls_client", &type_word, AT(api.tls_client),
	  .preset = "none",
	  .doc = "Client certificates: none does not ask for any, optional checks those that come, "
		 "required refuses connections without.",
	  .words = tls_client_words },
	{ "api", "unix_mode", &type_mode, AT(api.unix_mode),
	  .preset = "0660",
	  .doc = "Permission bits of unix sockets made by teepod, octal.",
	  .max = 0777 },
	{ "api", "unix_admin_uids", &type_uids, AT(api.unix_admin_uids),
	  .preset = "0",
	  .doc = "User ids that are admin when they connect to a unix socket.",
	  .flags = KEY_RELOAD },
	{ "api", "unix_role", &type_word, AT(api.unix_role),
	  .preset = "none",
	  .doc = "Role of everyone else who can connect to a unix socket; none: they need an API "
		 "key like all others.",
	  .words = unix_role_words, .flags = KEY_RELOAD },
	{ "api", "cert_role", &type_word, AT(api.cert_role),
	  .preset = "operator",
	  .doc = "Role of clients with a verified certificate.",
	  .words = cert_role_words, .flags = KEY_RELOAD },
	{ "api", "max_connections", &type_int, AT(api.max_connections),
	  .preset = "4096",
	  .doc = "Open connections in all. When all are in use, a new one takes the place of one that "
		 "was answered without a key, then of the one that has waited the longest without an "
		 "authenticated request, then of an idle one, then of one whose request is still arriving; "
		 "never of one whose request is being answered. Root and the daemon's user have 64 more on "
		 "unix sockets. Lowered, with a warning, where RLIMIT_NOFILE does not leave descriptors for "
		 "the other work.",
	  .min = 1, .max = 1000000 },
	{ "api", "max_connections_per_address", &type_int, AT(api.max_connections_per_address),
	  .preset = "1024",
	  .doc = "Open connections from one address (of IPv6: from one /64), or of one user of a unix "
		 "socket other than root and the daemon's own.",
	  .min = 1, .max = 1000000 },
	{ "api", "max_streams", &type_int, AT(api.max_streams),
	  .preset = "512",
	  .doc = "Streams of events, states and logs that may be open in all; beyond that, 429. A log "
		 "that is not followed counts until it has been sent. The keys of one workspace together "
		 "have two thirds of them. Requests that wait for an operation (?wait=) are counted by "
		 "themselves, with the same limits.",
	  .min = 1, .max = 1000000, .flags = KEY_RELOAD },
	{ "api", "max_streams_per_caller", &type_int, AT(api.max_streams_per_caller),
	  .preset = "64",
	  .doc = "Those of one API key, uid or client certificate. Whoever uses the log link of a CVM "
		 "counts as one caller.",
	  .min = 1, .max = 1000000, .flags = KEY_RELOAD },
	{ "api", "auth_failures_per_minute", &type_int, AT(api.auth_failures_per_minute),
	  .preset = "10",
	  .doc = "Wrong API keys from one address that are answered 401 in a minute; further ones are "
		 "answered 429. A right key is never refused for them, and a request without a key "
		 "does not count.",
	  .min = 1, .max = 1000000 },
	{ "api", "trusted_proxies", &type_proxies, AT(api.trusted_proxies),
	  .preset = "",
	  .doc = "Proxies in front of the node. Of a request from one of them the client is the last "
		 "address in X-Forwarded-For or Forwarded that is none of these; wrong API keys are "
		 "counted by that. They may have more than max_connections_per_address." },
	{ "api", "drain_seconds", &type_int, AT(api.drain_seconds),
	  .preset = "20",
	  .doc = "At the end, how long answers that are still being sent and steps that are under "
		 "way may take together. The process ends at most 6 s later.",
	  .unit = "s", .max = 3600, .flags = KEY_RELOAD },
	{ "hypervisor", "uri", &type_uri, AT(hypervisor.uri),
	  .preset = "qemu:///system",
	  .doc = "libvirt connection: qemu:///system, qemu+unix:///system?socket=/path, or "
		 "qemu:///embed to run QEMU without libvirtd (guests then live under embed_root)." },
	{ "hypervisor", "embed_root", &type_path, AT(hypervisor.embed_root),
	  .preset = "",
	  .doc = "Folder of libvirt's embedded driver, for uri = qemu:///embed. Keep the path "
		 "short: sockets below it must fit 107 bytes. Default: state_dir/libvirt." },
	{ "hypervisor", "emulator", &type_path, AT(hypervisor.emulator),
	  .preset = "",
	  .doc = "QEMU binary. Empty: the one libvirt's capabilities name." },
	{ "hypervisor", "tee", &type_word, AT(hypervisor.tee),
	  .preset = "auto",
	  .doc = "auto: confidential VMs where the host can (TDX), ordinary ones elsewhere; tdx: "
		 "refuse to start a CVM where it can not; none: ordinary VMs always, for "
		 "development. Nothing about a guest is confidential without TDX.",
	  .words = tee_words },
	{ "hypervisor", "qgs_socket", &type_path, AT(hypervisor.qgs_socket),
	  .preset = "",
	  .doc = "Socket of Intel's quote generation service. Empty: libvirt's default, "
		 "/var/run/tdx-qgs/qgs.socket." },
	{ "hypervisor", "qgs_port", &type_int, AT(hypervisor.qgs_port),
	  .preset = "0",
	  .doc = "vsock port of this host on which the quote generation service listens (Intel's "
		 "default: 4050). 0: it listens on qgs_socket.",
	  .max = INT64_C(4294967294) },
	{ "hypervisor", "tdx_firmware", &type_path, AT(hypervisor.tdx_firmware),
	  .preset = "/usr/share/ovmf/OVMF.inteltdx.ms.fd",
	  .doc = "Firmware of TDX guests whose image brings none. It is measured (MRTD)." },
	{ "hypervisor", "boot_timeout", &type_int, AT(hypervisor.boot_timeout),
	  .preset = "720",
	  .doc = "How long a start waits for the guest to report that it is up.",
	  .unit = "s", .min = 10, .max = 86400, .flags = KEY_RELOAD },
	{ "jobs", "kill", &type_int, AT(jobs.lane[LANE_KILL]),
	  .preset = "16",
	  .doc = "Threads that end guests and close connections.",
	  .min = 1, .max = 512 },
	{ "jobs", "guest", &type_int, AT(jobs.lane[LANE_GUEST]),
	  .preset = "32",
	  .doc = "Threads that wait for an answer of a QEMU. Starts that take longer than a second do "
		 "not count, so this does not bound how many guests start in parallel.",
	  .min = 1, .max = 512 },
	{ "jobs", "bulk", &type_int, AT(jobs.lane[LANE_BULK]),
	  .preset = "4",
	  .doc = "Threads that import, hash and measure images.",
	  .min = 1, .max = 512 },
	{ "jobs", "short", &type_int, AT(jobs.lane[LANE_SHORT]),
	  .preset = "16",
	  .doc = "Threads for all other blocking calls: definitions of domains, files of guests, logs.",
	  .min = 1, .max = 512 },
	{ "host", "root", &type_path, AT(host.root),
	  .preset = "/",
	  .doc = "Folder below which the files are looked at that tell what the machine has and can "
		 "do: /proc, /sys, /dev, /etc/machine-id, the QGS socket, the TDX firmware. For tests: leave it at /. "
		 "Guests are not affected, nor is what auto amounts are measured from." },
	{ "host", "ppid", &type_hex, AT(host.ppid),
	  .preset = "",
	  .doc = "PPID of the platform, as in its PCK certificate (extension 1.2.840.113741.1.13.1.1). "
		 "device_id is made from it: its SHA-256.",
	  .rule = "32 hex digits", .max = 32 },
	{ "host", "device_id", &type_hex, AT(host.device_id),
	  .preset = "",
	  .doc = "Identity of this TDX platform, as allow-listed on chain: SHA-256 of its PPID. Needed "
		 "only where ppid is not given; with both, they must agree.",
	  .rule = "64 hex digits", .max = 64 },
	{ "capacity", "vcpus", &type_amount, AT(capacity.vcpus),
	  .preset = "auto",
	  .doc = "Virtual CPUs. auto: online CPUs times vcpu_ratio, less reserve_vcpus.",
	  .max = 1000000 },
	{ "capacity", "vcpu_ratio", &type_int, AT(capacity.vcpu_ratio),
	  .preset = "1",
	  .doc = "With vcpus = auto: virtual CPUs promised for each CPU of the host.",
	  .min = 1, .max = 64 },
	{ "capacity", "memory_mib", &type_amount, AT(capacity.memory_mib),
	  .preset = "auto",
	  .doc = "Memory of ordinary pages. auto: the machine's without what is set aside as hugepages, "
		 "less reserve_memory_mib. A TD's memory is pinned: "
		 "never promise more than there is.",
	  .unit = "MiB", .max = INT64_C(1099511627776) },
	{ "capacity", "disk_gib", &type_amount, AT(capacity.disk_gib),
	  .preset = "auto",
	  .doc = "Data disks. auto: free space of state_dir's file system plus what existing disks "
		 "occupy, less reserve_disk_gib.",
	  .unit = "GiB", .max = 1073741824 },
	{ "capacity", "slots", &type_amount, AT(capacity.slots),
	  .preset = "64",
	  .doc = "CVMs, running or not. With TDX: not more than the host's key ids. auto counts as "
		 "64.",
	  .max = 1000000 },
	{ "capacity", "tdx_keyids", &type_amount, AT(capacity.tdx_keyids),
	  .preset = "auto",
	  .doc = "TDX private key ids, one for each TDX CVM that holds memory; set by the firmware. "
		 "auto: as many as the host tells, unlimited where it does not. none: not counted.",
	  .max = 65535 },
	{ "capacity", "reserve_vcpus", &type_int, AT(capacity.reserve_vcpus),
	  .preset = "1",
	  .doc = "Kept for the host with vcpus = auto.",
	  .max = 100000 },
	{ "capacity", "reserve_memory_mib", &type_int, AT(capacity.reserve_memory_mib),
	  .preset = "2048",
	  .doc = "Kept for the host with memory_mib = auto.",
	  .unit = "MiB", .max = 1073741824 },
	{ "capacity", "reserve_disk_gib", &type_int, AT(capacity.reserve_disk_gib),
	  .preset = "10",
	  .doc = "Kept free with disk_gib = auto.",
	  .unit = "GiB", .max = 1073741824 },
	{ "capacity", "release_on_stop", &type_bool, AT(capacity.release_on_stop),
	  .preset = "no",
	  .doc = "A stopped CVM gives its vCPUs, memory, hugepages and TDX key id back, and may find "
		 "them taken at its next start; its GPUs stay with it. no: it keeps all and can "
		 "always start again.",
	  .flags = KEY_RELOAD },
	{ "capacity", "cid_start", &type_int, AT(capacity.cid_start),
	  .preset = "1000",
	  .doc = "First vsock context id given to guests.",
	  .min = 3, .max = INT64_C(4294967294) },
	{ "capacity", "cid_count", &type_int, AT(capacity.cid_count),
	  .preset = "1000",
	  .doc = "How many context ids may be given.",
	  .min = 1, .max = INT64_C(4294967294) },
	{ "ports", "enabled", &type_bool, AT(ports.enabled),
	  .preset = "yes",
	  .doc = "Allow port forwards at all." },
	{ "ports", "range", &type_ranges, AT(ports.range),
	  .preset = "20000-29999",
	  .doc = "Host ports that may be used, as PORT or FROM-TO, for both protocols or after "
		 "tcp: or udp: for one.",
	  .flags = KEY_RELOAD },
	{ "ports", "addresses", &type_addresses, AT(ports.addresses),
	  .preset = "127.0.0.1",
	  .doc = "Host addresses that forwards may bind; 0.0.0.0 allows all interfaces." },
	{ "ports", "default_address", &type_address, AT(ports.default_address),
	  .preset = "127.0.0.1",
	  .doc = "Address of a forward that names none. One of addresses." },
	{ "cvm", "max_vcpus", &type_int, AT(cvm.max_vcpus),
	  .preset = "0",
	  .doc = "Most vCPUs of one CVM; 0: whatever capacity allows.",
	  .max = 4096 },
	{ "cvm", "max_memory_mib", &type_int, AT(cvm.max_memory_mib),
	  .preset = "0",
	  .doc = "Most memory of one CVM; 0: whatever capacity allows.",
	  .unit = "MiB", .max = 1073741824 },
	{ "cvm", "max_disk_gib", &type_int, AT(cvm.max_disk_gib),
	  .preset = "0",
	  .doc = "Largest data disk of one CVM; 0: whatever capacity allows.",
	  .unit = "GiB", .max = 1073741824 },
	{ "cvm", "types", &type_types, AT(cvm.types),
	  .preset = "tdx.small:1:2048:20, tdx.medium:2:4096:40, tdx.large:4:8192:40, "
		    "tdx.xlarge:8:16384:80, tdx.2xlarge:16:32768:80, tdx.4xlarge:32:65536:160, "
		    "tdx.8xlarge:64:131072:200",
	  .doc = "Instance types, smallest first, as NAME:VCPUS:MEMORY_MIB:DISK_GIB.",
	  .flags = KEY_RELOAD },
	{ "cvm", "default_image", &type_text, AT(cvm.default_image),
	  .preset = "",
	  .doc = "OS image of a CVM whose request names none, with or without version. Empty: the "
		 "newest production image, else the newest.",
	  .max = 64 },
	{ "cvm", "prod_without_tee", &type_bool, AT(cvm.prod_without_tee),
	  .preset = "no",
	  .doc = "Production images may run as ordinary VMs, where nothing protects what they are "
		 "given. Without it only dev images do." },
	{ "cvm", "networks", &type_networks, AT(cvm.networks),
	  .preset = "user",
	  .doc = "Network interfaces of a CVM whose request names none, first one first: user is "
		 "QEMU's own network, the only one with forwarded ports; bridge:NAME is an "
		 "interface on that bridge of the host. Their number is measured.",
	  .max = 500 },
	{ "cvm", "bridges", &type_text, AT(cvm.bridges),
	  .preset = "",
	  .doc = "Bridges that requests may name, besides those of networks.",
	  .max = 500 },
	{ "cvm", "volumes_dir", &type_path, AT(cvm.volumes_dir),
	  .preset = "",
	  .doc = "Folder of the read-only volumes that an app-compose may name in verity_volumes. "
		 "Empty: none." },
	{ "gpu", "enabled", &type_bool, AT(gpu.enabled),
	  .preset = "no",
	  .doc = "Give GPUs to CVMs at all.",
	  .flags = KEY_RELOAD },
	{ "gpu", "listing", &type_products, AT(gpu.listing),
	  .preset = "10de:2335",
	  .doc = "Product ids of the GPUs that are offered. Empty: none.",
	  .flags = KEY_RELOAD },
	{ "gpu", "exclude", &type_slots, AT(gpu.exclude),
	  .preset = "",
	  .doc = "Devices that are not offered, NVSwitches too.",
	  .flags = KEY_RELOAD },
	{ "gpu", "include", &type_slots, AT(gpu.include),
	  .preset = "",
	  .doc = "If not empty, only these GPUs are offered.",
	  .flags = KEY_RELOAD },
	{ "gpu", "allow_attach_all", &type_bool, AT(gpu.allow_attach_all),
	  .preset = "yes",
	  .doc = "A CVM may ask for all offered GPUs together with the NVSwitches that join them.",
	  .flags = KEY_RELOAD },
	{ "logs", "level", &type_word, AT(logs.level),
	  .preset = "info",
	  .doc = "Least important messages still written.",
	  .words = level_words, .flags = KEY_RELOAD },
	{ "logs", "format", &type_word, AT(logs.format),
	  .preset = "text",
	  .doc = "Form of lines on standard error: text, or json for one object a line. Where "
		 "standard error is the journal, messages go there with their fields instead.",
	  .words = format_words, .flags = KEY_RELOAD },
	{ "logs", "serial_max_bytes", &type_size, AT(logs.serial_max_bytes),
	  .preset = "4M",
	  .doc = "A serial log that has grown to this is rotated. 0: never.",
	  .unit = "bytes, K, M or G", .max = INT64_C(1099511627776), .flags = KEY_RELOAD },
	{ "logs", "serial_backups", &type_int, AT(logs.serial_backups),
	  .preset = "3",
	  .doc = "Rotated pieces kept of one boot's log.",
	  .max = 100, .flags = KEY_RELOAD },
	{ "logs", "keep_boots", &type_int, AT(logs.keep_boots),
	  .preset = "5",
	  .doc = "Earlier boots whose logs are kept.",
	  .max = 1000, .flags = KEY_RELOAD },
	{ "logs", "check_seconds", &type_int, AT(logs.check_seconds),
	  .preset = "5",
	  .doc = "How often the sizes are looked at.",
	  .unit = "s", .min = 1, .max = 3600, .flags = KEY_RELOAD },
	{ "images", "dir", &type_path, AT(images.dir),
	  .preset = "",
	  .doc = "Where images are stored. Default: state_dir/images." },
	{ "gateway", "base_domain", &type_host, AT(gateway.base_domain),
	  .preset = "localhost",
	  .doc = "Domain of the gateway." },
	{ "gateway", "port", &type_int, AT(gateway.port),
	  .preset = "8082",
	  .doc = "Port of the gateway; 443 is left out of URLs.",
	  .min = 1, .max = 65535 },
	{ "gateway", "agent_port", &type_int, AT(gateway.agent_port),
	  .preset = "8090",
	  .doc = "Port inside the guest that shows its dashboard.",
	  .min = 1, .max = 65535 },
	{ "kms", "urls", &type_urls, AT(kms.urls),
	  .preset = "",
	  .doc = "KMS servers asked for an app's public encryption key, tried in this order." },
	{ "guest", "kms_urls", &type_urls, AT(guest.kms_urls),
	  .preset = "",
	  .doc = "KMS servers, as guests reach them." },
	{ "guest", "gateway_urls", &type_urls, AT(guest.gateway_urls),
	  .preset = "",
	  .doc = "Gateway servers, as guests reach them." },
	{ "guest", "pccs_url", &type_url, AT(guest.pccs_url),
	  .preset = "",
	  .doc = "Provisioning certificate cache for attestation collateral. Empty: Intel's "
		 "service." },
	{ "guest", "docker_registry", &type_text, AT(guest.docker_registry),
	  .preset = "",
	  .doc = "Registry mirror for container images. Empty: none." },
	{ "guest", "host_api_port", &type_int, AT(guest.host_api_port),
	  .preset = "10000",
	  .doc = "vsock port on which teepod listens to guests.",
	  .min = 1, .max = INT64_C(4294967294) },
	{ "guest", "share_mode", &type_word, AT(guest.share_mode),
	  .preset = "9p",
	  .doc = "How a guest gets its files: 9p shares the folder, vhd attaches a read-only FAT disk "
		 "labelled DSTACKSHR, made anew at each start. It is measured.",
	  .words = share_words },
	{ "restart", "enabled", &type_bool, AT(restart.enabled),
	  .preset = "yes",
	  .doc = "Start a CVM again whose QEMU died. no: never, whatever its restart_policy is.",
	  .flags = KEY_RELOAD },
	{ "restart", "initial_backoff", &type_int, AT(restart.initial_backoff),
	  .preset = "5",
	  .doc = "Delay before the first restart; it doubles with each further one.",
	  .unit = "s", .min = 1, .max = 86400, .flags = KEY_RELOAD },
	{ "restart", "max_backoff", &type_int, AT(restart.max_backoff),
	  .preset = "300",
	  .doc = "Longest delay.",
	  .unit = "s", .min = 1, .max = 86400, .flags = KEY_RELOAD },
	{ "restart", "max_retries", &type_int, AT(restart.max_retries),
	  .preset = "5",
	  .doc = "Restarts of a CVM before it stays down, until somebody starts it.",
	  .max = 1000000, .flags = KEY_RELOAD },
	{ "restart", "reset_window", &type_int, AT(restart.reset_window),
	  .preset = "300",
	  .doc = "A guest that ran for so long counts as well again: its restarts are counted from "
		 "zero.",
	  .unit = "s", .min = 1, .max = 2592000, .flags = KEY_RELOAD },
	{ "start", "auto", &type_bool, AT(start.automatic),
	  .preset = "yes",
	  .doc = "After a boot of the host, start the CVMs that ran before, unless their auto_start is "
		 "false.",
	  .flags = KEY_RELOAD },
	{ "start", "parallel", &type_int, AT(start.parallel),
	  .preset = "8",
	  .doc = "How many CVMs the node starts, or shuts down in a drain, at once.",
	  .min = 1, .max = 128, .flags = KEY_RELOAD },
	{ "operations", "keep_days", &type_int, AT(operations.keep_days),
	  .preset = "30",
	  .doc = "How long they can be looked up.",
	  .unit = "days", .min = 1, .max = 36500, .flags = KEY_RELOAD },
	{ "events", "keep_days", &type_int, AT(events.keep_days),
	  .preset = "30",
	  .doc = "How long events are kept.",
	  .unit = "days", .min = 1, .max = 36500, .flags = KEY_RELOAD },
	{ "idempotency", "keep_hours", &type_int, AT(idempotency.keep_hours),
	  .preset = "24",
	  .doc = "How long a repeated key gets the same answer.",
	  .unit = "h", .min = 24, .max = 87600, .flags = KEY_RELOAD },
	{ "tokens", "max_per_workspace", &type_int, AT(tokens.max_per_workspace),
	  .preset = "100",
	  .doc = "Tokens of one workspace that are open at a time; 0: no limit.",
	  .max = 1000000, .flags = KEY_RELOAD },
	{ "tokens", "made_per_minute", &type_int, AT(tokens.made_per_minute),
	  .preset = "30",
	  .doc = "Tokens that may be made in one workspace in a minute; 0: no limit.",
	  .max = 1000000, .flags = KEY_RELOAD },
	{ "records", "provisions", &type_size, AT(records.provisions),
	  .preset = "32M",
	  .doc = "Provisions of one workspace. Beyond it the oldest that was used is dropped; if none was, "
		 "the new one is refused. 0: no limit.",
	  .unit = "bytes, K, M or G", .max = INT64_C(1099511627776), .flags = KEY_RELOAD },
	{ "records", "revisions", &type_size, AT(records.revisions),
	  .preset = "32M",
	  .doc = "Manifests and histories of one workspace's apps. Beyond it the oldest entries that no CVM "
		 "stands on are dropped; if there are none, the create or change is refused. 0: no limit.",
	  .unit = "bytes, K, M or G", .max = INT64_C(1099511627776), .flags = KEY_RELOAD },
	{ "records", "answers", &type_size, AT(records.answers),
	  .preset = "32M",
	  .doc = "Answers kept for one workspace's Idempotency-Keys, and as much for those of all operators "
		 "together. Beyond it a new key is refused, until idempotency.keep_hours has passed for old "
		 "ones. 0: no limit.",
	  .unit = "bytes, K, M or G", .max = INT64_C(1099511627776), .flags = KEY_RELOAD },
	{ "records", "operations", &type_int, AT(records.operations),
	  .preset = "20000",
	  .doc = "Operations of one workspace. Beyond it the oldest finished ones are forgotten before "
		 "operations.keep_days. 0: no limit.",
	  .max = INT64_C(1000000000), .flags = KEY_RELOAD },
	{ "records", "events", &type_size, AT(records.events),
	  .preset = "64M",
	  .doc = "Events of one workspace. Beyond it its tenants can only delete and stop, until "
		 "events.keep_days has passed for old ones. Operators are not refused. 0: no limit.",
	  .unit = "bytes, K, M or G", .max = INT64_C(1099511627776), .flags = KEY_RELOAD },
	{ "records", "events_total", &type_size, AT(records.events_total),
	  .preset = "1G",
	  .doc = "The event log of all workspaces. Beyond it the oldest events go before events.keep_days. "
		 "0: no limit.",
	  .unit = "bytes, K, M or G", .max = INT64_C(1099511627776), .flags = KEY_RELOAD },
	{ "billing", "enabled", &type_bool, AT(billing.enabled),
	  .preset = "no",
	  .doc = "Charge workspaces for what their CVMs hold, and refuse to create or start a CVM when "
		 "the balance does not pay for the next hour." },
	{ "billing", "on_empty", &type_word, AT(billing.on_empty),
	  .preset = "refuse",
	  .doc = "When nothing is left of a balance: refuse lets running CVMs run on (the balance "
		 "becomes negative) and refuses new starts; stop shuts them down as well, hard after "
		 "a minute.",
	  .words = empty_words, .flags = KEY_RELOAD },
	{ "billing", "currency", &type_name, AT(billing.currency),
	  .preset = "USD",
	  .doc = "Name of the currency, as shown to clients. Nothing is converted." },
	{ "billing", "vcpu_hour", &type_int, AT(billing.vcpu_hour),
	  .preset = "0",
	  .doc = "One vCPU of a running CVM for an hour.",
	  .unit = "micro-units", .max = 1000000000, .flags = KEY_RELOAD },
	{ "billing", "memory_gib_hour", &type_int, AT(billing.memory_gib_hour),
	  .preset = "0",
	  .doc = "One GiB of memory of a running CVM for an hour.",
	  .unit = "micro-units", .max = 1000000000, .flags = KEY_RELOAD },
	{ "billing", "disk_gib_hour", &type_int, AT(billing.disk_gib_hour),
	  .preset = "0",
	  .doc = "One GiB of disk of any CVM for an hour.",
	  .unit = "micro-units", .max = 1000000000, .flags = KEY_RELOAD },
	{ "billing", "gpu_hour", &type_int, AT(billing.gpu_hour),
	  .preset = "0",
	  .doc = "One GPU of a running CVM for an hour.",
	  .unit = "micro-units", .max = 1000000000, .flags = KEY_RELOAD },
	{ "billing", "interval", &type_int, AT(billing.interval),
	  .preset = "3600",
	  .doc = "Longest time that one row of the ledger covers. Shorter ones follow when a CVM "
		 "starts, stops or changes its size.",
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
