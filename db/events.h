/* SPDX-License-Identifier: Apache-2.0
 * events.h - rows of events. The rules for all row functions: db.h.
 */
#ifndef TEEPOD_DB_EVENTS_H
#define TEEPOD_DB_EVENTS_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/id.h"
#include "db/db.h"

struct event_row {
	int64_t seq, at_ms, workspace;
	char type[32]; /* "cvm.created", "cvm.observed", "operation.step", ... */
	char cvm_uuid[UUID_TEXT], op_id[UUID_TEXT]; /* "" if none */
	char *data;                                 /* JSON object text, owned */
};

int events_append(struct db *db, int64_t workspace, const char *type, const char *cvm_uuid,
		  const char *op_id, const char *data, struct err *e);
/* Events after @seq and up to @last, oldest first, at most @limit. @workspace 0: all. Free *ret
 * with events_free(). */
int events_between(struct db *db, int64_t workspace, int64_t seq, int64_t last, int64_t limit,
		   struct event_row **ret, size_t *n, struct err *e);
void events_free(struct event_row *rows, size_t n);
/* Newest, and oldest and newest, sequence number in the log; 0 if it is empty. */
int events_newest(struct db *db, int64_t *ret, struct err *e);
int events_bounds(struct db *db, int64_t *oldest, int64_t *newest, struct err *e);
/* Like ops_prune(). The newest event is kept, so that events_bounds() stays correct. */
int events_prune(struct db *db, int64_t before_ms, struct err *e);

#endif
