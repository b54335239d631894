/* SPDX-License-Identifier: Apache-2.0
 * engine.h - operations as tables of steps, run to their end through crashes.
 *
 * A step may have, in this order:
 *   enter  [turn]  written together with its step index
 *   work   [job]   the side effect; takes values from struct step_job, leaves values in it; idempotent
 *   ready  [loop]  instead of work: has what we wait for happened? Asked again whenever the CVM changes
 *   save   [turn]  written together with the next step index
 *   undo   [job]   takes the side effect back; idempotent, also when the effect never happened
 *   unsave [turn]  takes back what save wrote, with the index of the step before; idempotent, also when save never was
 * and skip: whether the operation passes the step over, forward and back. It follows from what was asked for alone (the row's
 * params), so that it is the same after a crash.
 * The index of a step is on disk before its side effect starts. After a crash the engine reads the row and repeats the step it
 * was in, forward or back.
 */
#ifndef TEEPOD_VMM_ENGINE_H
#define TEEPOD_VMM_ENGINE_H

#include "base/log.h"
#include "logs/logs.h"
#include "vmm/world.h"

/* Values for a job; owned by the operation, used by one thread at a time. Strings of settings live as long as the vmm. */
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
	struct err
		place_error; /* .code is ERR_NONE, or why there is no place (any more): steps that start a guest fail with it */
	char *manifest;
	struct cvm_blobs blobs;
	struct change_row change;     /* .op is "" where nothing is changed */
	struct port_row *other_ports; /* of the state that @change is */
	size_t n_other_ports;
	char *dir, *image_dir;
	char domain[80];
	bool force, restart;
};

struct op_run {
	struct op_run *next;
	struct vmm *v;
	struct op_row row;
	unsigned timeout_s; /* this and the next from the row's params */
	bool force;
	bool automatic; /* begun by the node itself */
	bool restart;   /* a change: the guest is stopped and started for it */
	bool grow;      /* a change: of the disk, too */
	bool lead;      /* a change: of the ports of a guest that runs on */
	bool busy;      /* a job or a commit is under way */
	bool parked;    /* waits for the hypervisor */
	bool waiting;   /* in a ready() step */
	bool timed_out;
	unsigned tries; /* of this step, that found no hypervisor */
	struct loop_timer *timer;
	struct step_job job;
	int result;
	struct err err;
};

enum step_flag {
	STEP_HV = 1,   /* needs the hypervisor */
	STEP_KEEP = 2, /* failing here fails the operation, but what was done stays */
	STEP_ASKS = 4, /* waits for QEMU's answer, which a hung one never gives */
};

struct step {
	const char *name;
	unsigned flags;
	int (*enter)(struct vmm *v, struct op_run *o, const struct cvm_row *c, struct err *e);
	int (*work)(struct step_job *j, struct err *e);
	int (*ready)(struct vmm *v, struct op_run *o, const struct cvm_row *c, struct err *e);
	unsigned (*limit_s)(const struct op_run *o);
	int (*save)(struct vmm *v, struct op_run *o, const struct cvm_row *c, struct err *e);
	int (*undo)(struct step_job *j, struct err *e);
	int (*unsave)(struct vmm *v, struct op_run *o, const struct cvm_row *c, struct err *e);
	bool (*skip)(const struct op_run *o);
};

struct op_table {
	const struct step *steps;
	int n;
	int first; /* steps before it were taken by the request's own transaction */
	bool cancellable;
	/* [turn] The end: @ok, or undone / kept after a failure. */
	int (*finish)(struct vmm *v, struct op_run *o, const struct cvm_row *c, bool ok, struct err *e);
};

extern const struct op_table op_tables[OP_KINDS];

static inline const struct op_table *op_table_of(const struct op_run *o)
{
	return &op_tables[o->row.kind];
}

static inline const struct step *op_step(const struct op_run *o)
{
	return &op_table_of(o)->steps[o->row.step];
}

/* engine.c: make a row run, go on from what it says, look whether a ready() step is over, end it early, log about it. */
struct op_run *op_launch(struct vmm *v, const struct op_row *row);
void op_go(struct op_run *o);
void op_look_again(struct op_run *o);
void op_cancel_now(struct op_run *o);
void op_log(const struct op_run *o, enum log_level level, const char *text, const char *more);
/* What its row's params say. */
void op_params(struct op_run *o);
/* The step after (@by 1) or before (-1) the one at @from that is not skipped; the number of steps, or -1: there is none. */
int op_next(const struct op_run *o, int from, int by);
/* It is over: forget it. */
void op_unlink(struct op_run *o);

/* op_turn.c: write, and go on after the commit. */
void op_advance(struct op_run *o);                     /* to the next step */
void op_turn_round(struct op_run *o);                  /* undo, because of o->err */
void op_undone(struct op_run *o);                      /* to the step before */
void op_finish(struct op_run *o, enum op_state state); /* and let the queued one begin */
/* The database would not take it: read the row in a second, and go on from there. */
void op_retry_later(struct op_run *o, const struct err *e);
int op_load_cvm(struct op_run *o, struct cvm_row *c, struct err *e);

/* op_begin.c [turn]: queue an operation that goes on where @after ends, unless one is queued already; *ret_queued says which. */
int op_follow(struct vmm *v, const struct op_run *after, const struct cvm_row *c, enum op_kind kind,
	      struct op_row *ret, bool *ret_queued, struct err *e);

/* place.c [job]: work of a step before a guest starts: it has its place, and its devices are there and let go by the host. */
int step_devices(struct step_job *j, struct err *e);

/* disk.c [job] */
int disk_create(const char *path, int64_t gib, struct err *e);
/* To @gib, unless it is that large. Not there is success: it will be made so. No QEMU may have it open. */
int disk_grow(const char *path, int64_t gib, struct err *e);

/* An error as the text kept in a row, and back. */
void op_error_write(const struct err *e, char out[1024]);

#endif
