/* SPDX-License-Identifier: Apache-2.0
 * keys.h - API keys ("tokens" in the REST API). Loop thread only.
 */
#ifndef TEEPOD_VMM_ACCOUNT_KEYS_H
#define TEEPOD_VMM_ACCOUNT_KEYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct key_row;
struct vmm;

enum { API_KEY_TEXT = 80 }; /* text of a key, with the NUL */

/* Find the key with the text @api_key. ERR_UNAUTHENTICATED if it is unknown, revoked or expired. */
int vmm_authenticate(struct vmm *v, const char *api_key, struct key_row *ret, struct err *e);
/* Create a key. Its text goes to @ret_key and is stored nowhere. @workspace NULL: the default one.
 * Opens a turn of its own. */
int vmm_add_key(struct vmm *v, const char *workspace, const char *name, int role,
		char ret_key[API_KEY_TEXT], struct err *e);
/* The same on a database that a daemon may have open at the same time (teepod --add-key). @alone:
 * the caller holds the state lock, so the file may be created or migrated. */
int vmm_add_key_offline(const char *state_dir, bool alone, const char *workspace, const char *name,
			int role, char ret_key[API_KEY_TEXT], struct err *e);

/* Longest chain of keys of which each was created by the one before. */
enum { KEY_LINE_MAX = 8 };

struct key_request {
	int64_t workspace;
	const char *name;
	int role;
	int64_t expires_ms; /* 0 = when the creator's credential expires */
	int64_t per_minute; /* requests; 0 = the creator's limit */
	int64_t parent;     /* the key that creates it; 0 = none */
	int64_t ends_ms;    /* without a parent: when the creator's credential expires; 0 = never */
};
/* [turn] Create a key. Its text goes to @ret_text and is stored nowhere. ERR_KEYS: the workspace
 * has too many. ERR_KEY_RATE: too many were created within a minute. ERR_FORBIDDEN: it would last
 * longer or allow more requests than its parent, or the chain of parents is too long.
 * ERR_UNAUTHENTICATED: the parent has expired or was revoked. */
int vmm_key_make(struct vmm *v, const struct key_request *req, struct key_row *ret,
		 char ret_text[API_KEY_TEXT], struct err *e);
/* Keys of @workspace (0 = all) that are not revoked and have at most @role. *ret malloc'd. Returns
 * the total, or a negative error. */
int vmm_keys(struct vmm *v, int64_t workspace, int role, int64_t offset, int64_t limit,
	     struct key_row **ret, size_t *n, struct err *e);
/* ERR_NOT_FOUND if the key was revoked. An expired key is found. */
int vmm_key(struct vmm *v, int64_t id, struct key_row *ret, struct err *e);
/* [turn] Revoke a key and all keys that descend from it. Takes effect with the commit. */
int vmm_key_revoke(struct vmm *v, int64_t id, struct err *e);

#endif
