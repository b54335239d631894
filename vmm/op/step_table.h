/* SPDX-License-Identifier: Apache-2.0
 * step_table.h - what an operation consists of: a table of steps.
 *
 * A step may have these parts. They run in this order:
 *
 *	enter   [turn]  written in the same transaction as the name of the step
 *	work    [job]   the side effect. It reads values from struct step_job and leaves results
 *	                in it. Must be idempotent.
 *	ready   [loop]  instead of work: 1 when the awaited event has happened, 0 when not yet, or a
 *	                negative error. Called again whenever the CVM changes.
 *	save    [turn]  written in the same transaction as the name of the next step
 *	undo    [job]   reverts the side effect. Must be idempotent, also when the effect never
 *	                happened.
 *	unsave  [turn]  reverts what save wrote, in the same transaction as the name of the previous
 *	                step. Must be idempotent, also when save never ran.
 *	skip            whether the operation omits the step, forward and backward. It depends only
 *	                on the request (the params of the row), so that it is the same after a
 *crash.
 *
 * Each job states what it waits for (enum waits_for) and its deadline. From these follow its lane,
 * whether it needs the hypervisor, and what a stop or a delete may do while it runs: see the table
 * at the top of engine.c.
 */
#ifndef TEEPOD_VMM_OP_STEP_TABLE_H
#define TEEPOD_VMM_OP_STEP_TABLE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "db/operations.h"

struct cvm_row;
struct loop_timer;
struct step_job;
struct step_run;
struct vmm;

enum waits_for {
	WAITS_NOTHING, /* files and programs of this host */
	WAITS_LIBVIRT, /* an answer of libvirt about its own records */
	WAITS_QEMU,    /* an answer of the CVM's QEMU */
	WAITS_GUEST,   /* an action of the guest: a ready() step */
	WAITS_NETWORK, /* another host */
	WAITS_END,     /* the end of the CVM's QEMU, which libvirt kills by signals */
	WAITS_FOR_MAX
};

struct op_run {
	struct op_run *next;
	struct vmm *v;
	struct op_row row;
	int at;           /* index of row.step in its table; -1: before the first */
	int64_t begun_ms; /* monotonic; of this run, not of the row; or the end of its step "check"
			   */
	unsigned timeout_s; /* this and the following from the row's params */
	bool force;
	bool new_disk;        /* an empty disk in place of one that is lost */
	bool automatic;       /* begun by the node itself */
	bool restart;         /* a change: the guest is stopped and started for it */
	bool grow;            /* a change: of the disk, too */
	bool forward;         /* a change: of the port forwards of a guest that runs on */
	bool writing;         /* a commit is under way */
	struct step_run *run; /* the job under way, or NULL */
	bool parked;          /* waits for the hypervisor, or for an abandoned job */
	bool waiting;         /* in a ready() step */
	bool timed_out;
	bool effect_unknown; /* the job of this step was abandoned: its effect may or may not have
			      * happened
			      */
	bool job_succeeded;  /* the job of this step has done its work: the end saves that */
	bool overtaken;      /* ... and that was for a stop or a delete, not for its deadline */
	unsigned tries;      /* of this step, that found no hypervisor */
	struct loop_timer *timer;
	struct loop_timer *grace; /* until the job under way is abandoned for a stop or a delete */
	char *image_files_now;    /* left by the last job; owned, or NULL */
	struct err err;
};

enum step_flag {
	STEP_KEEP = 1, /* failing here fails the operation, but what was done stays */
	STEP_OPTIONAL =
		2, /* a job past its deadline counts as done: a later step does without it */
	STEP_ASSUME_DONE = 4, /* an effect that may have happened is saved as if it had */
};

struct step_act {
	int (*fn)(struct step_job *j, struct err *e); /* [job] NULL: nothing to do */
	enum waits_for waits;
	unsigned deadline_s;
};

struct step {
	const char *name; /* at most OP_STEP_TEXT - 1 bytes; see struct op_table for how to rename
			     one */
	unsigned flags;
	int (*enter)(struct vmm *v, struct op_run *o, const struct cvm_row *c, struct err *e);
	struct step_act work;
	int (*ready)(struct vmm *v, struct op_run *o, const struct cvm_row *c, struct err *e);
	unsigned (*limit_s)(const struct op_run *o); /* of ready() */
	int (*save)(struct vmm *v, struct op_run *o, const struct cvm_row *c, struct err *e);
	struct step_act undo;
	int (*unsave)(struct vmm *v, struct op_run *o, const struct cvm_row *c, struct err *e);
	bool (*skip)(const struct op_run *o);
};

/* A step that had another name in tables before @version. */
struct step_rename {
	int version;
	const char *from, *to;
};

/* A row keeps the name of its step and the version of the table it was written by. Whoever inserts,
 * removes or renames a step of a released table raises its version, and adds a struct step_rename
 * for what was renamed or removed. */
struct op_table {
	int version;
	const struct step *steps;
	int n;
	int first; /* steps before it were taken by the request's own transaction */
	bool cancellable;
	const struct step_rename *renames; /* oldest first, ends with .from NULL; or NULL */
	/* [turn] The end: @ok, or undone / kept after a failure. */
	int (*finish)(struct vmm *v, struct op_run *o, const struct cvm_row *c, bool ok,
		      struct err *e);
};

/* Register the table of @kind, which lives as long as the process. Before an operation of that kind
 * runs. */
void op_register(enum op_kind kind, const struct op_table *table);
const struct op_table *op_table(enum op_kind kind);

/* Pure: the index of the step named @name, which version @version of the table wrote; -1 for ""
 * (before the first step), -2 when there is no such step. */
int op_step_find(const struct op_table *t, const char *name, int version);
/* Record in @row that the operation is at step @at of its table. */
void op_set_step(struct op_row *row, int at);

#endif
