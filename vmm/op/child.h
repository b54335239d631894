/* SPDX-License-Identifier: Apache-2.0
 * child.h - another program, run to its end.
 */
#ifndef TEEPOD_VMM_OP_CHILD_H
#define TEEPOD_VMM_OP_CHILD_H

#include "base/err.h"

/* [job] Run argv[0] (looked up in PATH), NULL-terminated, with no input; its output is dropped. 0
 * when it ended with 0. Else ERR_HOST with the first line it wrote to stderr; .sys is ENOSPC where
 * it complains of a full disk. It is killed when the job's deadline passes (ERR_TIMEOUT) or the job
 * is cancelled (ERR_CANCELLED). */
int child_run(char *const argv[], struct err *e);

#endif
