/* SPDX-License-Identifier: Apache-2.0
 * maintenance.h - maintenance, drain and the policies of a CVM.
 */
#ifndef TEEPOD_VMM_CVM_MAINTENANCE_H
#define TEEPOD_VMM_CVM_MAINTENANCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct cvm_row;
struct drain_counts;
struct maintenance_row;
struct policy_request;
struct power_request;
struct request_ref;
struct vmm;

/* Check that a CVM may be created. ERR_NODE_CLOSED in maintenance. */
int maintenance_allows(struct vmm *v, struct err *e);
/* [turn] Change the policies of a CVM: restarts, automatic start and start order. *ret: the row
 * after the change. */
int vmm_set_policy(struct vmm *v, const struct cvm_row *cvm, const struct policy_request *req,
		   struct cvm_row *ret, struct err *e);
/* [turn] Begin or end maintenance. In maintenance no CVM is created, and automatic starts wait. At
 * its end, drained CVMs are started again. */
int vmm_set_maintenance(struct vmm *v, bool on, const char *reason, const struct request_ref *ref,
			struct err *e);
/* [turn] Begin maintenance and shut down the running CVMs, a few at a time, by ordinary operations
 * with the caller PACE_DRAIN_CALLER. */
int vmm_drain(struct vmm *v, const struct power_request *req, const char *reason,
	      const struct request_ref *ref, struct err *e);
int vmm_maintenance(struct vmm *v, struct maintenance_row *ret, struct drain_counts *ret_counts,
		    struct err *e);

#endif
