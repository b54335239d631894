/* SPDX-License-Identifier: Apache-2.0
 * policies.h - when the policies of CVMs (restart.c, pace.c) are applied.
 */
#ifndef TEEPOD_VMM_CVM_POLICIES_H
#define TEEPOD_VMM_CVM_POLICIES_H

#include <stdint.h>

#include "base/err.h"

struct cvm_row;
struct policies;
struct vmm;

/* @apply applies all policies. It runs on the loop thread, outside of a turn. */
struct policies *policies_new(void (*apply)(struct vmm *v));
void policies_free(struct policies *p);
/* Something happened (an operation or a guest ended, settings changed): apply the policies when
 * this turn is over. */
void policies_check(struct vmm *v);
/* Apply them @ms milliseconds from now. Replaces the timer that was set before. */
void policies_check_in(struct vmm *v, int64_t ms);
/* Cancel that timer. */
void policies_cancel_timer(struct vmm *v);
/* turn_after() callback, @arg is the vmm: if the commit failed, apply them again in a second. */
void policies_committed(void *arg, const struct err *e);
/* The node closes. */
void policies_close(struct vmm *v);
/* [turn] A client acts on the CVM: the restart budget is full again, no restart is due, and the CVM
 * leaves the queue of automatic starts and drains. */
int policies_reset(struct vmm *v, const struct cvm_row *c, struct err *e);

#endif
