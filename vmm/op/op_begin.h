/* SPDX-License-Identifier: Apache-2.0
 * op_begin.h - begin, queue and resume operations.
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

/* Who asked, for the operation's record. */
struct request_ref {
	const char *request_id, *caller;
	bool inventory_fresh; /* at the host, for this request: see inventory_refresh() */
	bool automatic;       /* the node itself: no client decided it just now */
};

/* [turn] Insert an operation for @c and begin it after the commit; queued if another one runs. */
int op_begin(struct vmm *v, const struct cvm_row *c, enum op_kind kind, const char *params,
	     const struct request_ref *ref, struct op_row *ret, struct err *e);
/* ERR_BUSY while an operation runs on it. */
int op_idle(struct vmm *v, const struct cvm_row *c, struct err *e);
/* [turn] An operation that has nothing to do: recorded as succeeded. */
int op_record(struct vmm *v, const struct cvm_row *c, enum op_kind kind, const char *params,
	      const struct request_ref *ref, struct op_row *ret, struct err *e);
/* Go on with the operations that ran when the daemon ended. */
int ops_resume(struct vmm *v, struct err *e);
/* [turn] Queue an operation that begins when @after ends. *ret_queued is false, and *ret untouched,
 * if one is queued already. */
int op_follow(struct vmm *v, const struct op_run *after, const struct cvm_row *c, enum op_kind kind,
	      struct op_row *ret, bool *ret_queued, struct err *e);
/* [turn] Ask a running operation to stop and undo what it did. ERR_CONFLICT if it is over. */
int vmm_cancel(struct vmm *v, const char *op_id, struct err *e);

#endif
