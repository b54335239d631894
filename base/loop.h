/* SPDX-License-Identifier: Apache-2.0
 * loop.h - libuv habits in one place: reserved descriptors and timers. Blocking work: base/lanes.h.
 */
#ifndef TEEPOD_BASE_LOOP_H
#define TEEPOD_BASE_LOOP_H

#include <uv.h>

/* Occupy descriptors 3..9 for good. Call before the first libuv call of the process: libvirt's
 * embedded driver double-forks and re-uses low descriptors while libuv's pthread_atfork child
 * handler (uv__signal_global_reinit) closes its signal pipe by number, and every start then fails
 * with "Unable to notify child process: Bad file descriptor" (libuv 1.44 with libvirt 9.0). */
void loop_reserve_fds(void);

/* Abort unless the caller runs on the loop thread, which is the main thread of the process. Takes
 * no lock and, after the first call of a thread, makes no system call. */
void assert_loop_thread(void);

/* One-shot timer that owns itself: @fn(@arg) after @ms. Cancel with loop_after_cancel(&t) before it
 * fired; the handle pointer is cleared when it fires, so a stale cancel is harmless. */
struct loop_timer;
struct loop_timer *loop_timer_start(uv_loop_t *loop, uint64_t ms, void (*fn)(void *arg),
				    const char *name, void *arg, struct loop_timer **slot);
/* The function's name is what the log calls it when it holds the loop. */
#define loop_after(loop, ms, fn, arg, slot) loop_timer_start(loop, ms, fn, #fn, arg, slot)
void loop_after_cancel(struct loop_timer **slot);

#endif
