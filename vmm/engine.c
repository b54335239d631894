/* SPDX-License-Identifier: Apache-2.0
 * engine.c - runs operations.
 *
 * Theory of operation. An operation is a row (kind, step, undoing, cancel) and, while it runs, a struct op_run. Everything it decides is
 * written before it is done: next step and the step's enter() in one turn, then the side effect on the pool, then save() with the
 * next index. What fails turns the operation round: undoing is written, and the steps done so far are undone last to first.
 * A step that found the hypervisor gone is repeated, forward or back, once it is there again. What can not be undone ends the
 * undoing: the operation has failed and the CVM stays, with all it holds, to be deleted by its owner.
 */
#include <stdlib.h>

#include "base/buf.h"
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
	free(j->other_ports);
	free(j->devices);
	free(j->manifest);
	free(j->dir);
	free(j->image_dir);
	cvm_blobs_free(&j->blobs);
	cvm_blobs_free(&j->change.blobs);
	*j = (struct step_job){ 0 };
}

/* Only operations that change a CVM have a second state of it. */
static int load_change(struct op_run *o, struct err *e)
{
	struct step_job *j = &o->job;
	int r = changes_get(o->v->db, o->row.id, &j->change, e);

	if (r)
		return r == -ERR_NOT_FOUND ? 0 : r;
	return ports_other(o->v->db, o->row.cvm, &j->other_ports, &j->n_other_ports, e);
}

static int job_load(struct op_run *o, const struct cvm_row *c, struct err *e)
{
	struct vmm *v = o->v;
	struct step_job *j = &o->job;
	const struct hv_caps *caps = hv_caps(v->hv);
	int r;

	*j = (struct step_job){
		.hv = v->hv, .set = v->set, .cvm = *c, .force = o->force, .restart = o->restart
	};
	if (caps)
		j->caps = *caps;
	r = ports_of(v->db, c->id, &j->ports, &j->n_ports, e);
	if (!r)
		r = devices_of(v->db, c->id, &j->devices, &j->n_devices, e);
	if (!r)
		r = revisions_manifest(v->db, c->revision, &j->manifest, e);
	if (!r)
		r = cvms_blobs(v->db, c->id, &j->blobs, e);
	if (!r)
		r = load_change(o, e);
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

void op_log(const struct op_run *o, enum log_level level, const char *text, const char *more)
{
	const struct log_about about = { .cvm = o->row.cvm_uuid, .op = o->row.id, .req = o->row.request_id };

	log_write(level, &about, "%s %s: %s%s", op_kind_word[o->row.kind], o->row.cvm_name, text, more);
}

void op_unlink(struct op_run *o)
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

int op_next(const struct op_run *o, int from, int by)
{
	const struct op_table *t = op_table_of(o);
	int i = from + by;

	while (i >= 0 && i < t->n && t->steps[i].skip && t->steps[i].skip(o))
		i += by;
	return i;
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
	if (op_step(o)->flags & STEP_KEEP) {
		op_error_write(e, o->row.error);
		op_finish(o, e->code == ERR_CANCELLED ? OP_CANCELLED : OP_FAILED);
		return;
	}
	op_turn_round(o);
}

/* Is there a step after the one it is in? */
static bool has_next(const struct op_run *o)
{
	return op_next(o, o->row.step, 1) < op_table_of(o)->n;
}

static void succeed_step(struct op_run *o)
{
	if (!has_next(o))
		op_finish(o, OP_SUCCEEDED);
	else
		op_advance(o);
}

/* What takes a guest down first can be undone from where the old guest is gone: half a new one must not stay. Before that, and once
 * the new one boots, a guest runs and is left alone. */
static bool is_undone(const struct op_run *o)
{
	return !(op_step(o)->flags & STEP_KEEP) || o->row.kind == OP_CREATE || o->row.kind == OP_START;
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
		op_turn_round(o);
		return;
	}
	op_error_write(&o->err, o->row.error);
	op_finish(o, OP_CANCELLED);
}

static void work(void *arg)
{
	struct op_run *o = arg;

	o->result = (o->row.undoing ? op_step(o)->undo : op_step(o)->work)(&o->job, &o->err);
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
	op_finish(o, OP_FAILED);
}

static void work_done(void *arg)
{
	struct op_run *o = arg;
	const struct step *s = op_step(o);

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
		op_undone(o);
	} else if (o->row.cancel && (!o->result || (s->flags & STEP_ASKS)) && has_next(o)) {
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
	r = op_load_cvm(o, &c, &e);
	if (!r)
		r = op_step(o)->ready(o->v, o, &c, &e);
	if (r < 0)
		fail(o, &e);
	if (r <= 0)
		return;
	failpoint(op_kind_word[o->row.kind], op_step(o)->name, "after");
	succeed_step(o);
}

static void wait_for(struct op_run *o)
{
	const struct step *s = op_step(o);

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
	int r = op_load_cvm(o, &c, &e);

	if (!r)
		r = job_load(o, &c, &e);
	if (r) {
		o->err = e;
		if (o->row.undoing && r == -ERR_CVM_NOT_FOUND)
			op_finish(o, end_state(o));
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
		op_finish(o, end_state(o));
		return;
	}
	if (!op_step(o)->undo)
		op_undone(o);
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
	o->parked = !o->v->settled && (o->row.undoing || (op_step(o)->flags & STEP_HV));
	if (o->parked) {
		o->tries = 0;
		return;
	}
	if (o->row.undoing) {
		go_back(o);
		return;
	}
	s = op_step(o);
	failpoint(op_kind_word[o->row.kind], s->name, "before");
	if (s->work)
		start_job(o);
	else if (s->ready)
		wait_for(o);
	else
		succeed_step(o);
}

void op_params(struct op_run *o)
{
	auto_json json_t *j = json_loads(o->row.params, 0, NULL);

	o->timeout_s = (unsigned)json_integer_value(json_object_get(j, "timeout_s"));
	o->force = json_is_true(json_object_get(j, "force"));
	o->automatic = json_is_true(json_object_get(j, "auto"));
	o->restart = json_is_true(json_object_get(j, "restart"));
	o->grow = json_is_true(json_object_get(j, "grow"));
	o->lead = json_is_true(json_object_get(j, "lead"));
}

struct op_run *op_launch(struct vmm *v, const struct op_row *row)
{
	struct op_run *o = xcalloc(1, sizeof(*o));

	*o = (struct op_run){ .v = v, .row = *row, .next = v->ops };
	op_params(o);
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
			op_unlink(o);
	}
	vmm_close_if_idle(v);
}
