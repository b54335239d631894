/* SPDX-License-Identifier: Apache-2.0
 * end_watch.c - watches a QEMU process by its pidfd.
 */
#include <stdlib.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/lag.h"
#include "base/loop.h"
#include "vmm/op/end_watch.h"
#include "vmm/virt/hypervisor.h"

struct end_watch {
	uv_poll_t poll;
	int pidfd;
	void (*ended)(void *arg);
	void *arg;
};

static void end_watch_closed(uv_handle_t *h)
{
	struct end_watch *w = h->data;

	(void)close(w->pidfd);
	free(w);
}

void end_watch_close(struct end_watch *w)
{
	assert_loop_thread();
	if (w)
		uv_close((uv_handle_t *)&w->poll, end_watch_closed);
}

static void end_watch_on_poll(uv_poll_t *p, int status, int events)
{
	struct end_watch *w = p->data;

	(void)events;
	LAG_SECTION("job", "end of QEMU");
	(void)uv_poll_stop(p);
	if (!status)
		w->ended(w->arg);
}

struct end_watch *end_watch_open(uv_loop_t *loop, const struct hypervisor *hv, const char *name,
				 void (*ended)(void *arg), void *arg)
{
	int pidfd = hv_qemu_pidfd(hv, name);
	struct end_watch *w;

	assert_loop_thread();
	if (pidfd < 0)
		return NULL;
	w = xcalloc(1, sizeof(*w));
	*w = (struct end_watch){ .pidfd = pidfd, .ended = ended, .arg = arg };
	w->poll.data = w;
	if (uv_poll_init(loop, &w->poll, pidfd)) {
		(void)close(pidfd);
		free(w);
		return NULL;
	}
	(void)uv_poll_start(&w->poll, UV_READABLE, end_watch_on_poll);
	return w;
}
