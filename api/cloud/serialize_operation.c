/* SPDX-License-Identifier: Apache-2.0
 * serialize_operation.c - operations as JSON.
 */
#include "api/cloud/serialize_operation.h"

#include <assert.h>
#include <string.h>

#include "api/cloud/json_or_null.h"
#include "api/http/call.h"
#include "api/http/envelope.h"
#include "db/cvms.h"
#include "db/operations.h"
#include "vmm/op/op_error.h"
#include "vmm/op/step_table.h"

void cvm_row_overlay(struct cvm_row *c, const struct op_row *op)
{
	if (op->state != OP_QUEUED && op->state != OP_RUNNING)
		return;
	assert(op->id[0]);
	memcpy(c->op_id, op->id, sizeof(c->op_id));
	c->op_kind = op->kind;
	c->op_started_ms = op->started_ms ? op->started_ms : op->created_ms;
}

/* State of step @i; @at is the current step. */
static const char *step_state_word(const struct op_row *op, int at, int i)
{
	if (op->state == OP_SUCCEEDED)
		return "done";
	if (op->state == OP_QUEUED)
		return "pending";
	if (op->undoing)
		return i > at                    ? "undone"
		       : i < at                  ? "done"
		       : op->state == OP_RUNNING ? "running"
						 : "undone";
	if (i != at)
		return i < at ? "done" : "pending";
	return op->state == OP_RUNNING ? "running" : "failed";
}

static json_t *serialize_steps(const struct op_row *op, const char **ret_current)
{
	const struct op_table *t = op_table(op->kind);
	const int at = op_step_find(t, op->step, op->table_version);
	json_t *a = json_array();

	assert(t->n > 0 && at < t->n);
	*ret_current = "";
	for (int i = 0; i < t->n; i++) {
		const char *name = t->steps[i].name;

		json_array_append_new(a, json_pack("{s:s,s:s}", "name", name, "state",
						   step_state_word(op, at, i)));
		if (i == at && op->state != OP_SUCCEEDED)
			*ret_current = name;
	}
	return a;
}

static json_t *serialize_op_error(const struct call *c, const struct op_row *op)
{
	struct err why;

	if (!vmm_op_error(op, &why))
		return json_null();
	if (c->caller.role < ROLE_OPERATOR)
		err_hide_total(&why);
	return envelope_body(&why, op->request_id);
}

json_t *serialize_operation(const struct call *c, const struct op_row *op)
{
	json_t *o = json_object();
	const char *current;

	json_object_set_new(o, "id", json_string(op->id));
	json_object_set_new(o, "kind", json_string(op_kind_word[op->kind]));
	json_object_set_new(o, "state", json_string(op_state_word[op->state]));
	json_object_set_new(o, "cvm",
			    json_pack("{s:s,s:s}", "vm_uuid", op->cvm_uuid, "name", op->cvm_name));
	json_object_set_new(o, "steps", serialize_steps(op, &current));
	json_object_set_new(o, "step", json_text_or_null(current));
	json_object_set_new(o, "undoing", json_boolean(op->undoing));
	json_object_set_new(o, "cancel_requested", json_boolean(op->cancel));
	json_object_set_new(o, "error", serialize_op_error(c, op));
	json_object_set_new(o, "created_at", json_time_or_null(op->created_ms));
	json_object_set_new(o, "started_at", json_time_or_null(op->started_ms));
	json_object_set_new(o, "finished_at", json_time_or_null(op->finished_ms));
	json_object_set_new(o, "request_id", json_text_or_null(op->request_id));
	json_object_set_new(o, "caller", json_text_or_null(op->caller));
	return o;
}
