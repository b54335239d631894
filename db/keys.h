/* SPDX-License-Identifier: Apache-2.0
 * keys.h - rows of API keys. For the common rules of these functions see db.h.
 */
#ifndef TEEPOD_DB_KEYS_H
#define TEEPOD_DB_KEYS_H

#include <stdbool.h>
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
	int role;                                     /* reader 1, tenant 2, operator 3, admin 4 */
	char prefix[KEY_PREFIX_TEXT];                 /* how its text begins; "" of older keys */
	int64_t per_minute;                           /* requests, 0 = no limit */
	int64_t created_ms, expires_ms, last_used_ms; /* 0 = never */
	int64_t parent;                               /* the key that made it; 0 = none did */
};

int keys_add(struct db *db, const struct key_row *row, const uint8_t hash[SHA256_LEN],
	     int64_t *ret_id, struct err *e);
/* Neither revoked ones nor those of deleted workspaces are found; expired ones are. */
int keys_find(struct db *db, const uint8_t hash[SHA256_LEN], struct key_row *ret, struct err *e);
int keys_get(struct db *db, int64_t id, struct key_row *ret, struct err *e);
/* Of @workspace (0 = all), with at most @role, oldest first. *ret malloc'd. Returns the total. */
int keys_list(struct db *db, int64_t workspace, int role, int64_t offset, int64_t limit,
	      struct key_row **ret, size_t *n, struct err *e);
/* How many @workspace has that still open anything at @now_ms. */
int keys_count(struct db *db, int64_t workspace, int64_t now_ms, int64_t *ret, struct err *e);
/* When the @nth newest of those made after @since_ms (and not in the future of @now_ms) was made,
 * revoked ones too; 0 = fewer. */
int keys_made_since(struct db *db, int64_t workspace, int64_t since_ms, int64_t now_ms, int64_t nth,
		    int64_t *ret_ms, struct err *e);
/* Also those made by it, those made by these, and so on: an open key has no revoked one above it.
 * ERR_NOT_FOUND if it is revoked already. */
int keys_revoke(struct db *db, int64_t id, int64_t now_ms, struct err *e);
/* The same for all of @workspace; what they made elsewhere goes with them. */
int keys_revoke_workspace(struct db *db, int64_t workspace, int64_t now_ms, struct err *e);
int keys_set_used(struct db *db, int64_t id, int64_t now_ms, struct err *e);
/* As ops_prune(), of those that were revoked or expired before. The newest key stays: its id must
 * not become another's. */
int keys_prune(struct db *db, int64_t before_ms, struct err *e);

#endif
