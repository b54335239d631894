/* SPDX-License-Identifier: Apache-2.0
 * state_lock.h - one daemon for one state folder.
 */
#ifndef TEEPOD_DAEMON_STATE_LOCK_H
#define TEEPOD_DAEMON_STATE_LOCK_H

#include "base/err.h"

/* Hold @dir/lock until the process ends, however it ends. ERR_IN_USE names the process that has it.
 */
int state_lock(const char *dir, struct err *e);

#endif
