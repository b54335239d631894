/* SPDX-License-Identifier: Apache-2.0
 * hypervisor_context.h - internal to hypervisor.c and hv_lease.c: the state of the connection.
 */
#ifndef TEEPOD_VMM_VIRT_HYPERVISOR_CONTEXT_H
#define TEEPOD_VMM_VIRT_HYPERVISOR_CONTEXT_H

#include <pthread.h>
#include <stdbool.h>

#include <uv.h>

#include <libvirt/libvirt.h>

#include "base/err.h"
#include "vmm/virt/domain_state.h"
#include "vmm/virt/hv_caps.h"

enum hv_link { LINK_CONNECTING, LINK_UP, LINK_WAITING, LINK_FAILED };

enum { HV_SPARES = 2 };

struct queued {
	struct queued *next;
	struct hv_event ev;
};

struct hypervisor {
	uv_loop_t *loop;
	char *uri, *embed_root, *emulator; /* embed_root: NULL for other drivers */
	bool remote;                       /* libvirt's driver runs in another process */
	void (*on_event)(void *arg, const struct hv_event *ev);
	void (*on_link)(void *arg, bool up, const struct err *e);
	void *arg;

	pthread_mutex_t lock;
	virConnectPtr spare[HV_SPARES]; /* remote: open and unused */
	unsigned spares, generation;   /* counts connections: spares of an older one are not kept */
	virConnectPtr conn;            /* NULL unless up */
	unsigned leases;               /* jobs that use a connection now */
	unsigned qemu_leases;          /* of these for calls that QEMU answers */
	bool lost;                     /* reported by the close callback */
	bool closed;                   /* the handles are closing: do not wake the loop */
	struct queued *events, **last; /* not yet delivered */

	/* loop thread */
	enum hv_link link;
	int callback; /* lifecycle events of conn */
	struct hv_caps caps;
	bool caps_known;
	struct loop_timer *retry;
	uint64_t retry_ms;
	char last_failure[320];
	uv_async_t wake;
	struct reaper *reaper;
	unsigned jobs, handles;
	bool closing, finishing;
	bool abandoned; /* closed while jobs used it: they still may, so it is not freed */
	struct loop_timer *limit;
	void (*done)(void *arg);
	void *done_arg;
};

static inline void hypervisor_lock(struct hypervisor *h)
{
	(void)pthread_mutex_lock(&h->lock);
}

static inline void hypervisor_unlock(struct hypervisor *h)
{
	(void)pthread_mutex_unlock(&h->lock);
}

/* Mutex held, any thread: let the loop thread check for events, a lost connection or an end. */
static inline void hypervisor_wake(struct hypervisor *h)
{
	if (!h->closed)
		(void)uv_async_send(&h->wake);
}

#endif
