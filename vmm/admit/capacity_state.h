/* SPDX-License-Identifier: Apache-2.0
 * capacity_state.h - state of capacity.c and ports.c between requests. No other file includes it.
 */
#ifndef TEEPOD_VMM_ADMIT_CAPACITY_STATE_H
#define TEEPOD_VMM_ADMIT_CAPACITY_STATE_H

#include <stdint.h>

struct loop_timer;

/* The hints are where the next search begins; they are not stored. */
struct capacity_state {
	struct loop_timer *timer; /* retries capacity_apply() */
	uint32_t cid_hint;
	uint32_t port_hint[2]; /* tcp, udp: index into the allowed ports */
};

#endif
