/* SPDX-License-Identifier: Apache-2.0
 * quota.h - may this workspace hold so much?
 *
 * What a workspace holds is what its CVMs' rows say: vCPUs and memory as given, while holds_cpu;
 * disk, GPUs, host ports and the CVM itself always. The sums are columns of its row, kept by
 * triggers in the transaction of the change (db/schema.c), so that a check reads one row;
 * db_check() holds them against the rows.
 */
#ifndef TEEPOD_VMM_ADMIT_QUOTA_H
#define TEEPOD_VMM_ADMIT_QUOTA_H

#include "db/workspaces.h"

struct vmm;

struct cvm_row;

/* Amounts of each quota that @c counts for; NULL counts for nothing. Pure. */
void quota_needs(const struct cvm_row *c, int64_t ret[QUOTAS]);

/* May a workspace with these limits (-1 = none) that holds @held take @more? Pure. What does not
 * grow always may, also where a limit was lowered below what is held. ERR_QUOTA_SIZE where @after,
 * the CVM's whole need, is more than the limit itself; ERR_QUOTA_CVMS for the number of CVMs;
 * ERR_QUOTA for the rest. @more and @after by quota. */
int quota_allows(const struct workspace_row *w, const int64_t more[QUOTAS],
		 const int64_t after[QUOTAS], struct err *e);

/* [turn, or a read for a preflight] May @workspace have @after instead of @before (NULL: a new
 * CVM)? Only what @after needs beyond
 * @before counts. Ask before the rows change, in the transaction that changes them.
 * @after->holds_cpu says whether vCPUs and memory count;
 * @after->gpus and ->host_ports are what it would hold. With billing, a growing CVM also needs a
 * balance for the next hour (billing.h). */
int quota_check(struct vmm *v, int64_t workspace, const struct cvm_row *before,
		const struct cvm_row *after, struct err *e);

#endif
