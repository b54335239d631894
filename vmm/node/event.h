/* SPDX-License-Identifier: Apache-2.0
 * event.h - events.
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

int event(struct vmm *v, const struct cvm_row *c, const char *op_id, const char *type,
	  struct err *e, const char *fmt, ...);
int event_op(struct vmm *v, const struct op_row *o, const char *type, struct err *e,
	     const char *fmt, ...);

#endif
