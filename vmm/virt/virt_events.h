/* SPDX-License-Identifier: Apache-2.0
 * virt_events.h - libvirt's event loop interface, served by our libuv loop.
 *
 * Loop thread only. libvirt takes one implementation per process and for good, so the first attach
 * registers it and a later attach to another loop moves what libvirt still watches over there.
 */
#ifndef TEEPOD_VMM_VIRT_VIRT_EVENTS_H
#define TEEPOD_VMM_VIRT_VIRT_EVENTS_H

#include <uv.h>

#include "base/err.h"

/* Serve libvirt from @loop. Before the first virConnectOpen() of the process. Counts: one detach
 * per attach, and all attaches at one time name the same loop. */
int virt_events_attach(uv_loop_t *loop, struct err *e);

/* Stop serving; @done(@arg) on the loop when no handle is left in it. */
void virt_events_detach(void (*done)(void *arg), void *arg);

#endif
