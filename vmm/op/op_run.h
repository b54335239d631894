/* SPDX-License-Identifier: Apache-2.0
 * op_run.h - the running operations of a node, and the state of the engine.
 *
 * The sources of the engine are layers, low to high: step_table.c (tables), op_run.c (the list),
 * op_job.c (jobs), op_turn.c (commits), engine.c (decisions), op_begin.c (requests). A lower layer
 * reports to a higher one by the callbacks in struct engine.
 */
#ifndef TEEPOD_VMM_OP_OP_RUN_H
#define TEEPOD_VMM_OP_OP_RUN_H

#include <assert.h>
#include <stdint.h>

#include "base/log.h"
#include "db/operations.h"
#include "vmm/op/step_table.h"

/* Callbacks of the engine to higher layers. */
struct engine_calls {
	/* The state of the domain @uuid may have changed: query libvirt and record it. */
	void (*query_domain)(struct vmm *v, const char *uuid);
	/* A start without an answer may take effect late: list the domains soon. */
	void (*list_domains)(struct vmm *v);
	/* An operation has ended, and its end is committed. Not called while closing. */
	void (*operation_ended)(struct vmm *v);
};

/* Operations that ended since the start, and those that run now. */
struct engine_stats {
	uint64_t succeeded[OP_KINDS], failed[OP_KINDS];
	double seconds[OP_KINDS]; /* total duration of those that ended */
	unsigned running;
};

/* Private to vmm/op/ and its tests. */
struct engine {
	struct engine_calls calls;
	/* Functions of engine.c that lower layers call. */
	void (*proceed)(struct op_run *o); /* at the current step */
	void (*resume)(struct op_run *o);  /* at the step that its row names */
	void (*unpark)(struct vmm *v);
	struct op_run *ops; /* running operations */
	unsigned n_ops;
	struct step_run *abandoned; /* abandoned jobs that still run (op_job.c) */
	struct engine_stats stats;
};

void engine_stats(const struct vmm *v, struct engine_stats *ret);
/* Drop the operations that have no job and no commit under way, and close the node if it is idle.
 */
void ops_close(struct vmm *v);

static inline const struct op_table *op_table_of(const struct op_run *o)
{
	return op_table(o->row.kind);
}

static inline const struct step *op_step(const struct op_run *o)
{
	assert(o->at >= 0 && o->at < op_table_of(o)->n);
	return &op_table_of(o)->steps[o->at];
}

/* Add a running operation to the list, at the step that its row names. */
struct op_run *op_launch(struct vmm *v, const struct op_row *row);
/* Remove @o from the list and free it. It has no job. */
void op_unlink(struct op_run *o);
void op_log(const struct op_run *o, enum log_level level, const char *text, const char *more);
/* Read the parameters of its row. */
void op_params(struct op_run *o);
/* Index of the next step (@by 1) or the previous one (-1) from @from that is not skipped; the
 * number of steps, or -1, if there is none. */
int op_next(const struct op_run *o, int from, int by);
int op_load_cvm(struct op_run *o, struct cvm_row *c, struct err *e);
/* Write the error for the unknown step of @row to *ret and to the row. */
void op_unknown_step(struct op_row *row, struct err *ret);

#endif
