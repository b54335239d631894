/* SPDX-License-Identifier: Apache-2.0
 * op_job.h - the jobs of steps, including abandoned ones, which run on without their operation.
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
/* Start the job of the current step, forward or backward. @over is called once: when the job has
 * ended, or with ERR_TIMEOUT when its deadline has passed. In that case the job is abandoned. */
int op_job_begin(struct op_run *o, const struct cvm_row *c, op_job_over_fn over, struct err *e);
/* Continue without the result of the job. When the job ends, its effects are checked. */
void op_job_abandon(struct op_run *o);
/* True if the running job may be abandoned for a stop or a delete. Other jobs end by themselves
 * within their deadline. */
bool op_job_may_abandon(const struct op_run *o);
/* The result of the job is not needed: cancel the job, which may ignore that. */
void op_job_cancel(struct op_run *o);
/* The node closes: do not repeat jobs that failed. */
void op_jobs_close(struct vmm *v);
/* True if an abandoned job of this CVM still runs. */
bool op_has_abandoned_job(const struct vmm *v, int64_t cvm);
/* True if libvirt still cleans up after the QEMU of this CVM, which has ended. */
bool op_has_cleanup_job(const struct vmm *v, int64_t cvm);

/* Destroy the domain of a deleted CVM, and remove its definition and its folder. An abandoned job
 * may have created them after the delete. */
void op_clear_remains(struct vmm *v, const char *uuid);

#endif
