/* SPDX-License-Identifier: Apache-2.0
 * virt_events_test.c - libvirt's event interface on our loop: any thread may call, callbacks come
 * on the loop thread.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <libvirt/libvirt.h>

#include "base/clock.h"
#include "vmm/virt/virt_events.h"

struct rig {
	uv_loop_t loop;
	pthread_t thread; /* of the loop */
	unsigned detached;
};

struct seen {
	pthread_t loop_thread;
	unsigned calls, freed;
	int id, events, fd;
	bool wrong_thread, freed_early, in_remove;
	bool remove_in_callback;
};

static int setup(void **st)
{
	static struct rig r;
	struct err e;

	memset(&r, 0, sizeof(r));
	r.thread = pthread_self();
	assert_int_equal(uv_loop_init(&r.loop), 0);
	assert_int_equal(virt_events_attach(&r.loop, &e), 0);
	*st = &r;
	return 0;
}

static void on_detached(void *arg)
{
	((struct rig *)arg)->detached = 1;
}

static int teardown(void **st)
{
	struct rig *r = *st;

	virt_events_detach(on_detached, r);
	(void)uv_run(&r->loop, UV_RUN_DEFAULT);
	return !r->detached || uv_loop_close(&r->loop);
}

static void tick(uv_timer_t *t)
{
	(void)t;
}

static void turn_for(struct rig *r, int ms)
{
	int64_t end = clock_mono_ms() + ms;
	uv_timer_t t;

	uv_timer_init(&r->loop, &t);
	uv_timer_start(&t, tick, 1, 1);
	while (clock_mono_ms() < end)
		uv_run(&r->loop, UV_RUN_ONCE);
	uv_close((uv_handle_t *)&t, NULL);
	uv_run(&r->loop, UV_RUN_NOWAIT);
}

static void on_free(void *opaque)
{
	struct seen *s = opaque;

	s->freed++;
	s->freed_early |= s->in_remove;
	s->wrong_thread |= !pthread_equal(pthread_self(), s->loop_thread);
}

static void on_fd(int id, int fd, int events, void *opaque)
{
	struct seen *s = opaque;
	char byte;

	s->calls++;
	s->id = id;
	s->fd = fd;
	s->events |= events;
	s->wrong_thread |= !pthread_equal(pthread_self(), s->loop_thread);
	if (events & VIR_EVENT_HANDLE_READABLE)
		(void)!read(fd, &byte, 1);
	if (s->remove_in_callback) {
		s->in_remove = true;
		(void)virEventRemoveHandle(id);
		s->in_remove = false;
	}
}

static void on_timeout(int id, void *opaque)
{
	on_fd(id, -1, 0, opaque);
}

struct offer {
	int fd, events, id;
	struct seen *s;
};

static void *add_from_thread(void *arg)
{
	struct offer *o = arg;

	o->id = virEventAddHandle(o->fd, o->events, on_fd, o->s, on_free);
	return NULL;
}

static void *remove_from_thread(void *arg)
{
	struct offer *o = arg;

	o->s->in_remove = true;
	(void)virEventRemoveHandle(o->id);
	o->s->in_remove = false;
	return NULL;
}

static void in_thread(void *(*fn)(void *arg), void *arg)
{
	pthread_t t;

	assert_int_equal(pthread_create(&t, NULL, fn, arg), 0);
	assert_int_equal(pthread_join(t, NULL), 0);
}

static void what_another_thread_adds_is_called_and_freed_on_the_loop_thread(void **st)
{
	struct rig *r = *st;
	struct seen s = { .loop_thread = r->thread };
	struct offer o = { .events = VIR_EVENT_HANDLE_READABLE, .s = &s };
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
	o.fd = pair[0];
	in_thread(add_from_thread, &o);
	turn_for(r, 20);
	assert_int_equal(s.calls, 0);
	assert_int_equal(write(pair[1], "x", 1), 1);
	turn_for(r, 20);
	assert_int_equal(s.calls, 1);
	assert_int_equal(s.id, o.id);
	in_thread(remove_from_thread, &o);
	assert_int_equal(s.freed, 0);
	turn_for(r, 20);
	assert_int_equal(s.freed, 1);
	assert_false(s.freed_early || s.wrong_thread);
	close(pair[0]);
	close(pair[1]);
}

/* libvirt closes its descriptor right after remove; the number may be reused then. */
static void a_removed_descriptor_may_be_closed_and_reused_at_once(void **st)
{
	struct rig *r = *st;
	struct seen old = { .loop_thread = r->thread }, new = { .loop_thread = r->thread };
	int a[2], b[2], first, second;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, a), 0);
	first = virEventAddHandle(a[0], VIR_EVENT_HANDLE_READABLE, on_fd, &old, on_free);
	turn_for(r, 10);
	assert_int_equal(virEventRemoveHandle(first), 0);
	close(a[0]);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, b), 0);
	assert_int_equal(b[0], a[0]);
	second = virEventAddHandle(b[0], VIR_EVENT_HANDLE_READABLE, on_fd, &new, on_free);
	assert_int_equal(write(b[1], "x", 1), 1);
	turn_for(r, 20);
	assert_int_equal(old.calls, 0);
	assert_int_equal(old.freed, 1);
	assert_int_equal(new.calls, 1);
	assert_int_equal(virEventRemoveHandle(second), 0);
	turn_for(r, 10);
	close(a[1]);
	close(b[0]);
	close(b[1]);
}

static void nothing_is_called_after_remove_even_if_it_is_ready(void **st)
{
	struct rig *r = *st;
	struct seen s = { .loop_thread = r->thread };
	int pair[2], id;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
	id = virEventAddHandle(pair[0], VIR_EVENT_HANDLE_READABLE, on_fd, &s, on_free);
	turn_for(r, 10);
	assert_int_equal(write(pair[1], "x", 1), 1);
	assert_int_equal(virEventRemoveHandle(id), 0);
	assert_int_equal(virEventRemoveHandle(id), -1);
	turn_for(r, 20);
	assert_int_equal(s.calls, 0);
	assert_int_equal(s.freed, 1);
	close(pair[0]);
	close(pair[1]);
}

static void events_can_be_changed_and_a_hang_up_is_reported(void **st)
{
	struct rig *r = *st;
	struct seen s = { .loop_thread = r->thread, .remove_in_callback = false };
	int pair[2], id;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
	id = virEventAddHandle(pair[0], 0, on_fd, &s, on_free);
	assert_int_equal(write(pair[1], "x", 1), 1);
	turn_for(r, 20);
	assert_int_equal(s.calls, 0);
	virEventUpdateHandle(id, VIR_EVENT_HANDLE_READABLE);
	turn_for(r, 20);
	assert_int_equal(s.events, VIR_EVENT_HANDLE_READABLE);
	s.remove_in_callback = true;
	virEventUpdateHandle(id, VIR_EVENT_HANDLE_READABLE | VIR_EVENT_HANDLE_HANGUP);
	close(pair[1]);
	turn_for(r, 20);
	assert_true(s.events & VIR_EVENT_HANDLE_HANGUP);
	assert_int_equal(s.freed, 1);
	assert_false(s.freed_early);
	close(pair[0]);
}

static void one_descriptor_can_be_watched_twice(void **st)
{
	struct rig *r = *st;
	struct seen in = { .loop_thread = r->thread },
		    out = { .loop_thread = r->thread, .remove_in_callback = true };
	int pair[2], id;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
	id = virEventAddHandle(pair[0], VIR_EVENT_HANDLE_READABLE, on_fd, &in, on_free);
	(void)virEventAddHandle(pair[0], VIR_EVENT_HANDLE_WRITABLE, on_fd, &out, on_free);
	assert_int_equal(write(pair[1], "x", 1), 1);
	turn_for(r, 20);
	assert_int_equal(in.calls, 1);
	assert_int_equal(out.events, VIR_EVENT_HANDLE_WRITABLE);
	assert_int_equal(virEventRemoveHandle(id), 0);
	turn_for(r, 10);
	close(pair[0]);
	close(pair[1]);
}

static void timers_repeat_until_they_are_stopped(void **st)
{
	struct rig *r = *st;
	struct seen s = { .loop_thread = r->thread };
	int id = virEventAddTimeout(-1, on_timeout, &s, on_free);
	unsigned calls;

	turn_for(r, 20);
	assert_int_equal(s.calls, 0);
	virEventUpdateTimeout(id, 5);
	turn_for(r, 60);
	assert_in_range(s.calls, 2, 13);
	virEventUpdateTimeout(id, -1);
	turn_for(r, 5);
	calls = s.calls;
	turn_for(r, 30);
	assert_int_equal(s.calls, calls);
	assert_int_equal(virEventRemoveTimeout(id), 0);
	turn_for(r, 10);
	assert_int_equal(s.freed, 1);
}

/* Zero means each turn: it must fire again and again, and let others have their turn in between. */
static void a_zero_timer_does_not_take_the_loop_for_itself(void **st)
{
	struct rig *r = *st;
	struct seen zero = { .loop_thread = r->thread }, other = { .loop_thread = r->thread };
	int pair[2], id = virEventAddTimeout(0, on_timeout, &zero, on_free), fd;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
	fd = virEventAddHandle(pair[0], VIR_EVENT_HANDLE_READABLE, on_fd, &other, on_free);
	assert_int_equal(write(pair[1], "x", 1), 1);
	turn_for(r, 30);
	assert_true(zero.calls >= 3);
	assert_int_equal(other.calls, 1);
	assert_int_equal(virEventRemoveTimeout(id), 0);
	assert_int_equal(virEventRemoveHandle(fd), 0);
	turn_for(r, 10);
	close(pair[0]);
	close(pair[1]);
}

static void what_is_still_watched_moves_to_the_next_loop(void **st)
{
	struct rig *r = *st;
	struct seen s = { .loop_thread = r->thread };
	int pair[2], id;
	struct err e;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
	id = virEventAddHandle(pair[0], VIR_EVENT_HANDLE_READABLE, on_fd, &s, on_free);
	turn_for(r, 10);
	virt_events_detach(on_detached, r);
	assert_int_equal(uv_run(&r->loop, UV_RUN_DEFAULT), 0);
	assert_int_equal(r->detached, 1);
	assert_int_equal(uv_loop_close(&r->loop), 0);

	assert_int_equal(write(pair[1], "x", 1), 1);
	assert_int_equal(uv_loop_init(&r->loop), 0);
	assert_int_equal(virt_events_attach(&r->loop, &e), 0);
	turn_for(r, 20);
	assert_int_equal(s.calls, 1);
	assert_int_equal(virEventRemoveHandle(id), 0);
	turn_for(r, 10);
	assert_int_equal(s.freed, 1);
	close(pair[0]);
	close(pair[1]);
}

enum { STORM_THREADS = 4, STORM_ROUNDS = 500 };

struct storm {
	struct seen s[STORM_THREADS];
	pthread_t thread[STORM_THREADS];
	struct rig *r;
};

static void *storm_thread(void *arg)
{
	struct seen *s = arg;

	for (int i = 0; i < STORM_ROUNDS; i++) {
		int id = virEventAddTimeout(i % 3 - 1, on_timeout, s, on_free);

		virEventUpdateTimeout(id, i % 2);
		(void)virEventRemoveTimeout(id);
	}
	return NULL;
}

static void every_source_is_freed_once_however_many_threads_race(void **st)
{
	struct storm storm = { .r = *st };
	unsigned freed = 0;

	for (int i = 0; i < STORM_THREADS; i++) {
		storm.s[i].loop_thread = storm.r->thread;
		assert_int_equal(pthread_create(&storm.thread[i], NULL, storm_thread, &storm.s[i]),
				 0);
	}
	turn_for(storm.r, 50);
	for (int i = 0; i < STORM_THREADS; i++)
		assert_int_equal(pthread_join(storm.thread[i], NULL), 0);
	turn_for(storm.r, 50);
	for (int i = 0; i < STORM_THREADS; i++) {
		freed += storm.s[i].freed;
		assert_false(storm.s[i].wrong_thread);
	}
	assert_int_equal(freed, STORM_THREADS * STORM_ROUNDS);
}

#define bridge_test(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest t[] = {
		bridge_test(what_another_thread_adds_is_called_and_freed_on_the_loop_thread),
		bridge_test(a_removed_descriptor_may_be_closed_and_reused_at_once),
		bridge_test(nothing_is_called_after_remove_even_if_it_is_ready),
		bridge_test(events_can_be_changed_and_a_hang_up_is_reported),
		bridge_test(one_descriptor_can_be_watched_twice),
		bridge_test(timers_repeat_until_they_are_stopped),
		bridge_test(a_zero_timer_does_not_take_the_loop_for_itself),
		bridge_test(what_is_still_watched_moves_to_the_next_loop),
		bridge_test(every_source_is_freed_once_however_many_threads_race),
	};

	return cmocka_run_group_tests_name("virt_events", t, NULL, NULL);
}
