/* SPDX-License-Identifier: Apache-2.0
 * op_job.h - the jobs of steps, also those whose result nobody waits for any longer.
 */
#ifndef TEEPOD_VMM_OP_OP_JOB_H
#define TEEPOD_VMM_OP_OP_JOB_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

struct cvm_row;
struct op_run;
struct vmm;

typedef void (*op_job_over_fn)(struct op_run *o, int result, const struct err *e);
/* Start the job of the current step, forward or backward. @over is called once, when the job has
 * ended or (ERR_TIMEOUT, then it is abandoned) when it is past its deadline. */
int op_job_begin(struct op_run *o, const struct cvm_row *c, op_job_over_fn over, struct err *e);
/* Go on without the result of the job. When it ends, its effects are checked. */
void op_job_abandon(struct op_run *o);
/* May the job under way be abandoned for a stop or a delete? Otherwise it ends by itself within its
 * deadline. */
bool op_job_may_abandon(const struct op_run *o);
/* Its result is not wanted any more: cancel the job, which may ignore that. */
void op_job_cancel(struct op_run *o);
/* Does an abandoned job of this CVM still run? */
bool op_has_abandoned_job(const struct vmm *v, int64_t cvm);

/* End the domain of a deleted CVM, and remove its definition and its folder: an abandoned job may
 * have made them after the delete. */
void op_clear_remains(struct vmm *v, const char *uuid);

#endif
