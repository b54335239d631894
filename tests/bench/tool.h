/* SPDX-License-Identifier: Apache-2.0
 * tool.h - what the measuring programs share: a clock, an end for everything unexpected, the first
 * line of a guest.
 *
 * A measurement that goes wrong in any way is no measurement: die() ends the program, and the run
 * fails.
 */
#ifndef TEEPOD_TESTS_BENCH_TOOL_H
#define TEEPOD_TESTS_BENCH_TOOL_H

#include <stddef.h>
#include <stdint.h>

void die(const char *fmt, ...) __attribute__((noreturn, format(printf, 1, 2)));

void *need(void *p); /* dies when @p is NULL: out of memory */

int64_t now_us(void);

/* Microseconds of CPU time this process has used. */
int64_t cpu_us(void);

/* Until each of @n guests has said the first line of the image teepod-boot, in FOLDER/serial.log;
 * returns the time of the last one. Folders may be missing at first. One way of looking for every
 * contender: inotify on the folder, the file read when it changes, the guest's own words searched.
 */
int64_t wait_first_lines(const char *const *folders, size_t n, int seconds);

#endif
