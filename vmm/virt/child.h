/* SPDX-License-Identifier: Apache-2.0
 * child.h - run another program and wait for its end.
 */
#ifndef TEEPOD_VMM_VIRT_CHILD_H
#define TEEPOD_VMM_VIRT_CHILD_H

#include <stddef.h>

#include "base/err.h"

/* [job] Run argv[0] (found through PATH); @argv ends with NULL. The program gets no input, and its
 * standard output is discarded. 0 if it exits with status 0. Otherwise ERR_HOST with the first line
 * of its stderr; .sys is ENOSPC if stderr reports a full disk. The program is killed when the
 * deadline of the job passes (ERR_TIMEOUT) or the job is cancelled (ERR_CANCELLED). */
int child_run(char *const argv[], struct err *e);

/* [job] Like child_run(). The first @n - 1 bytes of the standard output are written to @out, as
 * text. */
int child_output(char *const argv[], char *out, size_t n, struct err *e);

#endif
