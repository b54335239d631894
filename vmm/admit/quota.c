/* SPDX-License-Identifier: Apache-2.0
 * quota.c - a workspace's share of the node.
 *
 * Shares are limits, not reservations: together they may exceed what the node has, so capacity.c is
 * checked as well. Quotas are checked first, because their refusal reveals to a tenant only its own
 * usage and nothing about others.
 */
#include "vmm/admit/quota.h"

#include <assert.h>

#include "base/array.h"
#include "vmm/account/billing.h"
#include "db/cvms.h"
#include "db/workspaces.h"
#include "vmm/account/workspaces.h"

void quota_needs(const struct cvm_row *c, int64_t ret[QUOTAS])
{
	for (int q = 0; q < QUOTAS; q++)
		ret[q] = 0;
	if (!c)
		return;
	ret[QUOTA_VCPUS] = c->holds_cpu ? c->given_vcpus : 0;
	ret[QUOTA_MEMORY] = c->holds_cpu ? c->given_memory_mib : 0;
	ret[QUOTA_DISK] = c->disk_gib;
	ret[QUOTA_CVMS] = 1;
	ret[QUOTA_GPUS] = c->gpus;
	ret[QUOTA_PORTS] = c->host_ports;
}

static int64_t quota_left(const struct workspace_row *w, int q)
{
	assert(q >= 0 && q < QUOTAS && w->max[q] >= 0);
	return w->max[q] > w->held[q] ? w->max[q] - w->held[q] : 0;
}

static int quota_refuse(const struct workspace_row *w, int q, int64_t more, int64_t after,
			struct err *e)
{
	const char *what = quota_word[q];
	long long max = w->max[q], held = w->held[q];

	if (q == QUOTA_CVMS) {
		err_share(e, ERR_QUOTA_CVMS, what, held, quota_left(w, q), max,
			  "workspace %s may have %lld CVMs and has %lld", w->slug, max, held);
		return err_hint(e, "delete a CVM, or ask an admin for a larger share");
	}
	if (after > max) {
		err_share(e, ERR_QUOTA_SIZE, what, after, max, max,
			  "%s: %lld requested, the whole share of workspace %s is %lld", what,
			  (long long)after, w->slug, max);
		return err_hint(e, "request at most %lld %s, or ask an admin for a larger share",
				max, what);
	}
	err_share(e, ERR_QUOTA, what, more, quota_left(w, q), max,
		  "%s: %lld more requested, workspace %s has %lld left of its share of %lld", what,
		  (long long)more, w->slug, (long long)quota_left(w, q), max);
	return err_hint(e, "%lld %s would fit now", (long long)quota_left(w, q), what);
}

int quota_allows(const struct workspace_row *w, const int64_t more[QUOTAS],
		 const int64_t after[QUOTAS], struct err *e)
{
	/* The number of CVMs first: no change of the request could meet it. */
	static const int order[QUOTAS] = { QUOTA_CVMS, QUOTA_VCPUS, QUOTA_MEMORY,
					   QUOTA_DISK, QUOTA_GPUS,  QUOTA_PORTS };

	for (size_t i = 0; i < ARRAY_SIZE(order); i++) {
		int q = order[i];

		if (more[q] > 0 && w->max[q] >= 0 && more[q] > quota_left(w, q))
			return quota_refuse(w, q, more[q], after[q], e);
	}
	return 0;
}

static bool quota_grows(const int64_t more[QUOTAS])
{
	for (int q = 0; q < QUOTAS; q++)
		if (more[q] > 0)
			return true;
	return false;
}

static bool quota_cvm_is_up(const struct cvm_row *c)
{
	return c->observed == OBSERVED_RUNNING || c->observed == OBSERVED_PAUSED;
}

int quota_check(struct vmm *v, int64_t workspace, const struct cvm_row *before,
		const struct cvm_row *after, struct err *e)
{
	int64_t old[QUOTAS], needs[QUOTAS], more[QUOTAS];
	struct workspace_row w;
	int r = vmm_workspace(v, workspace, &w, e);

	if (r)
		return r;
	quota_needs(before, old);
	quota_needs(after, needs);
	for (int q = 0; q < QUOTAS; q++)
		more[q] = needs[q] - old[q];
	r = quota_allows(&w, more, needs, e);
	return r || !before || !quota_grows(more)
		       ? r
		       : billing_covers(v, workspace, before, after, quota_cvm_is_up(before), e);
}
