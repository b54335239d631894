/* SPDX-License-Identifier: Apache-2.0
 * engine.h - runs operations, which are tables of steps (step_table.h), across crashes and failures
 * of peers. Loop thread only.
 *
 * The name of a step and the version of its table are committed before its side effect starts.
 * After a crash the engine reads the row and repeats that step, forward or backward. After an
 * upgrade it finds the step by its name in the new table.
 */
#ifndef TEEPOD_VMM_OP_ENGINE_H
#define TEEPOD_VMM_OP_ENGINE_H

#include <stdint.h>

struct engine;
struct engine_calls;
struct op_run;
struct vmm;

struct engine *engine_new(const struct engine_calls *calls);
/* Free @g. No operation may be running, and no abandoned job, which would still use it. */
void engine_free(struct engine *g);

/* The row of the CVM has changed: check its operations that wait in a ready() step. */
void ops_poke(struct vmm *v, int64_t cvm);
/* The hypervisor is connected again, or an abandoned job has returned: continue the parked
 * operations. */
void ops_unpark(struct vmm *v);
/* The time limit for closing has passed: abandon the jobs that still run. */
void ops_give_up(struct vmm *v);

/* For op_begin.c. */
/* Continue at the step that its row names. End the operation if the program does not have that
 * step. */
void op_resume(struct op_run *o);
void op_continue(struct op_run *o);
/* A cancel request is committed: interrupt the operation if its present step allows that. */
void op_cancel_requested(struct op_run *o);

#endif
