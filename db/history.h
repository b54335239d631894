/* SPDX-License-Identifier: Apache-2.0
 * history.h - history of an app's revisions. The rules for all row functions: db.h.
 */
#ifndef TEEPOD_DB_HISTORY_H
#define TEEPOD_DB_HISTORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/id.h"
#include "db/db.h"
#include "db/text.h"

/* One entry: a CVM was created or changed. */
struct history_row {
	int64_t id, app, number; /* number: 1, 2, ... per app, assigned by history_add() */
	int64_t revision;
	char cvm_uuid[UUID_TEXT];
	char image[65];    /* name */
	char changed[256]; /* JSON array of words */
	char op[UUID_TEXT], caller[WHO_TEXT];
	int64_t created_ms;
	char compose_hash[SHA256_HEX]; /* joined */
	bool current;                  /* the CVM exists and was not changed since */
};

int history_add(struct db *db, const struct history_row *row, struct err *e);
/* Delete the entry that operation @op has added. */
int history_remove(struct db *db, const char *op, struct err *e);
/* Newest first. */
int history_list(struct db *db, int64_t app, int64_t offset, int64_t limit,
		 struct history_row **ret, size_t *n, int64_t *ret_total, struct err *e);
/* One entry. */
int history_get(struct db *db, int64_t app, int64_t number, struct history_row *ret, struct err *e);
/* The revision id of one entry. */
int history_revision(struct db *db, int64_t app, int64_t number, int64_t *ret, struct err *e);
/* Delete the oldest entries of @workspace that nothing needs, at most @most, and their revisions.
 * Returns the number of entries deleted. */
int history_drop(struct db *db, int64_t workspace, int most, struct err *e);

#endif
