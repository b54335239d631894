/* SPDX-License-Identifier: Apache-2.0
 * event.c - write entries of the event log.
 *
 * An entry is written in the transaction of the change that it reports, so that the log and the
 * rows always agree. The data of an event is never dropped, whatever bytes its strings hold: see
 * add_pair(). Reading: reads.c. Limits of the log: records.c.
 */
#include <assert.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/own.h"
#include "db/cvms.h"
#include "db/events.h"
#include "db/operations.h"
#include "vmm/node/node.h"
#include "vmm/node/event.h"

/* Add one pair to @data. json_pack() is not used: it returns NULL for the whole object if one
 * string is not UTF-8, and text from guests, files and libvirt may hold any bytes. json_text()
 * replaces the invalid ones. */
static void add_pair(json_t *data, char type, bool optional, va_list *ap)
{
	const char *key = va_arg(*ap, const char *);
	json_t *value = NULL;
	const char *text;

	assert(key);
	switch (type) {
	case 's':
		text = va_arg(*ap, const char *);
		assert(text || optional);
		value = text ? json_text(text) : NULL;
		break;
	case 'I':
		value = json_integer(va_arg(*ap, json_int_t));
		break;
	case 'b':
		value = json_boolean(va_arg(*ap, int));
		break;
	case 'o':
		value = va_arg(*ap, json_t *);
		value = value ? value : json_null();
		break;
	default:
		abort(); /* events use no other types of json_pack() */
	}
	if (value && json_object_set_new(data, key, value))
		abort();
}

/* @fmt: an object in the notation of json_pack(), with values of type s (s*: may be NULL), I, b and
 * o. */
static int append(struct vmm *v, int64_t workspace, const char *type, const char *uuid,
		  const char *op_id, struct err *e, const char *fmt, va_list *ap)
{
	auto_json json_t *data = json_object();
	auto_free char *text = NULL;

	assert(fmt[0] == '{');
	for (const char *p = fmt; (p = strstr(p, "s:")); p += 3)
		add_pair(data, p[2], p[3] == '*', ap);
	text = json_canonical(data);
	return events_append(vmm_db(v), workspace, type, uuid, op_id, text, e);
}

int event(struct vmm *v, const struct cvm_row *c, const char *op_id, const char *type,
	  struct err *e, const char *fmt, ...)
{
	va_list ap;
	int r;

	va_start(ap, fmt);
	r = append(v, c ? c->workspace : vmm_default_workspace(v), type, c ? c->uuid : "",
		   op_id ? op_id : "", e, fmt, &ap);
	va_end(ap);
	return r;
}

int event_op(struct vmm *v, const struct op_row *o, const char *type, struct err *e,
	     const char *fmt, ...)
{
	va_list ap;
	int r;

	va_start(ap, fmt);
	r = append(v, o->workspace, type, o->cvm_uuid, o->id, e, fmt, &ap);
	va_end(ap);
	return r;
}
