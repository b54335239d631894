/* SPDX-License-Identifier: Apache-2.0
 * vmm.h - what a node can do with CVMs: the face that api/ sees.
 *
 * Loop thread only. Functions marked [turn] write: call them from the apply function of a mutation
 * (mutation.h), where failing rolls everything back. Reads answer from SQLite at once, never from
 * libvirt.
 */
#ifndef TEEPOD_VMM_VMM_H
#define TEEPOD_VMM_VMM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>
#include <uv.h>
#include "base/err.h"
#include "db/capacity.h"
#include "db/cvms.h"
#include "vmm/logs/serial_scan.h"
#include "vmm/node/node.h"
#include "vmm/node/reads.h"

struct app_row;
struct event_row;
struct image_row;
struct op_filter;
struct op_row;
struct port_row;
struct vmm_settings;

struct vmm;

struct node_info {
	bool hypervisor_up;
	bool foreign;               /* the state folder is not this node's: see maintenance */
	char hypervisor_error[400]; /* why not */
	char libvirt[16], qemu[16];
	bool tdx, kvm;
	char tdx_reason[160];
	const char *mode; /* "tdx" or "development" */
	/* What a CVM that says nothing gets: "tdx", "none", or NULL: not known before the
	 * hypervisor is, or none can start. */
	const char *tee;
};

/* "vcpus", "memory_mib" (ordinary pages), "disk_gib", "slots", "cids", "host_ports", "tdx_keyids",
 * "gpus". */
enum { CAPACITY_ROWS = 8 };

/* Open the database, resume what was under way, begin connecting to the hypervisor (which never
 * blocks the caller). */
int vmm_open(const struct vmm_settings *s, struct vmm **ret, struct err *e);
/* Let running steps finish; guests stay up. @done when everything is closed; the vmm is freed.
 * Never while a job hangs: what still runs after @max_ms is logged, and only the end of the process
 * ends it. */
void vmm_close(struct vmm *v, unsigned max_ms, void (*done)(void *arg, unsigned stuck), void *arg);
/* Settings that may change while running (SIGHUP): the keys with KEY_RELOAD. Their arrays and
 * strings (port_ranges, types, gpu, billing.currency) are used on the loop thread only: those of
 * the call before may be freed after this one. All others are borrowed from vmm_open() to the end.
 */
void vmm_reload(struct vmm *v, const struct vmm_settings *s);
void vmm_node(const struct vmm *v, struct node_info *ret);
int vmm_capacity(struct vmm *v, struct capacity_row ret[CAPACITY_ROWS], struct err *e);

#endif
