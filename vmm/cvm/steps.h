/* SPDX-License-Identifier: Apache-2.0
 * steps.h - what the tables of steps have in common: parts of stopping and starting a guest. See
 * engine.h for what each kind may do.
 */
#ifndef TEEPOD_VMM_CVM_STEPS_H
#define TEEPOD_VMM_CVM_STEPS_H

#include "db/operations.h"
#include "vmm/op/step_table.h"

struct vmm;

struct cvm_row;

/* Seconds after which a job is given up. A start may have to clear terabytes of memory; libvirt
 * itself waits 15 s and more for the end of a QEMU, and keepalive needs as long to find that
 * libvirtd does not answer. */
enum {
	STEP_FILES_S = 120,
	STEP_LIBVIRT_S = 60,
	STEP_START_S = 900,
	STEP_BUTTON_S = 10,
	STEP_FORWARDS_S = 30,
	STEP_END_S = 90,
};

#define STEP_END_GUEST                              \
	{                                           \
		step_destroy, WAITS_END, STEP_END_S \
	}

/* steps.c [job] */
/* Before a guest is ended that is to be started again: its disk and its image are there, as
 * recorded. One that runs has them open even when they were removed. */
int step_check(struct step_job *j, struct err *e);
/* The power button, unless the job is forced. */
int step_signal(struct step_job *j, struct err *e);
/* A guest may start: it has its placement, and its devices are there and detached from host
 * drivers.
 */
int step_devices(struct step_job *j, struct err *e);
/* The disk is there as recorded, if it was ever made. A job that is to make a new one needs none,
 * but fails if there is a whole one, larger than recorded. */
int step_disk_check(const struct step_job *j, struct err *e);
int step_destroy(struct step_job *j, struct err *e);
int step_files(struct step_job *j, struct err *e);
int step_define(struct step_job *j, struct err *e);
int step_start(struct step_job *j, struct err *e);
int step_forwards(struct step_job *j, struct err *e);

/* steps.c [turn] */
int step_save_check(struct vmm *v, struct op_run *o, const struct cvm_row *c, struct err *e);
int step_save_signal(struct vmm *v, struct op_run *o, const struct cvm_row *c, struct err *e);
int step_enter_boot(struct vmm *v, struct op_run *o, const struct cvm_row *c, struct err *e);
int step_save_files(struct vmm *v, struct op_run *o, const struct cvm_row *c, struct err *e);
int step_save_started(struct vmm *v, struct op_run *o, const struct cvm_row *c, struct err *e);
int step_save_off(struct vmm *v, struct op_run *o, const struct cvm_row *c, struct err *e);

/* steps.c [loop] */
int step_down_or_late(struct vmm *v, struct op_run *o, const struct cvm_row *c, struct err *e);
unsigned step_graceful_limit(const struct op_run *o);
int step_booted(struct vmm *v, struct op_run *o, const struct cvm_row *c, struct err *e);
unsigned step_boot_limit(const struct op_run *o);

/* Give the engine the tables of all operations but resize and upgrade. Before the first operation
 * runs. */
void steps_register(void);

#endif
