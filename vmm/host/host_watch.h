/* SPDX-License-Identifier: Apache-2.0
 * host_watch.h - can this host run TDX guests? (host_watch.c) Loop thread only.
 */
#ifndef TEEPOD_VMM_HOST_HOST_WATCH_H
#define TEEPOD_VMM_HOST_HOST_WATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "vmm/host/host_check.h"

struct host_watch;
struct vmm;

/* @on_keyids is told the number of TDX key IDs after each read; -1 if unknown. */
struct host_watch *host_watch_new(void (*on_keyids)(struct vmm *v, int64_t keyids));
void host_watch_free(struct host_watch *w);

/* Read the facts of the host in a job. If a job is under way, another one follows it. */
void host_watch_refresh(struct vmm *v);
/* Can this host run TDX guests? As of *ret_at (wall clock, ms); what is older than a minute is read
 * again for the next call. False while nothing has been read yet. */
bool vmm_host_checks(struct vmm *v, struct host_check ret[HOST_CHECKS], int64_t *ret_at);

#endif
