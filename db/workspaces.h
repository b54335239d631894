/* SPDX-License-Identifier: Apache-2.0
 * workspaces.h - rows of workspaces: limits, what they hold, balance. For the common rules of these
 * functions see db.h.
 */
#ifndef TEEPOD_DB_WORKSPACES_H
#define TEEPOD_DB_WORKSPACES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/id.h"
#include "db/db.h"
#include "db/text.h"

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

#endif
