/* SPDX-License-Identifier: Apache-2.0
 * inventory.h - inventory of devices and NUMA nodes.
 */
#ifndef TEEPOD_VMM_HOST_INVENTORY_H
#define TEEPOD_VMM_HOST_INVENTORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "vmm/logs/serial_scan.h"

struct host_waiter;

struct vmm;

/* Those who wait for a look: told in the order they came, each once. */
enum {
	WAITERS_PER_RUN = 8
}; /* by one look or probe, in weight: each applies its request in the same turn */

void waiters_add(struct host_waiter **list, unsigned weight, void (*done)(void *arg), void *arg);
void waiters_call(struct host_waiter **list);
/* The first WAITERS_PER_RUN of @list, which keeps the others. */
struct host_waiter *waiters_take(struct host_waiter **list);
/* Look at the host's devices and NUMA nodes again; @done when what was found is committed (or could
 * not be found out). Requests that want devices or hugepages are refused until it was done for
 * them, with an error that is worth a look. */
void inventory_refresh(struct vmm *v, void (*done)(void *arg), void *arg);
/* Might a look change this refusal? Ask again with .looked set. */
bool inventory_may_allow(const struct err *e);

#endif
