/* SPDX-License-Identifier: Apache-2.0
 * pid_lock.h - a process that locks a pid file, as QEMU does.
 */
#ifndef TEEPOD_TESTS_UNIT_PID_LOCK_H
#define TEEPOD_TESTS_UNIT_PID_LOCK_H

#include <sys/types.h>

/* Start a process that holds the lock on file @path until it is killed. It is a child. */
pid_t pid_lock_by_child(const char *path);

#endif
