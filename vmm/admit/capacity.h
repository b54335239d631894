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
void capacity_close(struct vmm *v);
void capacity_free(struct capacity_state *c);

int capacity_set_up(struct vmm *v,
		    struct err *e); /* [turn] totals from the settings, promises from the rows */
/* The same in a turn of its own; a write that fails is tried again until it succeeds. */
void capacity_apply(struct vmm *v);
/* Number of TDX key IDs the host reported; -1 if unknown (the previous value stays in effect). */
void capacity_set_tdx_keyids(struct vmm *v, int64_t keyids);
int capacity_would_fit(struct vmm *v, const struct cvm_row *c, size_t n_ports, struct err *e);
/* The same for @after instead of @before, whose promises are given back. */
int capacity_change_would_fit(struct vmm *v, const struct cvm_row *before,
			      const struct cvm_row *after, size_t n_ports, struct err *e);
int capacity_reserve(struct vmm *v, struct cvm_row *c, size_t n_ports,
		     struct err *e); /* [turn] also picks the CID */
int capacity_release(struct vmm *v, const struct cvm_row *c, size_t n_ports,
		     struct err *e); /* [turn] */
/* [turn] What @other needs beyond @now, and @n_ports more: reserved, or given back. Not of NUMA
 * nodes. */
int capacity_reserve_more(struct vmm *v, const struct cvm_row *now, const struct cvm_row *other,
			  size_t n_ports, struct err *e);
int capacity_release_more(struct vmm *v, const struct cvm_row *now, const struct cvm_row *other,
			  size_t n_ports, struct err *e);
int capacity_hold_cpu(struct vmm *v, const struct cvm_row *c, bool hold,
		      struct err *e); /* [turn] */

#endif
