/* SPDX-License-Identifier: Apache-2.0
 * rows.h - rows as structs, and the functions that read and write them. No policy, no transactions:
 * callers are inside a turn.
 *
 * Reading functions return 0 (or a count), -ERR_NOT_FOUND without filling *e when nothing matches,
 * or another negative code with *e filled. Fixed-size texts are cut at their size.
 */
#ifndef TEEPOD_DB_ROWS_H
#define TEEPOD_DB_ROWS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/id.h"
#include "db/db.h"

enum { APP_ID_TEXT = 41, NAME_TEXT = 64, PROGRESS_TEXT = 128, ADDRESS_TEXT = 46, NODES_TEXT = 64 };
/* "tok_3 (name)", "uid:0", "cert:name", "teepod:drain": who asked, as records show it. */
enum { WHO_TEXT = 128 };

/* ------------------------------------------------------------------ workspaces and API keys */

/* What a workspace can be limited in. Only vCPUs and memory are given back by stopping
 * (release_on_stop). */
enum quota { QUOTA_VCPUS, QUOTA_MEMORY, QUOTA_DISK, QUOTA_CVMS, QUOTA_GPUS, QUOTA_PORTS, QUOTAS };
extern const char *const quota_word[QUOTAS]; /* "vcpus", "memory_mib", ... "host_ports" */

struct workspace_row {
	int64_t id, apps, cvms; /* counts are kept by triggers */
	char slug[NAME_TEXT], name[NAME_TEXT];
	int64_t created_ms;
	int64_t max[QUOTAS];  /* -1 = unlimited */
	int64_t held[QUOTAS]; /* kept by triggers */
	int64_t balance;      /* micro-units: the sum of its ledger */
};

int workspaces_ensure(struct db *db, const char *slug, int64_t *ret_id, struct err *e);
int workspaces_get(struct db *db, int64_t id, struct workspace_row *ret, struct err *e);
/* By slug or "ws_<id>". Deleted ones are found by neither. */
int workspaces_find(struct db *db, const char *slug, struct workspace_row *ret, struct err *e);
/* By slug; *ret malloc'd. Returns the total. */
int workspaces_list(struct db *db, int64_t offset, int64_t limit, struct workspace_row **ret,
		    size_t *n, struct err *e);
/* 1 added, 0 the slug is taken. */
int workspaces_add(struct db *db, const char *slug, const char *name, int64_t *ret_id,
		   struct err *e);
/* Its name and limits, as in @row. */
int workspaces_set(struct db *db, const struct workspace_row *row, struct err *e);
/* It has no CVMs. The row stays, for its ledger and so that its id is never another's; its slug is
 * free again, its keys are revoked. */
int workspaces_delete(struct db *db, int64_t id, int64_t now_ms, struct err *e);

enum { KEY_PREFIX_TEXT = 16 };

struct key_row {
	int64_t id, workspace;
	char workspace_slug[NAME_TEXT];
	char name[NAME_TEXT];
	int role;                                     /* reader 1, tenant 2, operator 3, admin 4 */
	char prefix[KEY_PREFIX_TEXT];                 /* how its text begins; "" of older keys */
	int64_t per_minute;                           /* requests, 0 = no limit */
	int64_t created_ms, expires_ms, last_used_ms; /* 0 = never */
	int64_t parent;                               /* the key that made it; 0 = none did */
};

int keys_add(struct db *db, const struct key_row *row, const uint8_t hash[SHA256_LEN],
	     int64_t *ret_id, struct err *e);
/* Neither revoked ones nor those of deleted workspaces are found; expired ones are. */
int keys_find(struct db *db, const uint8_t hash[SHA256_LEN], struct key_row *ret, struct err *e);
int keys_get(struct db *db, int64_t id, struct key_row *ret, struct err *e);
/* Of @workspace (0 = all), with at most @role, oldest first. *ret malloc'd. Returns the total. */
int keys_list(struct db *db, int64_t workspace, int role, int64_t offset, int64_t limit,
	      struct key_row **ret, size_t *n, struct err *e);
/* How many @workspace has that still open anything at @now_ms. */
int keys_count(struct db *db, int64_t workspace, int64_t now_ms, int64_t *ret, struct err *e);
/* When the @nth newest of those made after @since_ms (and not in the future of @now_ms) was made,
 * revoked ones too; 0 = fewer. */
int keys_made_since(struct db *db, int64_t workspace, int64_t since_ms, int64_t now_ms, int64_t nth,
		    int64_t *ret_ms, struct err *e);
/* Also those made by it, those made by these, and so on: an open key has no revoked one above it.
 * ERR_NOT_FOUND if it is revoked already. */
int keys_revoke(struct db *db, int64_t id, int64_t now_ms, struct err *e);
/* The same for all of @workspace; what they made elsewhere goes with them. */
int keys_revoke_workspace(struct db *db, int64_t workspace, int64_t now_ms, struct err *e);
int keys_set_used(struct db *db, int64_t id, int64_t now_ms, struct err *e);
/* As ops_prune(), of those that were revoked or expired before. The newest key stays: its id must
 * not become another's. */
int keys_prune(struct db *db, int64_t before_ms, struct err *e);

/* ------------------------------------------------------------------ images */

struct image_row {
	int64_t id;
	char name[65], family[65], version[32], os_image_hash[SHA256_HEX];
	unsigned v[4], nv;
	bool is_dev;
	bool serial_progress; /* the guest reports its boot on the serial console */
	int64_t bytes, created_ms;
};

int images_add(struct db *db, const struct image_row *row, int64_t *ret_id, struct err *e);
int images_remove(struct db *db, int64_t id, struct err *e);
/* Its files as they were when their content was verified: images.h, image_record_read(). "" =
 * not known. *ret malloc'd. */
int images_files(struct db *db, int64_t id, char **ret, struct err *e);
int images_set_files(struct db *db, int64_t id, const char *files, struct err *e);
/* CVMs made from it, or being changed to or from it. */
int images_used(struct db *db, int64_t id, struct err *e);
int images_by_name(struct db *db, const char *name, struct image_row *ret, struct err *e);
/* Newest of @family ("" = any); @dev: 1 only dev, 0 only production, -1 either. */
int images_newest(struct db *db, const char *family, int dev, struct image_row *ret, struct err *e);
/* Newest first. *ret malloc'd. @dev as above. Returns the total. */
int images_list(struct db *db, int dev, int64_t offset, int64_t limit, struct image_row **ret,
		size_t *n, struct err *e);

/* ------------------------------------------------------------------ apps, revisions, provisions */

struct app_row {
	int64_t id, workspace, cvms;
	char app_id[APP_ID_TEXT], name[NAME_TEXT];
	int64_t created_ms;
	int64_t current_cvm; /* newest live CVM, 0 if none */
};

struct revision_row {
	int64_t id, app;
	char compose_hash[SHA256_HEX];
	char *manifest; /* app-compose.json text, owned; NULL where only the row is asked for */
	bool public_logs, public_sysinfo, public_tcbinfo, gateway_enabled, kms_enabled, secure_time;
	char storage_fs[8];
};

int apps_ensure(struct db *db, int64_t workspace, const char *app_id, const char *name,
		int64_t *ret_id, struct err *e);
int apps_find(struct db *db, int64_t workspace, const char *app_id, struct app_row *ret,
	      struct err *e);
int revisions_ensure(struct db *db, const struct revision_row *row, int64_t *ret_id, struct err *e);
/* Manifest text of a revision, malloc'd. */
int revisions_manifest(struct db *db, int64_t id, char **ret, struct err *e);

/* ------------------------------------------------------------------ records.c */

/* Rows that a workspace can make without holding anything for them, with a limit of bytes for each
 * kind. Operations are limited by number. */
enum record { RECORD_PROVISIONS, RECORD_REVISIONS, RECORD_ANSWERS, RECORD_EVENTS, RECORDS };
extern const char *const record_word[RECORDS];

/* What they take in the file, about. Workspace 0: answers to operators. */
int records_bytes(struct db *db, int64_t workspace, enum record kind, int64_t *ret, struct err *e);
int records_total(struct db *db, enum record kind, int64_t *ret, struct err *e);
/* The first workspace above number @after that has more than @limit bytes of them; 0 = none. */
int records_over(struct db *db, enum record kind, int64_t limit, int64_t after,
		 int64_t *ret_workspace, struct err *e);
/* When the oldest of them was written, 0 = there is none. */
int records_oldest(struct db *db, int64_t workspace, enum record kind, int64_t *ret_ms,
		   struct err *e);
/* Drop the oldest entries of histories that nothing needs, at most @most, and their revisions.
 * Returns how many entries were dropped. */
int history_drop(struct db *db, int64_t workspace, int most, struct err *e);
/* Drop the oldest provisions that were used, at most @most. Returns how many. */
int provisions_drop(struct db *db, int64_t workspace, int most, struct err *e);

/* A provision: everything a later create needs, as validated JSON text. Kept 14 days. */
int provisions_put(struct db *db, int64_t workspace, const char *app_id, const char *compose_hash,
		   const char *request, const char *manifest, int64_t expires_ms, struct err *e);
/* A CVM was made from it, or changed to it: it may be dropped when room is needed. */
int provisions_set_used(struct db *db, int64_t workspace, const char *app_id,
			const char *compose_hash, struct err *e);
/* As ops_prune(), of those that expired before @now_ms. */
int provisions_prune(struct db *db, int64_t now_ms, struct err *e);
/* @app_id "" = any. Texts malloc'd. Expired ones are not found. */
int provisions_get(struct db *db, int64_t workspace, const char *app_id, const char *compose_hash,
		   char **ret_request, char **ret_manifest, char ret_app_id[APP_ID_TEXT],
		   struct err *e);

/* ------------------------------------------------------------------ CVMs */

enum desired { DESIRED_STOPPED, DESIRED_RUNNING, DESIRED_DELETED, DESIRED_MAX };
enum observed {
	OBSERVED_ABSENT,
	OBSERVED_OFF,
	OBSERVED_CRASHED,
	OBSERVED_RUNNING,
	OBSERVED_PAUSED,
	OBSERVED_MAX
};
/* Why a guest is paused. NOT: it is not. */
enum paused { PAUSED_NOT, PAUSED_NOSPC, PAUSED_IOERROR, PAUSED_OTHER, PAUSED_MAX };
enum op_kind {
	OP_CREATE,
	OP_START,
	OP_STOP,
	OP_SHUTDOWN,
	OP_RESTART,
	OP_DELETE,
	OP_RESIZE,
	OP_UPGRADE,
	OP_RESUME,
	OP_KINDS
};
enum op_state { OP_QUEUED, OP_RUNNING, OP_SUCCEEDED, OP_FAILED, OP_CANCELLED, OP_STATES };

extern const char *const desired_word[DESIRED_MAX];
extern const char *const observed_word[OBSERVED_MAX];
extern const char *const paused_word[PAUSED_MAX]; /* "", "nospc", "ioerror", "other" */
extern const char *const op_kind_word[OP_KINDS];
extern const char *const op_state_word[OP_STATES];

enum restart_policy { RESTART_ON_CRASH, RESTART_NEVER, RESTART_ALWAYS, RESTART_POLICIES };

/* How the guest came to its end, as far as that decides about its next start. */
enum ended {
	ENDED_NOT,     /* it runs, or never did */
	ENDED_OFF,     /* in an orderly way: it powered off, or somebody ended it */
	ENDED_CRASHED, /* QEMU died */
	ENDED_FAILED,  /* a start by ourselves failed */
	ENDED_LOST,    /* nobody saw it, as when the host went down */
	ENDED_MAX
};

/* What the node is to do with it when it is its turn (pace.c). */
enum turn_for { TURN_NONE, TURN_START, TURN_DRAIN, TURN_DRAINED, TURN_MAX };

extern const char *const restart_policy_word[RESTART_POLICIES];
extern const char *const ended_word[ENDED_MAX];
extern const char *const turn_word[TURN_MAX];

struct cvm_policy {
	int64_t generation; /* counts changes of what a client sets; see schema.c */
	enum restart_policy restart;
	bool auto_start;
	int64_t start_order; /* lower first */
	/* Where the policies are with it. */
	enum ended ended;
	enum turn_for turn;
	int64_t attempts, next_ms; /* restarts since the last good run; when the next one is due
				      (wall clock), 0 = none */
	bool exhausted;            /* no more of them */
};

struct cvm_row {
	int64_t id; /* small integer: the v25 id; "cvm_<id>" is the v26 id */
	char uuid[UUID_TEXT];
	int64_t workspace, app, revision, image;
	char name[NAME_TEXT];
	char app_id[APP_ID_TEXT];
	char instance_id[APP_ID_TEXT];       /* "" until known */
	char instance_type[NAME_TEXT];       /* "" = custom */
	int64_t vcpus, memory_mib, disk_gib; /* as asked for */
	int64_t disk_made; /* GiB the disk was seen to have; 0 = none was made yet */
	/* As the guest gets them: with hugepages rounded up to what its NUMA nodes can share
	 * evenly. 0 in cvms_insert() = as asked. */
	int64_t given_vcpus, given_memory_mib;
	bool holds_cpu; /* vCPUs, memory, hugepages and its TDX key id are promised to it now */
	uint32_t cid;
	bool tdx;
	int64_t tdx_policy;                     /* attributes of the TD */
	char mr_owner[97], mr_owner_config[97]; /* hex; "" = zeros */
	bool listed;
	enum desired desired;
	enum observed observed;
	enum paused paused;
	int64_t boot; /* number of the current or last boot, 0 = never started */
	int64_t created_ms, started_ms, stopped_ms; /* 0 = never */
	char boot_progress[PROGRESS_TEXT], boot_error[PROGRESS_TEXT],
		shutdown_progress[PROGRESS_TEXT];
	char networks[512]; /* "user,bridge:br0"; "" = one user interface (rows of schema 1) */
	bool hugepages, pin_numa;
	char numa_nodes[NODES_TEXT]; /* host nodes chosen at admission, ascending: "0,1"; "" = not
					bound to any. Measured, so kept for life */
	char gpu_attach[8];          /* "" = none, "listed", "all" */
	int64_t gpus, nvswitches;    /* counted: devices it holds, or would be given */
	int64_t host_ports;          /* counted: of both states while it is changed */
	struct cvm_policy policy;
	/* joined: */
	char compose_hash[SHA256_HEX];
	bool public_logs, public_sysinfo, public_tcbinfo, gateway_enabled, secure_time;
	char storage_fs[8];
	char image_name[65], image_version[32], image_hash[SHA256_HEX];
	bool image_dev, serial_progress;
	char op_id[UUID_TEXT]; /* running operation, "" if none */
	enum op_kind op_kind;
	int64_t op_started_ms;
};

struct port_row {
	bool udp;
	char host_address[ADDRESS_TEXT];
	uint16_t host_port, vm_port;
};

/* Secrets and files of a CVM, not part of lists. */
struct cvm_blobs {
	void *encrypted_env; /* owned, NULL if none */
	size_t encrypted_env_len;
	char *user_config; /* owned, NULL if none */
};

int cvms_insert(struct db *db, const struct cvm_row *row, const struct cvm_blobs *blobs,
		int64_t *ret_id, struct err *e);
int cvms_get(struct db *db, int64_t id, struct cvm_row *ret, struct err *e);
int cvms_by_uuid(struct db *db, const char *uuid, struct cvm_row *ret, struct err *e);
int cvms_blobs(struct db *db, int64_t id, struct cvm_blobs *ret, struct err *e);
void cvm_blobs_free(struct cvm_blobs *b);

enum cvm_key { CVM_BY_UUID, CVM_BY_ID, CVM_BY_NAME, CVM_BY_APP, CVM_BY_INSTANCE, CVM_KEYS };
/* A name in any case. Up to @max matches in @workspace (0 = all) into @ret; returns how many there
 * are in all. */
int cvms_find(struct db *db, int64_t workspace, enum cvm_key by, const char *value,
	      struct cvm_row *ret, size_t max, struct err *e);

struct cvm_filter {
	int64_t workspace;         /* 0 = all */
	const char *app_id;        /* NULL = any */
	const char *search;        /* substring of name, app_id or image name; NULL = any */
	const char *image;         /* image name; NULL */
	const char *instance_type; /* NULL */
	int listed;                /* -1 either */
	int64_t after_id; /* only rows with a larger id, oldest first; 0 = newest first from the
			     start */
};
/* Newest first (or by id after after_id). *ret malloc'd. *ret_total (may be NULL) counts without
 * paging. */
int cvms_list(struct db *db, const struct cvm_filter *f, int64_t offset, int64_t limit,
	      struct cvm_row **ret, size_t *n, int64_t *ret_total, struct err *e);
/* Newest CVM of each app, newest app first: what GET /apps shows. Same filter. */
int cvms_list_apps(struct db *db, const struct cvm_filter *f, int64_t offset, int64_t limit,
		   struct cvm_row **ret, size_t *n, int64_t *ret_total, struct err *e);
/* CVMs the hypervisor may know of: seen there before, or wanted running. *ret malloc'd. */
struct cvm_seen {
	int64_t id;
	char uuid[UUID_TEXT];
	enum observed observed;
};
int cvms_seen(struct db *db, struct cvm_seen **ret, size_t *n, struct err *e);
/* CVMs by desired/observed for metrics: count[desired][observed]. */
int cvms_count(struct db *db, int64_t count[DESIRED_MAX][OBSERVED_MAX], struct err *e);

int cvms_set_desired(struct db *db, int64_t id, enum desired d, struct err *e);
/* @p is PAUSED_NOT unless @o is OBSERVED_PAUSED. */
int cvms_set_observed(struct db *db, int64_t id, enum observed o, enum paused p, struct err *e);
/* CVMs that wait for space on the disk and are wanted running, oldest first. *ret malloc'd. */
int cvms_without_space(struct db *db, struct cvm_seen **ret, size_t *n, struct err *e);
int cvms_set_holds_cpu(struct db *db, int64_t id, bool holds, struct err *e);
/* A new boot begins: number + 1, progress and errors cleared, started now. */
int cvms_begin_boot(struct db *db, int64_t id, int64_t now_ms, int64_t *ret_boot, struct err *e);
int cvms_set_stopped(struct db *db, int64_t id, int64_t now_ms, struct err *e);
/* @which: "boot_progress", "boot_error", "shutdown_progress". */
int cvms_set_progress(struct db *db, int64_t id, const char *which, const char *text,
		      struct err *e);
/* The row, its ports and reservation; the app too when this was its last CVM. */
int cvms_forget(struct db *db, int64_t id, struct err *e);

/* ------------------------------------------------------------------ policies */

/* The three a client sets. */
int cvms_set_policy(struct db *db, int64_t id, const struct cvm_policy *p, struct err *e);
/* How it ended; ENDED_NOT also clears a start that was due. */
int cvms_set_ended(struct db *db, int64_t id, enum ended ended, struct err *e);
/* Attempts, next one due, exhausted. */
int cvms_set_restart(struct db *db, int64_t id, int64_t attempts, int64_t next_ms, bool exhausted,
		     struct err *e);
int cvms_set_turn(struct db *db, int64_t id, enum turn_for turn, struct err *e);
/* All that are @from become @to. Returns how many. */
int cvms_move_turns(struct db *db, enum turn_for from, enum turn_for to, struct err *e);
/* Wanted running, down, nobody saw why, none is working on it, and it may be started by itself: it
 * is its turn to start. Returns how many. */
int cvms_turn_to_start(struct db *db, struct err *e);
/* Those that run, or would by themselves (a start under way, a restart due), are to be shut down.
 * Returns how many. */
int cvms_turn_to_drain(struct db *db, struct err *e);
struct drain_counts {
	int64_t waiting, under_way; /* to be shut down; being shut down */
	int64_t running,
		down; /* did not go down in time; are down, and start again when maintenance ends */
	int64_t starting; /* wait for their turn to start */
};
int cvms_drain_counts(struct db *db, struct drain_counts *ret, struct err *e);
/* Whose turn it is next: the lowest (start_order, id) to start, or the highest to be shut down. Not
 * one that is worked on. */
int cvms_next_turn(struct db *db, enum turn_for turn, int64_t *ret_id, int64_t *ret_order,
		   struct err *e);
/* Operations under way that the node began by itself: all of them, those of @kind, and what
 * start_orders these have. */
struct turn_load {
	int64_t n, of_kind, lowest, highest;
};
int cvms_by_themselves(struct db *db, enum op_kind kind, struct turn_load *ret, struct err *e);
/* CVMs wanted running that the restart policy may have to look at: down, or with attempts behind
 * them. *ret malloc'd. */
struct restart_row {
	int64_t id;
	enum restart_policy policy;
	enum ended ended;
	int64_t attempts, next_ms, started_ms, stopped_ms;
	bool exhausted, busy; /* an operation runs */
};
int cvms_restarts(struct db *db, struct restart_row **ret, size_t *n, struct err *e);

struct maintenance_row {
	bool on;
	char reason[200], caller[WHO_TEXT];
	int64_t since_ms;
	unsigned timeout_s; /* of a drain: how long guests have, and whether they are then stopped
			       hard */
	bool force;
};
/* *ret is all zero outside of maintenance. */
int maintenance_get(struct db *db, struct maintenance_row *ret, struct err *e);
int maintenance_set(struct db *db, const struct maintenance_row *row, struct err *e);

/* Whose database this is: vmm/node/owner.c. */
struct owner_row {
	char marker[UUID_TEXT];   /* random id, also in the marker file */
	int64_t inode;            /* of the marker file */
	char machine[SHA256_HEX]; /* of the machine-id */
	char host[64], dir[4096]; /* host name, state folder; for messages, and to find the original
				     of a copy */
};
/* -ERR_NOT_FOUND without *e filled: nobody has owned it so far. */
int owner_get(struct db *db, struct owner_row *ret, struct err *e);
int owner_set(struct db *db, const struct owner_row *row, struct err *e);

int ports_add(struct db *db, int64_t cvm, const struct port_row *p, struct err *e);
int ports_of(struct db *db, int64_t cvm, struct port_row **ret, size_t *n, struct err *e);
/* Does a CVM other than @but hold (protocol, port) on @address, or on any address when one of the
 * two is a wildcard? 1/0. *ret_name is its name, "" when it belongs to another workspace than
 * @workspace. */
int ports_holder(struct db *db, int64_t workspace, int64_t but, bool udp, const char *address,
		 uint16_t port, char ret_name[NAME_TEXT], struct err *e);
/* The first port of @from..@to that no CVM but @but has: 1 found, 0 there is none. */
int ports_first_free(struct db *db, int64_t but, bool udp, const char *address, uint16_t from,
		     uint16_t to, uint16_t *ret, struct err *e);
int cids_taken(struct db *db, uint32_t cid, struct err *e);

/* ------------------------------------------------------------------ capacity */

struct capacity_row {
	char resource[16]; /* "vcpus", "memory_mib", "disk_gib", "slots", "cids", "host_ports",
			      "tdx_keyids", "gpus" */
	int64_t total, promised; /* total -1: not configured */
};

int capacity_set_total(struct db *db, const char *resource, int64_t total, struct err *e);
int capacity_get(struct db *db, const char *resource, struct capacity_row *ret, struct err *e);
/* Promise @amount if promised + amount <= total: 1 done, 0 not enough. */
int capacity_take(struct db *db, const char *resource, int64_t amount, struct err *e);
/* Promise @amount whatever the total: of a resource whose total is not known. */
int capacity_add(struct db *db, const char *resource, int64_t amount, struct err *e);
int capacity_give(struct db *db, const char *resource, int64_t amount, struct err *e);
/* Set promised from the rows (start-up), of NUMA nodes too; *ret_changed says whether it differed.
 */
int capacity_recount(struct db *db, bool *ret_changed, struct err *e);

/* ------------------------------------------------------------------ devices: GPUs and NVSwitches
 * by PCI address */

enum device_kind { DEVICE_GPU, DEVICE_NVSWITCH, DEVICE_KINDS };
extern const char *const device_kind_word[DEVICE_KINDS];

enum { PCI_TEXT = 13, PRODUCT_TEXT = 10, DRIVER_TEXT = 32 };

struct device_row {
	char address[PCI_TEXT]; /* "0000:18:00.0" */
	enum device_kind kind;
	char product_id[PRODUCT_TEXT]; /* "10de:2335" */
	char description[80];
	unsigned numa_node;       /* -1 of the kernel (unknown) is 0 */
	int iommu_group;          /* -1 = none */
	char driver[DRIVER_TEXT]; /* bound to at the last look, "" = none */
	bool opened;  /* bound to vfio-pci and enabled, by no CVM of ours, at the last look: another
			 program uses it */
	bool offered; /* may be asked for */
	bool present;
	char broken_reason[160]; /* "" = it is well */
	int64_t cvm;             /* held by, 0 = nobody */
	/* joined, of the holder: */
	char cvm_uuid[UUID_TEXT];
	int64_t workspace;
	bool cvm_up;
};

/* What is there, by discovery: everything but the holder. */
int devices_put(struct db *db, const struct device_row *row, struct err *e);
/* Before the devices found are put: none is present. Afterwards those gone and not held are
 * forgotten. */
int devices_begin(struct db *db, struct err *e);
int devices_end(struct db *db, struct err *e);
/* By address. *ret malloc'd. */
int devices_list(struct db *db, struct device_row **ret, size_t *n, struct err *e);
/* Held by @cvm, GPUs first, each by address. *ret malloc'd. */
int devices_of(struct db *db, int64_t cvm, struct device_row **ret, size_t *n, struct err *e);
/* Reserve for @cvm, until its row goes, if nobody holds it: 1 done, 0 held (or gone). */
int devices_take(struct db *db, const char *address, int64_t cvm, struct err *e);

/* ------------------------------------------------------------------ NUMA nodes and their hugepages
 */

struct numa_row {
	unsigned node;
	char cpus[1024]; /* as the kernel lists them: "0-31,64-95" */
	int64_t vcpus, memory_mib;
	int64_t page_kib;      /* the host's default hugepage */
	int64_t hugepages_mib; /* set aside, of that size */
	int64_t foreign_mib;   /* of these in use by others than our CVMs, at the last look */
	bool present;
	int64_t hugepages_promised, pinned_promised; /* MiB */
};

struct cvm_node_row {
	unsigned node;
	int64_t hugepages_mib, pinned_mib; /* one of them is 0 */
};

/* What is there, by discovery; @free_mib of hugepages_mib are free by the kernel's count
 * (foreign_mib follows from it). */
int numa_put(struct db *db, const struct numa_row *row, int64_t free_mib, struct err *e);
int numa_begin(struct db *db, struct err *e);
int numa_end(struct db *db, struct err *e);
int numa_list(struct db *db, struct numa_row **ret, size_t *n, struct err *e);
/* Promise @row to @cvm (whose row is there, and counts while holds_cpu): 1 done, 0 not enough
 * hugepages free. */
int numa_take(struct db *db, int64_t cvm, const struct cvm_node_row *row, bool holds,
	      struct err *e);
/* Promise of the node alone, for whoever writes the CVM's row beside it: 1 done, 0 not enough. */
int numa_promise(struct db *db, const struct cvm_node_row *row, struct err *e);
/* Promise (@hold) or give back what the CVM's rows say: 1 done, 0 not enough. Rows stay. */
int numa_hold(struct db *db, int64_t cvm, bool hold, struct err *e);
int numa_of(struct db *db, int64_t cvm, struct cvm_node_row **ret, size_t *n, struct err *e);

/* ------------------------------------------------------------------ operations */

enum { OP_STEP_TEXT = 24 };

struct op_row {
	char id[UUID_TEXT];
	int64_t cvm; /* row; the CVM may be gone by now */
	char cvm_uuid[UUID_TEXT], cvm_name[NAME_TEXT];
	int64_t workspace;
	enum op_kind kind;
	enum op_state state;
	char step[OP_STEP_TEXT]; /* by its name in the kind's table; "": before the first */
	int table_version;       /* of that table */
	bool undoing;
	bool cancel;      /* cancel asked for */
	char params[128]; /* JSON: {"timeout_s":30,"force":true,"stopped":false} */
	char error[1024]; /* error envelope as JSON, "" */
	char request_id[65], caller[WHO_TEXT];
	int64_t created_ms, started_ms, finished_ms;
};

int ops_insert(struct db *db, const struct op_row *row, struct err *e);
int ops_update(struct db *db, const struct op_row *row, struct err *e);
int ops_get(struct db *db, const char *id, struct op_row *ret, struct err *e);
/* The running operation of a CVM. */
int ops_running_of(struct db *db, int64_t cvm, struct op_row *ret, struct err *e);
int ops_queued_of(struct db *db, int64_t cvm, struct op_row *ret, struct err *e);
/* 1 if an operation of the CVM ended, since its last successful start, without an answer to its
 * step @start or with that step undone; else 0. What was asked of the hypervisor then may still
 * happen. */
int ops_start_in_doubt(struct db *db, const char *cvm_uuid, const char *start, struct err *e);
/* 1 if the log of operations has any of the CVM; else 0. */
int ops_knows(struct db *db, const char *cvm_uuid, struct err *e);
/* 1: the newest operation of the CVM was to take its guest down, and failed or was cancelled before
 * it had, at @since_ms or later. */
int ops_asked_down(struct db *db, const char *cvm_uuid, int64_t since_ms, struct err *e);
struct op_filter {
	int64_t workspace;    /* 0 = all */
	const char *cvm_uuid; /* NULL = any */
	int state;            /* -1 = any */
	bool live;            /* only queued and running, oldest first; else newest first */
	bool skip_bad;        /* rows that cannot be read (db_bad_row()) are logged and left out */
};
int ops_list(struct db *db, const struct op_filter *f, int64_t offset, int64_t limit,
	     struct op_row **ret, size_t *n, int64_t *ret_total, struct err *e);
/* Forgetting old rows: at most PRUNE_MAX at a time, oldest first, because a turn of the loop must
 * stay short. Returns how many. */
enum { PRUNE_MAX = 1000, PRUNE_LONG = 32 }; /* PRUNE_LONG: of rows that may be a MiB long */
int ops_prune(struct db *db, int64_t finished_before_ms, struct err *e);
/* Where a workspace has more than @most operations: forget its two oldest that are finished. */
int ops_trim(struct db *db, int64_t workspace, int64_t most, struct err *e);

/* ------------------------------------------------------------------ changes.c: a CVM has two
 * states while it is changed */

/* The state of a CVM that it does not have now: what it will be, or, once @applied, what it was. */
struct change_row {
	char op[UUID_TEXT];
	int64_t cvm;
	bool applied;
	char changed[256]; /* JSON array of words: what differs */
	int64_t revision, image;
	char instance_type[NAME_TEXT];
	int64_t vcpus, memory_mib, disk_gib, given_vcpus, given_memory_mib;
	char numa_nodes[NODES_TEXT];
	char gpu_attach[8];
	bool listed;
	struct cvm_blobs blobs; /* owned: cvm_blobs_free() */
};

int changes_insert(struct db *db, const struct change_row *row, struct err *e);
/* By operation. */
int changes_get(struct db *db, const char *op, struct change_row *ret, struct err *e);
int changes_remove(struct db *db, const char *op, struct err *e);
/* The CVM's row, ports, devices and shares become those of @row and the other way round,
 * @row->applied turns; all but the disk's size. */
int changes_swap(struct db *db, struct change_row *row, struct err *e);
/* The size it is to have, and the one it was seen to have. */
int cvms_set_disk(struct db *db, int64_t id, int64_t gib, int64_t made, struct err *e);

/* The other state's ports become @p[n]; the present ones stay. *ret_new of them are held in
 * addition. */
int ports_plan(struct db *db, int64_t cvm, const struct port_row *p, size_t n, int64_t *ret_new,
	       struct err *e);
/* Ports of the other state. *ret malloc'd. */
int ports_other(struct db *db, int64_t cvm, struct port_row **ret, size_t *n, struct err *e);
/* The present state is the only one again; *ret_gone ports are given back. */
int ports_settle(struct db *db, int64_t cvm, int64_t *ret_gone, struct err *e);

/* The other state's devices become @d[n]: 1 done, 0 one of them is held by another CVM (or gone).
 */
int devices_plan(struct db *db, int64_t cvm, const struct device_row *d, size_t n, struct err *e);
int devices_settle(struct db *db, int64_t cvm, struct err *e);

/* The other state's shares become @rows[n], what they need beyond the present ones is promised if
 * @holds: 1 done, 0 not enough. */
int numa_plan(struct db *db, int64_t cvm, const struct cvm_node_row *rows, size_t n, bool holds,
	      struct err *e);
int numa_settle(struct db *db, int64_t cvm, bool holds, struct err *e);

/* ------------------------------------------------------------------ history.c: what the CVMs of an
 * app were */

/* A CVM was created, or became another. */
struct history_row {
	int64_t id, app, number; /* number: 1, 2, ... per app; history_add() gives it */
	int64_t revision;
	char cvm_uuid[UUID_TEXT];
	char image[65];    /* name */
	char changed[256]; /* JSON array of words */
	char op[UUID_TEXT], caller[WHO_TEXT];
	int64_t created_ms;
	char compose_hash[SHA256_HEX]; /* joined */
	bool current;                  /* the CVM is there, and has not become another since */
};

int history_add(struct db *db, const struct history_row *row, struct err *e);
/* Take back what the operation has added. */
int history_remove(struct db *db, const char *op, struct err *e);
/* Newest first. *ret malloc'd. */
int history_list(struct db *db, int64_t app, int64_t offset, int64_t limit,
		 struct history_row **ret, size_t *n, int64_t *ret_total, struct err *e);
/* One entry; -ERR_NOT_FOUND without *e filled when there is none. */
int history_get(struct db *db, int64_t app, int64_t number, struct history_row *ret, struct err *e);
/* The revision of an entry. */
int history_revision(struct db *db, int64_t app, int64_t number, int64_t *ret, struct err *e);

/* ------------------------------------------------------------------ idempotency keys */

struct idempotency_row {
	char digest[SHA256_HEX];
	int status;
	char *body; /* owned; NULL: none */
};
int idempotency_get(struct db *db, const char *caller, const char *key, struct idempotency_row *ret,
		    struct err *e);
/* @workspace: whose share it takes; 0 = an operator's. */
int idempotency_put(struct db *db, int64_t workspace, const char *caller, const char *key,
		    const char *digest, int status, const char *body, struct err *e);
/* As ops_prune(). */
int idempotency_prune(struct db *db, int64_t created_before_ms, struct err *e);

/* ------------------------------------------------------------------ events */

struct event_row {
	int64_t seq, at_ms, workspace;
	char type[32]; /* "cvm.created", "cvm.observed", "operation.step", ... */
	char cvm_uuid[UUID_TEXT], op_id[UUID_TEXT]; /* "" if none */
	char *data;                                 /* JSON object text, owned */
};
int events_append(struct db *db, int64_t workspace, const char *type, const char *cvm_uuid,
		  const char *op_id, const char *data, struct err *e);
/* After @seq and up to @last, oldest first, at most @limit. *ret malloc'd; free with events_free().
 */
int events_between(struct db *db, int64_t workspace, int64_t seq, int64_t last, int64_t limit,
		   struct event_row **ret, size_t *n, struct err *e);
void events_free(struct event_row *rows, size_t n);
/* Oldest kept and newest sequence number; 0,0 when the log is empty. */
int events_bounds(struct db *db, int64_t *oldest, int64_t *newest, struct err *e);
/* As ops_prune(). The newest event stays, so that the bounds stay known. */
int events_prune(struct db *db, int64_t before_ms, struct err *e);

#endif
