/* SPDX-License-Identifier: Apache-2.0
 * op_begin.c - operations asked for: begun, queued, refused, cancelled; and picked up after a restart.
 *
 * One operation runs per CVM; at most one more is queued, which is how stop and delete overtake: they queue themselves and ask
 * the running one to cancel. It then ends where it is without undoing, because its follower takes down whatever stands.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/loop.h"
#include "base/own.h"
#include "vmm/engine.h"

static void fill_row(const struct cvm_row *c, enum op_kind kind, const char *params,
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

struct begun {
	struct vmm *v;
	struct op_row row;
};

/* Read again: what asked for it may have been rolled back after all, in the same turn. */
static void begun(void *arg, const struct err *e)
{
	struct begun *b = arg;
	struct err ignored;

	if (!e && !b->v->closing && !ops_get(b->v->db, b->row.id, &b->row, &ignored) &&
	    b->row.state == OP_RUNNING)
		op_go(op_launch(b->v, &b->row));
	free(b);
}

static struct op_run *run_of(struct vmm *v, const char *op_id)
{
	struct op_run *o = v->ops;

	while (o && strcmp(o->row.id, op_id) != 0)
		o = o->next;
	return o;
}

struct ending {
	struct vmm *v;
	struct hypervisor *hv;
	char uuid[UUID_TEXT];
};

static void end_guest(void *arg)
{
	struct ending *g = arg;
	struct err ignored;

	(void)hv_destroy(g->hv, g->uuid, &ignored);
}

static void guest_ended(void *arg)
{
	struct ending *g = arg;

	vmm_job_end(g->v);
	free(g);
}

/* The follower ends the guest anyway; a step that waits for a hung QEMU would keep it from ever beginning. */
static void unblock(struct op_run *o)
{
	struct ending *g;
	struct op_row follower;
	struct err ignored;

	if (o->row.undoing || !(op_tables[o->row.kind].steps[o->row.step].flags & STEP_ASKS) ||
	    ops_queued_of(o->v->db, o->row.cvm, &follower, &ignored))
		return;
	g = xcalloc(1, sizeof(*g));
	*g = (struct ending){ .v = o->v, .hv = o->v->hv };
	memcpy(g->uuid, o->row.cvm_uuid, sizeof(g->uuid));
	vmm_job_begin(o->v);
	loop_job(o->v->set.loop, end_guest, guest_ended, g);
}

static void cancel_committed(void *arg, const struct err *e)
{
	struct begun *b = arg;
	struct op_run *o = e ? NULL : run_of(b->v, b->row.id);
	struct err ignored;

	if (o && !ops_get(b->v->db, b->row.id, &b->row, &ignored) && b->row.cancel) {
		o->row.cancel = true;
		if (o->busy)
			unblock(o);
		else if (o->parked)
			op_cancel_now(o);
		else
			op_look_again(o);
	}
	free(b);
}

static int ask_to_cancel(struct vmm *v, struct op_row *row, struct err *e)
{
	struct begun *b;
	int r;

	row->cancel = true;
	r = ops_update(v->db, row, e);
	if (r)
		return r;
	b = xcalloc(1, sizeof(*b));
	*b = (struct begun){ v, *row };
	turn_after(v->turn, cancel_committed, b);
	return 0;
}

static int busy(const struct op_row *row, struct err *e)
{
	err_set(e, ERR_BUSY, "%s is being worked on: %s (operation %s)", row->cvm_name,
		op_kind_word[row->kind], row->id);
	return err_hint(e, "wait for operation %s, or cancel it", row->id);
}

/* May @kind go ahead although @running runs? Only stop and delete, and only past what can be cancelled. */
static int overtake(struct vmm *v, enum op_kind kind, struct op_row *running, const struct cvm_row *c,
		    struct err *e)
{
	struct op_row queued;
	int r = ops_queued_of(v->db, c->id, &queued, e);

	if (!r)
		return busy(&queued, e);
	if (r != -ERR_NOT_FOUND)
		return r;
	if ((kind != OP_STOP && kind != OP_DELETE) || !op_tables[running->kind].cancellable ||
	    running->undoing)
		return busy(running, e);
	return ask_to_cancel(v, running, e);
}

int op_begin(struct vmm *v, const struct cvm_row *c, enum op_kind kind, const char *params,
	     const struct request_ref *ref, struct op_row *ret, struct err *e)
{
	struct op_run probe = { .v = v };
	const struct step *first;
	struct op_row running;
	struct begun *b;
	int r = ops_running_of(v->db, c->id, &running, e);
	bool queue = r == 0;

	if (r && r != -ERR_NOT_FOUND)
		return r;
	r = queue ? overtake(v, kind, &running, c, e) : 0;
	if (r)
		return r;
	fill_row(c, kind, params, ref, ret);
	probe.row = *ret;
	op_params(&probe);
	probe.row.step = ret->step = op_next(&probe, op_tables[kind].first - 1, 1);
	first = op_step(&probe);
	ret->state = queue ? OP_QUEUED : OP_RUNNING;
	ret->started_ms = queue ? 0 : ret->created_ms;
	if (!queue && first->enter)
		r = first->enter(v, &probe, c, e);
	if (!r)
		r = ops_insert(v->db, ret, e);
	if (!r)
		r = event_op(v, ret, queue ? "operation.queued" : "operation.started", e, "{s:s}", "kind",
			     op_kind_word[kind]);
	if (r || queue)
		return r;
	b = xcalloc(1, sizeof(*b));
	*b = (struct begun){ v, *ret };
	turn_after(v->turn, begun, b);
	return 0;
}

int op_idle(struct vmm *v, const struct cvm_row *c, struct err *e)
{
	struct op_row running;
	int r = ops_running_of(v->db, c->id, &running, e);

	return r == -ERR_NOT_FOUND ? 0 : r ? r : busy(&running, e);
}

int op_follow(struct vmm *v, const struct op_run *after, const struct cvm_row *c, enum op_kind kind,
	      struct op_row *ret, bool *ret_queued, struct err *e)
{
	const struct request_ref ref = { .request_id = after->row.request_id, .caller = after->row.caller };
	struct op_row queued;
	int r = ops_queued_of(v->db, c->id, &queued, e);

	*ret_queued = false;
	if (r != -ERR_NOT_FOUND)
		return r;
	fill_row(c, kind, "{}", &ref, ret);
	ret->step = op_tables[kind].first;
	r = ops_insert(v->db, ret, e);
	if (!r)
		r = event_op(v, ret, "operation.queued", e, "{s:s}", "kind", op_kind_word[kind]);
	*ret_queued = !r;
	return r;
}

int op_record(struct vmm *v, const struct cvm_row *c, enum op_kind kind, const char *params,
	      const struct request_ref *ref, struct op_row *ret, struct err *e)
{
	int r;

	fill_row(c, kind, params, ref, ret);
	ret->state = OP_SUCCEEDED;
	ret->step = op_tables[kind].n - 1;
	ret->started_ms = ret->finished_ms = ret->created_ms;
	r = ops_insert(v->db, ret, e);
	return r ? r
		 : event_op(v, ret, "operation.finished", e, "{s:s, s:s}", "kind", op_kind_word[kind],
			    "state", "succeeded");
}

int vmm_cancel(struct vmm *v, const char *op_id, struct err *e)
{
	struct op_row row;
	int r = ops_get(v->db, op_id, &row, e);

	if (r == -ERR_NOT_FOUND)
		return err_field(e, ERR_NOT_FOUND, "operation_id", op_id, "no operation %.40s", op_id);
	if (r)
		return r;
	if (row.state != OP_RUNNING)
		return err_set(e, ERR_CONFLICT, "operation %s is %s: there is nothing to cancel", row.id,
			       op_state_word[row.state]);
	if (!op_tables[row.kind].cancellable || row.undoing)
		return err_set(e, ERR_CONFLICT, "%s can not be cancelled %s", op_kind_word[row.kind],
			       row.undoing ? "while it is being undone" : "once it has begun");
	return ask_to_cancel(v, &row, e);
}

int ops_resume(struct vmm *v, struct err *e)
{
	const struct op_filter live = { .live = true, .state = -1 };
	auto_free struct op_row *rows = NULL;
	size_t n;
	int r = ops_list(v->db, &live, 0, -1, &rows, &n, NULL, e);

	if (r)
		return r;
	for (size_t i = 0; i < n; i++) {
		struct op_run *o;

		if (rows[i].state != OP_RUNNING)
			continue;
		o = op_launch(v, &rows[i]);
		op_log(o, LOG_LEVEL_INFO, o->row.undoing ? "going back from step " : "going on from step ",
		       o->row.step >= 0 ? op_tables[o->row.kind].steps[o->row.step].name : "(first)");
		op_go(o);
	}
	return 0;
}
