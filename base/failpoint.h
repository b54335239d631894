/* SPDX-License-Identifier: Apache-2.0
 * failpoint.h - kill or delay the process at a named point, for tests of crashes and of slow
 * handlers.
 *
 * Compiled in only with -DTEEPOD_FAILPOINTS. The environment variable TEEPOD_FAILPOINT names one
 * point: with "create.disk.before" the process kills itself with SIGKILL the first time it reaches
 * the point, with "create.disk.before:3" the third time. TEEPOD_HOLD names a section of the loop
 * (lag.h) and milliseconds, for example "GET /healthz=150": the section is busy for that time. Loop
 * thread only.
 */
#ifndef TEEPOD_BASE_FAILPOINT_H
#define TEEPOD_BASE_FAILPOINT_H

#ifdef TEEPOD_FAILPOINTS
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"

static inline void failpoint(const char *operation, const char *step, const char *when)
{
	static unsigned long passed;
	const char *wanted = getenv("TEEPOD_FAILPOINT");
	char here[128];
	size_t n = (size_t)snprintf(here, sizeof(here), "%s.%s.%s", operation, step, when);

	if (!wanted || strncmp(wanted, here, n) != 0 || (wanted[n] && wanted[n] != ':'))
		return;
	if (++passed >= (wanted[n] ? strtoul(wanted + n + 1, NULL, 10) : 1))
		(void)kill(getpid(), SIGKILL);
}

static inline void failpoint_hold(const char *kind, const char *name)
{
	const char *wanted = getenv("TEEPOD_HOLD");
	char here[128];
	size_t n = (size_t)snprintf(here, sizeof(here), "%s %s=", kind, name);

	if (!wanted || strncmp(wanted, here, n) != 0)
		return;
	for (int64_t end = clock_mono_ms() + atoi(wanted + n); clock_mono_ms() < end;)
		;
}
#else
static inline void failpoint(const char *operation, const char *step, const char *when)
{
	(void)operation;
	(void)step;
	(void)when;
}

static inline void failpoint_hold(const char *kind, const char *name)
{
	(void)kind;
	(void)name;
}
#endif

#endif
