/* SPDX-License-Identifier: Apache-2.0
 * event.h - write entries of the event log. Loop thread only.
 */
#ifndef TEEPOD_VMM_NODE_EVENT_H
#define TEEPOD_VMM_NODE_EVENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct cvm_row;
struct op_row;
struct vmm;

/* [turn] Append an event of @type about @c (NULL: about the node, in the default workspace) and the
 * operation @op_id (NULL or "": none). @fmt and the values that follow describe its data, in the
 * notation of json_pack() (event.c); values of type o are consumed. */
int event(struct vmm *v, const struct cvm_row *c, const char *op_id, const char *type,
	  struct err *e, const char *fmt, ...);
/* [turn] The same about the operation @o and its CVM. */
int event_op(struct vmm *v, const struct op_row *o, const char *type, struct err *e,
	     const char *fmt, ...);

#endif
