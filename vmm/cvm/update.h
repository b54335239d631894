/* SPDX-License-Identifier: Apache-2.0
 * update.h - change an existing CVM (size, software, settings) in one operation. Loop thread only.
 */
#ifndef TEEPOD_VMM_CVM_UPDATE_H
#define TEEPOD_VMM_CVM_UPDATE_H

#include "db/text.h"
#include "vmm/admit/request.h"
#include "vmm/compose/compose.h"

struct request_ref;
struct vmm;

struct cvm_row;
struct op_row;

/* [turn] Begin one operation (resize if only resources change, else upgrade) and add one history
 * entry. ERR_INCOMPATIBLE, field "allow_restart", if a running CVM needs a restart and the request
 * does not allow it; a retry does not help. ERR_BUSY while another operation runs. A stopped CVM
 * stays stopped. Without a difference the operation is recorded as finished. */
int vmm_update(struct vmm *v, const struct cvm_row *cvm, const struct update_request *req,
	       const struct request_ref *ref, struct op_row *ret_op, struct err *e);

#endif
