/* SPDX-License-Identifier: Apache-2.0
 * capacity.h - reservations of vCPUs, memory, disk, CIDs and TDX key IDs.
 */
#ifndef TEEPOD_VMM_ADMIT_CAPACITY_H
#define TEEPOD_VMM_ADMIT_CAPACITY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct cvm_row;
struct loop_timer;
struct vmm;

struct capacity_state *capacity_new(void);
/* Stop the timer that retries capacity_apply(). */
void capacity_close(struct vmm *v);
void capacity_free(struct capacity_state *c);

/* [turn] Write the totals from the settings, and recount the reservations from the rows of CVMs. */
int capacity_set_up(struct vmm *v, struct err *e);
/* The same in a turn of its own. A failed write is retried every second until it succeeds. */
void capacity_apply(struct vmm *v);
/* Number of TDX key IDs the host reported; -1 if unknown (the previous value stays in effect). */
void capacity_set_tdx_keyids(struct vmm *v, int64_t keyids);
/* ERR_CAPACITY names the first resource of which @c with @n_ports host ports does not fit. */
int capacity_would_fit(struct vmm *v, const struct cvm_row *c, size_t n_ports, struct err *e);
/* The same for a change from @before to @after: only additional needs count. */
int capacity_change_would_fit(struct vmm *v, const struct cvm_row *before,
			      const struct cvm_row *after, size_t n_ports, struct err *e);
/* [turn] Reserve the resources of a new CVM, and choose its CID (c->cid). */
int capacity_reserve(struct vmm *v, struct cvm_row *c, size_t n_ports, struct err *e);
/* [turn] Release the resources of a CVM whose row is about to be removed. */
int capacity_release(struct vmm *v, const struct cvm_row *c, size_t n_ports, struct err *e);
/* [turn] Reserve or release the amount that @other needs beyond @now, and @n_ports further ports.
 * NUMA nodes: reservation_change.h. */
int capacity_reserve_more(struct vmm *v, const struct cvm_row *now, const struct cvm_row *other,
			  size_t n_ports, struct err *e);
int capacity_release_more(struct vmm *v, const struct cvm_row *now, const struct cvm_row *other,
			  size_t n_ports, struct err *e);
/* [turn] Reserve or release vCPUs, memory and the TDX key ID of a stopped CVM (holds_cpu). */
int capacity_hold_cpu(struct vmm *v, const struct cvm_row *c, bool hold, struct err *e);

#endif
