/* SPDX-License-Identifier: Apache-2.0
 * signals.h - SIGHUP, SIGTERM and SIGINT, as calls on the loop thread.
 */
#ifndef TEEPOD_DAEMON_SIGNALS_H
#define TEEPOD_DAEMON_SIGNALS_H

#include <uv.h>

#include "base/err.h"

struct signal_calls {
	void (*reload)(void *arg); /* SIGHUP */
	void (*stop)(void *arg, int signum,
		     unsigned nth); /* SIGTERM or SIGINT; @nth 1, 2, ...: patience ends */
	void *arg;
};

/* Also ignores SIGPIPE for the process: a client that went away is an error of write(), not our
 * end. */
struct signals;
int signals_open(uv_loop_t *loop, const struct signal_calls *calls, struct signals **ret,
		 struct err *e);

/* Stops listening; freed when the handles have closed. NULL is fine. */
void signals_close(struct signals *s);

#endif
