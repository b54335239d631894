/* SPDX-License-Identifier: Apache-2.0
 * meter.h - the price of held resources, and the clock that measures their time.
 *
 * Money is in whole micro-units of a currency, a rate in whole micro-units per hour. No fraction is
 * lost: the part of an interval's charge below one micro-unit is carried into the CVM's next one.
 *
 * Metered time is in milliseconds since 1970. It never goes back, and never jumps while the host is
 * up: it follows CLOCK_BOOTTIME, which counts during suspend and ignores changes of the wall clock,
 * also across restarts of the daemon. The wall clock is read once per boot of the host, and used
 * only if it is ahead of metered time. All functions but clock_read() are pure.
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

/* Micro-units per hour of a CVM; a CVM that does not run is charged for its disk only. The charge
 * for memory is rounded up. */
int64_t meter_rate(const struct rates *r, const struct cvm_size *c, bool runs);

/* Micro-units for @elapsed_ms at @rate. *rest (0..3599999, in 1/3600000 of a micro-unit) is carried
 * in and out. 0 if @elapsed_ms is negative; at most INT64_MAX. */
int64_t meter_charge(int64_t rate, int64_t elapsed_ms, int64_t *rest);

struct clock_reading {
	int64_t wall_ms, boot_ms; /* CLOCK_REALTIME, CLOCK_BOOTTIME */
	char boot_id[UUID_TEXT];  /* of the kernel; changes with each boot */
};
/* Read the clocks of this machine. */
void clock_read(struct clock_reading *ret);

/* Advance *c (now_ms 0: never set) to the reading @r. Returns true if the host was rebooted since
 * the last reading: CVMs that ran then did not run all the time. */
bool meter_clock_advance(struct meter_clock *c, const struct clock_reading *r);

#endif
