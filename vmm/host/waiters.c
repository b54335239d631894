/* SPDX-License-Identifier: Apache-2.0
 * waiters.c - requests that wait until the host was read: an ordered list of callbacks.
 *
 * Each waiter is called exactly once, in the order of arrival. One read of the host serves a
 * limited number of them, because each applies its request in the same turn of the loop.
 * Users: inventory.c (devices and NUMA nodes), admit/port_probe.c (host ports).
 */
#include <assert.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "vmm/host/waiters.h"

struct host_waiter {
	struct host_waiter *next;
	unsigned weight;
	void (*done)(void *arg);
	void *arg;
};

void waiters_add(struct host_waiter **list, unsigned weight, void (*done)(void *arg), void *arg)
{
	while (*list)
		list = &(*list)->next;
	*list = xcalloc(1, sizeof(**list));
	**list = (struct host_waiter){ .weight = weight, .done = done, .arg = arg };
}

void waiters_call(struct host_waiter **list)
{
	while (*list) {
		struct host_waiter *w = *list;

		*list = w->next;
		w->done(w->arg);
		free(w);
	}
}

struct host_waiter *waiters_take(struct host_waiter **list)
{
	struct host_waiter *first = *list, **at = list;

	for (unsigned sum = 0; *at && (!sum || sum + (*at)->weight <= WAITERS_PER_RUN);
	     at = &(*at)->next)
		sum += (*at)->weight;
	*list = *at;
	if (first != *list)
		*at = NULL;
	return first == *list ? NULL : first;
}
