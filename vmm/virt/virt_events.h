/* SPDX-License-Identifier: Apache-2.0
 * virt_events.h - serves libvirt's event loop interface from our libuv loop. Loop thread only.
 *
 * libvirt accepts one implementation per process, for good. The first attach registers it. A later
 * attach to another loop moves what libvirt still watches to that loop.
 */
#ifndef TEEPOD_VMM_VIRT_VIRT_EVENTS_H
#define TEEPOD_VMM_VIRT_VIRT_EVENTS_H

#include <uv.h>

#include "base/err.h"

/* Serve libvirt from @loop. Must be called before the first virConnectOpen() of the process.
 * Attaches are counted: one detach for each, and all of them at one time must name the same loop.
 */
int virt_events_attach(uv_loop_t *loop, struct err *e);

/* Stop serving. @done is called on the loop when all handles are closed. */
void virt_events_detach(void (*done)(void *arg), void *arg);

#endif
