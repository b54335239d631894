/* SPDX-License-Identifier: Apache-2.0
 * end_watch.h - reports that the QEMU of a domain has ended. Loop thread only.
 */
#ifndef TEEPOD_VMM_OP_END_WATCH_H
#define TEEPOD_VMM_OP_END_WATCH_H

#include <uv.h>

struct end_watch;
struct hypervisor;

/* Watch the QEMU of domain @name. @ended is called once, when it has ended; the watch must be
 * closed then, too. NULL if the process is not known: then only libvirt can say when it has ended.
 */
struct end_watch *end_watch_open(uv_loop_t *loop, const struct hypervisor *hv, const char *name,
				 void (*ended)(void *arg), void *arg);
/* Does nothing if @w is NULL. @ended is not called any more. */
void end_watch_close(struct end_watch *w);

#endif
