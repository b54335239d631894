/* SPDX-License-Identifier: Apache-2.0
 * clock.h - wall time for rows and people, monotonic time for deadlines.
 */
#ifndef TEEPOD_BASE_CLOCK_H
#define TEEPOD_BASE_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

/* Milliseconds since 1970-01-01T00:00:00Z. */
int64_t clock_wall_ms(void);

/* Milliseconds on CLOCK_MONOTONIC. */
int64_t clock_mono_ms(void);

/* Microseconds on CLOCK_MONOTONIC. */
int64_t clock_mono_us(void);

enum { CLOCK_TEXT = 32, CLOCK_SPAN = 32 };

/* RFC 3339 in UTC with milliseconds, e.g. "2026-01-21T08:24:20.374Z". Returns @out. */
char *clock_rfc3339(int64_t wall_ms, char out[CLOCK_TEXT]);

/* Parse RFC 3339 with any offset, years 1970 to 9999; fractions are cut to milliseconds. False, and
 * *ret untouched, if @text is anything else. */
bool clock_parse(const char *text, int64_t *ret_wall_ms);

/* A duration in the format of dstack's clients: "3s", "2h 5m 3s", "1day 3h 4m 5s". Negative: "0s".
 * Returns
 * @out. */
char *clock_span(int64_t ms, char out[CLOCK_SPAN]);

#endif
