/* SPDX-License-Identifier: Apache-2.0
 * signals.c - three uv_signal handles, closed and freed together.
 *
 * The handles do not keep the loop alive. @handles counts those that are initialised and not yet
 * closed; the last close callback frees the object.
 */
#include <assert.h>
#include <signal.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/array.h"
#include "base/lag.h"
#include "base/loop.h"
#include "daemon/signals.h"

static const int signums[] = { SIGHUP, SIGTERM, SIGINT };

struct signals {
	struct signal_calls calls;
	unsigned stops;   /* SIGTERM and SIGINT received so far */
	unsigned handles; /* initialised, close callback not yet run */
	uv_signal_t handle[ARRAY_SIZE(signums)];
};

static void signals_on_signal(uv_signal_t *h, int signum)
{
	struct signals *s = h->data;

	LAG_SECTION("signal", signum == SIGHUP ? "reload" : "stop");
	if (signum == SIGHUP)
		s->calls.reload(s->calls.arg);
	else
		s->calls.stop(s->calls.arg, signum, ++s->stops);
}

static void signals_closed(uv_handle_t *h)
{
	struct signals *s = h->data;

	assert(s->handles > 0);
	if (!--s->handles)
		free(s);
}

int signals_open(uv_loop_t *loop, const struct signal_calls *calls, struct signals **ret,
		 struct err *e)
{
	struct signals *s = xcalloc(1, sizeof(*s));
	int r;

	assert_loop_thread();
	s->calls = *calls;
	(void)signal(SIGPIPE, SIG_IGN);
	for (size_t i = 0; i < ARRAY_SIZE(signums); i++) {
		uv_signal_init(loop, &s->handle[i]);
		s->handle[i].data = s;
		s->handles++;
		uv_unref((uv_handle_t *)&s->handle[i]);
		r = uv_signal_start(&s->handle[i], signals_on_signal, signums[i]);
		if (r < 0) {
			signals_close(s);
			return err_sys(e, -r, "install a handler for signal %d", signums[i]);
		}
	}
	*ret = s;
	return 0;
}

void signals_close(struct signals *s)
{
	/* @handles does not change here: close callbacks run in a later turn of the loop. */
	for (unsigned i = 0, n = s ? s->handles : 0; i < n; i++)
		uv_close((uv_handle_t *)&s->handle[i], signals_closed);
}
