/* SPDX-License-Identifier: Apache-2.0
 * loop.h - helpers for libuv: reserved descriptors, thread check, timers. Blocking work:
 * base/lanes.h.
 */
#ifndef TEEPOD_BASE_LOOP_H
#define TEEPOD_BASE_LOOP_H

#include <uv.h>

/* Occupy descriptors 3 to 9 for the life of the process. Call before the first libuv call. Reason:
 * after fork() libuv's child handler (uv__signal_global_reinit) closes its signal pipe by number,
 * while libvirt's embedded driver uses low descriptors in the child. Every start then fails with
 * "Unable to notify child process: Bad file descriptor" (libuv 1.44 with libvirt 9.0). */
void loop_reserve_fds(void);

/* Abort unless the caller runs on the loop thread, which is the main thread of the process. Takes
 * no lock and, after the first call of a thread, makes no system call. */
void assert_loop_thread(void);

/* One-shot timer: call @fn(@arg) after @ms milliseconds. It frees itself. @slot (may be NULL)
 * points to the timer until it fires or is cancelled, then it is NULL; loop_after_cancel() of an
 * empty slot does nothing. Loop thread. */
struct loop_timer;
struct loop_timer *loop_timer_start(uv_loop_t *loop, uint64_t ms, void (*fn)(void *arg),
				    const char *name, void *arg, struct loop_timer **slot);
/* The name of the function appears in the log if it blocks the loop: see lag.h. */
#define loop_after(loop, ms, fn, arg, slot) loop_timer_start(loop, ms, fn, #fn, arg, slot)
void loop_after_cancel(struct loop_timer **slot);

#endif
