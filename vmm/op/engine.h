/* SPDX-License-Identifier: Apache-2.0
 * engine.h - runs operations, which are tables of steps (step_table.h), through crashes and past
 * peers that never answer. Loop thread only.
 *
 * The name of a step is on disk before its side effect starts, with the version of its table. After
 * a crash the engine reads the row and repeats the step it was in, forward or backward. After an
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
/* No operation runs. Never while a job was given up and may still run. */
void engine_free(struct engine *g);

/* The row of the CVM has changed: check its waiting operations again. */
void ops_poke(struct vmm *v, int64_t cvm);
/* The hypervisor is back, or an abandoned job has returned: parked operations go on. */
void ops_unpark(struct vmm *v);
/* The time for closing is over: abandon the jobs that still run. */
void ops_give_up(struct vmm *v);

/* For op_begin.c. */
/* Go on from where its row says; end it if the program does not have that step. */
void op_resume(struct op_run *o);
void op_continue(struct op_run *o);
/* A cancel was recorded: act on it if the operation can be interrupted where it is. */
void op_cancel_requested(struct op_run *o);

#endif
