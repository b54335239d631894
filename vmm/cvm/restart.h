/* SPDX-License-Identifier: Apache-2.0
 * restart.h - restarts after a crash. Loop thread only.
 */
#ifndef TEEPOD_VMM_CVM_RESTART_H
#define TEEPOD_VMM_CVM_RESTART_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct restart_row;
struct restart_settings;
struct vmm;

enum restart_action {
	RESTART_NOTHING,  /* nothing to do before @until (wall clock, ms; 0 = until the next event)
			   */
	RESTART_CANCEL,   /* a scheduled restart is not wanted any more */
	RESTART_RESET,    /* the guest ran for long enough: the budget is full again */
	RESTART_SCHEDULE, /* schedule a restart for @until */
	RESTART_NOW,      /* restart now */
	RESTART_EXHAUST,  /* the budget is used up: no more restarts */
};

struct restart_decision {
	enum restart_action action;
	int64_t until;
	int64_t attempts; /* attempts before this one that count */
};

/* Decide what to do about @r at the time @now (wall clock, ms). Pure. */
struct restart_decision restart_decide(const struct restart_settings *s,
				       const struct restart_row *r, int64_t now);
/* Carry out the decisions for all CVMs, and set the timer for the next one. Does nothing before the
 * node is settled. */
void restart_apply(struct vmm *v);

#endif
