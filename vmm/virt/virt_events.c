/* SPDX-License-Identifier: Apache-2.0
 * virt_events.c - serves libvirt's event loop interface from our libuv loop.
 *
 * DOC: Theory of operation
 *
 * libvirt calls the six functions of virEventRegisterImpl() from any thread (about half of the
 * calls with the embedded driver, nearly all with a remote one), while libuv handles belong to the
 * loop thread. So a call only writes the wanted state to a struct source, under the mutex, and
 * wakes the loop. The loop thread then updates the handle. The wanted state outlives a loop: after
 * a detach the sources stay, and the next attach opens handles for them again.
 *
 *	added --(sync)--> open handle --(removed, sync)--> closing
 *	      --(uv close callback)--> ff(opaque), freed
 *
 * What must hold: no callback of libvirt is called with the mutex held, and `ff` never from inside
 * remove. libvirt may hold locks there that `ff` takes. It runs on the loop thread, after the
 * handle is closed.
 *
 * Each watched descriptor is a duplicate. libvirt closes its own right after remove, and the number
 * may be in use again before the loop thread calls epoll_ctl(DEL). A duplicate also lets libvirt
 * watch one descriptor twice, which libuv refuses.
 */
#include "vmm/virt/virt_events.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <unistd.h>

#include <libvirt/libvirt.h>

#include "base/alloc.h"
#include "base/lag.h"
#include "base/loop.h"

struct source {
	struct source *next;
	int id;
	bool removed; /* by libvirt: its callback is no longer called */
	bool dirty;   /* the handle does not have the wanted state yet */

	int fd;      /* our duplicate; -1: a timer */
	int wanted;  /* virEventHandleType bits */
	int timeout; /* ms; -1: never */

	/* loop thread */
	bool open, closing;
	uv_poll_t poll;
	uv_timer_t timer;

	virEventHandleCallback on_fd;
	virEventTimeoutCallback on_timeout;
	virFreeCallback ff;
	void *opaque;
};

static struct {
	pthread_mutex_t lock;
	struct source *sources;
	int last_id;
	uv_loop_t *loop; /* NULL: not attached */
	bool dirty;      /* some source is */

	/* loop thread */
	bool registered;
	unsigned users, handles;
	uv_async_t wake;
	void (*done)(void *arg);
	void *arg;
} bridge = { .lock = PTHREAD_MUTEX_INITIALIZER };

static void bridge_lock(void)
{
	(void)pthread_mutex_lock(&bridge.lock);
}

static void bridge_unlock(void)
{
	(void)pthread_mutex_unlock(&bridge.lock);
}

static struct source *bridge_find(int id)
{
	struct source *s = bridge.sources;

	while (s && (s->id != id || s->removed))
		s = s->next;
	return s;
}

/* Mutex held, so that the wake handle cannot be closed during the call. */
static void mark_dirty(struct source *s)
{
	s->dirty = true;
	bridge.dirty = true;
	if (bridge.loop)
		(void)uv_async_send(&bridge.wake);
}

/* ------------------------------------------------------------------ interface of libvirt, any
 * thread */

static int bridge_add(struct source *s)
{
	bridge_lock();
	s->id = ++bridge.last_id;
	s->next = bridge.sources;
	bridge.sources = s;
	mark_dirty(s);
	int id = s->id;
	bridge_unlock();
	return id;
}

static int remove_source(int id)
{
	bridge_lock();
	struct source *s = bridge_find(id);
	if (s) {
		s->removed = true;
		mark_dirty(s);
	}
	bridge_unlock();
	return s ? 0 : -1;
}

static int add_handle(int fd, int events, virEventHandleCallback cb, void *opaque,
		      virFreeCallback ff)
{
	int dup = fcntl(fd, F_DUPFD_CLOEXEC, 10);
	struct source *s;

	if (dup < 0)
		return -1;
	s = xcalloc(1, sizeof(*s));
	s->fd = dup;
	s->wanted = events;
	s->timeout = -1;
	s->on_fd = cb;
	s->opaque = opaque;
	s->ff = ff;
	return bridge_add(s);
}

static void update_handle(int id, int events)
{
	bridge_lock();
	struct source *s = bridge_find(id);
	if (s) {
		s->wanted = events;
		mark_dirty(s);
	}
	bridge_unlock();
}

static int add_timeout(int ms, virEventTimeoutCallback cb, void *opaque, virFreeCallback ff)
{
	struct source *s = xcalloc(1, sizeof(*s));

	s->fd = -1;
	s->timeout = ms;
	s->on_timeout = cb;
	s->opaque = opaque;
	s->ff = ff;
	return bridge_add(s);
}

static void update_timeout(int id, int ms)
{
	bridge_lock();
	struct source *s = bridge_find(id);
	if (s) {
		s->timeout = ms;
		mark_dirty(s);
	}
	bridge_unlock();
}

/* ------------------------------------------------------------------ loop thread */

static void unlink_source(struct source *gone)
{
	struct source **at = &bridge.sources;

	while (*at != gone)
		at = &(*at)->next;
	*at = gone->next;
}

/* The handle is closed, or there was none. */
static void source_free(struct source *s)
{
	bridge_lock();
	unlink_source(s);
	bridge_unlock();
	if (s->fd >= 0)
		(void)close(s->fd);
	if (s->ff)
		s->ff(s->opaque);
	free(s);
}

static void bridge_handle_closed(void)
{
	void (*done)(void *arg) = bridge.done;

	assert(bridge.handles);
	if (--bridge.handles)
		return;
	bridge.done = NULL;
	if (done)
		done(bridge.arg);
}

static void source_on_closed(uv_handle_t *h)
{
	struct source *s = h->data;

	s->open = s->closing = false;
	bridge_lock();
	bool removed = s->removed;
	bridge_unlock();
	if (removed)
		source_free(s);
	bridge_handle_closed();
}

static void close_source(struct source *s)
{
	if (!s->open || s->closing)
		return;
	s->closing = true;
	uv_close(s->fd < 0 ? (uv_handle_t *)&s->timer : (uv_handle_t *)&s->poll, source_on_closed);
}

static void source_on_poll(uv_poll_t *p, int status, int events)
{
	struct source *s = p->data;
	int seen = 0;

	/* libuv stops a handle that reports an error. libvirt removes the source when it gets
	 * this bit. */
	if (status < 0)
		seen |= VIR_EVENT_HANDLE_ERROR;
	if (events & UV_READABLE)
		seen |= VIR_EVENT_HANDLE_READABLE;
	if (events & UV_WRITABLE)
		seen |= VIR_EVENT_HANDLE_WRITABLE;
	if (events & UV_DISCONNECT)
		seen |= VIR_EVENT_HANDLE_HANGUP;

	bridge_lock();
	bool live = !s->removed;
	bridge_unlock();
	if (!live)
		return;
	LAG_SECTION("libvirt", "descriptor");
	s->on_fd(s->id, s->fd, seen, s->opaque);
}

static void source_on_timer(uv_timer_t *t)
{
	struct source *s = t->data;

	bridge_lock();
	bool live = !s->removed && s->timeout >= 0;
	bridge_unlock();
	if (!live)
		return;
	LAG_SECTION("libvirt", "timer");
	s->on_timeout(s->id, s->opaque);
}

static void open_source(struct source *s)
{
	if (s->fd < 0) {
		(void)uv_timer_init(bridge.loop, &s->timer);
		s->timer.data = s;
	} else {
		/* Fails only for descriptors that epoll cannot watch, such as regular files: these
		 * are always ready. */
		if (uv_poll_init(bridge.loop, &s->poll, s->fd))
			return;
		s->poll.data = s;
	}
	s->open = true;
	bridge.handles++;
}

static void sync_poll(struct source *s, int wanted)
{
	int events = 0;

	if (wanted & VIR_EVENT_HANDLE_READABLE)
		events |= UV_READABLE;
	if (wanted & VIR_EVENT_HANDLE_WRITABLE)
		events |= UV_WRITABLE;
	if (wanted & VIR_EVENT_HANDLE_HANGUP)
		events |= UV_DISCONNECT;
	if (events)
		(void)uv_poll_start(&s->poll, events, source_on_poll);
	else
		(void)uv_poll_stop(&s->poll);
}

/* A timeout of 0 means "in each turn of the loop". libuv runs timers until none is due, so a repeat
 * after 0 ms would never leave that phase. Later turns come after 1 ms. */
static void sync_timer(struct source *s, int timeout)
{
	if (timeout < 0)
		(void)uv_timer_stop(&s->timer);
	else
		(void)uv_timer_start(&s->timer, source_on_timer, (uint64_t)timeout,
				     timeout ? (uint64_t)timeout : 1);
}

static void sync_source(struct source *s, bool removed, int wanted, int timeout)
{
	if (removed) {
		if (s->open)
			close_source(s);
		else
			source_free(s);
		return;
	}
	if (s->closing)
		return;
	if (!s->open)
		open_source(s);
	if (!s->open)
		return;
	if (s->fd < 0)
		sync_timer(s, timeout);
	else
		sync_poll(s, wanted);
}

static struct source *next_dirty(void)
{
	struct source *s = bridge.sources;

	while (s && !s->dirty)
		s = s->next;
	return s;
}

/* ff() and other threads may add and remove sources, so the search restarts after each one. */
static void sync_all(void)
{
	bridge_lock();
	for (struct source *s; bridge.dirty && (s = next_dirty());) {
		bool removed = s->removed;
		int wanted = s->wanted, timeout = s->timeout;

		s->dirty = false;
		bridge_unlock();
		sync_source(s, removed, wanted, timeout);
		bridge_lock();
	}
	bridge.dirty = false;
	bridge_unlock();
}

static void bridge_on_wake(uv_async_t *a)
{
	(void)a;
	LAG_SECTION("libvirt", "handles");
	sync_all();
}

static void bridge_on_wake_closed(uv_handle_t *h)
{
	(void)h;
	bridge_handle_closed();
}

int virt_events_attach(uv_loop_t *loop, struct err *e)
{
	int r;

	assert_loop_thread();
	if (bridge.users) {
		assert(bridge.loop == loop);
		bridge.users++;
		return 0;
	}
	assert(!bridge.handles);
	r = uv_async_init(loop, &bridge.wake, bridge_on_wake);
	if (r)
		return err_sys(e, -r, "event bridge");
	if (!bridge.registered) {
		virEventRegisterImpl(add_handle, update_handle, remove_source, add_timeout,
				     update_timeout, remove_source);
		bridge.registered = true;
	}
	bridge.users = 1;
	bridge.handles = 1;
	bridge_lock();
	bridge.loop = loop;
	for (struct source *s = bridge.sources; s; s = s->next)
		mark_dirty(s);
	bridge_unlock();
	return 0;
}

/* Sources that are still watched stay in the list and lose their handles. */
void virt_events_detach(void (*done)(void *arg), void *arg)
{
	assert_loop_thread();
	assert(bridge.users);
	if (bridge.users > 1) {
		bridge.users--;
		if (done)
			done(arg);
		return;
	}
	sync_all();
	bridge.users = 0;
	bridge.done = done;
	bridge.arg = arg;
	bridge_lock();
	bridge.loop = NULL;
	struct source *first = bridge.sources;
	bridge_unlock();
	/* Other threads may still insert sources before @first; those have no handle to close. */
	for (struct source *s = first; s; s = s->next)
		close_source(s);
	uv_close((uv_handle_t *)&bridge.wake, bridge_on_wake_closed);
}
