/* SPDX-License-Identifier: Apache-2.0
 * balance.h - balance, credits and ledger of a workspace, for the API. Loop thread only.
 */
#ifndef TEEPOD_VMM_ACCOUNT_BALANCE_H
#define TEEPOD_VMM_ACCOUNT_BALANCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct ledger_row;
struct vmm;

struct balance {
	bool enabled;
	int64_t left;   /* micro-units, less the charges of open intervals; negative: debt */
	int64_t booked; /* micro-units, the sum of the ledger */
	int64_t rate;   /* micro-units per hour that all CVMs of the workspace cost now */
};
/* The balance of @workspace now. ERR_NOT_FOUND if it does not exist. */
int vmm_balance(struct vmm *v, int64_t workspace, struct balance *ret, struct err *e);
/* [turn] Add @amount (micro-units; negative: withdraw) to the balance, with a ledger entry. @note
 * may be NULL. ERR_INVALID if the balance would leave its range. */
int vmm_credit(struct vmm *v, int64_t workspace, int64_t amount, const char *note,
	       const char *caller, struct ledger_row *ret, struct err *e);
int vmm_ledger(struct vmm *v, int64_t workspace, int64_t offset, int64_t limit,
	       struct ledger_row **ret, size_t *n, int64_t *ret_total, struct err *e);
/* Micro-units per hour of a running CVM of this size; 0 without billing. */
int64_t vmm_hourly_rate(const struct vmm *v, int64_t vcpus, int64_t memory_mib, int64_t disk_gib,
			int64_t gpus);

#endif
