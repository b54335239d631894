/* SPDX-License-Identifier: Apache-2.0
 * signals.h - SIGHUP, SIGTERM and SIGINT as callbacks on the loop thread.
 */
#ifndef TEEPOD_DAEMON_SIGNALS_H
#define TEEPOD_DAEMON_SIGNALS_H

#include <uv.h>

#include "base/err.h"

struct signal_calls {
	void (*reload)(void *arg);                         /* SIGHUP */
	void (*stop)(void *arg, int signum, unsigned nth); /* @nth SIGTERM or SIGINT, from 1 */
	void *arg;
};

/* Install the handlers. Also ignores SIGPIPE for the process, so that writing to a closed
 * connection is an error and does not kill the daemon. */
struct signals;
int signals_open(uv_loop_t *loop, const struct signal_calls *calls, struct signals **ret,
		 struct err *e);

/* Remove the handlers. The object is freed by the last close callback. @s may be NULL. */
void signals_close(struct signals *s);

#endif
