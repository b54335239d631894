/* SPDX-License-Identifier: Apache-2.0
 * pace.h - automatic starts and drains, a few at a time. Loop thread only.
 */
#ifndef TEEPOD_VMM_CVM_PACE_H
#define TEEPOD_VMM_CVM_PACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct cvm_row;
struct vmm;

/* Caller of the shutdowns that a drain begins. */
#define PACE_DRAIN_CALLER "teepod:drain"

/* [turn] The domains are known: queue the CVMs that ended with the host for an automatic start. */
int pace_queue_after_boot(struct vmm *v, struct err *e);
/* [turn] The same for one CVM that is found lost later, because the first list could not be
 * recorded. */
int pace_queue_lost(struct vmm *v, const struct cvm_row *c, struct err *e);
/* Begin the operations that may begin now. */
void pace_start_next(struct vmm *v);
/* [turn] The same inside a turn, for requests that answer with the operations that have begun. */
int pace_begin(struct vmm *v, struct err *e);

#endif
