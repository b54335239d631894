/* SPDX-License-Identifier: Apache-2.0
 * workspaces.h - rows of workspaces: quotas, what is reserved of them, balance. The rules for all
 * row functions: db.h.
 */
#ifndef TEEPOD_DB_WORKSPACES_H
#define TEEPOD_DB_WORKSPACES_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "db/db.h"
#include "db/text.h"

/* Resources with a quota. Stopping a CVM releases only vCPUs and memory (release_on_stop). */
enum quota { QUOTA_VCPUS, QUOTA_MEMORY, QUOTA_DISK, QUOTA_CVMS, QUOTA_GPUS, QUOTA_PORTS, QUOTAS };

extern const char *const quota_word[QUOTAS]; /* "vcpus", "memory_mib", ... "host_ports" */

struct workspace_row {
	int64_t id, apps, cvms; /* counted by triggers */
	char slug[NAME_TEXT], name[NAME_TEXT];
	int64_t created_ms;
	int64_t max[QUOTAS];  /* -1 = unlimited */
	int64_t held[QUOTAS]; /* summed by triggers */
	int64_t balance;      /* micro-units: the sum of its ledger */
};

/* Create the workspace @slug unless it exists. */
int workspaces_ensure(struct db *db, const char *slug, int64_t *ret_id, struct err *e);
int workspaces_get(struct db *db, int64_t id, struct workspace_row *ret, struct err *e);
/* By slug or "ws_<id>". Deleted workspaces are not found. */
int workspaces_find(struct db *db, const char *slug, struct workspace_row *ret, struct err *e);
/* Ordered by slug. Returns the number on all pages. */
int workspaces_list(struct db *db, int64_t offset, int64_t limit, struct workspace_row **ret,
		    size_t *n, struct err *e);
/* 1: added; 0: the slug is in use. */
int workspaces_add(struct db *db, const char *slug, const char *name, int64_t *ret_id,
		   struct err *e);
/* Set name and quotas to those of @row. */
int workspaces_set(struct db *db, const struct workspace_row *row, struct err *e);
/* Delete a workspace without CVMs: revoke its keys and free its slug. The row is kept for its
 * ledger, and so that its id is never used again. */
int workspaces_delete(struct db *db, int64_t id, int64_t now_ms, struct err *e);

#endif
