/* SPDX-License-Identifier: Apache-2.0
 * operations.h - rows of operations. The rules for all row functions: db.h.
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
	int64_t cvm; /* id of its row; the CVM may be deleted by now */
	char cvm_uuid[UUID_TEXT], cvm_name[NAME_TEXT];
	int64_t workspace;
	enum op_kind kind;
	enum op_state state;
	char step[OP_STEP_TEXT]; /* name in the step table of its kind; "": before the first step */
	int table_version;       /* version of that step table */
	bool undoing;
	bool cancel;      /* cancellation was requested */
	char params[128]; /* JSON: {"timeout_s":30,"force":true,"stopped":false} */
	char error[1024]; /* error envelope as JSON, "" */
	char request_id[65], caller[WHO_TEXT];
	int64_t created_ms, started_ms, finished_ms;
};

int ops_insert(struct db *db, const struct op_row *row, struct err *e);
/* Write state, step and error. A stored cancellation request stays. */
int ops_update(struct db *db, const struct op_row *row, struct err *e);
int ops_get(struct db *db, const char *id, struct op_row *ret, struct err *e);
/* The running, or the queued, operation of a CVM. */
int ops_running_of(struct db *db, int64_t cvm, struct op_row *ret, struct err *e);
int ops_queued_of(struct db *db, int64_t cvm, struct op_row *ret, struct err *e);
/* 1: since the last successful start of the CVM an operation ended without a result of its step
 * @start, or after undoing it. The hypervisor may still start the guest. 0: no such operation. */
int ops_start_unconfirmed(struct db *db, const char *cvm_uuid, const char *start, struct err *e);
/* 1: there are operations of the CVM; 0: there are none. */
int ops_exist_of(struct db *db, const char *cvm_uuid, struct err *e);
/* 1: the newest operation of the CVM was to shut its guest down, and failed or was cancelled before
 * the guest was down, at @since_ms or later. Else 0. */
int ops_shutdown_unfinished(struct db *db, const char *cvm_uuid, int64_t since_ms, struct err *e);

struct op_filter {
	int64_t workspace;    /* 0 = all */
	const char *cvm_uuid; /* NULL = any */
	int state;            /* -1 = any */
	bool live;            /* only queued and running ones, oldest first; else newest first */
	bool skip_bad;        /* bad rows (db_bad_row()) are logged and skipped */
};

int ops_list(struct db *db, const struct op_filter *f, int64_t offset, int64_t limit,
	     struct op_row **ret, size_t *n, int64_t *ret_total, struct err *e);

/* Pruning deletes at most PRUNE_MAX rows per call, oldest first, because a turn of the loop must be
 * short. PRUNE_LONG: for rows that may be 1 MiB long. */
enum { PRUNE_MAX = 1000, PRUNE_LONG = 32 };

/* Delete operations that finished before @finished_before_ms. Returns the number deleted. */
int ops_prune(struct db *db, int64_t finished_before_ms, struct err *e);
/* If @workspace has more than @most operations, delete its two oldest finished ones. */
int ops_trim(struct db *db, int64_t workspace, int64_t most, struct err *e);

#endif
