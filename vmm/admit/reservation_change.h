/* SPDX-License-Identifier: Apache-2.0
 * reservation_change.h - devices and NUMA nodes for a change of a CVM.
 */
#ifndef TEEPOD_VMM_ADMIT_RESERVATION_CHANGE_H
#define TEEPOD_VMM_ADMIT_RESERVATION_CHANGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct admission;
struct cvm_row;
struct update_request;
struct vmm;

/* Choose the devices and NUMA nodes of @cvm after the change @req, into @a. If the change affects
 * neither, @a is unchanged. Nothing is reserved. */
int reservation_change(struct vmm *v, const struct cvm_row *cvm, const struct update_request *req,
		       bool inspected, struct admission *a, struct err *e);
/* [turn] Reserve what reservation_change() chose, for the CVM's state after the change. */
int reservation_plan(struct vmm *v, const struct cvm_row *cvm, const struct admission *a,
		     struct err *e);

#endif
