/* SPDX-License-Identifier: Apache-2.0
 * vmm.h - what a node can do with CVMs: the face that api/ sees.
 *
 * Loop thread only. Functions marked [turn] write: call them from the apply function of a mutation
 * (mutation.h), where failing rolls everything back. Reads answer from SQLite at once, never from
 * libvirt.
 */
#ifndef TEEPOD_VMM_VMM_H
#define TEEPOD_VMM_VMM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>
#include <uv.h>

#include "base/err.h"
#include "db/capacity.h"
#include "db/cvms.h"
#include "db/operations.h"
#include "db/policies.h"
#include "db/records.h"
#include "db/text.h"
#include "images/images.h"
#include "vmm/host/host_check.h"
#include "vmm/virt/domain_spec.h"

struct app_row;
struct device_row;
struct event_row;
struct image_row;
struct key_row;
struct maintenance_row;
struct numa_row;
struct port_row;
struct workspace_row;

struct vmm;

struct port_range {
	bool tcp, udp;
	uint16_t from, to;
};

struct instance_type {
	char name[NAME_TEXT]; /* "tdx.small" */
	int64_t vcpus, memory_mib, disk_gib;
};

/* NULL-terminated lists, NULL = empty. */
struct gpu_settings {
	bool enabled, allow_attach_all;
	const char *const *listing; /* product ids that are offered: "10de:2335" */
	const char *const *exclude; /* PCI addresses that are not: "0000:18:00.0" */
	const char *const *include; /* only these GPUs, if there are any */
};

/* Restarts after a crash: delay before attempt n (from 0) is initial_s << n, at most max_s; after
 * @retries of them no more, unless the guest ran for @window_s in between. Starts by the node
 * itself: @parallel at a time. */
struct restart_settings {
	bool enabled;
	unsigned initial_s, max_s, retries, window_s;
};
struct start_settings {
	bool automatic; /* what the end of the host took down */
	unsigned parallel;
};

enum tee_setting { TEE_AUTO, TEE_TDX, TEE_NONE };

/* Micro-units of a currency; see meter.h for how they add up. */
struct billing_settings {
	bool enabled; /* read at start only */
	bool stop_on_empty;
	const char *currency; /* shown only; NULL = "" */
	struct rates {
		int64_t vcpu, memory_gib, disk_gib, gpu; /* for one of it and one hour */
	} rates;
	unsigned interval_s; /* a running CVM's ledger row covers at most this (and a minute) */
};

/* Plain values; arrays and strings are borrowed for the life of the vmm, but see vmm_reload(). */
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
	const char *host_root; /* put before /proc, /sys, /dev ...: "" for the machine itself; never
				  NULL */
	const char
		*device_id; /* of the TDX platform: 64 hex digits, or "" = not known; never NULL */
	unsigned boot_timeout_s;
	struct restart_settings restart;
	struct start_settings start;
	/* totals, -1 = not configured */
	int64_t vcpus, memory_mib, disk_gib, slots;
	int64_t tdx_keyids;   /* one for each TDX CVM that holds memory; -1 = not known: not limited
			       */
	bool tdx_keyids_auto; /* ... until the host tells */
	struct gpu_settings gpu;
	uint32_t cid_start, cid_count;
	bool release_on_stop;
	struct billing_settings billing;
	unsigned max_keys, keys_per_minute;              /* of a workspace; 0 = no limit */
	int64_t max_vcpus, max_memory_mib, max_disk_gib; /* per CVM, 0 = no limit of its own */
	bool ports_enabled;
	const struct port_range *port_ranges;
	size_t n_port_ranges;
	const char *const *port_addresses; /* NULL-terminated, first is the default */
	const struct instance_type *types;
	size_t n_types;
	const char *default_image;
	bool prod_without_tee;
	const char *networks;    /* networks.h */
	const char *bridges;     /* comma-separated: more that requests may name */
	const char *volumes_dir; /* "" = none */
	uint64_t log_max_bytes;
	unsigned log_backups, log_keep_boots, log_check_s;
	unsigned keep_operation_days, keep_event_days, keep_idempotency_hours;
	/* Of one workspace, but max_events_bytes of all; 0 = no limit. */
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

/* Open the database, resume what was under way, begin connecting to the hypervisor (which never
 * blocks the caller). */
int vmm_open(const struct vmm_settings *s, struct vmm **ret, struct err *e);
/* Let running steps finish; guests stay up. @done when everything is closed; the vmm is freed.
 * Never while a job hangs: what still runs after @max_ms is logged, and only the end of the process
 * ends it. */
void vmm_close(struct vmm *v, unsigned max_ms, void (*done)(void *arg, unsigned stuck), void *arg);
const struct vmm_settings *vmm_settings(const struct vmm *v);
/* Settings that may change while running (SIGHUP): the keys with KEY_RELOAD. Their arrays and
 * strings (port_ranges, types, gpu, billing.currency) are used on the loop thread only: those of
 * the call before may be freed after this one. All others are borrowed from vmm_open() to the end.
 */
void vmm_reload(struct vmm *v, const struct vmm_settings *s);

/* ------------------------------------------------------------------ callers */

/* Which API key is this? ERR_UNAUTHENTICATED if none that opens anything now. More on keys and
 * workspaces: account.h. */
int vmm_authenticate(struct vmm *v, const char *api_key, struct key_row *ret, struct err *e);
/* New key; its text (shown once) into @ret_key. Opens a turn of its own. */
enum { API_KEY_TEXT = 80 };
int vmm_add_key(struct vmm *v, const char *workspace, const char *name, int role,
		char ret_key[API_KEY_TEXT], struct err *e);
/* The same on a database that a daemon may have open at this moment (teepod --add-key). @alone: the
 * caller holds the state lock, so that the file may be created or migrated. */
int vmm_add_key_offline(const char *state_dir, bool alone, const char *workspace, const char *name,
			int role, char ret_key[API_KEY_TEXT], struct err *e);
int vmm_workspace(struct vmm *v, int64_t id, struct workspace_row *ret, struct err *e);
int64_t vmm_default_workspace(const struct vmm *v);

/* ------------------------------------------------------------------ asking for a CVM */

struct port_ask {
	bool udp;
	const char *host_address; /* NULL = default */
	uint16_t host_port;       /* 0 = pick a free one */
	uint16_t vm_port;
};

enum { TDX_MR_HEX = 2 * TDX_MR_LEN + 1 };

/* Registers of a TD that its owner sets. */
struct tdx_ask {
	bool given; /* any of it: then the CVM has to be a TD */
	uint64_t policy;
	char mr_owner[TDX_MR_HEX], mr_owner_config[TDX_MR_HEX]; /* "" = zeros */
};

enum gpu_attach { GPU_NONE, GPU_LISTED, GPU_ALL, GPU_ATTACHES };
extern const char *const gpu_attach_word[GPU_ATTACHES]; /* "", "listed", "all" */

enum { GPUS_MAX = 64 }; /* listed by one request */

/* One of the two at least. */
struct gpu_ask {
	const char *slot;       /* "18:00.0" or "0000:18:00.0": this one; NULL = any free one */
	const char *product_id; /* "10de:2335"; NULL = whatever is in the slot */
};

/* What the node may do with a CVM by itself. */
enum { START_ORDER_MAX = 1000000 }; /* and its negative */
struct policy_ask {
	bool has_restart, has_auto_start,
		has_order; /* what is not said stays: on-crash, yes, 0 for a new CVM */
	enum restart_policy restart;
	bool auto_start;
	int64_t start_order;
};

/* Absent numbers are 0, absent texts NULL: matched from instance type, image preference and
 * defaults. */
struct cvm_ask {
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
	const struct port_ask *ports;
	size_t n_ports;
	const void *encrypted_env;
	size_t encrypted_env_len;
	const char *user_config;
	bool listed;
	bool stopped;
	struct policy_ask policy;
	enum tee_setting tee; /* TEE_TDX: refuse anything else */
	struct tdx_ask tdx;
	const char *networks; /* networks.h; NULL or "" = the node's default */
	bool hugepages, pin_numa;
	enum gpu_attach gpu_attach;
	const struct gpu_ask *gpus; /* GPU_LISTED */
	size_t n_gpus;
	bool looked; /* at the host, for this request: see vmm_look() */
};

struct provision_result {
	char app_id[APP_ID_TEXT], compose_hash[SHA256_HEX], os_image_hash[SHA256_HEX],
		instance_type[NAME_TEXT];
};

/* Would it fit? 0, or the same refusal a create would get. *ret (may be NULL) gets what it would
 * become (no id, no CID). */
int vmm_preflight(struct vmm *v, int64_t workspace, const struct cvm_ask *ask, struct cvm_row *ret,
		  struct err *e);
/* The XML a create of @ask would define, from the settings and the image alone: no database, no
 * host is asked. A TD is printed on any host (tee auto: what hypervisor.tee says), with vsock, and
 * with a UUID made from @ask's own values, so that the same request gives the same bytes. Images:
 * those of images_dir, else of demo_images_dir. *ret malloc'd. */
int vmm_print_domain(const struct vmm_settings *s, const struct cvm_ask *ask, char **ret,
		     struct err *e);

/* A change of a CVM that exists. 0 and NULL: as it is. */
struct change_ask {
	int64_t vcpus, memory_mib, disk_gib;
	const char *image;
	json_t *manifest; /* app-compose object, borrowed */
};

enum change_of {
	CHANGE_VCPU,
	CHANGE_MEMORY,
	CHANGE_DISK,
	CHANGE_IMAGE,
	CHANGE_COMPOSE,
	CHANGE_TYPE,
	CHANGE_ENV,
	CHANGE_USER_CONFIG,
	CHANGE_PORTS,
	CHANGE_GPUS,
	CHANGE_LISTED,
	CHANGES
};
/* As requests name them: "vcpu", "memory", "disk_size", "image", "compose_file", "instance_type",
 * "encrypted_env", ... */
extern const char *const change_word[CHANGES];

struct change_fit {
	struct cvm_row after;
	char *manifest, *manifest_after; /* app-compose.json, owned */
	bool changes[CHANGES];           /* what would differ */
	bool restart; /* it runs, and none of this can be done to a running guest */
};

/* Would the change fit, with what the CVM holds already? 0, or the refusal it would get. Nothing is
 * changed or promised. */
int vmm_preflight_change(struct vmm *v, const struct cvm_row *cvm, const struct change_ask *ask,
			 struct change_fit *ret, struct err *e);
void change_fit_free(struct change_fit *f);

/* [turn] Check and remember for 14 days. */
int vmm_provision(struct vmm *v, int64_t workspace, const struct cvm_ask *ask,
		  struct provision_result *ret, struct err *e);

/* Who asked, for the operation's record. */
struct request_ref {
	const char *request_id, *caller;
	bool looked;    /* at the host, for this request: see vmm_look() */
	bool automatic; /* the node itself: no client decided it just now */
};

/* [turn] Create: from the ask itself, or from a provision. The operation starts after the commit
 * (unless stopped). */
int vmm_create(struct vmm *v, int64_t workspace, const struct cvm_ask *ask,
	       const struct request_ref *ref, struct cvm_row *ret, struct op_row *ret_op,
	       struct err *e);
struct commit_ask {
	const char *app_id; /* NULL or "": of any app */
	const char *compose_hash;
	const void *encrypted_env;
	size_t encrypted_env_len;
	const json_t *env_keys; /* names in it; NULL = not told */
	int64_t node_id;        /* 0 = this one, as in struct cvm_ask */
	const char *region;
	bool stopped;
};
int vmm_commit(struct vmm *v, int64_t workspace, const struct commit_ask *given,
	       const struct request_ref *ref, struct cvm_row *ret, struct op_row *ret_op,
	       struct err *e);

/* ------------------------------------------------------------------ operating on a CVM */

struct power_ask {
	enum op_kind kind;  /* OP_START, OP_STOP, OP_SHUTDOWN, OP_RESTART, OP_DELETE, OP_RESUME */
	unsigned timeout_s; /* OP_SHUTDOWN and OP_RESTART: graceful for so long, 10..1200; 0 =
			       default (60) */
	bool force;    /* OP_SHUTDOWN: destroy when time is up; OP_RESTART: hard stop at once */
	bool new_disk; /* OP_START, OP_RESTART: an empty disk in place of one that is lost */
};
/* [turn] ERR_BUSY while another operation runs; stop and delete cancel a running create, start,
 * shutdown or restart and follow it. Start of a running CVM and stop of a stopped one succeed with
 * a finished operation; resume of one that is not paused is ERR_CONFLICT. */
int vmm_power(struct vmm *v, const struct cvm_row *cvm, const struct power_ask *ask,
	      const struct request_ref *ref, struct op_row *ret_op, struct err *e);
/* [turn] Ask a running operation to stop and undo what it did. ERR_CONFLICT if it is over. */
int vmm_cancel(struct vmm *v, const char *op_id, struct err *e);

/* [turn] What the node may do with the CVM by itself. *ret: the row after it. */
int vmm_set_policy(struct vmm *v, const struct cvm_row *cvm, const struct policy_ask *ask,
		   struct cvm_row *ret, struct err *e);

/* ------------------------------------------------------------------ maintenance of the node */

/* Make this host the owner of the state folder (owner.c). No daemon may run on it. @lock takes the
 * state lock of a folder. *ret_changed: false when it was the owner already. */
int vmm_accept_host(const char *state_dir, const char *host_root,
		    int (*lock)(const char *dir, struct err *e), bool *ret_changed, struct err *e);

/* [turn] In maintenance there are no new CVMs, and what would be started by itself waits. Off: what
 * a drain took down is started again. */
int vmm_set_maintenance(struct vmm *v, bool on, const char *reason, const struct request_ref *ref,
			struct err *e);
/* [turn] Maintenance, and what runs is shut down: so many at a time, as ordinary operations of the
 * caller VMM_DRAIN. */
#define VMM_DRAIN "teepod:drain"
int vmm_drain(struct vmm *v, const struct power_ask *ask, const char *reason,
	      const struct request_ref *ref, struct err *e);
int vmm_maintenance(struct vmm *v, struct maintenance_row *ret, struct drain_counts *ret_counts,
		    struct err *e);

/* ------------------------------------------------------------------ reading */

/* By UUID (dashed or not, any case), "app_<40hex>", 40 hex, "0x" + 40 hex, "instance_<40hex>",
 * "cvm_<n>", small integer, or name, all in any case. @workspace 0 = all. ERR_CVM_NOT_FOUND;
 * ERR_CVM_AMBIGUOUS also if it is one CVM's name and means another one in another form. */
int vmm_find(struct vmm *v, int64_t workspace, const char *identifier, struct cvm_row *ret,
	     struct err *e);
/* By UUID (dashed, lower case) only: for one that comes from a row, not from a client. */
int vmm_find_uuid(struct vmm *v, int64_t workspace, const char *uuid, struct cvm_row *ret,
		  struct err *e);
/* False if @identifier has another form than a name. */
bool identifier_is_name(const char *identifier);
/* Has @identifier the form of something else, and found @row by its name all the same? */
bool found_by_odd_name(const char *identifier, const struct cvm_row *row);
/* "app_<40 hex>", "0x<40 hex>" or 40 hex: that app's id. */
bool identifier_app(const char *identifier, char app_id[APP_ID_TEXT]);
/* Words that no CVM may be called, whatever their case: @is_reserved is asked. NULL: none. */
void vmm_reserve_names(struct vmm *v, bool (*is_reserved)(const char *name));
/* The same, but an app id means the oldest of its CVMs that is not being deleted.
 * -ERR_CVM_AMBIGUOUS with workspace 0 (all) when several workspaces have the app. */
int vmm_find_first(struct vmm *v, int64_t workspace, const char *identifier, struct cvm_row *ret,
		   struct err *e);
int vmm_cvms(struct vmm *v, const struct cvm_filter *f, int64_t offset, int64_t limit,
	     struct cvm_row **ret, size_t *n, int64_t *ret_total, struct err *e);
int vmm_apps(struct vmm *v, const struct cvm_filter *f, int64_t offset, int64_t limit,
	     struct cvm_row **ret, size_t *n, int64_t *ret_total, struct err *e);
/* -ERR_CVM_AMBIGUOUS with workspace 0 (all) when several workspaces have the app. */
int vmm_app(struct vmm *v, int64_t workspace, const char *app_id, struct app_row *ret,
	    struct err *e);
int vmm_ports(struct vmm *v, int64_t cvm, struct port_row **ret, size_t *n, struct err *e);
/* Manifest text of the CVM's revision, malloc'd. */
int vmm_manifest(struct vmm *v, const struct cvm_row *cvm, char **ret, struct err *e);
/* As it was given, malloc'd; NULL if it has none. */
int vmm_user_config(struct vmm *v, const struct cvm_row *cvm, char **ret, struct err *e);

int vmm_operation(struct vmm *v, const char *op_id, struct op_row *ret, struct err *e);
int vmm_operations(struct vmm *v, const struct op_filter *f, int64_t offset, int64_t limit,
		   struct op_row **ret, size_t *n, int64_t *ret_total, struct err *e);
/* Why an operation failed or was cancelled, as the error value it ended with. False if it did not.
 */
bool vmm_op_error(const struct op_row *o, struct err *ret);
/* Names of the steps of a kind, NULL-terminated, and the index of the one @op stands at: -1 before
 * the first, -2 where this program has no such step. */
const char *const *vmm_steps(enum op_kind kind);
int vmm_step_at(const struct op_row *op);

int vmm_events(struct vmm *v, int64_t workspace, int64_t after_seq, int64_t limit,
	       struct event_row **ret, size_t *n, struct err *e);
int vmm_event_bounds(struct vmm *v, int64_t *oldest, int64_t *newest, struct err *e);
/* For who only reads: @fn(@arg) while all that can be read is committed, now or once the
 * transaction of this turn is over. */
void vmm_read(struct vmm *v, void (*fn)(void *arg), void *arg);
bool vmm_is_uncommitted(const struct vmm *v);
/* @fn(@arg) on the loop after every commit, i.e. when there may be news. Ticket for vmm_unwatch().
 */
void *vmm_watch(struct vmm *v, void (*fn)(void *arg), void *arg);
void vmm_unwatch(struct vmm *v, void *ticket);

/* Folder that holds the CVM's logs (logs.h), valid until the next call. */
const char *vmm_log_dir(struct vmm *v, const struct cvm_row *cvm);

/* ------------------------------------------------------------------ status: a pure function, words
 * per surface */

enum status {
	STATUS_STOPPED,
	STATUS_STARTING,
	STATUS_RUNNING,
	STATUS_STOPPING,
	STATUS_SHUTTING_DOWN,
	STATUS_RESTARTING,
	STATUS_DELETING,
	STATUS_UPDATING,
	STATUS_CRASHED,
	STATUS_EXITED,
	STATUS_PAUSED,
	STATUS_RESUMING,
	STATUS_MAX
};
enum status cvm_status(const struct cvm_row *c);
const char *status_word(enum status s); /* the cloud's vocabulary, both versions */

/* ------------------------------------------------------------------ node, capacity, images */

struct node_info {
	bool hypervisor_up;
	bool foreign;               /* the state folder is not this node's: see maintenance */
	char hypervisor_error[400]; /* why not */
	char libvirt[16], qemu[16];
	bool tdx, kvm;
	char tdx_reason[160];
	const char *mode; /* "tdx" or "development" */
	/* What a CVM that says nothing gets: "tdx", "none", or NULL: not known before the
	 * hypervisor is, or none can start. */
	const char *tee;
};
void vmm_node(const struct vmm *v, struct node_info *ret);

/* Can this host run TDX guests? As of *ret_at (wall clock, ms); what is older than a minute is read
 * again for the next call. False while nothing has been read yet. */
bool vmm_host_checks(struct vmm *v, struct host_check ret[HOST_CHECKS], int64_t *ret_at);

/* "vcpus", "memory_mib" (ordinary pages), "disk_gib", "slots", "cids", "host_ports", "tdx_keyids",
 * "gpus". */
enum { CAPACITY_ROWS = 8 };
int vmm_capacity(struct vmm *v, struct capacity_row ret[CAPACITY_ROWS], struct err *e);

/* GPUs and NVSwitches of the host, as of the last look; *ret malloc'd, by address. */
int vmm_devices(struct vmm *v, struct device_row **ret, size_t *n, struct err *e);
/* Those that a CVM holds: GPUs first. */
int vmm_devices_of(struct vmm *v, int64_t cvm, struct device_row **ret, size_t *n, struct err *e);
enum device_state { DEVICE_FREE, DEVICE_RESERVED, DEVICE_IN_USE, DEVICE_BROKEN, DEVICE_STATES };
extern const char *const device_state_word[DEVICE_STATES];
/* Pure. Why it is not free, "" where its holder says enough, into @why. */
enum { DEVICE_WHY = 200 };
enum device_state device_state(const struct device_row *d, char why[DEVICE_WHY]);
/* NUMA nodes of the host with their hugepages, as of the last look. */
int vmm_numa_nodes(struct vmm *v, struct numa_row **ret, size_t *n, struct err *e);
/* Look at the host's devices and NUMA nodes again; @done when what was found is committed (or could
 * not be found out). Requests that want devices or hugepages are refused until it was done for
 * them, with an error that is worth a look. */
void vmm_look(struct vmm *v, void (*done)(void *arg), void *arg);
/* Might a look change this refusal? Ask again with .looked set. */
bool vmm_worth_a_look(const struct err *e);
/* Read from the host what the refusal @why says is not known: devices and NUMA nodes (unless
 * @looked), or which ports other processes hold. True: @done will be called, and must apply the
 * request again before it returns. False: the refusal is final. */
bool vmm_look_again(struct vmm *v, const struct err *why, bool looked, void (*done)(void *arg),
		    void *arg);
int vmm_cvm_counts(struct vmm *v, int64_t count[DESIRED_MAX][OBSERVED_MAX], struct err *e);

int vmm_images(struct vmm *v, int dev, int64_t offset, int64_t limit, struct image_row **ret,
	       size_t *n, struct err *e);
int vmm_image(struct vmm *v, const char *name, struct image_row *ret, struct err *e);
enum image_state {
	IMAGE_AVAILABLE,
	IMAGE_MISSING, /* its folder, or a file of it */
	IMAGE_CHANGED, /* size or time of a file is not what was recorded: its content is compared
			  before a CVM starts from it */
	IMAGE_UNKNOWN, /* could not be looked at */
	IMAGE_STATES
};
extern const char *const image_state_word[IMAGE_STATES]; /* "available", ... */
struct image_look {
	enum image_state state;
	char reason[320]; /* ASCII; "" if available */
};
/* The state of the files of @rows, found out in a job: @done on the loop, with @n of them;
 * perhaps before this returns. */
void vmm_images_look(struct vmm *v, const struct image_row *rows, size_t n,
		     void (*done)(void *arg, const struct image_look *looks), void *arg);
/* Import from a folder or tar on this host; verification runs in a job, @done on the loop with the
 * row or an error. */
void vmm_image_import(struct vmm *v, const char *source, const char *name, int64_t workspace,
		      void (*done)(void *arg, const struct image_row *row, const struct err *e),
		      void *arg);
/* Refused (ERR_IN_USE) while a CVM uses it. */
void vmm_image_delete(struct vmm *v, const char *name, void (*done)(void *arg, const struct err *e),
		      void *arg);

/* Are the files of images and the disks of CVMs as their rows say? One line a finding into @out;
 * returns their number. Opens read-only. */
struct buf;
int vmm_check_files(const char *state_dir, const char *images_dir, struct buf *out, struct err *e);

/* Prometheus text: CVMs, capacity, operations, commits, loop lag. */
void vmm_metrics(struct vmm *v, struct buf *out);

#endif
