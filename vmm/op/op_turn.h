/* SPDX-License-Identifier: Apache-2.0
 * op_turn.h - the commits of an operation. Each function commits one turn, and then the operation
 * continues.
 */
#ifndef TEEPOD_VMM_OP_OP_TURN_H
#define TEEPOD_VMM_OP_OP_TURN_H

#include "base/err.h"
#include "db/operations.h"

struct op_run;
struct vmm;

void op_advance(struct op_run *o);                     /* to the next step */
void op_begin_undo(struct op_run *o);                  /* record o->err and undo */
void op_undone(struct op_run *o);                      /* to the previous step */
void op_finish(struct op_run *o, enum op_state state); /* and start the queued operation */
/* The commit failed: read the row again in a second, and continue from there. */
void op_retry_later(struct op_run *o, const struct err *e);
/* [turn] Record the end of @row and add its event. */
int op_end_row(struct vmm *v, struct op_row *row, enum op_state state, struct err *e);

#endif
