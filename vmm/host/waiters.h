/* SPDX-License-Identifier: Apache-2.0
 * waiters.h - requests that wait until the host was read (waiters.c).
 *
 * A list is a pointer to its first element, NULL if empty. Loop thread only.
 */
#ifndef TEEPOD_VMM_HOST_WAITERS_H
#define TEEPOD_VMM_HOST_WAITERS_H

struct host_waiter;

/* Sum of the weights that one read of the host serves. */
enum { WAITERS_PER_RUN = 8 };

/* Append @done to the list. @weight >= 1: how much work @done does in its turn. */
void waiters_add(struct host_waiter **list, unsigned weight, void (*done)(void *arg), void *arg);
/* Call and free all waiters of the list, also those that are added meanwhile. */
void waiters_call(struct host_waiter **list);
/* Remove the first waiters whose weights sum up to at most WAITERS_PER_RUN (but at least one
 * waiter) and return them as a list of their own. NULL if the list is empty. */
struct host_waiter *waiters_take(struct host_waiter **list);

#endif
