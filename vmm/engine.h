/* SPDX-License-Identifier: Apache-2.0
 * engine.h - operations as tables of steps, run to their end through crashes.
 *
 * A step may have, in this order:
 *   enter  [turn]  written together with its step index
 *   work   [job]   the side effect; takes values from struct step_job, leaves values in it; idempotent
 *   ready  [loop]  instead of work: has what we wait for happened? Asked again whenever the CVM changes
 *   save   [turn]  written together with the next step index
 *   undo   [job]   takes the side effect back; idempotent, also when the effect never happened
 * The index of a step is on disk before its side effect starts. After a crash the engine reads the row and repeats the step it
 * was in, forward or back.
 */
#ifndef TEEPOD_VMM_ENGINE_H
#define TEEPOD_VMM_ENGINE_H

#include "base/log.h"
#include "vmm/logs.h"
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
	char *dir, *image_dir;
	char domain[80];
	bool force;
};

struct op_run {
	struct op_run *next;
	struct vmm *v;
	struct op_row row;
	unsigned timeout_s;
	bool force;
	bool automatic; /* begun by the node itself */
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

/* engine.c: make a row run, go on from what it says, look whether a ready() step is over, end it early, log about it. */
struct op_run *op_launch(struct vmm *v, const struct op_row *row);
void op_go(struct op_run *o);
void op_look_again(struct op_run *o);
void op_cancel_now(struct op_run *o);
void op_log(const struct op_run *o, enum log_level level, const char *text, const char *more);

/* place.c [job]: work of a step before a guest starts: it has its place, and its devices are there and let go by the host. */
int step_devices(struct step_job *j, struct err *e);

/* disk.c [job] */
int disk_create(const char *path, int64_t gib, struct err *e);

/* An error as the text kept in a row, and back. */
void op_error_write(const struct err *e, char out[1024]);

#endif
