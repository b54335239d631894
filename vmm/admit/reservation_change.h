/* SPDX-License-Identifier: Apache-2.0
 * reservation_change.h - devices and NUMA nodes of a CVM that is changed.
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

/* reservation_change.c: the same for a CVM that is there, when what @req changes has to do with its
 * place; else @a keeps what it has. */
int reservation_change(struct vmm *v, const struct cvm_row *cvm, const struct update_request *req,
		       bool inspected, struct admission *a, struct err *e);
/* [turn] What reservation_change() chose becomes the place of the CVM's other state. */
int reservation_plan(struct vmm *v, const struct cvm_row *cvm, const struct admission *a,
		     struct err *e);

#endif
