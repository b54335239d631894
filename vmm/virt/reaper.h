/* SPDX-License-Identifier: Apache-2.0
 * reaper.h - collect the QEMU processes that libvirt's embedded driver leaves to whoever adopts
 * orphans.
 */
#ifndef TEEPOD_VMM_VIRT_REAPER_H
#define TEEPOD_VMM_VIRT_REAPER_H

#include <uv.h>

#include "base/err.h"

struct reaper;

/* Become the adopter of our descendants and collect ended QEMUs on SIGCHLD. Loop thread. */
int reaper_open(uv_loop_t *loop, struct reaper **ret, struct err *e);

/* Collect what has ended; returns how many. Also done by itself on every SIGCHLD. */
unsigned reaper_collect(void);

void reaper_close(struct reaper *r, void (*done)(void *arg), void *arg);

#endif
