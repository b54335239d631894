/* SPDX-License-Identifier: Apache-2.0
 * records.h - size of the records of a workspace. The rules for all row functions: db.h.
 */
#ifndef TEEPOD_DB_RECORDS_H
#define TEEPOD_DB_RECORDS_H

#include <stdint.h>

#include "base/err.h"
#include "db/db.h"

/* Kinds of rows that a workspace can create without reserving anything. Each kind has a limit in
 * bytes. Operations are limited by number instead. */
enum record { RECORD_PROVISIONS, RECORD_REVISIONS, RECORD_ANSWERS, RECORD_EVENTS, RECORDS };

extern const char *const record_word[RECORDS];

/* Approximate size of the records in the file, in bytes. Workspace 0: responses to operators. */
int records_bytes(struct db *db, int64_t workspace, enum record kind, int64_t *ret, struct err *e);
/* The same, for all workspaces. */
int records_total(struct db *db, enum record kind, int64_t *ret, struct err *e);
/* The first workspace with id > @after and more than @limit bytes of @kind; 0 = none. */
int records_over(struct db *db, enum record kind, int64_t limit, int64_t after,
		 int64_t *ret_workspace, struct err *e);
/* Time of the oldest record, 0 = none or not known for @kind. */
int records_oldest(struct db *db, int64_t workspace, enum record kind, int64_t *ret_ms,
		   struct err *e);

#endif
