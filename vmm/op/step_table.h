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
 *	                on the parameters of the row, so the answer is the same after a crash.
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
	int at;             /* index of row.step in its table; -1: before the first */
	int64_t begun_ms;   /* monotonic; the start of this run (not of the row), or the end of its
			       step "check" */
	unsigned timeout_s; /* this and the next six: from the parameters of the row */
	bool force;
	bool new_disk;        /* make an empty disk if the recorded one is lost */
	bool automatic;       /* begun by the node itself */
	bool restart;         /* a change: the guest is stopped and started for it */
	bool grow;            /* a change: the disk grows */
	bool forward;         /* a change: port forwards of a running guest, without a restart */
	bool writing;         /* a commit is under way */
	struct step_run *run; /* the job under way, or NULL */
	bool parked;          /* waits for the hypervisor or for an abandoned job */
	bool waiting;         /* in a ready() step */
	bool timed_out;
	bool effect_unknown; /* the job of this step was abandoned: its effect may or may not have
				happened */
	bool job_succeeded;  /* the job of this step succeeded: the end of the operation saves that
			      */
	bool overtaken; /* the job was abandoned for a stop or a delete, not because of its deadline
			 */
	unsigned tries; /* attempts of this step that found no hypervisor connected */
	struct loop_timer *timer;
	struct loop_timer *grace; /* until the running job is abandoned for a stop or a delete */
	char *image_files_now;    /* result of the last job; owned, or NULL */
	struct err err;
};

enum step_flag {
	STEP_KEEP = 1, /* a failure ends the operation without undoing */
	STEP_OPTIONAL =
		2, /* a job past its deadline counts as done: later steps do not need its effect */
	STEP_ASSUME_DONE = 4, /* an effect that may have happened is saved as done */
};

struct step_act {
	int (*fn)(struct step_job *j, struct err *e); /* [job] NULL: nothing to do */
	enum waits_for waits;
	unsigned deadline_s;
};

struct step {
	const char *name; /* at most OP_STEP_TEXT - 1 bytes; see struct op_table for how to rename a
			     step */
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

/* A row keeps the name of its step and the version of the table that wrote it. A change that
 * inserts, removes or renames a step of a released table must raise its version, and add a struct
 * step_rename for each step that it renames or removes. */
struct op_table {
	int version;
	const struct step *steps;
	int n;
	int first; /* steps before it were done by the transaction of the request */
	bool cancellable;
	const struct step_rename *renames; /* oldest first, ends with .from NULL; or NULL */
	/* [turn] The operation ends. @ok: it succeeded; otherwise it was undone, or failed and
	 * keeps what it did. */
	int (*finish)(struct vmm *v, struct op_run *o, const struct cvm_row *c, bool ok,
		      struct err *e);
};

/* Register the table of @kind before an operation of that kind runs. It must live as long as the
 * process. */
void op_register(enum op_kind kind, const struct op_table *table);
const struct op_table *op_table(enum op_kind kind);

/* Index of the step @name that version @version of the table wrote; -1 for "" (before the first
 * step), -2 if there is no such step. Pure. */
int op_step_find(const struct op_table *t, const char *name, int version);
/* Record in @row that the operation is at step @at of its table. */
void op_set_step(struct op_row *row, int at);

#endif
