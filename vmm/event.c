/* SPDX-License-Identifier: Apache-2.0
 * event.c - entries of the event log, written in the transaction of what they tell.
 */
#include <stdarg.h>

#include "base/own.h"
#include "vmm/world.h"

static int append(struct vmm *v, int64_t workspace, const char *type, const char *uuid, const char *op_id,
		  struct err *e, const char *fmt, va_list ap)
{
	auto_json json_t *j = json_vpack_ex(NULL, 0, fmt, ap);
	auto_free char *s = j ? json_dumps(j, JSON_COMPACT) : NULL;

	return events_append(v->db, workspace, type, uuid, op_id, s ? s : "{}", e);
}

int event(struct vmm *v, const struct cvm_row *c, const char *op_id, const char *type, struct err *e,
	  const char *fmt, ...)
{
	va_list ap;
	int r;

	va_start(ap, fmt);
	r = append(v, c ? c->workspace : v->workspace, type, c ? c->uuid : "", op_id ? op_id : "", e, fmt,
		   ap);
	va_end(ap);
	return r;
}

int event_op(struct vmm *v, const struct op_row *o, const char *type, struct err *e, const char *fmt, ...)
{
	va_list ap;
	int r;

	va_start(ap, fmt);
	r = append(v, o->workspace, type, o->cvm_uuid, o->id, e, fmt, ap);
	va_end(ap);
	return r;
}
