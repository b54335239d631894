/* SPDX-License-Identifier: Apache-2.0
 * inventory.h - read the devices and NUMA nodes of the host (inventory.c).
 *
 * The result is in the tables devices and numa_nodes. Loop thread only.
 */
#ifndef TEEPOD_VMM_HOST_INVENTORY_H
#define TEEPOD_VMM_HOST_INVENTORY_H

#include <stdbool.h>

#include "base/err.h"

struct inventory;
struct vmm;

struct inventory *inventory_new(void);
/* While the node closes: call all waiters, start nothing new. */
void inventory_close(struct vmm *v);
void inventory_free(struct inventory *inv);

/* Read the host. @done (may be NULL) is called once: after the commit, or when the read has failed
 * or is late. A request for devices or hugepages is refused until this was done for it. */
void inventory_refresh(struct vmm *v, void (*done)(void *arg), void *arg);
/* Can a fresh inventory change the refusal @e? If so, retry the request with .inspected set. */
bool inventory_may_allow(const struct err *e);
/* Why the last read was incomplete; "" if it was complete. */
const char *inventory_error(const struct vmm *v);
bool inventory_is_reading(const struct vmm *v);

#endif
