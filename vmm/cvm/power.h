/* SPDX-License-Identifier: Apache-2.0
 * power.h - start, stop, shutdown, restart, resume, delete.
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
	unsigned timeout_s; /* OP_SHUTDOWN and OP_RESTART: graceful for so long, 10..1200; 0 =
			       default (60) */
	bool force;    /* OP_SHUTDOWN: destroy when time is up; OP_RESTART: hard stop at once */
	bool new_disk; /* OP_START, OP_RESTART: an empty disk in place of one that is lost */
};

int power_timeout(unsigned *timeout_s, struct err *e); /* checked, or the default */
/* [turn] With its event; nothing if it is so already. */
int set_desired(struct vmm *v, const struct cvm_row *c, enum desired d, struct err *e);
/* [turn] ERR_BUSY while another operation runs; stop and delete cancel a running create, start,
 * shutdown or restart and follow it. Start of a running CVM and stop of a stopped one succeed with
 * a finished operation; resume of one that is not paused is ERR_CONFLICT. */
int vmm_power(struct vmm *v, const struct cvm_row *cvm, const struct power_request *ask,
	      const struct request_ref *ref, struct op_row *ret_op, struct err *e);

#endif
