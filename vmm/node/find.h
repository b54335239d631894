/* SPDX-License-Identifier: Apache-2.0
 * find.h - find CVMs by identifier.
 */
#ifndef TEEPOD_VMM_NODE_FIND_H
#define TEEPOD_VMM_NODE_FIND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "db/text.h"

struct cvm_row;
struct vmm;

/* CVMs of an app that are not being deleted, newest first; *ret malloc'd. */
int instances_of(struct vmm *v, int64_t workspace, const char *app_id, struct cvm_row **ret,
		 size_t *n, struct err *e);
/* By UUID (dashed or not, any case), "app_<40hex>", 40 hex, "0x" + 40 hex, "instance_<40hex>",
 * "cvm_<n>", small integer, or name, all in any case. @workspace 0 = all. ERR_CVM_NOT_FOUND;
 * ERR_CVM_AMBIGUOUS also if it is one CVM's name and means another one in another form. */
int vmm_find(struct vmm *v, int64_t workspace, const char *identifier, struct cvm_row *ret,
	     struct err *e);
/* By UUID (dashed, lower case) only: for one that comes from a row, not from a client. */
int vmm_find_uuid(struct vmm *v, int64_t workspace, const char *uuid, struct cvm_row *ret,
		  struct err *e);
/* False if @identifier has another form than a name. */
bool identifier_is_name(const char *identifier);
/* Has @identifier the form of something else, and found @row by its name all the same? */
bool found_by_odd_name(const char *identifier, const struct cvm_row *row);
/* "app_<40 hex>", "0x<40 hex>" or 40 hex: that app's id. */
bool identifier_app(const char *identifier, char app_id[APP_ID_TEXT]);
/* The same, but an app id means the oldest of its CVMs that is not being deleted.
 * -ERR_CVM_AMBIGUOUS with workspace 0 (all) when several workspaces have the app. */
int vmm_find_first(struct vmm *v, int64_t workspace, const char *identifier, struct cvm_row *ret,
		   struct err *e);

#endif
