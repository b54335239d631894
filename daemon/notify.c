/* SPDX-License-Identifier: Apache-2.0
 * notify.c - status messages and watchdog, by sd_notify(3) of libsystemd.
 *
 * Errors are ignored: the daemon works without systemd.
 */
#include <inttypes.h>
#include <stdlib.h>

#include <systemd/sd-daemon.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/loop.h"
#include "daemon/notify.h"

void notify_ready(void)
{
	(void)sd_notify(0, "READY=1\nSTATUS=Serving");
}

/* systemd 253 and later require MONOTONIC_USEC with Type=notify-reload; earlier versions ignore it.
 */
void notify_reloading(void)
{
	(void)sd_notifyf(
		0, "RELOADING=1\nMONOTONIC_USEC=%" PRId64 "\nSTATUS=Reading the configuration",
		clock_mono_us());
}

void notify_stopping(unsigned more_ms)
{
	(void)sd_notifyf(0, "STOPPING=1\nEXTEND_TIMEOUT_USEC=%" PRIu64 "\nSTATUS=Shutting down",
			 (uint64_t)more_ms * 1000);
}

/* ------------------------------------------------------------------ watchdog */

struct watchdog {
	uv_timer_t timer;
};

static void watchdog_feed(uv_timer_t *t)
{
	(void)t;
	(void)sd_notify(0, "WATCHDOG=1");
}

struct watchdog *watchdog_open(uv_loop_t *loop)
{
	struct watchdog *w;
	uint64_t usec;

	if (sd_watchdog_enabled(0, &usec) <= 0)
		return NULL;
	assert_loop_thread();
	w = xcalloc(1, sizeof(*w));
	uv_timer_init(loop, &w->timer);
	w->timer.data = w;
	uv_timer_start(&w->timer, watchdog_feed, 0, usec / 2000 ? usec / 2000 : 1);
	uv_unref((uv_handle_t *)&w->timer);
	return w;
}

static void watchdog_closed(uv_handle_t *h)
{
	free(h->data);
}

void watchdog_close(struct watchdog *w)
{
	if (w)
		uv_close((uv_handle_t *)&w->timer, watchdog_closed);
}
