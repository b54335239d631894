/* SPDX-License-Identifier: Apache-2.0
 * host_watch.h - the check whether this host can run TDX guests, kept up to date. Loop thread only.
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

/* @on_keyids is called after each read, with the number of TDX key IDs; -1 if unknown. */
struct host_watch *host_watch_new(void (*on_keyids)(struct vmm *v, int64_t keyids));
void host_watch_free(struct host_watch *w);

/* Read the facts of the host in a job. If a job is under way, another one follows it. */
void host_watch_refresh(struct vmm *v);
/* The rows of host_check.h, as of *ret_at (wall clock, ms). If they are older than a minute, a new
 * read is started for the next call. False until the first read has ended. */
bool vmm_host_checks(struct vmm *v, struct host_check ret[HOST_CHECKS], int64_t *ret_at);

#endif
