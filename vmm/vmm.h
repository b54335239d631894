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
int vmm_cvms(struct vmm *v, const struct cvm_filter *f, int64_t offset, int64_t limit,
	     struct cvm_row **ret, size_t *n, int64_t *ret_total, struct err *e);
int vmm_apps(struct vmm *v, const struct cvm_filter *f, int64_t offset, int64_t limit,
	     struct cvm_row **ret, size_t *n, int64_t *ret_total, struct err *e);
/* -ERR_CVM_AMBIGUOUS with workspace 0 (all) when several workspaces have the app. */
int vmm_app(struct vmm *v, int64_t workspace, const char *app_id, struct app_row *ret,
	    struct err *e);
int vmm_ports(struct vmm *v, int64_t cvm, struct port_row **ret, size_t *n, struct err *e);
/* Manifest text of the CVM's revision, malloc'd. */
int vmm_manifest(struct vmm *v, const struct cvm_row *cvm, char **ret, struct err *e);
/* As it was given, malloc'd; NULL if it has none. */
int vmm_user_config(struct vmm *v, const struct cvm_row *cvm, char **ret, struct err *e);
int vmm_operation(struct vmm *v, const char *op_id, struct op_row *ret, struct err *e);
int vmm_operations(struct vmm *v, const struct op_filter *f, int64_t offset, int64_t limit,
		   struct op_row **ret, size_t *n, int64_t *ret_total, struct err *e);
int vmm_events(struct vmm *v, int64_t workspace, int64_t after_seq, int64_t limit,
	       struct event_row **ret, size_t *n, struct err *e);
int vmm_event_bounds(struct vmm *v, int64_t *oldest, int64_t *newest, struct err *e);
/* For who only reads: @fn(@arg) while all that can be read is committed, now or once the
 * transaction of this turn is over. */
void vmm_read(struct vmm *v, void (*fn)(void *arg), void *arg);
bool vmm_is_uncommitted(const struct vmm *v);
/* @fn(@arg) on the loop after every commit, i.e. when there may be news. Ticket for vmm_unwatch().
 */
void *vmm_watch(struct vmm *v, void (*fn)(void *arg), void *arg);
void vmm_unwatch(struct vmm *v, void *ticket);
/* Folder that holds the CVM's logs (logs.h), valid until the next call. */
const char *vmm_log_dir(struct vmm *v, const struct cvm_row *cvm);
void vmm_node(const struct vmm *v, struct node_info *ret);
int vmm_capacity(struct vmm *v, struct capacity_row ret[CAPACITY_ROWS], struct err *e);
int vmm_cvm_counts(struct vmm *v, int64_t count[DESIRED_MAX][OBSERVED_MAX], struct err *e);
int vmm_images(struct vmm *v, int dev, int64_t offset, int64_t limit, struct image_row **ret,
	       size_t *n, struct err *e);
int vmm_image(struct vmm *v, const char *name, struct image_row *ret, struct err *e);

#endif
