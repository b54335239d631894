/* SPDX-License-Identifier: Apache-2.0
 * steps.h - steps that several kinds of operation share: how a guest is stopped and started. See
 * step_table.h for the parts of a step.
 */
#ifndef TEEPOD_VMM_CVM_STEPS_H
#define TEEPOD_VMM_CVM_STEPS_H

#include "db/operations.h"
#include "vmm/op/step_table.h"

struct vmm;

struct cvm_row;

/* Deadlines of jobs, in seconds. A start may have to clear terabytes of memory. libvirt itself
 * waits 15 s and more for the end of a QEMU, and its keepalive needs as long to detect that
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
/* Before a guest is ended to be started again: check that its disk and its image exist as recorded.
 * A running guest keeps them open even after they were removed. */
int step_check(struct step_job *j, struct err *e);
/* Press the power button, unless the job is forced. */
int step_signal(struct step_job *j, struct err *e);
/* Check that the guest may start: it has a valid placement, and its devices are present and
 * detached from host drivers. */
int step_devices(struct step_job *j, struct err *e);
/* Check that the disk is as recorded, if it was ever made. A job with new_disk needs no disk, but
 * fails if there is one that is intact and larger than recorded. */
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

/* Register the tables of all operations except resize and upgrade, before the first operation runs.
 */
void steps_register(void);

#endif
