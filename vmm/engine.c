/* SPDX-License-Identifier: Apache-2.0
 * engine.c - runs operations.
 *
 * Theory of operation. An operation is a row (kind, step, undoing, cancel) and, while it runs, a struct op_run. Everything it decides is
 * written before it is done: next step and the step's enter() in one turn, then the side effect on the pool, then save() with the
 * next index. What fails turns the operation round: undoing is written, and the steps done so far are undone last to first.
 * A commit that fails (full disk) changes nothing: the row is read again a second later and the operation goes on from what it says.
 *
 * One operation runs per CVM; at most one more is queued, which is how stop and delete overtake: they queue themselves and ask
 * the running one to cancel. An operation that was overtaken ends where it is without undoing, because its follower takes
 * down whatever stands.
 */
#include <assert.h>
#include <stdarg.h>
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

static void go(struct op_run *o);

/* ------------------------------------------------------------------ errors in rows */

void op_error_write(const struct err *e, char out[1024])
{
	auto_json json_t *j =
		json_pack("{s:i, s:i, s:s, s:s, s:s, s:s}", "code", (int)e->code, "sys", e->sys, "field",
			  e->field, "value", e->value, "text", e->text, "hint", e->hint);
	auto_free char *s = NULL;

	if (j && e->code == ERR_CAPACITY)
		(void)json_object_set_new(j, "cap",
					  json_pack("{s:s, s:I, s:I, s:I}", "resource", e->cap.resource,
						    "asked", (json_int_t)e->cap.asked, "free",
						    (json_int_t)e->cap.free, "total",
						    (json_int_t)e->cap.total));
	s = j ? json_dumps(j, JSON_COMPACT) : NULL;
	(void)snprintf(out, 1024, "%s",
		       s && strlen(s) < 1024 ? s : "{\"code\":24,\"text\":\"unprintable error\"}");
}

static void text_of(const json_t *j, const char *key, char *out, size_t n)
{
	const char *s = json_string_value(json_object_get(j, key));

	(void)snprintf(out, n, "%s", s ? s : "");
}

static const char *static_resource(const char *name)
{
	static const char *const known[] = {
		"vcpus", "memory_mib", "disk_gib", "slots", "cids", "host_ports"
	};

	for (size_t i = 0; name && i < ARRAY_SIZE(known); i++)
		if (!strcmp(known[i], name))
			return known[i];
	return "resource";
}

bool vmm_op_error(const struct op_row *o, struct err *ret)
{
	auto_json json_t *j = o->error[0] ? json_loads(o->error, 0, NULL) : NULL;
	json_t *cap = json_object_get(j, "cap");

	if (!j)
		return false;
	memset(ret, 0, sizeof(*ret));
	ret->code = (enum err_code)json_integer_value(json_object_get(j, "code"));
	ret->sys = (int)json_integer_value(json_object_get(j, "sys"));
	text_of(j, "field", ret->field, sizeof(ret->field));
	text_of(j, "value", ret->value, sizeof(ret->value));
	text_of(j, "text", ret->text, sizeof(ret->text));
	text_of(j, "hint", ret->hint, sizeof(ret->hint));
	ret->cap.numa_node = -1;
	if (cap) {
		ret->cap.resource = static_resource(json_string_value(json_object_get(cap, "resource")));
		ret->cap.asked = (uint64_t)json_integer_value(json_object_get(cap, "asked"));
		ret->cap.free = (uint64_t)json_integer_value(json_object_get(cap, "free"));
		ret->cap.total = (uint64_t)json_integer_value(json_object_get(cap, "total"));
	}
	return true;
}

/* ------------------------------------------------------------------ events */

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

/* ------------------------------------------------------------------ values for jobs */

static void job_unload(struct step_job *j)
{
	free(j->ports);
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
		r = revisions_manifest(v->db, c->revision, &j->manifest, e);
	if (!r)
		r = cvms_blobs(v->db, c->id, &j->blobs, e);
	if (r) {
		job_unload(j);
		return r == -ERR_NOT_FOUND ? err_set(e, ERR_HOST, "the CVM's rows are incomplete") : r;
	}
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

static void log_op(const struct op_run *o, enum log_level level, const char *text, const char *more)
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

static void reread(void *arg)
{
	struct op_run *o = arg;
	struct err e;
	int r = ops_get(o->v->db, o->row.id, &o->row, &e);

	if (r || o->row.state != OP_RUNNING) {
		unlink_op(o);
		return;
	}
	go(o);
}

/* The database would not take it: nothing has changed, try again from what the row says. */
static void retry_later(struct op_run *o, const struct err *e)
{
	log_op(o, LOG_LEVEL_ERROR, "cannot be recorded, trying again: ", e->text);
	o->busy = false;
	o->waiting = false;
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

static struct op_run *launch(struct vmm *v, const struct op_row *row);

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
		return ops_update(o->v->db, next, e);
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
	struct cvm_row c;
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
		return;
	}
	v->op_done[o->row.kind][f->state == OP_SUCCEEDED ? 0 : 1]++;
	v->op_seconds[o->row.kind] += (double)(o->row.finished_ms - o->row.started_ms) / 1000.0;
	if (f->state == OP_SUCCEEDED)
		log_op(o, LOG_LEVEL_INFO, op_state_word[f->state], "");
	else
		log_op(o, LOG_LEVEL_WARN, op_state_word[f->state], why(o, text));
	unlink_op(o);
	if (f->promoted && !v->closing)
		go(launch(v, &f->next));
	free(f);
	if (v->closing)
		ops_close(v);
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
		go(o);
}

static void write_and_go(struct op_run *o, int (*fn)(void *arg, struct err *e))
{
	struct err e;

	o->busy = true;
	o->waiting = false;
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
	log_op(o, LOG_LEVEL_WARN, "failed: ", e->text);
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

/* Overtaken: end here, the follower clears up. Asked to cancel: undo what can be undone. */
static void cancel_now(struct op_run *o)
{
	struct op_row follower;
	struct err e;
	int r = ops_queued_of(o->v->db, o->row.cvm, &follower, &e);

	if (!r)
		err_set(&o->err, ERR_CANCELLED, "overtaken by %s", op_kind_word[follower.kind]);
	else
		err_set(&o->err, ERR_CANCELLED, "cancelled on request");
	if (r && (o->row.kind == OP_CREATE || o->row.kind == OP_START)) {
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

static void work_done(void *arg)
{
	struct op_run *o = arg;
	const struct step *s = step_of(o);

	o->busy = false;
	job_unload(&o->job);
	failpoint(op_kind_word[o->row.kind], s->name, o->row.undoing ? "undone" : "after");
	if (o->v->closing)
		return ops_close(o->v);
	if (o->row.undoing) {
		if (o->result)
			log_op(o, LOG_LEVEL_ERROR, "could not undo: ", o->err.text);
		write_and_go(o, undone_turn);
	} else if (o->row.cancel && !o->result) {
		cancel_now(o);
	} else if (o->result) {
		fail(o, &o->err);
	} else {
		succeed_step(o);
	}
}

static void look_again(struct op_run *o);

static void time_is_up(void *arg)
{
	struct op_run *o = arg;

	o->timed_out = true;
	look_again(o);
}

/* In a ready() step: done, not yet, or failed? */
static void look_again(struct op_run *o)
{
	struct cvm_row c;
	struct err e;
	int r;

	if (!o->waiting || o->busy)
		return;
	if (o->row.cancel) {
		cancel_now(o);
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
	look_again(o);
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
		if (o->row.undoing)
			finish(o, end_state(o));
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

static void go(struct op_run *o)
{
	const struct step *s;

	if (o->v->closing || o->busy)
		return;
	/* Undoing may need the hypervisor whatever the step: a domain it would have to take down may be running. */
	o->parked = !o->v->settled && (o->row.undoing || (step_of(o)->flags & STEP_HV));
	if (o->parked)
		return;
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

/* ------------------------------------------------------------------ beginning and resuming */

static void read_params(struct op_run *o)
{
	auto_json json_t *j = json_loads(o->row.params, 0, NULL);

	o->timeout_s = (unsigned)json_integer_value(json_object_get(j, "timeout_s"));
	o->force = json_is_true(json_object_get(j, "force"));
}

static struct op_run *launch(struct vmm *v, const struct op_row *row)
{
	struct op_run *o = xcalloc(1, sizeof(*o));

	*o = (struct op_run){ .v = v, .row = *row, .next = v->ops };
	read_params(o);
	v->ops = o;
	v->n_ops++;
	return o;
}

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
		go(launch(b->v, &b->row));
	free(b);
}

static struct op_run *run_of(struct vmm *v, const char *op_id)
{
	struct op_run *o = v->ops;

	while (o && strcmp(o->row.id, op_id) != 0)
		o = o->next;
	return o;
}

static void cancel_committed(void *arg, const struct err *e)
{
	struct begun *b = arg;
	struct op_run *o = e ? NULL : run_of(b->v, b->row.id);
	struct err ignored;

	if (o && !ops_get(b->v->db, b->row.id, &b->row, &ignored) && b->row.cancel) {
		o->row.cancel = true;
		if (o->parked && !o->busy)
			cancel_now(o);
		else
			look_again(o);
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
	const struct step *first = &op_tables[kind].steps[op_tables[kind].first];
	struct op_run probe = { .v = v };
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
	ret->step = op_tables[kind].first;
	ret->state = queue ? OP_QUEUED : OP_RUNNING;
	ret->started_ms = queue ? 0 : ret->created_ms;
	probe.row = *ret;
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
		o = launch(v, &rows[i]);
		log_op(o, LOG_LEVEL_INFO, o->row.undoing ? "going back from step " : "going on from step ",
		       o->row.step >= 0 ? step_of(o)->name : "(first)");
		go(o);
	}
	return 0;
}

void ops_poke(struct vmm *v, int64_t cvm)
{
	for (struct op_run *o = v->ops, *next; o; o = next) {
		next = o->next;
		if (o->row.cvm == cvm)
			look_again(o);
	}
}

void ops_unpark(struct vmm *v)
{
	for (struct op_run *o = v->ops, *next; o; o = next) {
		next = o->next;
		if (o->parked)
			go(o);
	}
}

void ops_close(struct vmm *v)
{
	for (struct op_run *o = v->ops, *next; o; o = next) {
		next = o->next;
		if (!o->busy)
			unlink_op(o);
	}
	vmm_job_end(v);
}
