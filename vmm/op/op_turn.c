/* SPDX-License-Identifier: Apache-2.0
 * op_turn.c - commits each transition of an operation before it takes effect.
 *
 * A transition is one turn, and the operation continues after its commit. If a commit fails (full
 * disk), nothing has changed: a second later the row is read again, and the operation continues
 * from it. Continuing from the state in memory would act on what was never recorded. See engine.c
 * for the decisions.
 */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/failpoint.h"
#include "base/loop.h"
#include "db/cvms.h"
#include "db/operations.h"
#include "db/turn.h"
#include "vmm/node/node.h"
#include "vmm/node/settings.h"
#include "vmm/node/event.h"
#include "vmm/op/op_error.h"
#include "vmm/op/op_run.h"
#include "vmm/op/op_turn.h"
#include "vmm/virt/xml_out.h"

static void op_reread_row(void *arg)
{
	struct op_run *o = arg;
	struct err e;
	int r = ops_get(vmm_db(o->v), o->row.id, &o->row, &e);

	if (r && r != -ERR_NOT_FOUND) {
		op_retry_later(o, &e);
		return;
	}
	if (r || o->row.state != OP_RUNNING) {
		op_unlink(o);
		return;
	}
	vmm_engine(o->v)->resume(o);
}

void op_retry_later(struct op_run *o, const struct err *e)
{
	op_log(o, LOG_LEVEL_ERROR, "cannot record its state, retrying: ", e->text);
	o->writing = false;
	o->waiting = false;
	o->parked = false; /* was not committed: the row decides how to continue */
	if (vmm_is_closing(o->v))
		return;
	loop_after_cancel(&o->timer);
	(void)loop_after(vmm_settings(o->v)->loop, 1000, op_reread_row, o, &o->timer);
}

int op_end_row(struct vmm *v, struct op_row *row, enum op_state state, struct err *e)
{
	int r;

	row->state = state;
	row->finished_ms = clock_wall_ms();
	r = ops_update(vmm_db(v), row, e);
	return r ? r
		 : event_op(v, row, "operation.finished", e, "{s:s, s:s}", "kind",
			    op_kind_word[row->kind], "state", op_state_word[state]);
}

static int op_promote(struct op_run *o, struct op_row *next, const struct cvm_row *c, struct err *e)
{
	struct op_run probe = { .v = o->v, .row = *next };
	int r;

	next->state = OP_RUNNING;
	next->started_ms = clock_wall_ms();
	r = ops_update(vmm_db(o->v), next, e);
	probe.at = op_step_find(op_table_of(&probe), next->step, next->table_version);
	if (!r && op_step(&probe)->enter)
		r = op_step(&probe)->enter(o->v, &probe, c, e);
	return r ? r
		 : event_op(o->v, next, "operation.started", e, "{s:s}", "kind",
			    op_kind_word[next->kind]);
}

/* [turn] Start the queued operation, if there is one. *found: @next runs now. A queued row that
 * cannot be read does not stop the present operation from ending. */
static int op_promote_queued(struct op_run *o, struct op_row *next, bool *found, struct err *e)
{
	int r = ops_queued_of(vmm_db(o->v), o->row.cvm, next, e);
	struct cvm_row c;
	struct err why;

	*found = false;
	if (r == -ERR_NOT_FOUND)
		return 0;
	if (r && e->sys == EBADMSG) {
		op_log(o, LOG_LEVEL_ERROR,
		       "cannot read the operation that is queued behind it: ", e->text);
		return 0;
	}
	if (r)
		return r;
	r = cvms_get(vmm_db(o->v), next->cvm, &c, e);
	/* The overtaken create was undone completely: no CVM is left to stop or delete. */
	if (r == -ERR_NOT_FOUND)
		return op_end_row(o->v, next, OP_SUCCEEDED, e);
	if (r)
		return r;
	if (op_step_find(op_table(next->kind), next->step, next->table_version) < 0) {
		op_unknown_step(next, &why);
		return op_end_row(o->v, next, OP_FAILED, e);
	}
	r = op_promote(o, next, &c, e);
	*found = !r;
	return r;
}

struct op_ending {
	struct op_run *o;
	enum op_state state;
	struct op_row next;
	bool promoted;
};

/* True if the effect of the abandoned job is unknown and is recorded as done: the resources that it
 * may have taken stay reserved. */
static bool op_effect_assumed(const struct op_run *o)
{
	return o->effect_unknown && !o->row.undoing && (op_step(o)->flags & STEP_ASSUME_DONE);
}

static int op_finish_turn(void *arg, struct err *e)
{
	struct op_ending *f = arg;
	struct op_run *o = f->o;
	struct op_row row;
	struct cvm_row c = { 0 };
	int r = op_load_cvm(o, &c, e);

	if (r && r != -ERR_CVM_NOT_FOUND)
		return r;
	if (r) {
		r = 0; /* undone before the daemon crashed */
	} else if (op_step(o)->save &&
		   (f->state == OP_SUCCEEDED || o->job_succeeded || op_effect_assumed(o))) {
		r = op_step(o)->save(o->v, o, &c, e);
		if (!r)
			r = op_load_cvm(o, &c, e); /* save() changed it */
	}
	if (!r && op_table_of(o)->finish && c.id)
		r = op_table_of(o)->finish(o->v, o, &c, f->state == OP_SUCCEEDED, e);
	row = o->row; /* finish() may have added */
	if (!r)
		r = op_end_row(o->v, &row, f->state, e);
	if (!r)
		r = op_promote_queued(o, &f->next, &f->promoted, e);
	if (!r)
		o->row = row;
	return r;
}

static const char *op_error_suffix(const struct op_run *o, char out[360])
{
	struct err e;

	out[0] = 0;
	if (vmm_op_error(&o->row, &e))
		(void)snprintf(out, 360, ": %s", e.text);
	return out;
}

/* A start without an answer may still succeed. Its event may have arrived before the stop was
 * recorded, so the domains are listed once more. */
static bool op_may_start_late(const struct op_run *o, enum op_state state)
{
	struct err ignored;

	return (state != OP_SUCCEEDED || o->row.kind == OP_STOP) &&
	       ops_start_unconfirmed(vmm_db(o->v), o->row.cvm_uuid, "start", &ignored) > 0;
}

static void op_count_end(struct engine_stats *s, const struct op_row *row, enum op_state state)
{
	if (state == OP_SUCCEEDED)
		s->succeeded[row->kind]++;
	else
		s->failed[row->kind]++;
	s->seconds[row->kind] += (double)(row->finished_ms - row->started_ms) / 1000.0;
}

static void op_finish_committed(void *arg, const struct err *e)
{
	struct op_ending *f = arg;
	struct op_run *o = f->o;
	struct vmm *v = o->v;
	struct engine *g = vmm_engine(v);
	char text[360];

	assert(o->writing);
	if (e) {
		op_retry_later(o, e);
		free(f);
		if (vmm_is_closing(v))
			ops_close(v);
		return;
	}
	failpoint(op_kind_word[o->row.kind], op_step(o)->name, "finished");
	op_count_end(&g->stats, &o->row, f->state);
	if (f->state == OP_SUCCEEDED)
		op_log(o, LOG_LEVEL_INFO, op_state_word[f->state], "");
	else
		op_log(o, LOG_LEVEL_WARN, op_state_word[f->state], op_error_suffix(o, text));
	if (op_may_start_late(o, f->state))
		g->calls.list_domains(v);
	op_unlink(o);
	if (f->promoted && !vmm_is_closing(v))
		g->proceed(op_launch(v, &f->next));
	free(f);
	if (vmm_is_closing(v))
		ops_close(v);
	else
		g->calls.operation_ended(v);
}

void op_finish(struct op_run *o, enum op_state state)
{
	struct op_ending *f = xcalloc(1, sizeof(*f));
	struct err e;

	assert(!o->run && !o->writing);
	assert(state != OP_QUEUED && state != OP_RUNNING);
	*f = (struct op_ending){ .o = o, .state = state };
	o->writing = true;
	o->waiting = false;
	loop_after_cancel(&o->timer);
	if (turn_do(vmm_turn(o->v), op_finish_turn, f, &e) < 0) {
		op_retry_later(o, &e);
		free(f);
		return;
	}
	turn_after(vmm_turn(o->v), op_finish_committed, f);
}

static void op_move_committed(void *arg, const struct err *e)
{
	struct op_run *o = arg;

	assert(o->writing && !o->run);
	o->writing = false;
	if (!e)
		o->effect_unknown = o->overtaken = o->job_succeeded = false;
	if (vmm_is_closing(o->v))
		ops_close(o->v);
	else if (e)
		op_retry_later(o, e);
	else
		vmm_engine(o->v)->proceed(o);
}

static void op_commit_move(struct op_run *o, int (*fn)(void *arg, struct err *e))
{
	struct err e;

	assert(!o->run && !o->writing);
	o->writing = true;
	o->waiting = false;
	o->tries = 0;
	loop_after_cancel(&o->timer);
	if (turn_do(vmm_turn(o->v), fn, o, &e) < 0)
		op_retry_later(o, &e);
	else
		turn_after(vmm_turn(o->v), op_move_committed, o);
}

static int op_advance_turn(void *arg, struct err *e)
{
	struct op_run *o = arg;
	const struct step *s = op_step(o), *next;
	struct op_row row = o->row;
	struct cvm_row c;
	int at = op_next(o, o->at, 1), r = op_load_cvm(o, &c, e);

	op_set_step(&row, at);
	next = &op_table_of(o)->steps[at];
	if (!r && s->save)
		r = s->save(o->v, o, &c, e);
	if (!r && next->enter)
		r = next->enter(o->v, o, &c, e);
	if (!r)
		r = ops_update(vmm_db(o->v), &row, e);
	if (!r)
		r = event_op(o->v, &row, "operation.step", e, "{s:s, s:s}", "kind",
			     op_kind_word[row.kind], "step", next->name);
	if (!r) {
		o->row = row;
		o->at = at;
	}
	return r;
}

static int op_begin_undo_turn(void *arg, struct err *e)
{
	struct op_run *o = arg;
	struct op_row row = o->row;
	struct cvm_row c;
	int r = op_effect_assumed(o) ? op_load_cvm(o, &c, e) : 0;

	if (!r && op_effect_assumed(o))
		r = op_step(o)->save(o->v, o, &c, e);
	row.undoing = true;
	op_error_write(&o->err, row.error);
	if (!r)
		r = ops_update(vmm_db(o->v), &row, e);
	if (!r)
		r = event_op(o->v, &row, "operation.undoing", e, "{s:s, s:s, s:s}", "kind",
			     op_kind_word[row.kind], "step", op_step(o)->name, "error",
			     o->err.text);
	if (!r)
		o->row = row;
	return r;
}

static int op_undone_turn(void *arg, struct err *e)
{
	struct op_run *o = arg;
	struct op_row row = o->row;
	struct cvm_row c;
	int at = op_next(o, o->at, -1), r = op_step(o)->unsave ? op_load_cvm(o, &c, e) : 0;

	if (!r && op_step(o)->unsave)
		r = op_step(o)->unsave(o->v, o, &c, e);
	op_set_step(&row, at);
	if (!r)
		r = ops_update(vmm_db(o->v), &row, e);
	if (!r) {
		o->row = row;
		o->at = at;
	}
	return r;
}

void op_advance(struct op_run *o)
{
	assert(!o->row.undoing);
	op_commit_move(o, op_advance_turn);
}

void op_begin_undo(struct op_run *o)
{
	assert(!o->row.undoing);
	op_commit_move(o, op_begin_undo_turn);
}

void op_undone(struct op_run *o)
{
	assert(o->row.undoing);
	op_commit_move(o, op_undone_turn);
}
