/* SPDX-License-Identifier: Apache-2.0
 * billing.h - meters and charges of CVMs, inside vmm/.
 *
 * With [billing] enabled each CVM has a meter: an open interval with a rate. The rate follows from
 * the CVM's row: all its resources while it is up, only its disk otherwise. Code that changes the
 * row calls meter_follow() in the same transaction, which closes the interval if the rate changed.
 * A check every minute does the same for all CVMs, so that a missing call delays a charge but does
 * not lose it. Without billing all functions do nothing.
 *
 * A crash neither loses nor doubles an interval: its end, the ledger row and the beginning of the
 * next interval are one transaction, and the clock that measured it is written with them.
 */
#ifndef TEEPOD_VMM_ACCOUNT_BILLING_H
#define TEEPOD_VMM_ACCOUNT_BILLING_H

#include <stdbool.h>
#include <stdint.h>

struct billing;
struct clock_reading;
struct cvm_row;
struct err;
struct vmm;

/* [turn] Begin to shut down a running CVM. A failure is retried after a minute. */
typedef int billing_shut_down_fn(struct vmm *v, const struct cvm_row *cvm, struct err *e);

/* @shut_down is called for CVMs of workspaces without a balance (billing.stop_on_empty). */
struct billing *billing_new(billing_shut_down_fn *shut_down);
void billing_free(struct billing *b);
/* Read the time by @read instead of clock_read(): for tests. */
void billing_set_clock(struct vmm *v, void (*read)(struct clock_reading *ret));

/* [turn] At start: close the intervals that ended while the node was down. With billing every CVM
 * gets a meter; without, none keeps one. */
int billing_set_up(struct vmm *v, struct err *e);
/* Run billing_check() every minute until billing_stop(). */
void billing_begin(struct vmm *v);
void billing_stop(struct vmm *v);
/* [turn] Update all meters. With billing.stop_on_empty also shut down the CVMs of workspaces
 * without a balance. */
int billing_check(struct vmm *v, struct err *e);

/* [turn] Call after the row of @cvm was written. */
int meter_follow(struct vmm *v, int64_t cvm, struct err *e);
/* [turn] Call before the row of @cvm is removed. */
int meter_end(struct vmm *v, int64_t cvm, struct err *e);

/* Does the balance of @workspace pay for @after in place of @before (NULL: a new CVM)? @up: @after
 * runs. ERR_BALANCE unless the balance covers one hour of all CVMs of the workspace; CVMs that run
 * or are about to run count as running. A change that costs nothing always passes. */
int billing_covers(struct vmm *v, int64_t workspace, const struct cvm_row *before,
		   const struct cvm_row *after, bool up, struct err *e);

#endif
