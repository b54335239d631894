/* SPDX-License-Identifier: Apache-2.0
 * pace.h - automatic starts and drains, a few at a time.
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

/* [turn] Domains are known: what the end of the host took down waits for its turn to start. */
int pace_queue_after_boot(struct vmm *v, struct err *e);
/* [turn] The same for one that is found lost later: when the first list could not be recorded. */
int pace_queue_lost(struct vmm *v, const struct cvm_row *c, struct err *e);
/* Begin what may begin now. */
void pace_start_next(struct vmm *v);
/* The same inside a turn, for those who answer with what has begun. [turn] */
int pace_begin(struct vmm *v, struct err *e);

#endif
