/* SPDX-License-Identifier: Apache-2.0
 * cvms.h - rows of CVMs. The rules for all row functions: db.h.
 */
#ifndef TEEPOD_DB_CVMS_H
#define TEEPOD_DB_CVMS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/id.h"
#include "db/cvm_states.h"
#include "db/db.h"
#include "db/operations.h"
#include "db/policies.h"
#include "db/text.h"

struct cvm_row {
	int64_t id; /* small integer: the v25 id; "cvm_<id>" is the v26 id */
	char uuid[UUID_TEXT];
	int64_t workspace, app, revision, image;
	char name[NAME_TEXT];
	char app_id[APP_ID_TEXT];
	char instance_id[APP_ID_TEXT];       /* "" until known */
	char instance_type[NAME_TEXT];       /* "" = custom */
	int64_t vcpus, memory_mib, disk_gib; /* as requested */
	int64_t disk_made;                   /* GiB the disk file has; 0 = not created yet */
	/* As the guest gets them: with hugepages, rounded up to a multiple that its NUMA nodes
	 * can share evenly. 0 in cvms_insert(): as requested. */
	int64_t given_vcpus, given_memory_mib;
	bool holds_cpu; /* its vCPUs, memory, hugepages and TDX key ID are reserved now */
	uint32_t cid;
	bool tdx;
	int64_t tdx_policy;                     /* TD attributes */
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
					bound. Part of the measurement, so they never change */
	char gpu_attach[8];          /* "" = none, "listed", "all" */
	int64_t gpus, nvswitches;    /* number of devices reserved for it, or requested */
	int64_t host_ports;          /* number of port forwards; during a change, of both states */
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

/* Secrets and files of a CVM. Lists do not contain them. */
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

/* Find CVMs in @workspace (0 = all) by one key; names match in any case. Fill @ret with up to @max
 * rows. Returns the number of all matches. */
int cvms_find(struct db *db, int64_t workspace, enum cvm_key by, const char *value,
	      struct cvm_row *ret, size_t max, struct err *e);

struct cvm_filter {
	int64_t workspace;         /* 0 = all */
	const char *app_id;        /* NULL = any */
	const char *search;        /* substring of name, app_id or image name; NULL = any */
	const char *image;         /* image name; NULL */
	const char *instance_type; /* NULL */
	int listed;                /* -1 either */
	int64_t before_id;         /* only CVMs, or apps, with a smaller id; 0 = all */
};

/* Newest first. *ret is malloc'd. *ret_total (may be NULL): number of rows on
 * all pages. */
int cvms_list(struct db *db, const struct cvm_filter *f, int64_t offset, int64_t limit,
	      struct cvm_row **ret, size_t *n, int64_t *ret_total, struct err *e);
/* The newest CVM of each app, newest app first. For GET /apps; the filter is the same. */
int cvms_list_apps(struct db *db, const struct cvm_filter *f, int64_t offset, int64_t limit,
		   struct cvm_row **ret, size_t *n, int64_t *ret_total, struct err *e);
/* Delete the row with its ports and device reservations; also its app, if no CVM of it is left. The
 * caller releases the capacity. */
int cvms_delete(struct db *db, int64_t id, struct err *e);
/* Set the size of the disk: @gib as requested, @made as created. Both in GiB. */
int cvms_set_disk(struct db *db, int64_t id, int64_t gib, int64_t made, struct err *e);

/* The guest runs or is paused. */
static inline bool cvm_is_up(const struct cvm_row *c)
{
	return c->observed == OBSERVED_RUNNING || c->observed == OBSERVED_PAUSED;
}

#endif
