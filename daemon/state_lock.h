/* SPDX-License-Identifier: Apache-2.0
 * state_lock.h - the lock that allows one daemon per state folder.
 */
#ifndef TEEPOD_DAEMON_STATE_LOCK_H
#define TEEPOD_DAEMON_STATE_LOCK_H

#include "base/err.h"

/* Take the lock on @dir/lock and hold it until the process exits. ERR_IN_USE, which names the
 * process that holds it, if another process has it. */
int state_lock(const char *dir, struct err *e);

#endif
