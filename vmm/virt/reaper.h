/* SPDX-License-Identifier: Apache-2.0
 * reaper.h - collects the QEMU processes that libvirt's embedded driver leaves behind.
 */
#ifndef TEEPOD_VMM_VIRT_REAPER_H
#define TEEPOD_VMM_VIRT_REAPER_H

#include <uv.h>

#include "base/err.h"

struct reaper;

/* Loop thread. Make this process a subreaper, and collect ended QEMUs on SIGCHLD. */
int reaper_open(uv_loop_t *loop, struct reaper **ret, struct err *e);

/* Collect ended QEMUs now. Returns their number. */
unsigned reaper_collect(void);

void reaper_close(struct reaper *r, void (*done)(void *arg), void *arg);

#endif
