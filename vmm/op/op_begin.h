/* SPDX-License-Identifier: Apache-2.0
 * op_begin.h - begin, queue, cancel and resume operations. Loop thread only.
 */
#ifndef TEEPOD_VMM_OP_OP_BEGIN_H
#define TEEPOD_VMM_OP_OP_BEGIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "db/operations.h"

struct cvm_row;
struct op_run;
struct vmm;

/* The request that begins an operation; recorded with it. */
struct request_ref {
	const char *request_id, *caller;
	bool inspected; /* the host was inspected for this request: see inventory_refresh() */
	bool automatic; /* the node begins it by itself, without a request of a client */
};

/* [turn] Insert an operation for @c and begin it after the commit. If another operation runs, the
 * new one is queued or refused with ERR_BUSY. */
int op_begin(struct vmm *v, const struct cvm_row *c, enum op_kind kind, const char *params,
	     const struct request_ref *ref, struct op_row *ret, struct err *e);
/* ERR_BUSY while an operation runs on @c. */
int op_idle(struct vmm *v, const struct cvm_row *c, struct err *e);
/* [turn] Record an operation that has nothing to do as succeeded. */
int op_record(struct vmm *v, const struct cvm_row *c, enum op_kind kind, const char *params,
	      const struct request_ref *ref, struct op_row *ret, struct err *e);
/* Continue the operations that were running when the daemon ended. */
int ops_resume(struct vmm *v, struct err *e);
/* [turn] Queue an operation that begins when @after ends. If one is queued already, *ret_queued is
 * false and *ret untouched. */
int op_follow(struct vmm *v, const struct op_run *after, const struct cvm_row *c, enum op_kind kind,
	      struct op_row *ret, bool *ret_queued, struct err *e);
/* [turn] Request that a running operation stops and undoes what it did. ERR_CONFLICT if it does not
 * run or cannot be cancelled. */
int vmm_cancel(struct vmm *v, const char *op_id, struct err *e);

#endif
