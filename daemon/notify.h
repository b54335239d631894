/* SPDX-License-Identifier: Apache-2.0
 * notify.h - what systemd is told: ready, reloading, stopping, still alive.
 *
 * Everything here does nothing when the process was not started by systemd (no NOTIFY_SOCKET, no
 * WATCHDOG_USEC).
 */
#ifndef TEEPOD_DAEMON_NOTIFY_H
#define TEEPOD_DAEMON_NOTIFY_H

#include <uv.h>

/* Serving. @fmt: one line for `systemctl status`. */
void notify_ready(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* Around a reload: notify_reloading(), then notify_ready() whatever came of it. */
void notify_reloading(void);

/* Draining; may take up to @more_ms from now before systemd should lose patience. */
void notify_stopping(unsigned more_ms);

/* Still starting, e.g. while a database is being migrated: @more_ms further may pass before READY.
 */
void notify_starting(unsigned more_ms, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* A line for `systemctl status`, at any time. */
void notify_status(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* Feed the watchdog from @loop, if systemd wants one: twice in each interval, so that a loop that
 * is stuck for longer than the interval gets the process replaced. NULL when there is no watchdog;
 * the timer does not keep the loop alive. */
struct watchdog;
struct watchdog *watchdog_open(uv_loop_t *loop);
void watchdog_close(struct watchdog *w);

#endif
