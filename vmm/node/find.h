/* SPDX-License-Identifier: Apache-2.0
 * find.h - find CVMs by any form of identifier. Loop thread only.
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

/* CVMs of an app that are not being deleted, newest first. *ret is malloc'd. */
int instances_of(struct vmm *v, int64_t workspace, const char *app_id, struct cvm_row **ret,
		 size_t *n, struct err *e);
/* By UUID (dashed or not), "app_<40 hex>", 40 hex, "0x<40 hex>", "instance_<40 hex>", "cvm_<n>", a
 * small integer, or name; case does not matter. @workspace 0 = all. ERR_CVM_NOT_FOUND;
 * ERR_CVM_AMBIGUOUS if several CVMs match, also when the identifier is the name of one CVM and
 * another form of identifier of a second one. */
int vmm_find(struct vmm *v, int64_t workspace, const char *identifier, struct cvm_row *ret,
	     struct err *e);
/* By UUID (dashed, lower case) only, for a UUID that comes from a row. */
int vmm_find_uuid(struct vmm *v, int64_t workspace, const char *uuid, struct cvm_row *ret,
		  struct err *e);
/* True if @identifier has no form other than a name. */
bool identifier_is_name(const char *identifier);
/* True if @identifier has another form than a name, but is the name of @row. */
bool found_by_odd_name(const char *identifier, const struct cvm_row *row);
/* Read the app id from "app_<40 hex>", "0x<40 hex>" or 40 hex. False for any other form. */
bool identifier_app(const char *identifier, char app_id[APP_ID_TEXT]);
/* As vmm_find(), but an app id selects the oldest of its CVMs that is not being deleted.
 * ERR_CVM_AMBIGUOUS with workspace 0 (all) when several workspaces have the app. */
int vmm_find_first(struct vmm *v, int64_t workspace, const char *identifier, struct cvm_row *ret,
		   struct err *e);

#endif
