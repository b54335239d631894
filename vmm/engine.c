/* SPDX-License-Identifier: Apache-2.0
 * engine.c - runs operations.
 *
 * Theory of operation. An operation is a row (kind, step, undoing, cancel) and, while it runs, a struct op_run. Everything it decides is
 * written before it is done: next step and the step's enter() in one turn, then the side effect on the pool, then save() with the
 * next index. What fails turns the operation round: undoing is written, and the steps done so far are undone last to first.
 * A commit that fails (full disk) changes nothing: the row is read again a second later and the operation goes on from what it says.
 * A step that found the hypervisor gone is repeated, forward or back, once it is there again. What can not be undone ends the
 * undoing: the operation has failed and the CVM stays, with all it holds, to be deleted by its owner.
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/failpoint.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/own.h"
#include "vmm/engine.h"

enum { TRIES = 5 };

/* ------------------------------------------------------------------ values for jobs */

static void job_unload(struct step_job *j)
{
	free(j->ports);
	free(j->devices);
	free(j->manifest);
	free(j->dir);
	free(j->image_dir);
	cvm_blobs_free(&j->blobs);
	*j = (struct step_job){ 0 };
}

static int job_load(struct op_run *o, const struct cvm_row *c, struct err *e)
{
	struct vmm *v = o->v;
	struct step_job *j = &o->job;
	const struct hv_caps *caps = hv_caps(v->hv);
	int r;

	*j = (struct step_job){ .hv = v->hv, .set = v->set, .cvm = *c, .force = o->force };
	if (caps)
		j->caps = *caps;
	r = ports_of(v->db, c->id, &j->ports, &j->n_ports, e);
	if (!r)
		r = devices_of(v->db, c->id, &j->devices, &j->n_devices, e);
	if (!r)
		r = revisions_manifest(v->db, c->revision, &j->manifest, e);
	if (!r)
		r = cvms_blobs(v->db, c->id, &j->blobs, e);
	if (r) {
		job_unload(j);
		return r == -ERR_NOT_FOUND ? err_set(e, ERR_HOST, "the CVM's rows are incomplete") : r;
	}
	if (!place_of(v, c, &j->place, &j->place_error))
		j->place_error.code = ERR_NONE;
	j->dir = cvm_dir(v, c->uuid);
	j->image_dir = image_dir(v, c->image_name);
	cvm_domain_name(c->uuid, j->domain);
	return 0;
}

/* ------------------------------------------------------------------ turns */

static const struct op_table *table_of(const struct op_run *o)
{
	return &op_tables[o->row.kind];
}

static const struct step *step_of(const struct op_run *o)
{
	return &table_of(o)->steps[o->row.step];
}

void op_log(const struct op_run *o, enum log_level level, const char *text, const char *more)
{
	const struct log_about about = { .cvm = o->row.cvm_uuid, .op = o->row.id, .req = o->row.request_id };

	log_write(level, &about, "%s %s: %s%s", op_kind_word[o->row.kind], o->row.cvm_name, text, more);
}

static void unlink_op(struct op_run *o)
{
	struct vmm *v = o->v;

	for (struct op_run **p = &v->ops; *p; p = &(*p)->next) {
		if (*p != o)
			continue;
		*p = o->next;
		break;
	}
	v->n_ops--;
	loop_after_cancel(&o->timer);
	job_unload(&o->job);
	free(o);
}

static void retry_later(struct op_run *o, const struct err *e);

static void reread(void *arg)
{
	struct op_run *o = arg;
	struct err e;
	int r = ops_get(o->v->db, o->row.id, &o->row, &e);

	if (r && r != -ERR_NOT_FOUND) {
		retry_later(o, &e);
		return;
	}
	if (r || o->row.state != OP_RUNNING) {
		unlink_op(o);
		return;
	}
	op_go(o);
}

/* The database would not take it: nothing has changed, try again from what the row says. */
static void retry_later(struct op_run *o, const struct err *e)
{
	op_log(o, LOG_LEVEL_ERROR, "cannot be recorded, trying again: ", e->text);
	o->busy = false;
	o->waiting = false;
	o->parked = false; /* what is in memory was not written: only the row may say how to go on */
	if (o->v->closing)
		return;
	loop_after_cancel(&o->timer);
	(void)loop_after(o->v->set.loop, 1000, reread, o, &o->timer);
}

static int load_cvm(struct op_run *o, struct cvm_row *c, struct err *e)
{
	int r = cvms_get(o->v->db, o->row.cvm, c, e);

	return r == -ERR_NOT_FOUND ? err_set(e, ERR_CVM_NOT_FOUND, "the CVM is gone") : r;
}

static int promote_queued(struct op_run *o, struct op_row *next, bool *found, struct err *e)
{
	int r = ops_queued_of(o->v->db, o->row.cvm, next, e);
	struct op_run probe = { .v = o->v };
	struct cvm_row c;

	*found = false;
	if (r == -ERR_NOT_FOUND)
		return 0;
	if (r)
		return r;
	probe.row = *next;
	r = load_cvm(&probe, &c, e);
	if (r == -ERR_CVM_NOT_FOUND) {
		/* The overtaken create was undone entirely: there is nothing left to stop or delete. */
		next->state = OP_SUCCEEDED;
		next->finished_ms = clock_wall_ms();
		r = ops_update(o->v->db, next, e);
		return r ? r
			 : event_op(o->v, next, "operation.finished", e, "{s:s, s:s}", "kind",
				    op_kind_word[next->kind], "state", op_state_word[next->state]);
	}
	next->state = OP_RUNNING;
	next->started_ms = clock_wall_ms();
	if (!r)
		r = ops_update(o->v->db, next, e);
	if (!r && op_tables[next->kind].steps[next->step].enter)
		r = op_tables[next->kind].steps[next->step].enter(o->v, &probe, &c, e);
	if (!r)
		r = event_op(o->v, next, "operation.started", e, "{s:s}", "kind", op_kind_word[next->kind]);
	*found = !r;
	return r;
}

struct finishing {
	struct op_run *o;
	enum op_state state;
	struct op_row next;
	bool promoted;
};

static int finish_turn(void *arg, struct err *e)
{
	struct finishing *f = arg;
	struct op_run *o = f->o;
	struct op_row row = o->row;
	struct cvm_row c = { 0 };
	int r = load_cvm(o, &c, e);

	row.state = f->state;
	row.finished_ms = clock_wall_ms();
	if (r && r != -ERR_CVM_NOT_FOUND)
		return r;
	if (r) {
		r = 0; /* undone before the crash that we come back from */
	} else if (f->state == OP_SUCCEEDED && step_of(o)->save) {
		r = step_of(o)->save(o->v, o, &c, e);
	}
	if (!r && table_of(o)->finish && c.id)
		r = table_of(o)->finish(o->v, o, &c, f->state == OP_SUCCEEDED, e);
	if (!r)
		r = ops_update(o->v->db, &row, e);
	if (!r)
		r = event_op(o->v, &row, "operation.finished", e, "{s:s, s:s}", "kind",
			     op_kind_word[row.kind], "state", op_state_word[row.state]);
	if (!r)
		r = promote_queued(o, &f->next, &f->promoted, e);
	if (!r)
		o->row = row;
	return r;
}

static const char *why(const struct op_run *o, char out[360])
{
	struct err e;

	out[0] = 0;
	if (vmm_op_error(&o->row, &e))
		(void)snprintf(out, 360, ": %s", e.text);
	return out;
}

static void finished(void *arg, const struct err *e)
{
	struct finishing *f = arg;
	struct op_run *o = f->o;
	struct vmm *v = o->v;
	char text[360];

	if (e) {
		retry_later(o, e);
		free(f);
		if (v->closing)
			ops_close(v);
		return;
	}
	v->op_done[o->row.kind][f->state == OP_SUCCEEDED ? 0 : 1]++;
	v->op_seconds[o->row.kind] += (double)(o->row.finished_ms - o->row.started_ms) / 1000.0;
	if (f->state == OP_SUCCEEDED)
		op_log(o, LOG_LEVEL_INFO, op_state_word[f->state], "");
	else
		op_log(o, LOG_LEVEL_WARN, op_state_word[f->state], why(o, text));
	unlink_op(o);
	if (f->promoted && !v->closing)
		op_go(op_launch(v, &f->next));
	free(f);
	if (v->closing)
		ops_close(v);
	else
		policies_look(v);
}

static void finish(struct op_run *o, enum op_state state)
{
	struct finishing *f = xcalloc(1, sizeof(*f));
	struct err e;

	*f = (struct finishing){ .o = o, .state = state };
	o->busy = true;
	o->waiting = false;
	loop_after_cancel(&o->timer);
	if (turn_do(o->v->turn, finish_turn, f, &e) < 0) {
		retry_later(o, &e);
		free(f);
		return;
	}
	turn_after(o->v->turn, finished, f);
}

static void committed(void *arg, const struct err *e)
{
	struct op_run *o = arg;

	o->busy = false;
	if (o->v->closing)
		ops_close(o->v);
	else if (e)
		retry_later(o, e);
	else
		op_go(o);
}

static void write_and_go(struct op_run *o, int (*fn)(void *arg, struct err *e))
{
	struct err e;

	o->busy = true;
	o->waiting = false;
	o->tries = 0;
	loop_after_cancel(&o->timer);
	if (turn_do(o->v->turn, fn, o, &e) < 0)
		retry_later(o, &e);
	else
		turn_after(o->v->turn, committed, o);
}

static int advance_turn(void *arg, struct err *e)
{
	struct op_run *o = arg;
	const struct step *s = step_of(o), *next = s + 1;
	struct op_row row = o->row;
	struct cvm_row c;
	int r = load_cvm(o, &c, e);

	row.step++;
	if (!r && s->save)
		r = s->save(o->v, o, &c, e);
	if (!r && next->enter)
		r = next->enter(o->v, o, &c, e);
	if (!r)
		r = ops_update(o->v->db, &row, e);
	if (!r)
		r = event_op(o->v, &row, "operation.step", e, "{s:s, s:s}", "kind", op_kind_word[row.kind],
			     "step", next->name);
	if (!r)
		o->row = row;
	return r;
}

static int turn_round_turn(void *arg, struct err *e)
{
	struct op_run *o = arg;
	struct op_row row = o->row;
	int r;

	row.undoing = true;
	op_error_write(&o->err, row.error);
	r = ops_update(o->v->db, &row, e);
	if (!r)
		r = event_op(o->v, &row, "operation.undoing", e, "{s:s, s:s, s:s}", "kind",
			     op_kind_word[row.kind], "step", step_of(o)->name, "error", o->err.text);
	if (!r)
		o->row = row;
	return r;
}

static int undone_turn(void *arg, struct err *e)
{
	struct op_run *o = arg;
	struct op_row row = o->row;
	int r;

	row.step--;
	r = ops_update(o->v->db, &row, e);
	if (!r)
		o->row = row;
	return r;
}

/* ------------------------------------------------------------------ forward, back, over */

static enum op_state end_state(const struct op_run *o)
{
	struct err why;

	return vmm_op_error(&o->row, &why) && why.code == ERR_CANCELLED ? OP_CANCELLED : OP_FAILED;
}

static void fail(struct op_run *o, const struct err *e)
{
	o->err = *e;
	op_log(o, LOG_LEVEL_WARN, "failed: ", e->text);
	if (step_of(o)->flags & STEP_KEEP) {
		op_error_write(e, o->row.error);
		finish(o, e->code == ERR_CANCELLED ? OP_CANCELLED : OP_FAILED);
		return;
	}
	write_and_go(o, turn_round_turn);
}

static void succeed_step(struct op_run *o)
{
	if (o->row.step + 1 == table_of(o)->n)
		finish(o, OP_SUCCEEDED);
	else
		write_and_go(o, advance_turn);
}

/* A restart can be undone from where the old guest is gone: half a new one must not stay. Before that, and once the new one
 * boots, a guest runs and is left alone. */
static bool is_undone(const struct op_run *o)
{
	return o->row.kind == OP_CREATE || o->row.kind == OP_START ||
	       (o->row.kind == OP_RESTART && !(step_of(o)->flags & STEP_KEEP));
}

/* Overtaken: end here, the follower clears up. Asked to cancel: undo what can be undone. */
void op_cancel_now(struct op_run *o)
{
	struct op_row follower;
	struct err e;
	int r = ops_queued_of(o->v->db, o->row.cvm, &follower, &e);

	if (!r)
		err_set(&o->err, ERR_CANCELLED, "overtaken by %s", op_kind_word[follower.kind]);
	else
		err_set(&o->err, ERR_CANCELLED, "cancelled on request");
	if (r && is_undone(o)) {
		write_and_go(o, turn_round_turn);
		return;
	}
	op_error_write(&o->err, o->row.error);
	finish(o, OP_CANCELLED);
}

static void work(void *arg)
{
	struct op_run *o = arg;

	o->result = (o->row.undoing ? step_of(o)->undo : step_of(o)->work)(&o->job, &o->err);
}

static void go_on(void *arg)
{
	op_go(arg);
}

/* Did the step find the hypervisor gone? The loss itself may be heard of later than its effects; where the connection stands
 * all the same, something else is wrong and a few tries are enough. */
static bool try_again(struct op_run *o)
{
	if (o->result != -ERR_UNAVAILABLE || ++o->tries > TRIES)
		return false;
	op_log(o, LOG_LEVEL_WARN, "will be repeated: ", o->err.text);
	(void)loop_after(o->v->set.loop, 1000, go_on, o, &o->timer);
	return true;
}

/* Going on would forget a CVM that still has a guest or a disk. */
static void undo_failed(struct op_run *o)
{
	op_log(o, LOG_LEVEL_ERROR, "could not undo: ", o->err.text);
	if (end_state(o) == OP_CANCELLED)
		op_error_write(&o->err, o->row.error);
	o->row.undoing = false;
	finish(o, OP_FAILED);
}

static void work_done(void *arg)
{
	struct op_run *o = arg;
	const struct step *s = step_of(o);

	o->busy = false;
	job_unload(&o->job);
	failpoint(op_kind_word[o->row.kind], s->name, o->row.undoing ? "undone" : "after");
	if (o->v->closing)
		return ops_close(o->v);
	if (try_again(o))
		return;
	if (o->row.undoing && o->result) {
		undo_failed(o);
	} else if (o->row.undoing) {
		write_and_go(o, undone_turn);
	} else if (o->row.cancel && (!o->result || (s->flags & STEP_ASKS)) &&
		   o->row.step + 1 < table_of(o)->n) {
		op_cancel_now(o);
	} else if (o->result) {
		fail(o, &o->err);
	} else {
		succeed_step(o);
	}
}

static void time_is_up(void *arg)
{
	struct op_run *o = arg;

	o->timed_out = true;
	op_look_again(o);
}

/* In a ready() step: done, not yet, or failed? */
void op_look_again(struct op_run *o)
{
	struct cvm_row c;
	struct err e;
	int r;

	if (!o->waiting || o->busy)
		return;
	if (o->row.cancel) {
		op_cancel_now(o);
		return;
	}
	r = load_cvm(o, &c, &e);
	if (!r)
		r = step_of(o)->ready(o->v, o, &c, &e);
	if (r < 0)
		fail(o, &e);
	if (r <= 0)
		return;
	failpoint(op_kind_word[o->row.kind], step_of(o)->name, "after");
	succeed_step(o);
}

static void wait_for(struct op_run *o)
{
	const struct step *s = step_of(o);

	o->waiting = true;
	o->timed_out = false;
	if (s->limit_s && !o->timer)
		(void)loop_after(o->v->set.loop, (uint64_t)s->limit_s(o) * 1000, time_is_up, o, &o->timer);
	op_look_again(o);
}

static void start_job(struct op_run *o)
{
	struct cvm_row c;
	struct err e;
	int r = load_cvm(o, &c, &e);

	if (!r)
		r = job_load(o, &c, &e);
	if (r) {
		o->err = e;
		if (o->row.undoing && r == -ERR_CVM_NOT_FOUND)
			finish(o, end_state(o));
		else if (o->row.undoing)
			undo_failed(o);
		else
			fail(o, &e);
		return;
	}
	o->busy = true;
	loop_job(o->v->set.loop, work, work_done, o);
}

static void go_back(struct op_run *o)
{
	if (o->row.step < 0) {
		o->row.step = 0;
		finish(o, end_state(o));
		return;
	}
	if (!step_of(o)->undo)
		write_and_go(o, undone_turn);
	else
		start_job(o);
}

void op_go(struct op_run *o)
{
	const struct step *s;

	if (o->v->closing || o->busy)
		return;
	if (o->row.cancel && !o->row.undoing) {
		op_cancel_now(o);
		return;
	}
	/* Undoing may need the hypervisor whatever the step: a domain it would have to take down may be running. */
	o->parked = !o->v->settled && (o->row.undoing || (step_of(o)->flags & STEP_HV));
	if (o->parked) {
		o->tries = 0;
		return;
	}
	if (o->row.undoing) {
		go_back(o);
		return;
	}
	s = step_of(o);
	failpoint(op_kind_word[o->row.kind], s->name, "before");
	if (s->work)
		start_job(o);
	else if (s->ready)
		wait_for(o);
	else
		succeed_step(o);
}

static void read_params(struct op_run *o)
{
	auto_json json_t *j = json_loads(o->row.params, 0, NULL);

	o->timeout_s = (unsigned)json_integer_value(json_object_get(j, "timeout_s"));
	o->force = json_is_true(json_object_get(j, "force"));
	o->automatic = json_is_true(json_object_get(j, "auto"));
}

struct op_run *op_launch(struct vmm *v, const struct op_row *row)
{
	struct op_run *o = xcalloc(1, sizeof(*o));

	*o = (struct op_run){ .v = v, .row = *row, .next = v->ops };
	read_params(o);
	v->ops = o;
	v->n_ops++;
	return o;
}

void ops_poke(struct vmm *v, int64_t cvm)
{
	for (struct op_run *o = v->ops, *next; o; o = next) {
		next = o->next;
		if (o->row.cvm == cvm)
			op_look_again(o);
	}
}

void ops_unpark(struct vmm *v)
{
	for (struct op_run *o = v->ops, *next; o; o = next) {
		next = o->next;
		if (o->parked)
			op_go(o);
	}
}

void ops_close(struct vmm *v)
{
	for (struct op_run *o = v->ops, *next; o; o = next) {
		next = o->next;
		if (!o->busy)
			unlink_op(o);
	}
	vmm_close_if_idle(v);
}
