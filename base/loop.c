/* SPDX-License-Identifier: Apache-2.0
 * loop.c - reserved descriptors, thread check, timers.
 */
#include <assert.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/lag.h"
#include "base/loop.h"

void loop_reserve_fds(void)
{
	for (;;) {
		int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

		if (fd >= 10)
			close(fd);
		if (fd < 0 || fd >= 10)
			return;
	}
}

void assert_loop_thread(void)
{
	static _Thread_local bool is_loop_thread;

	if (!is_loop_thread)
		is_loop_thread = gettid() == getpid();
	assert(is_loop_thread);
}

struct loop_timer {
	uv_timer_t timer;
	void (*fn)(void *arg);
	const char *name; /* name of fn */
	void *arg;
	struct loop_timer **slot;
};

static void timer_closed(uv_handle_t *h)
{
	free(h->data);
}

static void timer_end(struct loop_timer *t)
{
	assert(!uv_is_closing((uv_handle_t *)&t->timer));
	if (t->slot)
		*t->slot = NULL;
	uv_close((uv_handle_t *)&t->timer, timer_closed);
}

static void timer_fired(uv_timer_t *h)
{
	struct loop_timer *t = h->data;

	LAG_SECTION("timer", t->name);
	timer_end(t);
	t->fn(t->arg);
}

struct loop_timer *loop_timer_start(uv_loop_t *loop, uint64_t ms, void (*fn)(void *arg),
				    const char *name, void *arg, struct loop_timer **slot)
{
	struct loop_timer *t = xcalloc(1, sizeof(*t));

	assert_loop_thread();
	assert(fn && name);
	t->fn = fn;
	t->name = name;
	t->arg = arg;
	t->slot = slot;
	(void)uv_timer_init(loop, &t->timer);
	t->timer.data = t;
	/* The cached time of the loop does not advance during a callback. */
	uv_update_time(loop);
	(void)uv_timer_start(&t->timer, timer_fired, ms, 0);
	if (slot)
		*slot = t;
	return t;
}

void loop_after_cancel(struct loop_timer **slot)
{
	if (*slot)
		timer_end(*slot);
}
