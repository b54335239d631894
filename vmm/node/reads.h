/* SPDX-License-Identifier: Apache-2.0
 * reads.h - reads of the database, for the API and the rooms of vmm/. Loop thread only.
 *
 * They return at once: they read SQLite and never call libvirt. Returned arrays and strings are
 * malloc'd; the caller frees them.
 */
#ifndef TEEPOD_VMM_NODE_READS_H
#define TEEPOD_VMM_NODE_READS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "db/cvms.h"

struct app_row;
struct event_row;
struct image_row;
struct op_filter;
struct op_row;
struct port_row;
struct vmm;

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
/* The user configuration as the client sent it, malloc'd; NULL if the CVM has none. */
int vmm_user_config(struct vmm *v, const struct cvm_row *cvm, char **ret, struct err *e);
int vmm_operation(struct vmm *v, const char *op_id, struct op_row *ret, struct err *e);
int vmm_operations(struct vmm *v, const struct op_filter *f, int64_t offset, int64_t limit,
		   struct op_row **ret, size_t *n, int64_t *ret_total, struct err *e);
int vmm_events(struct vmm *v, int64_t workspace, int64_t after_seq, int64_t limit,
	       struct event_row **ret, size_t *n, struct err *e);
int vmm_event_bounds(struct vmm *v, int64_t *oldest, int64_t *newest, struct err *e);
/* Call @fn(@arg) when no transaction is open, so that all rows it reads are committed: now, or
 * after the commit of the open turn. For callers that do not write. */
void vmm_read(struct vmm *v, void (*fn)(void *arg), void *arg);
bool vmm_is_uncommitted(const struct vmm *v);
/* Call @fn(@arg) on the loop after every commit. Returns a ticket for vmm_unwatch(). */
void *vmm_watch(struct vmm *v, void (*fn)(void *arg), void *arg);
void vmm_unwatch(struct vmm *v, void *ticket);
/* Folder that holds the CVM's logs (logs.h), malloc'd. */
char *vmm_log_dir(const struct vmm *v, const struct cvm_row *cvm);
int vmm_cvm_counts(struct vmm *v, int64_t count[DESIRED_MAX][OBSERVED_MAX], struct err *e);
int vmm_images(struct vmm *v, int dev, int64_t offset, int64_t limit, struct image_row **ret,
	       size_t *n, struct err *e);
int vmm_image(struct vmm *v, const char *name, struct image_row *ret, struct err *e);

#endif
