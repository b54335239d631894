/* SPDX-License-Identifier: Apache-2.0
 * engine.c - decides what a running operation does next.
 *
 * DOC: Theory of operation
 *
 * An operation is a row (kind, step, undoing, cancel) and, while it runs, a struct op_run. Every
 * decision is committed before it is carried out: the name of the next step and its enter() in one
 * turn, then the side effect in a job, then save() with the name of the step after it. Otherwise a
 * crash would leave a side effect that no row records.
 *
 * If a step fails, undoing is recorded, and the steps done so far are undone in reverse order. If
 * the connection to the hypervisor is lost, the step is repeated when it is back, forward or
 * backward. If a step cannot be undone, the operation ends as failed; the CVM stays, with its
 * resources, until its owner deletes it.
 *
 * What a job waits for (enum waits_for) decides what happens to it:
 *
 *	waits for   lane    needs libvirt   a stop or delete             past its deadline
 *	nothing     short   no              cancels it                   abandoned
 *	libvirt     short   yes             drops it before it begins    abandoned; usually
 *	                                                                 keepalive ends it before
 *	QEMU        guest   yes             abandons it after 3 s        abandoned
 *	guest       -       no              ends the ready() step        ready() decides
 *	network     short   no              abandons it after 3 s        abandoned
 *	QEMU's end  kill    yes             waits for it                 abandoned
 *
 * An operation whose job was abandoned fails with ERR_TIMEOUT, or goes on if the step is optional.
 * See op_job.c for abandoned jobs, op_turn.c for commits, op_begin.c for requests.
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/failpoint.h"
#include "base/json.h"
#include "base/log.h"
#include "base/loop.h"
#include "db/cvms.h"
#include "db/operations.h"
#include "vmm/node/node.h"
#include "vmm/node/settings.h"
#include "vmm/op/engine.h"
#include "vmm/op/op_error.h"
#include "vmm/op/op_job.h"
#include "vmm/op/op_run.h"
#include "vmm/op/op_turn.h"

enum { OP_TRIES = 5, OP_GRACE_MS = 3000 };

static void op_check_ready(struct op_run *o);

/* ------------------------------------------------------------------ forward, back, over */

static enum op_state op_end_state(const struct op_run *o)
{
	struct err why;

	return vmm_op_error(&o->row, &why) && why.code == ERR_CANCELLED ? OP_CANCELLED : OP_FAILED;
}

static void op_step_failed(struct op_run *o, const struct err *e)
{
	o->err = *e;
	op_log(o, LOG_LEVEL_WARN, "failed: ", e->text);
	if (op_step(o)->flags & STEP_KEEP) {
		op_error_write(e, o->row.error);
		op_finish(o, e->code == ERR_CANCELLED ? OP_CANCELLED : OP_FAILED);
		return;
	}
	op_begin_undo(o);
}

/* True if a step follows the present one. */
static bool op_has_next_step(const struct op_run *o)
{
	return op_next(o, o->at, 1) < op_table_of(o)->n;
}

static void op_step_succeeded(struct op_run *o)
{
	if (!op_has_next_step(o))
		op_finish(o, OP_SUCCEEDED);
	else
		op_advance(o);
}

/* Operations that end the old guest first (restart, resize, upgrade) are undone only from the step
 * on at which that guest is gone, because a partly started guest must not stay. In the steps before
 * that, and once the new guest boots, a guest runs and is not touched: those steps have STEP_KEEP.
 */
static bool op_should_undo(const struct op_run *o)
{
	return !(op_step(o)->flags & STEP_KEEP) || o->row.kind == OP_CREATE ||
	       o->row.kind == OP_START;
}

/* End or undo a cancelled operation. If a stop or a delete overtook it, it ends here, and that
 * operation cleans up. If a client cancelled it, it undoes what can be undone. */
static void op_end_cancelled(struct op_run *o)
{
	struct op_row follower;
	struct err e;
	int r = ops_queued_of(vmm_db(o->v), o->row.cvm, &follower, &e);

	if (!r)
		err_set(&o->err, ERR_CANCELLED, "overtaken by %s", op_kind_word[follower.kind]);
	else
		err_set(&o->err, ERR_CANCELLED, "cancelled on request");
	if (r && op_should_undo(o)) {
		op_begin_undo(o);
		return;
	}
	op_error_write(&o->err, o->row.error);
	op_finish(o, OP_CANCELLED);
}

static void op_retry_timer_fired(void *arg)
{
	op_continue(arg);
}

/* Repeat a step that found no hypervisor connected. The event of a lost connection may arrive later
 * than the failures it causes. False if OP_TRIES attempts failed although the connection is up:
 * then there is another cause. */
static bool op_repeat_step(struct op_run *o)
{
	if (++o->tries > OP_TRIES)
		return false;
	op_log(o, LOG_LEVEL_WARN, "repeating the step: ", o->err.text);
	(void)loop_after(vmm_settings(o->v)->loop, 1000, op_retry_timer_fired, o, &o->timer);
	return true;
}

/* Undoing failed: end here. Continuing would remove the row of a CVM that still has a guest or a
 * disk. */
static void op_undo_failed(struct op_run *o)
{
	op_log(o, LOG_LEVEL_ERROR, "cannot undo: ", o->err.text);
	if (op_end_state(o) == OP_CANCELLED)
		op_error_write(&o->err, o->row.error);
	o->row.undoing = false;
	op_finish(o, OP_FAILED);
}

/* True if the operation was overtaken or cancelled while its job ran, and the job did not fail for
 * another reason. */
static bool op_is_interrupted(const struct op_run *o, int result)
{
	return o->row.cancel && (!result || result == -ERR_CANCELLED) && op_has_next_step(o);
}

/* With STEP_ASSUME_DONE the effect is recorded as done, whether or not it happened. */
static void op_handle_interruption(struct op_run *o)
{
	o->effect_unknown = op_step(o)->flags & STEP_ASSUME_DONE;
	op_continue(o);
}

static void op_job_ended(struct op_run *o, int result, const struct err *e)
{
	const struct step *s = op_step(o);

	assert(!o->run && !o->writing);
	loop_after_cancel(&o->grace);
	if (result)
		o->err = *e;
	o->job_succeeded = !result && !o->row.undoing;
	failpoint(op_kind_word[o->row.kind], s->name, o->row.undoing ? "undone" : "after");
	if (vmm_is_closing(o->v))
		ops_close(o->v);
	else if (result == -ERR_UNAVAILABLE && op_repeat_step(o))
		return;
	else if (o->row.undoing && result)
		op_undo_failed(o);
	else if (o->row.undoing)
		op_undone(o);
	else if (op_is_interrupted(o, result))
		op_handle_interruption(o);
	else if (result == -ERR_TIMEOUT && (s->flags & STEP_OPTIONAL))
		op_step_succeeded(o);
	else if (result)
		op_step_failed(o, &o->err);
	else
		op_step_succeeded(o);
}

static void op_ready_time_over(void *arg)
{
	struct op_run *o = arg;

	o->timed_out = true;
	op_check_ready(o);
}

/* Check whether the ready() step is done or has failed. Does nothing in other steps. */
static void op_check_ready(struct op_run *o)
{
	struct cvm_row c;
	struct err e;
	int r;

	if (!o->waiting || o->writing)
		return;
	if (o->row.cancel) {
		op_end_cancelled(o);
		return;
	}
	assert(op_step(o)->ready && !o->run);
	r = op_load_cvm(o, &c, &e);
	if (!r)
		r = op_step(o)->ready(o->v, o, &c, &e);
	if (r < 0)
		op_step_failed(o, &e);
	if (r <= 0)
		return;
	failpoint(op_kind_word[o->row.kind], op_step(o)->name, "after");
	op_step_succeeded(o);
}

static void op_wait_ready(struct op_run *o)
{
	const struct step *s = op_step(o);

	assert(s->ready && !o->run && !o->row.undoing);
	o->waiting = true;
	o->timed_out = false;
	if (s->limit_s && !o->timer)
		(void)loop_after(vmm_settings(o->v)->loop, (uint64_t)s->limit_s(o) * 1000,
				 op_ready_time_over, o, &o->timer);
	op_check_ready(o);
}

static void op_start_job(struct op_run *o)
{
	struct cvm_row c;
	struct err e;
	int r = op_load_cvm(o, &c, &e);

	if (!r)
		r = op_job_begin(o, &c, op_job_ended, &e);
	if (!r)
		return;
	o->err = e;
	if (o->row.undoing && r == -ERR_CVM_NOT_FOUND)
		op_finish(o, op_end_state(o));
	else if (o->row.undoing)
		op_undo_failed(o);
	else
		op_step_failed(o, &e);
}

static void op_undo_step(struct op_run *o)
{
	if (o->at < 0) {
		o->at = 0;
		op_finish(o, op_end_state(o));
		return;
	}
	if (!op_step(o)->undo.fn)
		op_undone(o);
	else
		op_start_job(o);
}

static bool waits_for_hypervisor(enum waits_for w)
{
	return w == WAITS_LIBVIRT || w == WAITS_QEMU || w == WAITS_END;
}

/* True if the step cannot start now. Undoing may need the hypervisor in every step, because it may
 * have to destroy a running domain. Steps that start or change the CVM wait while an abandoned job
 * of this CVM runs. */
static bool op_must_park(const struct op_run *o)
{
	const struct step_act *work = o->row.undoing ? NULL : &op_step(o)->work;

	if (!work)
		return !vmm_is_settled(o->v) || op_has_cleanup_job(o->v, o->row.cvm);
	if (!work->fn)
		return false;
	if (waits_for_hypervisor(work->waits) && !vmm_is_settled(o->v))
		return true;
	if (op_has_cleanup_job(o->v, o->row.cvm))
		return true;
	return work->waits != WAITS_END && o->row.kind != OP_STOP && o->row.kind != OP_DELETE &&
	       op_has_abandoned_job(o->v, o->row.cvm);
}

/* The job of this step was abandoned, and the commit that followed has failed. Decide again; do not
 * wait for the job. */
static void op_after_abandoned_job(struct op_run *o)
{
	if (o->row.undoing && o->overtaken)
		op_undone(o);
	else
		op_job_ended(o, -ERR_TIMEOUT, &o->err);
}

/* If a cancelled operation is not undone, its end depends on the state of the guest. That is
 * unknown until the domains are listed, so the operation is parked until then. */
void op_continue(struct op_run *o)
{
	const struct step *s;

	assert_loop_thread();
	if (vmm_is_closing(o->v) || o->writing || o->run)
		return;
	if (o->row.cancel && !o->row.undoing) {
		o->parked = !vmm_is_settled(o->v) && !op_should_undo(o);
		if (!o->parked)
			op_end_cancelled(o);
		return;
	}
	if (o->effect_unknown) {
		op_after_abandoned_job(o);
		return;
	}
	o->parked = op_must_park(o);
	if (o->parked) {
		o->tries = 0;
		return;
	}
	if (o->row.undoing) {
		op_undo_step(o);
		return;
	}
	s = op_step(o);
	failpoint(op_kind_word[o->row.kind], s->name, "before");
	if (s->work.fn)
		op_start_job(o);
	else if (s->ready)
		op_wait_ready(o);
	else
		op_step_succeeded(o);
}

static void op_grace_time_over(void *arg)
{
	struct op_run *o = arg;

	if (!o->run || !op_job_may_abandon(o) || vmm_is_closing(o->v))
		return;
	op_job_abandon(o);
	o->overtaken = true;
	if (o->row.undoing)
		op_undone(o);
	else
		op_end_cancelled(o);
}

/* A healthy QEMU answers within milliseconds and starts within a second, and libvirt 9.0 may
 * deadlock if a domain is destroyed in the first moments of its start. So the running job gets
 * OP_GRACE_MS to end by itself. An undo is not cancelled, but it does not wait for a QEMU that the
 * next operation is going to end. */
void op_cancel_requested(struct op_run *o)
{
	assert(o->row.cancel);
	if (o->writing)
		return; /* op_continue() sees it after the commit */
	if (o->run && op_job_may_abandon(o)) {
		if (!o->grace)
			(void)loop_after(vmm_settings(o->v)->loop, OP_GRACE_MS, op_grace_time_over,
					 o, &o->grace);
	} else if (o->row.undoing) {
		return;
	} else if (o->run) {
		op_job_cancel(o);
	} else if (o->parked) {
		op_continue(o);
	} else {
		op_check_ready(o);
	}
}

/* End an operation whose step this program does not have. The program cannot know what the step
 * did, so the CVM keeps its state and its resources. */
static void op_end_unknown_step(struct op_run *o)
{
	op_unknown_step(&o->row, &o->err);
	op_log(o, LOG_LEVEL_ERROR, "cannot continue: ", o->err.text);
	o->row.undoing = false;
	o->at = 0;
	op_finish(o, OP_FAILED);
}

void op_resume(struct op_run *o)
{
	o->at = op_step_find(op_table_of(o), o->row.step, o->row.table_version);
	if (o->at < -1 || (o->at < 0 && !o->row.undoing))
		op_end_unknown_step(o);
	else
		op_continue(o);
}

void ops_poke(struct vmm *v, int64_t cvm)
{
	for (struct op_run *o = vmm_engine(v)->ops, *next; o; o = next) {
		next = o->next;
		if (o->row.cvm == cvm)
			op_check_ready(o);
	}
}

void ops_unpark(struct vmm *v)
{
	for (struct op_run *o = vmm_engine(v)->ops, *next; o; o = next) {
		next = o->next;
		if (o->parked)
			op_continue(o);
		else
			op_check_ready(o);
	}
}

void ops_give_up(struct vmm *v)
{
	for (struct op_run *o = vmm_engine(v)->ops; o; o = o->next)
		if (o->run)
			op_job_abandon(o);
	ops_close(v);
}

struct engine *engine_new(const struct engine_calls *calls)
{
	struct engine *g = xcalloc(1, sizeof(*g));

	*g = (struct engine){
		.calls = *calls, .proceed = op_continue, .resume = op_resume, .unpark = ops_unpark
	};
	return g;
}

void engine_free(struct engine *g)
{
	free(g);
}
