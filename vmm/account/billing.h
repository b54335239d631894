/* SPDX-License-Identifier: Apache-2.0
 * billing.h - meters and charges of CVMs, inside vmm/.
 *
 * With [billing] enabled each CVM has a meter: an open interval at the rate that follows from its
 * row (all of it while it is up, its disk otherwise). Code that changes
 * such a row calls meter_follow() in the same transaction; if the rate changed, that closes the
 * interval. A check every minute does the same for all CVMs, so that a missing call delays a charge
 * but loses none. Without billing all of this does nothing.
 *
 * A crash can neither lose nor double an interval: its end, the ledger row and the next one's
 * beginning are one transaction, and the clock that measured it is written with them.
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

/* [turn] Begin to shut a running CVM down; a failure is tried again in a minute. */
typedef int billing_shut_down_fn(struct vmm *v, const struct cvm_row *cvm, struct err *e);

/* @shut_down is called for CVMs of workspaces without a balance (billing.stop_on_empty). */
struct billing *billing_new(billing_shut_down_fn *shut_down);
void billing_free(struct billing *b);
/* Read the time by @read instead of clock_read(): for tests. */
void billing_set_clock(struct vmm *v, void (*read)(struct clock_reading *ret));

/* [turn] At start: intervals that were open are closed where they have to be, and all CVMs have a
 * meter, or none has. */
int billing_set_up(struct vmm *v, struct err *e);
/* Every minute from now on, until billing_stop(). */
void billing_begin(struct vmm *v);
void billing_stop(struct vmm *v);
/* [turn] What happens every minute. With stop_on_empty, CVMs of workspaces that have nothing left
 * are shut down. */
int billing_check(struct vmm *v, struct err *e);

/* [turn] The row of @cvm changed (or is new). */
int meter_follow(struct vmm *v, int64_t cvm, struct err *e);
/* [turn] The row of @cvm is about to go. */
int meter_end(struct vmm *v, int64_t cvm, struct err *e);

/* May @workspace have @after instead of @before (NULL: a new CVM), up or not? ERR_BALANCE unless
 * what it has left pays for the next hour of everything it then holds; what runs or is about to run
 * counts as running. What costs nothing always may. */
int billing_covers(struct vmm *v, int64_t workspace, const struct cvm_row *before,
		   const struct cvm_row *after, bool up, struct err *e);

#endif
