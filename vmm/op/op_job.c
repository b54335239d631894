/* SPDX-License-Identifier: Apache-2.0
 * op_job.c - runs the blocking call of a step as a job, and handles abandoned jobs.
 *
 * A job owns copies of all values it uses, so its operation can continue without it at any time. A
 * job is abandoned when its deadline has passed, or when a stop or a delete overtakes its
 * operation. An abandoned job still runs, and its call may take effect at any moment until it
 * returns.
 *
 * Operations that start or change the CVM wait until the job has returned: op_has_abandoned_job().
 * Stop and delete do not wait.
 *
 * When the job returns, the state of the domain is read again. If a guest runs although its CVM
 * should be stopped, it is stopped again. If the CVM was deleted meanwhile, its domain and its
 * folder are removed. The same is done when domains are listed, for example after a restart of the
 * daemon: the recorded operations show which starts are unconfirmed (observe.c).
 *
 * A job that ends a guest is left to itself as soon as the guest's QEMU has ended, because libvirt
 * notices that only 200 ms later. The step has succeeded then, and libvirt cleans up. All following
 * steps of the CVM wait for the return of this job, those of stop and delete as well:
 * op_has_cleanup_job(). If the job fails, it is repeated until its deadline, because libvirt may
 * then take the domain for running without a QEMU. A QEMU that hangs, or whose process is not
 * known, is waited for by the job alone; so is that of a TD, which libvirt replaces when the TD
 * reboots.
 *
 * A start whose answer was lost with the connection is handled in the same way, because libvirt may
 * still carry it out.
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/lanes.h"
#include "base/loop.h"
#include "base/own.h"
#include "db/apps.h"
#include "db/changes.h"
#include "db/cvms.h"
#include "db/devices.h"
#include "db/images.h"
#include "db/ports.h"
#include "vmm/admit/reservation.h"
#include "vmm/node/node.h"
#include "vmm/op/end_watch.h"
#include "vmm/op/op_job.h"
#include "vmm/op/op_run.h"
#include "vmm/op/step_job.h"
#include "vmm/virt/hypervisor.h"

enum { KILL_AGAIN_MS = 3000, KILLS_MAX = 3, KILL_JOB_MS = 90 * 1000, CLEAN_AGAIN_MS = 1000 };

struct step_run {
	struct step_run *next; /* next abandoned job */
	struct vmm *v;
	struct op_run *o; /* NULL: abandoned */
	op_job_over_fn over;
	struct job *job;
	const struct step_act *act;
	const char *step;
	int64_t begun_ms; /* monotonic */
	char op[UUID_TEXT];
	struct step_job values;
	struct loop_timer *again; /* of repeat_kill() or cleanup_job_repeat() */
	unsigned kills;
	struct end_watch *watch; /* NULL: only the result of the job says that QEMU has ended */
	bool cleans_up; /* abandoned because QEMU has ended; between two tries no job runs */
	int result;
	struct err err;
};

static enum lane waits_for_lane(enum waits_for w)
{
	static const enum lane lanes[WAITS_FOR_MAX] = {
		[WAITS_NOTHING] = LANE_SHORT, [WAITS_LIBVIRT] = LANE_SHORT,
		[WAITS_QEMU] = LANE_GUEST,    [WAITS_GUEST] = LANE_GUEST,
		[WAITS_NETWORK] = LANE_SHORT, [WAITS_END] = LANE_KILL,
	};

	assert(w < WAITS_FOR_MAX);
	return lanes[w];
}

/* ------------------------------------------------------------------ values */

static void step_job_free(struct step_job *j)
{
	free(j->ports);
	free(j->other_ports);
	free(j->devices);
	free(j->manifest);
	free(j->dir);
	free(j->image_dir);
	free(j->image_files);
	free(j->image_files_now);
	cvm_blobs_free(&j->blobs);
	cvm_blobs_free(&j->change.blobs);
}

/* Load the planned state, which only operations that change a CVM have. */
static int step_job_load_change(const struct op_run *o, struct step_job *j, struct err *e)
{
	int r = changes_get(vmm_db(o->v), o->row.id, &j->change, e);

	if (r)
		return r == -ERR_NOT_FOUND ? 0 : r;
	return ports_other(vmm_db(o->v), o->row.cvm, &j->other_ports, &j->n_other_ports, e);
}

static int step_job_load_rows(const struct op_run *o, const struct cvm_row *c, struct step_job *j,
			      struct err *e)
{
	struct vmm *v = o->v;
	int r = ports_of(vmm_db(v), c->id, &j->ports, &j->n_ports, e);

	if (!r)
		r = devices_of(vmm_db(v), c->id, &j->devices, &j->n_devices, e);
	if (!r)
		r = revisions_manifest(vmm_db(v), c->revision, &j->manifest, e);
	if (!r)
		r = cvms_blobs(vmm_db(v), c->id, &j->blobs, e);
	if (!r)
		r = images_files(vmm_db(v), c->image, &j->image_files, e);
	if (!r)
		r = step_job_load_change(o, j, e);
	return r == -ERR_NOT_FOUND ? err_set(e, ERR_HOST, "database: rows of the CVM are missing")
				   : r;
}

static int step_job_load(const struct op_run *o, const struct cvm_row *c, struct step_job *j,
			 struct err *e)
{
	struct vmm *v = o->v;
	const struct hv_caps *caps = hv_caps(vmm_hv(v));

	*j = (struct step_job){ .hv = vmm_hv(v),
				.set = *vmm_settings(v),
				.cvm = *c,
				.force = o->force,
				.restart = o->restart,
				.new_disk = o->new_disk };
	if (caps)
		j->caps = *caps;
	j->dir = cvm_dir(v, c->uuid);
	j->image_dir = image_dir(v, c->image_name);
	cvm_domain_name(c->uuid, j->domain);
	if (!placement_of_cvm(v, c, &j->placement, &j->placement_error))
		j->placement_error.code = ERR_NONE;
	return step_job_load_rows(o, c, j, e);
}

static void step_run_free(struct step_run *r)
{
	assert(!r->again && !r->watch);
	step_job_free(&r->values);
	free(r);
}

/* ------------------------------------------------------------------ abandoned jobs */

bool op_has_abandoned_job(const struct vmm *v, int64_t cvm)
{
	const struct step_run *r = vmm_engine(v)->abandoned;

	while (r && r->values.cvm.id != cvm)
		r = r->next;
	return r != NULL;
}

bool op_has_cleanup_job(const struct vmm *v, int64_t cvm)
{
	const struct step_run *r = vmm_engine(v)->abandoned;

	while (r && (r->values.cvm.id != cvm || !r->cleans_up))
		r = r->next;
	return r != NULL;
}

struct deleted_cvm {
	struct vmm *v;
	struct hypervisor *hv;
	char uuid[UUID_TEXT];
	char *dir;
	int result;
	struct err err;
};

static void clear_remains_work(void *arg)
{
	struct deleted_cvm *r = arg;

	r->result = hv_destroy(r->hv, r->uuid, &r->err);
	if (!r->result)
		r->result = hv_undefine(r->hv, r->uuid, &r->err);
	if (!r->result)
		r->result = file_remove_tree(r->dir, &r->err);
}

/* If this fails, the first list after the next connect finds the domain again. */
static void clear_remains_done(void *arg, enum job_end end)
{
	struct deleted_cvm *r = arg;
	struct vmm *v = r->v;

	if (end == JOB_DROPPED || r->result)
		log_error("cannot remove the domain or the folder of the deleted CVM %s: %s",
			  r->uuid, end == JOB_DROPPED ? "no thread was free" : r->err.text);
	free(r->dir);
	free(r);
	vmm_job_end(v);
}

void op_clear_remains(struct vmm *v, const char *uuid)
{
	static const struct job_calls calls = { .lane = LANE_KILL,
						.what = "clean up a deleted CVM",
						.deadline_ms = 120 * 1000,
						.work = clear_remains_work,
						.done = clear_remains_done };
	struct deleted_cvm *r = xcalloc(1, sizeof(*r));

	*r = (struct deleted_cvm){ .v = v, .hv = vmm_hv(v), .dir = cvm_dir(v, uuid) };
	memcpy(r->uuid, uuid, sizeof(r->uuid));
	vmm_job_begin(v);
	(void)job_start(vmm_settings(v)->loop, &calls, r);
}

static void step_run_unwatch(struct step_run *r)
{
	end_watch_close(r->watch);
	r->watch = NULL;
}

static void abandoned_job_link(struct step_run *r)
{
	struct engine *g = vmm_engine(r->v);

	r->o->run = NULL;
	r->o = NULL;
	r->next = g->abandoned;
	g->abandoned = r;
}

static void abandoned_job_unlink(struct step_run *r)
{
	struct step_run **at = &vmm_engine(r->v)->abandoned;

	while (*at != r) {
		assert(*at);
		at = &(*at)->next;
	}
	*at = r->next;
}

/* libvirt has cleaned up, or does not end: then stop and delete do not wait for it. */
static void cleanup_job_over(struct step_run *r)
{
	struct vmm *v = r->v;

	if (!r->cleans_up)
		return;
	r->cleans_up = false;
	vmm_engine(v)->unpark(v);
	vmm_job_end(v);
}

static int64_t step_run_left_ms(const struct step_run *r)
{
	return r->begun_ms + (int64_t)r->act->deadline_s * 1000 - clock_mono_ms();
}

static void step_run_start(void *arg);

static bool cleanup_job_repeat(struct step_run *r)
{
	if (!r->cleans_up || !r->result || step_run_left_ms(r) <= CLEAN_AGAIN_MS)
		return false;
	log_warn("libvirt has not cleaned up after %s, trying again: %s", r->values.domain,
		 r->err.text);
	(void)loop_after(vmm_settings(r->v)->loop, CLEAN_AGAIN_MS, step_run_start, r, &r->again);
	return true;
}

/* Read the state of the CVM again: what the job did may not be what is recorded. */
static void abandoned_job_check(const struct step_run *r, enum job_end end)
{
	struct cvm_row c;
	struct err e;
	int found = cvms_get(vmm_db(r->v), r->values.cvm.id, &c, &e);

	if (!found)
		vmm_engine(r->v)->calls.query_domain(r->v, c.uuid);
	else if (found == -ERR_NOT_FOUND && end == JOB_WORKED)
		op_clear_remains(r->v, r->values.cvm.uuid);
}

static void abandoned_job_ended(struct step_run *r, enum job_end end)
{
	struct vmm *v = r->v;

	if (!vmm_is_closing(v) && cleanup_job_repeat(r))
		return;
	abandoned_job_unlink(r);
	if (vmm_is_closing(v)) {
		cleanup_job_over(r);
		step_run_free(r);
		return;
	}
	if (r->cleans_up && !r->result) {
		log_debug("libvirt has cleaned up after %s", r->values.domain);
	} else {
		log_info("abandoned step %s of operation %s has returned after %lld ms%s%s",
			 r->step, r->op, (long long)(clock_mono_ms() - r->begun_ms),
			 r->result ? ": " : "", r->result ? r->err.text : "");
		abandoned_job_check(r, end);
	}
	cleanup_job_over(r);
	vmm_engine(v)->unpark(v);
	step_run_free(r);
}

void op_job_abandon(struct op_run *o)
{
	struct step_run *r = o->run;

	assert(r && r->o == o);
	loop_after_cancel(&r->again);
	step_run_unwatch(r);
	abandoned_job_link(r);
	o->effect_unknown = true;
	job_cancel(r->job);
}

void op_jobs_close(struct vmm *v)
{
	assert(vmm_is_closing(v));
	for (struct step_run *r = vmm_engine(v)->abandoned, *next; r; r = next) {
		next = r->next;
		if (!r->again)
			continue;
		loop_after_cancel(&r->again);
		abandoned_job_ended(r, JOB_DROPPED);
	}
}

bool op_job_may_abandon(const struct op_run *o)
{
	enum waits_for w;

	assert(o->run);
	w = o->run->act->waits;
	return w == WAITS_QEMU || w == WAITS_GUEST || w == WAITS_NETWORK;
}

void op_job_cancel(struct op_run *o)
{
	if (o->run->act->waits != WAITS_END)
		job_cancel(o->run->job);
}

/* ------------------------------------------------------------------ the end of QEMU */

/* The guest is gone. The job goes on: libvirt sees the end 200 ms later, then cleans up. */
static void step_run_qemu_ended(void *arg)
{
	struct step_run *r = arg;
	struct op_run *o = r->o;

	assert(o && r->watch);
	loop_after_cancel(&r->again);
	step_run_unwatch(r);
	abandoned_job_link(r);
	r->cleans_up = true;
	vmm_job_begin(r->v);
	r->over(o, 0, NULL);
}

/* ------------------------------------------------------------------ guests that start */

struct repeated_kill {
	struct vmm *v;
	struct hypervisor *hv;
	char uuid[UUID_TEXT];
};

static void repeated_kill_work(void *arg)
{
	struct repeated_kill *k = arg;
	struct err ignored;

	(void)hv_destroy(k->hv, k->uuid, &ignored);
}

static void repeated_kill_done(void *arg, enum job_end end)
{
	struct repeated_kill *k = arg;
	struct vmm *v = k->v;

	(void)end;
	free(k);
	vmm_job_end(v);
}

/* libvirt's destroy kills the QEMU that it knows, then waits until its own start of that QEMU ends.
 * A destroy that came before that QEMU had a pid waits for a start that nothing ends. Another
 * destroy kills the QEMU, and both calls return. */
static void repeat_kill(void *arg)
{
	static const struct job_calls calls = { .lane = LANE_KILL,
						.what = "end a guest that is being started",
						.deadline_ms = KILL_JOB_MS,
						.work = repeated_kill_work,
						.done = repeated_kill_done };
	struct step_run *r = arg;
	struct repeated_kill *k;

	if (vmm_is_closing(r->v))
		return;
	k = xcalloc(1, sizeof(*k));
	*k = (struct repeated_kill){ .v = r->v, .hv = vmm_hv(r->v) };
	memcpy(k->uuid, r->values.cvm.uuid, sizeof(k->uuid));
	vmm_job_begin(r->v);
	(void)job_start(vmm_settings(r->v)->loop, &calls, k);
	if (++r->kills < KILLS_MAX)
		(void)loop_after(vmm_settings(r->v)->loop, KILL_AGAIN_MS, repeat_kill, r,
				 &r->again);
}

/* ------------------------------------------------------------------ jobs */

static void step_run_work(void *arg)
{
	struct step_run *r = arg;

	r->result = r->act->fn(&r->values, &r->err);
}

static int step_run_dropped(const struct step_run *r, struct err *e)
{
	if (r->o ? r->o->row.cancel : !r->cleans_up)
		return err_set(e, ERR_CANCELLED, "step %s was cancelled before it began", r->step);
	return err_set(e, ERR_TIMEOUT, "no thread of lane \"%s\" was free within %u s",
		       lane_word[waits_for_lane(r->act->waits)], r->act->deadline_s);
}

static void step_run_done(void *arg, enum job_end end)
{
	struct step_run *r = arg;
	struct op_run *o = r->o;

	loop_after_cancel(&r->again);
	step_run_unwatch(r);
	if (end == JOB_DROPPED)
		r->result = step_run_dropped(r, &r->err);
	if (!o) {
		abandoned_job_ended(r, end);
		return;
	}
	o->run = NULL;
	free(o->image_files_now);
	o->image_files_now = take_ptr(&r->values.image_files_now);
	r->over(o, r->result, &r->err);
	step_run_free(r);
}

static void step_run_late(void *arg)
{
	static const char *const peer[WAITS_FOR_MAX] = {
		[WAITS_NOTHING] = "this host",
		[WAITS_LIBVIRT] = "libvirt",
		[WAITS_QEMU] = "QEMU",
		[WAITS_GUEST] = "the guest",
		[WAITS_NETWORK] = "the other host",
		[WAITS_END] = "QEMU's end",
	};
	struct step_run *r = arg;
	struct op_run *o = r->o;
	struct err e;

	if (!o) {
		cleanup_job_over(r);
		return;
	}
	op_job_abandon(o);
	err_set(&e, ERR_TIMEOUT, "step %s waited %u s for %s, without an answer", r->step,
		r->act->deadline_s, peer[r->act->waits]);
	r->over(o, -ERR_TIMEOUT, &e);
}

static void step_run_start(void *arg)
{
	struct step_run *r = arg;
	int64_t left_ms = step_run_left_ms(r);
	const struct job_calls calls = { .lane = waits_for_lane(r->act->waits),
					 .what = r->step,
					 .deadline_ms = left_ms > 0 ? (unsigned)left_ms : 1,
					 .work = step_run_work,
					 .done = step_run_done,
					 .late = step_run_late };

	r->job = job_start(vmm_settings(r->v)->loop, &calls, r);
}

int op_job_begin(struct op_run *o, const struct cvm_row *c, op_job_over_fn over, struct err *e)
{
	const struct step *s = op_step(o);
	const struct step_act *act = o->row.undoing ? &s->undo : &s->work;
	struct step_run *r = xcalloc(1, sizeof(*r));
	int err;

	assert(!o->run && !o->writing && act->fn);
	*r = (struct step_run){ .v = o->v,
				.o = o,
				.over = over,
				.act = act,
				.step = s->name,
				.begun_ms = clock_mono_ms() };
	memcpy(r->op, o->row.id, sizeof(r->op));
	err = step_job_load(o, c, &r->values, e);
	if (err) {
		step_run_free(r);
		return err;
	}
	o->effect_unknown = o->overtaken = o->job_succeeded = false;
	o->run = r;
	/* Before the job begins: afterwards QEMU may be gone. */
	if (act->waits == WAITS_END && !c->tdx)
		r->watch = end_watch_open(vmm_settings(o->v)->loop, vmm_hv(o->v), r->values.domain,
					  step_run_qemu_ended, r);
	step_run_start(r);
	if (act->waits == WAITS_END && op_has_abandoned_job(o->v, o->row.cvm))
		(void)loop_after(vmm_settings(o->v)->loop, KILL_AGAIN_MS, repeat_kill, r,
				 &r->again);
	return 0;
}
