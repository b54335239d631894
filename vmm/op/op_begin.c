/* SPDX-License-Identifier: Apache-2.0
 * op_begin.c - accepts, queues, refuses and cancels operations, and resumes them after a restart of
 * the daemon.
 *
 * At most one operation runs per CVM, and at most one more is queued. Stop and delete overtake:
 * they are queued, and the running operation is cancelled. It then ends at its present step without
 * undoing, because the queued operation ends the guest in any case. An operation that is being
 * undone is not cancelled: the queued one waits for its end, but not for a QEMU that does not
 * answer. Stop replaces a queued start, delete replaces any queued operation.
 *
 * An operation begins only after the commit of its row; otherwise a rollback would leave side
 * effects that no row records. See engine.c for what a running operation does.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/loop.h"
#include "base/own.h"
#include "db/cvms.h"
#include "db/operations.h"
#include "db/turn.h"
#include "vmm/node/node.h"
#include "vmm/node/owner.h"
#include "vmm/node/settings.h"
#include "vmm/op/engine.h"
#include "vmm/node/event.h"
#include "vmm/op/op_begin.h"
#include "vmm/op/op_error.h"
#include "vmm/op/op_run.h"
#include "vmm/op/op_turn.h"

static void op_fill_row(const struct cvm_row *c, enum op_kind kind, const char *params,
			const struct request_ref *ref, struct op_row *row)
{
	*row = (struct op_row){
		.cvm = c->id, .workspace = c->workspace, .kind = kind, .created_ms = clock_wall_ms()
	};
	id_uuid7(row->id);
	memcpy(row->cvm_uuid, c->uuid, sizeof(row->cvm_uuid));
	memcpy(row->cvm_name, c->name, sizeof(row->cvm_name));
	(void)snprintf(row->params, sizeof(row->params), "%s", params);
	(void)snprintf(row->request_id, sizeof(row->request_id), "%s",
		       ref->request_id ? ref->request_id : "");
	(void)snprintf(row->caller, sizeof(row->caller), "%s", ref->caller ? ref->caller : "");
}

/* Only the newest max_operations of a workspace are kept, so that repeated operations cannot fill
 * the database. */
static int op_insert(struct vmm *v, const struct op_row *row, struct err *e)
{
	int r = ops_insert(vmm_db(v), row, e);

	return r || !vmm_settings(v)->max_operations
		       ? r
		       : ops_trim(vmm_db(v), row->workspace, vmm_settings(v)->max_operations, e);
}

struct op_after_commit {
	struct vmm *v;
	struct op_row row;
};

/* The row is read again, because a later change in the same turn may have updated it. */
static void op_start_committed(void *arg, const struct err *e)
{
	struct op_after_commit *b = arg;
	struct err why;
	int r = e || vmm_is_closing(b->v) ? -ERR_NOT_FOUND
					  : ops_get(vmm_db(b->v), b->row.id, &b->row, &why);

	if (!r && b->row.state == OP_RUNNING)
		op_continue(op_launch(b->v, &b->row));
	else if (r && r != -ERR_NOT_FOUND)
		op_retry_later(op_launch(b->v, &b->row), &why);
	free(b);
}

static struct op_run *op_run_find(struct vmm *v, const char *op_id)
{
	struct op_run *o = vmm_engine(v)->ops;

	while (o && strcmp(o->row.id, op_id) != 0)
		o = o->next;
	return o;
}

static void op_cancel_committed(void *arg, const struct err *e)
{
	struct op_after_commit *b = arg;
	struct op_run *o = e ? NULL : op_run_find(b->v, b->row.id);

	if (o && !vmm_is_closing(b->v)) {
		o->row.cancel = true;
		op_cancel_requested(o);
	}
	free(b);
}

static int op_request_cancel(struct vmm *v, struct op_row *row, struct err *e)
{
	struct op_after_commit *b;
	int r;

	row->cancel = true;
	r = ops_update(vmm_db(v), row, e);
	if (r)
		return r;
	b = xcalloc(1, sizeof(*b));
	*b = (struct op_after_commit){ v, *row };
	turn_after(vmm_turn(v), op_cancel_committed, b);
	return 0;
}

static int op_refuse_busy(const struct op_row *row, struct err *e)
{
	err_set(e, ERR_BUSY, "%s is being worked on: %s (operation %s)", row->cvm_name,
		op_kind_word[row->kind], row->id);
	return err_hint(e, "wait for operation %s, or cancel it", row->id);
}

/* End a queued operation that @kind makes unnecessary, before it begins. ERR_BUSY if @kind cannot
 * replace it. */
static int op_replace_queued(struct vmm *v, enum op_kind kind, struct op_row *queued, struct err *e)
{
	struct err why;

	if (kind == queued->kind || queued->kind == OP_DELETE ||
	    (kind == OP_STOP && queued->kind != OP_START))
		return op_refuse_busy(queued, e);
	err_set(&why, ERR_CANCELLED, "replaced by %s before it began", op_kind_word[kind]);
	op_error_write(&why, queued->error);
	return op_end_row(v, queued, OP_CANCELLED, e);
}

/* Check whether @kind may be queued while @running runs, and cancel @running if it can be
 * cancelled. Only stop and delete may be queued, and not behind the same kind or a delete. */
static int op_overtake(struct vmm *v, enum op_kind kind, struct op_row *running,
		       const struct cvm_row *c, struct err *e)
{
	struct op_row queued;
	int r;

	if (kind != OP_STOP && kind != OP_DELETE)
		return op_refuse_busy(running, e);
	if (running->kind == kind || running->kind == OP_DELETE)
		return op_refuse_busy(running, e);
	r = ops_queued_of(vmm_db(v), c->id, &queued, e);
	if (!r)
		r = op_replace_queued(v, kind, &queued, e);
	if (r && r != -ERR_NOT_FOUND)
		return r;
	return op_table(running->kind)->cancellable ? op_request_cancel(v, running, e) : 0;
}

int op_begin(struct vmm *v, const struct cvm_row *c, enum op_kind kind, const char *params,
	     const struct request_ref *ref, struct op_row *ret, struct err *e)
{
	struct op_run probe = { .v = v };
	const struct step *first;
	struct op_row running;
	struct op_after_commit *b;
	int r = owner_allows(v, e);
	bool queue;

	assert_loop_thread();
	if (r)
		return r;
	r = ops_running_of(vmm_db(v), c->id, &running, e);
	queue = r == 0;
	if (r && r != -ERR_NOT_FOUND)
		return r;
	r = queue ? op_overtake(v, kind, &running, c, e) : 0;
	if (r)
		return r;
	op_fill_row(c, kind, params, ref, ret);
	probe.row = *ret;
	op_params(&probe);
	probe.at = op_next(&probe, op_table(kind)->first - 1, 1);
	op_set_step(ret, probe.at);
	first = op_step(&probe);
	ret->state = queue ? OP_QUEUED : OP_RUNNING;
	ret->started_ms = queue ? 0 : ret->created_ms;
	if (!queue && first->enter)
		r = first->enter(v, &probe, c, e);
	if (!r)
		r = op_insert(v, ret, e);
	if (!r)
		r = event_op(v, ret, queue ? "operation.queued" : "operation.started", e, "{s:s}",
			     "kind", op_kind_word[kind]);
	if (r || queue)
		return r;
	b = xcalloc(1, sizeof(*b));
	*b = (struct op_after_commit){ v, *ret };
	turn_after(vmm_turn(v), op_start_committed, b);
	return 0;
}

int op_idle(struct vmm *v, const struct cvm_row *c, struct err *e)
{
	struct op_row running;
	int r = ops_running_of(vmm_db(v), c->id, &running, e);

	return r == -ERR_NOT_FOUND ? 0 : r ? r : op_refuse_busy(&running, e);
}

int op_follow(struct vmm *v, const struct op_run *after, const struct cvm_row *c, enum op_kind kind,
	      struct op_row *ret, bool *ret_queued, struct err *e)
{
	const struct request_ref ref = { .request_id = after->row.request_id,
					 .caller = after->row.caller };
	struct op_row queued;
	int r = ops_queued_of(vmm_db(v), c->id, &queued, e);

	*ret_queued = false;
	if (r != -ERR_NOT_FOUND)
		return r;
	op_fill_row(c, kind, "{}", &ref, ret);
	op_set_step(ret, op_table(kind)->first);
	r = op_insert(v, ret, e);
	if (!r)
		r = event_op(v, ret, "operation.queued", e, "{s:s}", "kind", op_kind_word[kind]);
	*ret_queued = !r;
	return r;
}

int op_record(struct vmm *v, const struct cvm_row *c, enum op_kind kind, const char *params,
	      const struct request_ref *ref, struct op_row *ret, struct err *e)
{
	int r;

	op_fill_row(c, kind, params, ref, ret);
	ret->state = OP_SUCCEEDED;
	op_set_step(ret, op_table(kind)->n - 1);
	ret->started_ms = ret->finished_ms = ret->created_ms;
	r = op_insert(v, ret, e);
	return r ? r
		 : event_op(v, ret, "operation.finished", e, "{s:s, s:s}", "kind",
			    op_kind_word[kind], "state", "succeeded");
}

int vmm_cancel(struct vmm *v, const char *op_id, struct err *e)
{
	struct op_row row;
	int r = owner_allows(v, e);

	if (r)
		return r;
	r = ops_get(vmm_db(v), op_id, &row, e);
	if (r == -ERR_NOT_FOUND)
		return err_field(e, ERR_NOT_FOUND, "operation_id", op_id, "no operation %.40s",
				 op_id);
	if (r)
		return r;
	if (row.state != OP_RUNNING)
		return err_set(e, ERR_CONFLICT, "operation %s is %s and cannot be cancelled",
			       row.id, op_state_word[row.state]);
	if (!op_table(row.kind)->cancellable || row.undoing)
		return err_set(e, ERR_CONFLICT, "%s cannot be cancelled %s", op_kind_word[row.kind],
			       row.undoing ? "while it is being undone" : "once it has begun");
	return op_request_cancel(v, &row, e);
}

static void op_resume_row(struct vmm *v, const struct op_row *row)
{
	struct op_run *o = op_launch(v, row);

	op_log(o, LOG_LEVEL_INFO, o->row.undoing ? "undoing from step " : "continuing at step ",
	       *o->row.step ? o->row.step : "(first)");
	op_resume(o);
}

int ops_resume(struct vmm *v, struct err *e)
{
	const struct op_filter live = { .live = true, .state = -1, .skip_bad = true };
	auto_free struct op_row *rows = NULL;
	size_t n = 0;
	int r = *vmm_foreign(v) ? 0 : ops_list(vmm_db(v), &live, 0, -1, &rows, &n, NULL, e);

	for (size_t i = 0; !r && i < n; i++)
		if (rows[i].state == OP_RUNNING)
			op_resume_row(v, &rows[i]);
	return r;
}
