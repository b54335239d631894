/* SPDX-License-Identifier: Apache-2.0
 * operations.h - rows of operations. For the common rules of these functions see db.h.
 */
#ifndef TEEPOD_DB_OPERATIONS_H
#define TEEPOD_DB_OPERATIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/id.h"
#include "db/db.h"
#include "db/text.h"

enum op_kind {
	OP_CREATE,
	OP_START,
	OP_STOP,
	OP_SHUTDOWN,
	OP_RESTART,
	OP_DELETE,
	OP_RESIZE,
	OP_UPGRADE,
	OP_RESUME,
	OP_KINDS
};

enum op_state { OP_QUEUED, OP_RUNNING, OP_SUCCEEDED, OP_FAILED, OP_CANCELLED, OP_STATES };

extern const char *const op_kind_word[OP_KINDS];

extern const char *const op_state_word[OP_STATES];

enum { OP_STEP_TEXT = 24 };

struct op_row {
	char id[UUID_TEXT];
	int64_t cvm; /* row; the CVM may be gone by now */
	char cvm_uuid[UUID_TEXT], cvm_name[NAME_TEXT];
	int64_t workspace;
	enum op_kind kind;
	enum op_state state;
	char step[OP_STEP_TEXT]; /* by its name in the kind's table; "": before the first */
	int table_version;       /* of that table */
	bool undoing;
	bool cancel;      /* cancel asked for */
	char params[128]; /* JSON: {"timeout_s":30,"force":true,"stopped":false} */
	char error[1024]; /* error envelope as JSON, "" */
	char request_id[65], caller[WHO_TEXT];
	int64_t created_ms, started_ms, finished_ms;
};

int ops_insert(struct db *db, const struct op_row *row, struct err *e);
int ops_update(struct db *db, const struct op_row *row, struct err *e);
int ops_get(struct db *db, const char *id, struct op_row *ret, struct err *e);
/* The running operation of a CVM. */
int ops_running_of(struct db *db, int64_t cvm, struct op_row *ret, struct err *e);
int ops_queued_of(struct db *db, int64_t cvm, struct op_row *ret, struct err *e);
/* 1 if an operation of the CVM ended, since its last successful start, without an answer to its
 * step @start or with that step undone; else 0. What was asked of the hypervisor then may still
 * happen. */
int ops_start_unconfirmed(struct db *db, const char *cvm_uuid, const char *start, struct err *e);
/* 1 if the log of operations has any of the CVM; else 0. */
int ops_exist_of(struct db *db, const char *cvm_uuid, struct err *e);
/* 1: the newest operation of the CVM was to take its guest down, and failed or was cancelled before
 * it had, at @since_ms or later. */
int ops_shutdown_unfinished(struct db *db, const char *cvm_uuid, int64_t since_ms, struct err *e);

struct op_filter {
	int64_t workspace;    /* 0 = all */
	const char *cvm_uuid; /* NULL = any */
	int state;            /* -1 = any */
	bool live;            /* only queued and running, oldest first; else newest first */
	bool skip_bad;        /* rows that cannot be read (db_bad_row()) are logged and left out */
};

int ops_list(struct db *db, const struct op_filter *f, int64_t offset, int64_t limit,
	     struct op_row **ret, size_t *n, int64_t *ret_total, struct err *e);

/* Forgetting old rows: at most PRUNE_MAX at a time, oldest first, because a turn of the loop must
 * stay short. Returns how many. */
enum { PRUNE_MAX = 1000, PRUNE_LONG = 32 }; /* PRUNE_LONG: of rows that may be a MiB long */

int ops_prune(struct db *db, int64_t finished_before_ms, struct err *e);
/* Where a workspace has more than @most operations: forget its two oldest that are finished. */
int ops_trim(struct db *db, int64_t workspace, int64_t most, struct err *e);

#endif
