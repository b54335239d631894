/* SPDX-License-Identifier: Apache-2.0
 * tool.h - shared by the measuring programs: clocks, quantiles, die(), and waiting for guests.
 *
 * Any error makes a measurement invalid, so die() ends the program and the run fails.
 */
#ifndef TEEPOD_TESTS_BENCH_TOOL_H
#define TEEPOD_TESTS_BENCH_TOOL_H

#include <stddef.h>
#include <stdint.h>

void die(const char *fmt, ...) __attribute__((noreturn, format(printf, 1, 2)));

void *need(void *p); /* die() if @p is NULL */

int64_t now_us(void);

/* CPU time of this process, in microseconds. */
int64_t cpu_us(void);

int ascending(const void *a, const void *b); /* for qsort() of int64_t */

/* A quantile of @n sorted samples. */
long long quantile(const int64_t *sorted, size_t n, unsigned percent);

/* Wait until each of @n guests has printed the first line of the image teepod-boot to
 * FOLDER/serial.log. Returns the now_us() of the last one. A folder may be created later. All
 * measured programs use this function, so that waiting costs the same for each: inotify on the
 * folder, then a search in the file. */
int64_t wait_first_lines(const char *const *folders, size_t n, int seconds);

#endif
