/* SPDX-License-Identifier: Apache-2.0
 * records.h - size of the records of a workspace. For the common rules of these functions see db.h.
 */
#ifndef TEEPOD_DB_RECORDS_H
#define TEEPOD_DB_RECORDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/id.h"
#include "db/db.h"

/* Rows that a workspace can make without holding anything for them, with a limit of bytes for each
 * kind. Operations are limited by number. */
enum record { RECORD_PROVISIONS, RECORD_REVISIONS, RECORD_ANSWERS, RECORD_EVENTS, RECORDS };

extern const char *const record_word[RECORDS];

/* What they take in the file, about. Workspace 0: answers to operators. */
int records_bytes(struct db *db, int64_t workspace, enum record kind, int64_t *ret, struct err *e);
int records_total(struct db *db, enum record kind, int64_t *ret, struct err *e);
/* The first workspace above number @after that has more than @limit bytes of them; 0 = none. */
int records_over(struct db *db, enum record kind, int64_t limit, int64_t after,
		 int64_t *ret_workspace, struct err *e);
/* When the oldest of them was written, 0 = there is none. */
int records_oldest(struct db *db, int64_t workspace, enum record kind, int64_t *ret_ms,
		   struct err *e);

#endif
