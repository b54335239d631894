/* SPDX-License-Identifier: Apache-2.0
 * domain_state.h - states of domains, as libvirt reports them.
 */
#ifndef TEEPOD_VMM_VIRT_DOMAIN_STATE_H
#define TEEPOD_VMM_VIRT_DOMAIN_STATE_H

#include <stdbool.h>

#include "base/id.h"

enum domain_state {
	DOMAIN_ABSENT, /* not defined */
	DOMAIN_OFF,
	DOMAIN_CRASHED,
	DOMAIN_RUNNING,
	DOMAIN_PAUSED,       /* by a call: virsh suspend, a QMP stop, a snapshot */
	DOMAIN_PAUSED_IO,    /* by QEMU, because a disk had an error; cause: hv_pause_cause() */
	DOMAIN_PAUSED_NOSPC, /* by QEMU, because there is no space left for a disk */
	/* Off, and libvirt does not know why because it has not seen the domain run. It forgets
	 * that when its process ends (with the embedded driver: ours), and when the host ends. */
	DOMAIN_UNTOLD,
	/* libvirt says that it runs, but its QEMU has ended: libvirt has not cleaned up yet. How it
	 * ended is not known before that. */
	DOMAIN_ENDING,
};

/* True for a domain that has a QEMU. */
static inline bool domain_state_is_up(enum domain_state s)
{
	return s == DOMAIN_RUNNING || s == DOMAIN_PAUSED || s == DOMAIN_PAUSED_IO ||
	       s == DOMAIN_PAUSED_NOSPC;
}

/* The state of a domain has changed to @state. */
struct hv_event {
	char uuid[UUID_TEXT];
	enum domain_state state;
};

/* A domain of a list. */
struct hv_domain {
	char uuid[UUID_TEXT];
	enum domain_state state;
};

#endif
