/* SPDX-License-Identifier: Apache-2.0
 * meter.h - what holding resources costs, and the time it is measured in. Pure: no database, no
 * clock of its own.
 *
 * Money is whole micro-units of a currency, rates are whole micro-units an hour. Nothing is rounded
 * away: what an interval leaves below one micro-unit is carried into the CVM's next one.
 *
 * Metered time is milliseconds since 1970 that never go back and never jump while the host is up:
 * they follow CLOCK_BOOTTIME, which counts through suspend and knows no steps of the wall clock,
 * also across restarts of the daemon. The wall clock is looked at once per boot of the host, and
 * then only if it is ahead.
 */
#ifndef TEEPOD_VMM_ACCOUNT_METER_H
#define TEEPOD_VMM_ACCOUNT_METER_H

#include <stdbool.h>
#include <stdint.h>
#include "base/id.h"

struct rates;

struct cvm_size;
struct meter_clock;

enum { METER_HOUR_MS = 3600 * 1000 };

/* Micro-units an hour for a CVM that runs, or one that only keeps its disk. Memory is counted in
 * MiB; the sum is rounded up. */
int64_t meter_rate(const struct rates *r, const struct cvm_size *c, bool runs);

/* Micro-units for @elapsed_ms at @rate, *rest (0..3599999, thousandths of a micro-unit times 3600)
 * carried in and out. Time below 0 is none. Capped at INT64_MAX. */
int64_t meter_charge(int64_t rate, int64_t elapsed_ms, int64_t *rest);

struct clock_reading {
	int64_t wall_ms, boot_ms; /* CLOCK_REALTIME, CLOCK_BOOTTIME */
	char boot_id[UUID_TEXT];  /* of the kernel; another one after each boot */
};
void clock_read(struct clock_reading *ret);

/* Bring *c (now_ms 0: never set) to @r. True when the host was booted since: what ran then did not
 * run all the time. */
bool meter_clock_advance(struct meter_clock *c, const struct clock_reading *r);

#endif
