/* SPDX-License-Identifier: Apache-2.0
 * engine.h - operations as tables of steps, run to their end through crashes, and past peers that
 * never answer.
 *
 * A step may have, in this order:
 *   enter  [turn]  written together with its name
 *   work   [job]   the side effect; takes values from struct step_job, leaves values in it;
 * idempotent ready  [loop]  instead of work: has what we wait for happened? Checked again whenever
 * the CVM changes save   [turn]  written together with the name of the next step undo   [job] takes
 * the side effect back; idempotent, also when the effect never happened unsave [turn]  takes back
 * what save wrote, with the name of the step before; idempotent, also when save never was and skip:
 * whether the operation passes the step over, forward and back. It follows from the request alone
 * (the row's params), so that it is the same after a crash.
 *
 * The name of a step is on disk before its side effect starts, with the version of its table. After
 * a crash the engine reads the row and repeats the step it was in, forward or back; after an
 * upgrade it finds the step by its name in the new table.
 *
 * Each job says what it waits for (enum waits_for) and for how long. From that follow its lane,
 * whether it needs the hypervisor, and what a stop or a delete may do while it runs: see the table
 * at the top of engine.c.
 */
#ifndef TEEPOD_VMM_OP_ENGINE_H
#define TEEPOD_VMM_OP_ENGINE_H

#include "base/lanes.h"
#include "base/log.h"
#include "db/changes.h"
#include "db/cvms.h"
#include "db/operations.h"
#include "vmm/admit/placement.h"
#include "vmm/node/settings.h"
#include "vmm/virt/hypervisor.h"

struct vmm;

struct device_row;
struct port_row;

/* Values for a job; owned by the job, used by one thread at a time. Strings of settings live as
 * long as the vmm. */
struct step_job {
	struct hypervisor *hv;
	struct vmm_settings set;
	struct hv_caps caps;
	struct cvm_row cvm;
	struct port_row *ports;
	size_t n_ports;
	struct device_row *devices; /* GPUs first, each kind by address */
	size_t n_devices;
	struct placement place;
	struct err place_error; /* .code is ERR_NONE, or why there is no place any more: steps that
				   start a guest fail with it */
	char *manifest;
	struct cvm_blobs blobs;
	struct change_row change;     /* .op is "" where nothing is changed */
	struct port_row *other_ports; /* of the state that @change is */
	size_t n_other_ports;
	char *dir, *image_dir;
	char *image_files; /* as recorded; the steps "check" and "files" leave them as they are now
			      in image_files_now */
	char *image_files_now; /* NULL: as recorded */
	char domain[80];
	bool force, restart, new_disk;
};

enum waits_for {
	WAITS_NOTHING, /* files and programs of this host */
	WAITS_LIBVIRT, /* libvirt's answer about its own records */
	WAITS_QEMU,    /* an answer of the CVM's QEMU */
	WAITS_GUEST,   /* what the guest does: a ready() step */
	WAITS_NETWORK, /* another host */
	WAITS_END,     /* the end of the CVM's QEMU, which libvirt brings about by signals */
	WAITS_FOR_MAX
};

struct step_run;

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
	bool unknown; /* the job of this step was abandoned: its effect may or may not have happened
		       */
	bool worked;  /* the job of this step has done its work: the end saves that */
	bool overtaken; /* ... and that was for a stop or a delete, not for its deadline */
	unsigned tries; /* of this step, that found no hypervisor */
	struct loop_timer *timer;
	struct loop_timer *grace; /* until the job under way is abandoned for a stop or a delete */
	char *image_files_now;    /* left by the last job; owned, or NULL */
	struct err err;
};

enum step_flag {
	STEP_KEEP = 1, /* failing here fails the operation, but what was done stays */
	STEP_OPTIONAL =
		2, /* a job past its deadline counts as done: a later step does without it */
	STEP_PROMISED = 4, /* an effect that may have happened is saved as if it had */
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

extern const struct op_table op_tables[OP_KINDS];

static inline const struct op_table *op_table_of(const struct op_run *o)
{
	return &op_tables[o->row.kind];
}

static inline const struct step *op_step(const struct op_run *o)
{
	return &op_table_of(o)->steps[o->at];
}

/* Pure: where an operation stands that was recorded in step @name by version @version of the table:
 * an index, -1 for "" (before the first step), or -2 when there is no such step. */
int op_step_find(const struct op_table *t, const char *name, int version);
/* Record that @row stands at step @at of its table. */
void op_stand_at(struct op_row *row, int at);

/* engine.c: make a row run, go on from what it says, see whether a ready() step is over, end it
 * early, log about it. */
struct op_run *op_launch(struct vmm *v, const struct op_row *row);
void op_go(struct op_run *o);
void op_check_ready(struct op_run *o);
/* A cancel was recorded: act on it if the operation can be interrupted where it is. */
void op_cancel_heard(struct op_run *o);
void op_cancel_now(struct op_run *o);
void op_log(const struct op_run *o, enum log_level level, const char *text, const char *more);
/* What its row's params say. */
void op_params(struct op_run *o);
/* The step after (@by 1) or before (-1) the one at @from that is not skipped; the number of steps,
 * or -1: there is none. */
int op_next(const struct op_run *o, int from, int by);
/* It is over: forget it. It has no job. */
void op_unlink(struct op_run *o);

/* op_job.c: jobs of steps, also those that nobody waits for any longer. */
/* Start the job of the step @o is in, forward or back. op_job_over() is called when it has ended or
 * is past its deadline. */
int op_job_begin(struct op_run *o, const struct cvm_row *c, struct err *e);
/* Go on without the job's result. What it still does is looked after when it ends. */
void op_job_abandon(struct op_run *o);
/* May the job under way be abandoned for a stop or a delete? If not, it ends by itself within its
 * deadline. */
bool op_job_may_abandon(const struct op_run *o);
/* Tell the job that its result is not wanted. It goes on, or ends early. */
void op_job_hurry(struct op_run *o);
/* Does an abandoned job of this CVM still run? */
bool op_job_haunts(const struct vmm *v, int64_t cvm);
/* End the domain of a CVM that is deleted, and remove its definition and its folder: a job that was
 * given up may have made them. */
void op_clear_remains(struct vmm *v, const char *uuid);
/* engine.c: @result and *e are the job's; ERR_TIMEOUT: it is past its deadline and abandoned. */
void op_job_over(struct op_run *o, int result, const struct err *e);

/* op_turn.c: write, and go on after the commit. */
void op_advance(struct op_run *o);                     /* to the next step */
void op_turn_round(struct op_run *o);                  /* undo, because of o->err */
void op_undone(struct op_run *o);                      /* to the step before */
void op_finish(struct op_run *o, enum op_state state); /* and let the queued one begin */
/* The database did not take it: read the row in a second, and go on from there. */
void op_retry_later(struct op_run *o, const struct err *e);
int op_load_cvm(struct op_run *o, struct cvm_row *c, struct err *e);
/* [turn] @row is over: written down, with its event. */
int op_end_row(struct vmm *v, struct op_row *row, enum op_state state, struct err *e);

/* op_begin.c: go on from what the row says; or end, because the program does not have that step. */
void op_resume(struct op_run *o);
/* Say so: into *ret and the row's error. */
void op_unknown_step(struct op_row *row, struct err *ret);
/* op_begin.c [turn]: queue an operation that goes on where @after ends, unless one is queued
 * already; *ret_queued says which. */
int op_follow(struct vmm *v, const struct op_run *after, const struct cvm_row *c, enum op_kind kind,
	      struct op_row *ret, bool *ret_queued, struct err *e);

/* steps.c [job]: work of a step before a guest starts: it has its place, and its devices are there
 * and let go by the host. */
int step_devices(struct step_job *j, struct err *e);

/* disk.c [job] */
/* An empty disk of @gib at @path, in folder @dir. Nothing else is there. */
int disk_create(const char *dir, const char *path, int64_t gib, struct err *e);
/* The disk at @path is a regular qcow2 file of @min_gib to @max_gib. If it is not, or is not
 * there: ERR_HOST with the field "disk"; with the field "disk_size" if it is whole, and larger.
 * Other errors have no field, and say nothing about the disk. */
int disk_check(const char *path, int64_t min_gib, int64_t max_gib, struct err *e);
/* To @gib, unless it is that large. No QEMU may have it open. */
int disk_grow(const char *path, int64_t gib, struct err *e);

/* An error as the text kept in a row, and back. */
enum { ERROR_TEXT = 1024 };
void op_error_write(const struct err *e, char out[ERROR_TEXT]);

/* Something about the CVM changed: operations that wait look again. */
void ops_poke(struct vmm *v, int64_t cvm);
/* The hypervisor came (back): parked operations go on. */
void ops_unpark(struct vmm *v);
void ops_close(struct vmm *v);

/* For metrics: operations since the daemon started. */
struct op_counts {
	uint64_t done[OP_KINDS][2]; /* [0] succeeded, [1] failed or cancelled */
	double seconds[OP_KINDS];   /* time spent in those that ended */
	unsigned running;           /* now */
};
void ops_counts(const struct vmm *v, struct op_counts *ret);
/* Time to close is up: jobs that still run are given up. */
void ops_give_up(struct vmm *v);

#endif
