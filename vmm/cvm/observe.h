/* SPDX-License-Identifier: Apache-2.0
 * observe.h - record the state of domains: events, queries and lists. Loop thread only.
 */
#ifndef TEEPOD_VMM_CVM_OBSERVE_H
#define TEEPOD_VMM_CVM_OBSERVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "db/cvms.h"

struct hv_event;
struct observer;
struct vmm;

struct observer *observer_new(void);
/* After observe_close(), and not while jobs run. */
void observer_free(struct observer *o);
/* The node closes: list the domains no more. */
void observe_close(struct vmm *v);

/* Callbacks of the hypervisor: an event of a domain; connected or disconnected. @arg: the vmm. */
void observe_event(void *arg, const struct hv_event *ev);
void observe_link(void *arg, bool up, const struct err *e);
/* Query libvirt for the state of the domain @uuid, and record it. */
void observe_domain(struct vmm *v, const char *uuid);
/* True until that query has ended. Its end checks the waiting operations of the CVM. */
bool observe_is_pending(const struct vmm *v, const char *uuid);
/* List all domains a second from now, and record their states. */
void observe_all_soon(struct vmm *v);
/* [turn] Record that the domain of @c is in state @o and not paused. */
int observe_apply(struct vmm *v, const struct cvm_row *c, enum observed o, struct err *e);

#endif
