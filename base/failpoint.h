/* SPDX-License-Identifier: Apache-2.0
 * failpoint.h - die here, on request: how tests ask what kill -9 leaves behind.
 *
 * Compiled in only with -DTEEPOD_FAILPOINTS. The environment variable TEEPOD_FAILPOINT names one point, e.g.
 * "create.disk.before"; the process then kills itself with SIGKILL the first time it gets there, or with "create.disk.before:3"
 * the third time. Loop thread only.
 */
#ifndef TEEPOD_BASE_FAILPOINT_H
#define TEEPOD_BASE_FAILPOINT_H

#ifdef TEEPOD_FAILPOINTS
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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
#else
static inline void failpoint(const char *operation, const char *step, const char *when)
{
	(void)operation;
	(void)step;
	(void)when;
}
#endif

#endif
