/* SPDX-License-Identifier: Apache-2.0
 * account.h - workspaces, their API keys and their money: the face that api/ sees.
 *
 * As in vmm.h: loop thread only, [turn] functions belong into the apply function of a mutation.
 */
#ifndef TEEPOD_VMM_ACCOUNT_ACCOUNT_H
#define TEEPOD_VMM_ACCOUNT_ACCOUNT_H

#include "db/workspaces.h"
#include "vmm/account/keys.h"

struct vmm;

struct key_row;
struct ledger_row;

/* ------------------------------------------------------------------ workspaces */

/* By slug or "ws_<n>". ERR_NOT_FOUND. */
int vmm_workspace_find(struct vmm *v, const char *slug, struct workspace_row *ret, struct err *e);
/* By slug. *ret malloc'd. Returns the total. */
int vmm_workspaces(struct vmm *v, int64_t offset, int64_t limit, struct workspace_row **ret,
		   size_t *n, struct err *e);

enum { QUOTA_KEEP = -2, QUOTA_UNLIMITED = -1 };

struct workspace_ask {
	const char *slug; /* of a new one: 1 to 63 lower-case letters, digits and hyphens, a letter
			     first */
	const char *name; /* NULL: the slug, or as it is */
	int64_t max[QUOTAS];
};
/* [turn] ERR_CONFLICT if there is one of that slug. */
int vmm_workspace_add(struct vmm *v, const struct workspace_ask *ask, struct workspace_row *ret,
		      struct err *e);
/* [turn] Its name and limits. Limits below what is held refuse what comes, and take nothing away.
 */
int vmm_workspace_change(struct vmm *v, const char *slug, const struct workspace_ask *ask,
			 struct workspace_row *ret, struct err *e);
/* [turn] ERR_IN_USE while it has CVMs, and of the node's default one. Its keys open nothing any
 * more. */
int vmm_workspace_delete(struct vmm *v, const char *slug, struct err *e);

/* ------------------------------------------------------------------ API keys ("tokens" on the
 * wire) */

/* How many keys, each made by the one before, there may be in a line. */
enum { KEY_LINE_MAX = 8 };

struct key_ask {
	int64_t workspace;
	const char *name;
	int role;
	int64_t expires_ms; /* 0 = the end of its maker */
	int64_t per_minute; /* requests, 0 = the limit of its maker */
	int64_t parent;     /* the key that makes it, 0 = none */
	int64_t ends_ms; /* without a parent: when the credential that makes it ends, 0 = never */
};
/* [turn] ERR_KEYS, ERR_KEY_RATE; ERR_FORBIDDEN if it would have more time or requests than its
 * parent, or the line is too long; ERR_UNAUTHENTICATED if the parent has expired or was revoked.
 * Its text into @ret_text: nowhere else is it kept. */
int vmm_key_make(struct vmm *v, const struct key_ask *ask, struct key_row *ret,
		 char ret_text[API_KEY_TEXT], struct err *e);
/* Those that are not revoked, of @workspace (0 = all), with at most @role. *ret malloc'd. Returns
 * the total. */
int vmm_keys(struct vmm *v, int64_t workspace, int role, int64_t offset, int64_t limit,
	     struct key_row **ret, size_t *n, struct err *e);
/* -ERR_NOT_FOUND when it was revoked; an expired one is found. */
int vmm_key(struct vmm *v, int64_t id, struct key_row *ret, struct err *e);
/* [turn] It opens nothing any more from the commit on, and neither does any key that descends from
 * it. */
int vmm_key_revoke(struct vmm *v, int64_t id, struct err *e);
/* Changes whenever a key may have been revoked: a reason to read vmm_key() again. */
uint64_t vmm_keys_generation(const struct vmm *v);

/* ------------------------------------------------------------------ money */

struct balance {
	bool enabled;
	int64_t left;   /* micro-units, with what open intervals have come to; negative: owed */
	int64_t booked; /* the sum of the ledger */
	int64_t rate;   /* micro-units an hour that are being spent */
};
int vmm_balance(struct vmm *v, int64_t workspace, struct balance *ret, struct err *e);
/* [turn] @amount may be negative: taken back. */
int vmm_credit(struct vmm *v, int64_t workspace, int64_t amount, const char *note,
	       const char *caller, struct ledger_row *ret, struct err *e);
int vmm_ledger(struct vmm *v, int64_t workspace, int64_t offset, int64_t limit,
	       struct ledger_row **ret, size_t *n, int64_t *ret_total, struct err *e);
/* Micro-units an hour of a running CVM of this size, without its disk when @disk_gib is 0. */
int64_t vmm_hourly_rate(const struct vmm *v, int64_t vcpus, int64_t memory_mib, int64_t disk_gib,
			int64_t gpus);

#endif
