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

/* New key; its text (shown once) into @ret_key. Opens a turn of its own. */
enum { API_KEY_TEXT = 80 };

/* Which API key is this? ERR_UNAUTHENTICATED if none that opens anything now. */
int vmm_authenticate(struct vmm *v, const char *api_key, struct key_row *ret, struct err *e);
int vmm_add_key(struct vmm *v, const char *workspace, const char *name, int role,
		char ret_key[API_KEY_TEXT], struct err *e);
/* The same on a database that a daemon may have open at this moment (teepod --add-key). @alone: the
 * caller holds the state lock, so that the file may be created or migrated. */
int vmm_add_key_offline(const char *state_dir, bool alone, const char *workspace, const char *name,
			int role, char ret_key[API_KEY_TEXT], struct err *e);

/* How many keys, each made by the one before, there may be in a line. */
enum { KEY_LINE_MAX = 8 };

struct key_request {
	int64_t workspace;
	const char *name;
	int role;
	int64_t expires_ms; /* 0 = the end of its maker */
	int64_t per_minute; /* requests, 0 = the limit of its maker */
	int64_t parent;     /* the key that makes it, 0 = none */
	int64_t ends_ms; /* without a parent: when the credential that makes it ends, 0 = never */
};
/* [turn] ERR_KEYS, ERR_KEY_RATE; ERR_FORBIDDEN if it would have more time or requests than its
 * parent, or the line is too long; ERR_UNAUTHENTICATED if the parent has expired or was revoked.
 * Its text into @ret_text: nowhere else is it kept. */
int vmm_key_make(struct vmm *v, const struct key_request *req, struct key_row *ret,
		 char ret_text[API_KEY_TEXT], struct err *e);
/* Those that are not revoked, of @workspace (0 = all), with at most @role. *ret malloc'd. Returns
 * the total. */
int vmm_keys(struct vmm *v, int64_t workspace, int role, int64_t offset, int64_t limit,
	     struct key_row **ret, size_t *n, struct err *e);
/* -ERR_NOT_FOUND when it was revoked; an expired one is found. */
int vmm_key(struct vmm *v, int64_t id, struct key_row *ret, struct err *e);
/* [turn] It opens nothing any more from the commit on, and neither does any key that descends from
 * it. */
int vmm_key_revoke(struct vmm *v, int64_t id, struct err *e);

#endif
