/* SPDX-License-Identifier: Apache-2.0
 * quota.h - limits on the resources that the CVMs of a workspace hold.
 *
 * A CVM counts for its vCPUs and memory (as given) while holds_cpu is true, and always for its
 * disk, its GPUs, its host ports and itself. The sums are columns of the workspace's row. Triggers
 * keep them in the transaction of the change (db/schema.c), so that a check reads one row;
 * db_check() compares them with the rows of the CVMs.
 */
#ifndef TEEPOD_VMM_ADMIT_QUOTA_H
#define TEEPOD_VMM_ADMIT_QUOTA_H

#include "db/workspaces.h"

struct vmm;

struct cvm_row;

/* The amount of each quota that @c uses; 0 if @c is NULL. Pure. */
void quota_needs(const struct cvm_row *c, int64_t ret[QUOTAS]);

/* May the workspace @w hold @more in addition? Pure. A limit of -1 means none. An amount that does
 * not grow is always allowed, even if the limit was lowered below what is held. ERR_QUOTA_CVMS:
 * number of CVMs. ERR_QUOTA_SIZE: @after, the whole need of the CVM, exceeds the limit itself.
 * ERR_QUOTA: otherwise. @more and @after are indexed by quota. */
int quota_allows(const struct workspace_row *w, const int64_t more[QUOTAS],
		 const int64_t after[QUOTAS], struct err *e);

/* [turn, or a read for a preflight] May @workspace have @after in place of @before (NULL: a new
 * CVM)? Only what @after needs beyond @before counts. Call it before the rows change, in the
 * transaction that changes them. @after->gpus and ->host_ports are the amounts after the change.
 * With billing, a CVM that grows also needs a balance for the next hour (billing.h). */
int quota_check(struct vmm *v, int64_t workspace, const struct cvm_row *before,
		const struct cvm_row *after, struct err *e);

#endif
