/* SPDX-License-Identifier: Apache-2.0
 * events.h - rows of events. For the common rules of these functions see db.h.
 */
#ifndef TEEPOD_DB_EVENTS_H
#define TEEPOD_DB_EVENTS_H

#include <stdbool.h>
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
/* After @seq and up to @last, oldest first, at most @limit. *ret malloc'd; free with events_free().
 */
int events_between(struct db *db, int64_t workspace, int64_t seq, int64_t last, int64_t limit,
		   struct event_row **ret, size_t *n, struct err *e);
void events_free(struct event_row *rows, size_t n);
/* Oldest kept and newest sequence number; 0,0 when the log is empty. */
int events_bounds(struct db *db, int64_t *oldest, int64_t *newest, struct err *e);
/* As ops_prune(). The newest event stays, so that the bounds stay known. */
int events_prune(struct db *db, int64_t before_ms, struct err *e);

#endif
