/* SPDX-License-Identifier: Apache-2.0
 * keys.h - rows of API keys. The rules for all row functions: db.h.
 */
#ifndef TEEPOD_DB_KEYS_H
#define TEEPOD_DB_KEYS_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/id.h"
#include "db/db.h"
#include "db/text.h"

enum { KEY_PREFIX_TEXT = 16 };

struct key_row {
	int64_t id, workspace;
	char workspace_slug[NAME_TEXT];
	char name[NAME_TEXT];
	int role;                     /* reader 1, tenant 2, operator 3, admin 4 */
	char prefix[KEY_PREFIX_TEXT]; /* first characters of the key; "" for older keys */
	int64_t per_minute;           /* limit of requests, 0 = none */
	int64_t created_ms, expires_ms, last_used_ms; /* 0 = never */
	int64_t parent;                               /* the key that created it; 0 = none */
};

int keys_add(struct db *db, const struct key_row *row, const uint8_t hash[SHA256_LEN],
	     int64_t *ret_id, struct err *e);
/* Find by digest. Revoked keys and keys of deleted workspaces are not found; expired keys are. */
int keys_find(struct db *db, const uint8_t hash[SHA256_LEN], struct key_row *ret, struct err *e);
int keys_get(struct db *db, int64_t id, struct key_row *ret, struct err *e);
/* Keys of @workspace (0 = all) with at most @role, oldest first. Returns the total number. */
int keys_list(struct db *db, int64_t workspace, int role, int64_t offset, int64_t limit,
	      struct key_row **ret, size_t *n, struct err *e);
/* Number of keys of @workspace that are valid at @now_ms. */
int keys_count(struct db *db, int64_t workspace, int64_t now_ms, int64_t *ret, struct err *e);
/* Creation time of the @nth newest key of @workspace created after @since_ms and not after @now_ms,
 * including revoked keys; 0 if there are fewer. */
int keys_made_since(struct db *db, int64_t workspace, int64_t since_ms, int64_t now_ms, int64_t nth,
		    int64_t *ret_ms, struct err *e);
/* Revoke a key and all keys created by it, directly or indirectly: a valid key never has a revoked
 * ancestor. -ERR_NOT_FOUND without *e filled if it is already revoked. */
int keys_revoke(struct db *db, int64_t id, int64_t now_ms, struct err *e);
/* The same for all keys of @workspace, including keys they created in other workspaces. */
int keys_revoke_workspace(struct db *db, int64_t workspace, int64_t now_ms, struct err *e);
int keys_set_used(struct db *db, int64_t id, int64_t now_ms, struct err *e);
/* Like ops_prune(), for keys revoked or expired before @before_ms. The newest key is kept, so that
 * its id is never used again. */
int keys_prune(struct db *db, int64_t before_ms, struct err *e);

#endif
