/* SPDX-License-Identifier: Apache-2.0
 * notify.h - status messages to systemd: ready, reloading, stopping, watchdog.
 *
 * All functions do nothing if systemd did not start the process (NOTIFY_SOCKET and WATCHDOG_USEC
 * are not set).
 */
#ifndef TEEPOD_DAEMON_NOTIFY_H
#define TEEPOD_DAEMON_NOTIFY_H

#include <uv.h>

/* The daemon accepts requests. */
void notify_ready(void);

/* A reload has begun. Call notify_ready() when it is over, also after a failure. */
void notify_reloading(void);

/* Shutdown has begun and may take @more_ms milliseconds from now. */
void notify_stopping(unsigned more_ms);

/* If the unit has a watchdog, feed it from @loop, twice per interval: systemd restarts the process
 * when the loop is blocked for longer than the interval. NULL if there is no watchdog. The timer
 * does not keep the loop alive. Loop thread. */
struct watchdog;
struct watchdog *watchdog_open(uv_loop_t *loop);
void watchdog_close(struct watchdog *w);

#endif
