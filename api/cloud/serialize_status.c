/* SPDX-License-Identifier: Apache-2.0
 * serialize_status.c - the status of a CVM as JSON.
 */
#include "api/cloud/serialize_status.h"

#include "api/cloud/json_or_null.h"
#include "base/clock.h"
#include "db/cvms.h"
#include "db/operations.h"
#include "vmm/cvm/status.h"

static bool cvm_has_uptime(const struct cvm_row *c)
{
	return c->started_ms && cvm_status(c) == STATUS_RUNNING;
}

/* Clients reject null here: unknown values are left out. */
json_t *serialize_state(const struct cvm_row *c, int64_t now_ms)
{
	json_t *o = json_object();
	char span[CLOCK_SPAN], at[CLOCK_TEXT];

	json_object_set_new(o, "id", json_string(c->uuid));
	json_object_set_new(o, "name", json_string(c->name));
	json_object_set_new(o, "status", json_string(status_word(cvm_status(c))));
	json_put_text(o, "pause_reason", paused_word[c->paused]);
	json_put_text(o, "instance_id", c->instance_id);
	if (cvm_has_uptime(c))
		json_put_text(o, "uptime", clock_span(now_ms - c->started_ms, span));
	else if (c->stopped_ms)
		json_put_text(o, "exited_at", clock_rfc3339(c->stopped_ms, at));
	json_put_text(o, "boot_progress", c->boot_progress);
	json_put_text(o, "boot_error", c->boot_error);
	json_put_text(o, "shutdown_progress", c->shutdown_progress);
	return o;
}

json_t *serialize_status(const struct cvm_row *c, int64_t now_ms)
{
	json_t *o = json_object();
	char span[CLOCK_SPAN];

	json_object_set_new(o, "vm_uuid", json_string(c->uuid));
	json_object_set_new(o, "status", json_string(status_word(cvm_status(c))));
	json_object_set_new(o, "pause_reason", json_text_or_null(paused_word[c->paused]));
	json_object_set_new(o, "in_progress", json_boolean(c->op_id[0]));
	json_object_set_new(o, "uptime",
			    cvm_has_uptime(c)
				    ? json_string(clock_span(now_ms - c->started_ms, span))
				    : json_null());
	json_object_set_new(o, "boot_progress", json_text_or_null(c->boot_progress));
	json_object_set_new(o, "boot_error", json_text_or_null(c->boot_error));
	json_object_set_new(o, "operation_type",
			    c->op_id[0] ? json_string(op_kind_word[c->op_kind]) : json_null());
	json_object_set_new(o, "operation_started_at",
			    json_time_or_null(c->op_id[0] ? c->op_started_ms : 0));
	json_object_set_new(o, "correlation_id", json_text_or_null(c->op_id));
	return o;
}
