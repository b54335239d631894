/* SPDX-License-Identifier: Apache-2.0
 * restart.h - restarts after a crash.
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
	RESTART_NOTHING,  /* ... before @until (wall clock, ms; 0 = until something happens) */
	RESTART_CANCEL,   /* one that is due no longer is */
	RESTART_RESET,    /* it ran for long enough: the budget is whole again */
	RESTART_SCHEDULE, /* begin one at @until */
	RESTART_NOW,      /* begin it */
	RESTART_EXHAUST,  /* the budget is used up */
};

struct restart_decision {
	enum restart_action action;
	int64_t until;
	int64_t attempts; /* before this one, as they count now */
};

/* Pure: what is to be done about @r at @now (wall clock, ms). */
struct restart_decision restart_decide(const struct restart_settings *s,
				       const struct restart_row *r, int64_t now);
/* Look at all of them, and again when the next one is due. Not before the node is settled. */
void restart_apply(struct vmm *v);

#endif
