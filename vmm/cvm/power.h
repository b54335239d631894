/* SPDX-License-Identifier: Apache-2.0
 * power.h - start, stop, shutdown, restart, resume and delete. Loop thread only.
 */
#ifndef TEEPOD_VMM_CVM_POWER_H
#define TEEPOD_VMM_CVM_POWER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "db/cvms.h"
#include "db/operations.h"

struct request_ref;
struct vmm;

struct power_request {
	enum op_kind kind;  /* OP_START, OP_STOP, OP_SHUTDOWN, OP_RESTART, OP_DELETE, OP_RESUME */
	unsigned timeout_s; /* OP_SHUTDOWN and OP_RESTART: seconds for a graceful stop, 10..1200; 0
			       = default (60) */
	bool force;    /* OP_SHUTDOWN: destroy after the timeout; OP_RESTART: stop hard at once */
	bool new_disk; /* OP_START, OP_RESTART: replace a lost disk by an empty one */
};

/* Check *timeout_s, or replace 0 by the default. */
int power_timeout(unsigned *timeout_s, struct err *e);
/* [turn] Set the desired state and add its event; does nothing if it is set already. */
int set_desired(struct vmm *v, const struct cvm_row *c, enum desired d, struct err *e);
/* [turn] ERR_BUSY while another operation runs; stop and delete cancel a running create, start,
 * shutdown or restart and follow it. Start of a running CVM and stop of a stopped one succeed with
 * a finished operation; resume of one that is not paused is ERR_CONFLICT. */
int vmm_power(struct vmm *v, const struct cvm_row *cvm, const struct power_request *req,
	      const struct request_ref *ref, struct op_row *ret_op, struct err *e);

#endif
