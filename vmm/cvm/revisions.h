/* SPDX-License-Identifier: Apache-2.0
 * revisions.h - read the history of an app. Loop thread only.
 */
#ifndef TEEPOD_VMM_CVM_REVISIONS_H
#define TEEPOD_VMM_CVM_REVISIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/id.h"
#include "db/text.h"

struct vmm;

/* One entry of an app's history: a CVM was created or changed. Newest first. */
struct revision_info {
	int64_t id;     /* id of the entry */
	int64_t number; /* 1, 2, ... per app */
	int64_t created_ms;
	char compose_hash[SHA256_HEX];
	char caller[WHO_TEXT]; /* caller of the request */
	char op_id[UUID_TEXT]; /* operation; "" for entries older than the history */
	char image[65];        /* name of the OS image */
	char changed[256]; /* JSON array: ["compose_file","image","encrypted_env",...]; ["created"]
			      for a new CVM */
	char cvm_uuid[UUID_TEXT]; /* CVM of the app; may be deleted */
	bool current;             /* the CVM has this revision now */
};
/* @workspace 0 = all. *ret: malloc'd list, free with revisions_free(). ERR_NOT_FOUND if the app
 * does not exist. */
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
