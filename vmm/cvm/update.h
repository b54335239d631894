/* SPDX-License-Identifier: Apache-2.0
 * update.h - changing a CVM that exists: its size, its software, its settings, as one operation;
 * and what its app was before.
 *
 * Loop thread only, as vmm.h.
 */
#ifndef TEEPOD_VMM_CVM_UPDATE_H
#define TEEPOD_VMM_CVM_UPDATE_H

#include "db/text.h"
#include "vmm/admit/request.h"
#include "vmm/compose/compose.h"

struct request_ref;
struct vmm;

struct cvm_row;
struct op_row;

/* [turn] One operation (kind resize when only resources change, else upgrade), one entry in the
 * history. A running CVM for which a restart is needed is refused without allow_restart:
 * ERR_INCOMPATIBLE, field "allow_restart"; trying again would not help. ERR_BUSY only while another
 * operation runs. A stopped CVM stays stopped. Nothing to change: an operation that is over at
 * once. */
int vmm_update(struct vmm *v, const struct cvm_row *cvm, const struct update_request *ask,
	       const struct request_ref *ref, struct op_row *ret_op, struct err *e);

/* One entry of an app's history: a CVM was created, or changed. Newest first. */
struct revision_info {
	int64_t id;     /* of the entry */
	int64_t number; /* 1, 2, ... per app */
	int64_t created_ms;
	char compose_hash[SHA256_HEX];
	char caller[WHO_TEXT]; /* who */
	char op_id[UUID_TEXT]; /* by which operation; "" for those of before there was a history */
	char image[65];        /* name of the OS image */
	char changed[256]; /* JSON array: ["compose_file","image","encrypted_env",...]; ["created"]
			      for a new CVM */
	char cvm_uuid[UUID_TEXT]; /* which CVM of the app; may be gone */
	bool current;             /* it is what that CVM is now */
};
/* @workspace 0 = all. *ret malloc'd, plain: free with revisions_free(). ERR_NOT_FOUND if there is
 * no such app. */
int vmm_revisions(struct vmm *v, int64_t workspace, const char *app_id, int64_t offset,
		  int64_t limit, struct revision_info **ret, size_t *n, int64_t *ret_total,
		  struct err *e);
void revisions_free(struct revision_info *list, size_t n);
int vmm_revision(struct vmm *v, int64_t workspace, const char *app_id, int64_t number,
		 struct revision_info *ret, struct err *e);
/* The manifest text of one entry, malloc'd. */
int vmm_revision_manifest(struct vmm *v, int64_t workspace, const char *app_id, int64_t number,
			  char **ret, struct err *e);

#endif
