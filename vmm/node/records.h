/* SPDX-License-Identifier: Apache-2.0
 * records.h - limits on what a workspace keeps in the database.
 */
#ifndef TEEPOD_VMM_NODE_RECORDS_H
#define TEEPOD_VMM_NODE_RECORDS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "db/records.h"

struct vmm;

/* A provision expires after this time, as the control plane documents it. */
#define PROVISION_KEPT_MS (14LL * 24 * 3600 * 1000)

/* [turn] Call after a provision or revision was written. Deletes the oldest rows of the workspace
 * that nothing refers to until the limit is met; ERR_QUOTA if it cannot be met. */
int records_fit(struct vmm *v, int64_t workspace, enum record kind, struct err *e);

/* Percent of the limit that may be used by an event that a guest causes, by a request, and by a
 * request that releases resources (delete, stop). */
enum record_share { RECORDS_GUEST = 50, RECORDS_REQUEST = 100, RECORDS_GIVE_BACK = 125 };

/* [turn] Call before an answer or an event is written. ERR_QUOTA if @share of the limit is used. */
int records_allow(struct vmm *v, int64_t workspace, enum record kind, enum record_share share,
		  struct err *e);

/* One pass over the workspaces that are near their limit of one kind of record. Zeros: not begun.
 */
struct shrink_round {
	int64_t after; /* the workspace that was processed last; 0 = begin with the first one */
	bool dropped;  /* rows were dropped in this pass, so another pass follows it */
};

/* [turn] Delete a portion of the rows that are older than their time, or above their limit.
 * *ret_more: there may be more of them. */
int records_prune(struct vmm *v, struct shrink_round rounds[RECORDS], bool *ret_more,
		  struct err *e);

#endif
