/* SPDX-License-Identifier: Apache-2.0
 * vmm.c - opens, reloads and closes the node, and connects its rooms by callbacks.
 *
 * Opening never waits for the hypervisor: the API answers from SQLite at once, and operations wait
 * for the connection. Closing waits a limited time for jobs, because a side effect that is not
 * recorded must be detected again at the next start. A job cannot be interrupted. A job that still
 * runs after that time is abandoned: its memory is not freed, and the caller ends the process by
 * _exit(). The next start continues the operations that were under way.
 *
 * See node/node.h for what the rooms share, and op/engine.c for operations.
 */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/array.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/lanes.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/own.h"
#include "base/strings.h"
#include "db/capacity.h"
#include "db/cvms.h"
#include "db/devices.h"
#include "db/events.h"
#include "db/turn.h"
#include "db/workspaces.h"
#include "vmm/account/billing.h"
#include "vmm/admit/capacity.h"
#include "vmm/admit/devices.h"
#include "vmm/admit/port_probe.h"
#include "vmm/cvm/observe.h"
#include "vmm/cvm/pace.h"
#include "vmm/cvm/policies.h"
#include "vmm/cvm/power.h"
#include "vmm/cvm/restart.h"
#include "vmm/cvm/resume.h"
#include "vmm/cvm/steps.h"
#include "vmm/cvm/update_steps.h"
#include "vmm/guest/guest.h"
#include "vmm/guest/measure.h"
#include "vmm/host/host_watch.h"
#include "images/store.h"
#include "vmm/host/inventory.h"
#include "vmm/node/housekeeping.h"
#include "vmm/node/leftovers.h"
#include "vmm/node/node.h"
#include "vmm/node/node_images.h"
#include "vmm/node/owner.h"
#include "vmm/node/settings.h"
#include "vmm/node/vmm_struct.h"
#include "vmm/op/engine.h"
#include "vmm/op/op_begin.h"
#include "vmm/op/op_job.h"
#include "vmm/op/op_run.h"
#include "vmm/virt/hypervisor.h"
#include "vmm/vmm.h"

/* ------------------------------------------------------------------ open */

static int set_up(void *arg, struct err *e)
{
	struct vmm *v = arg;
	int r = workspaces_ensure(v->db, v->set.workspace, &v->workspace, e);

	if (!r)
		r = capacity_set_up(v, e);
	if (!r)
		r = billing_set_up(v, e);
	return r ? r : housekeeping_prune(v, e);
}

static int open_hypervisor(struct vmm *v, struct err *e)
{
	const struct hv_config cfg = {
		.loop = v->set.loop,
		.uri = v->set.hypervisor_uri,
		.embed_root = v->set.embed_root,
		.emulator = v->set.emulator && *v->set.emulator ? v->set.emulator : NULL,
		.never = *v->foreign,
		.on_event = observe_event,
		.on_link = observe_link,
		.arg = v,
	};

	(void)snprintf(v->link_error, sizeof(v->link_error), "%s",
		       *v->foreign ? v->foreign : "connecting");
	v->link_tried = *v->foreign;
	return hv_new(&cfg, &v->hv, e);
}

/* What is desired of the CVM may have changed: after a failed shutdown, say. */
static void operation_ended(struct vmm *v)
{
	policies_check(v);
	resume_poll_soon(v);
}

static const struct engine_calls engine_calls = { .query_domain = observe_domain,
						  .list_domains = observe_all_soon,
						  .operation_ended = operation_ended };

static void apply_policies(struct vmm *v)
{
	restart_apply(v);
	pace_start_next(v);
}

static int make_folders(const struct vmm_settings *s, struct err *e)
{
	auto_free char *cvms = xasprintf("%s/cvms", s->state_dir);
	int r = file_mkdirs(cvms, 0711, e);

	return r ? r : file_mkdirs(s->images_dir, 0755, e);
}

/* Readers share the connection of the open turn; only what is committed may leave, or a number
 * could be given twice. */
static void note_committed(void *arg)
{
	struct vmm *v = arg;
	struct err e;

	(void)events_newest(v->db, &v->last_event, &e);
}

/* The balance of the CVM's workspace is used up. */
static int shut_down_exhausted(struct vmm *v, const struct cvm_row *cvm, struct err *e)
{
	static const struct power_request power = { .kind = OP_SHUTDOWN, .force = true };
	static const struct request_ref ref = { .request_id = "billing", .caller = "billing" };
	struct op_row op;

	return vmm_power(v, cvm, &power, &ref, &op, e);
}

static void new_rooms(struct vmm *v)
{
	v->inventory = inventory_new();
	v->host = host_watch_new(capacity_set_tdx_keyids);
	v->probing = probing_new();
	v->guests = guests_new();
	v->measuring = measuring_new();
	v->resumes = resumes_new();
	v->observer = observer_new();
	v->housekeeping = housekeeping_new();
	v->capacity = capacity_new();
	v->billing = billing_new(shut_down_exhausted);
}

static void free_rooms(struct vmm *v)
{
	host_watch_free(v->host);
	inventory_free(v->inventory);
	probing_free(v->probing);
	capacity_free(v->capacity);
	billing_free(v->billing);
	guests_free(v->guests);
	measuring_free(v->measuring);
	resumes_free(v->resumes);
	observer_free(v->observer);
	housekeeping_free(v->housekeeping);
}

int vmm_open(const struct vmm_settings *s, struct vmm **ret, struct err *e)
{
	auto_free char *path = xasprintf("%s/teepod.db", s->state_dir);
	struct vmm *v = vmm_new(s);
	int r = make_folders(s, e);

	new_rooms(v);
	if (!r)
		r = db_open(path, &v->db, e);
	if (!r)
		r = owner_check(v, e);
	if (r) {
		db_close(v->db);
		free_rooms(v);
		vmm_free(v);
		return r;
	}
	if (!*v->foreign)
		leftovers_remove(s->state_dir);
	v->opened_ms = clock_wall_ms();
	v->turn = turn_new(s->loop, v->db);
	v->images = node_images_open(v);
	v->engine = engine_new(&engine_calls);
	steps_register();
	update_steps_register();
	v->policies = policies_new(apply_policies);
	note_committed(v);
	(void)turn_watch(v->turn, note_committed, v);
	r = turn_do(v->turn, set_up, v, e);
	if (r >= 0)
		r = open_hypervisor(v, e);
	if (r >= 0)
		r = ops_resume(v, e);
	if (r < 0) {
		turn_close(v->turn);
		(void)uv_run(s->loop, UV_RUN_NOWAIT);
		image_store_free(v->images);
		ops_close(v);
		engine_free(v->engine);
		policies_free(v->policies);
		db_close(v->db);
		free_rooms(v);
		vmm_free(v);
		return r;
	}
	if (!*v->foreign) {
		image_store_check_all(v->images);
		if (s->import_demo_images && s->demo_images_dir)
			image_store_import_demo(v->images, s->demo_images_dir);
		billing_begin(v);
	}
	host_watch_refresh(v);
	inventory_refresh(v, NULL, NULL);
	housekeeping_begin(v);
	*ret = v;
	return 0;
}

/* ------------------------------------------------------------------ close */

static void hypervisor_closed(void *arg)
{
	struct vmm *v = arg;
	void (*closed)(void *, unsigned) = v->closed;
	void *closed_arg = v->closed_arg;
	unsigned stuck = lanes_close(v->set.loop);

	assert(v->closing && v->close_begun);
	turn_close(v->turn);
	db_close(v->db);
	/* An abandoned job may still use these. */
	if (!stuck) {
		image_store_free(v->images);
		engine_free(v->engine);
		policies_free(v->policies);
		free_rooms(v);
		vmm_free(v);
	}
	closed(closed_arg, stuck);
}

static void close_rest(struct vmm *v)
{
	assert(v->closing && !v->close_begun);
	v->close_begun = true;
	loop_after_cancel(&v->close_timer);
	hv_close(v->hv, hypervisor_closed, v);
}

static void close_if_no_operation(struct vmm *v)
{
	if (!v->close_begun && !v->engine->n_ops)
		close_rest(v);
}

static void close_late(void *arg)
{
	struct vmm *v = arg;

	log_warn("%u jobs and %u operations are still under way; the next start continues the "
		 "operations",
		 vmm_jobs(v), v->engine->n_ops);
	v->jobs = 0;
	ops_give_up(v);
	if (!v->close_begun)
		close_rest(v);
}

void vmm_close(struct vmm *v, unsigned max_ms, void (*done)(void *arg, unsigned stuck), void *arg)
{
	assert_loop_thread();
	assert(!v->closing && done);
	turn_cancel_waiting(v->turn);
	v->closing = true;
	v->on_idle = close_if_no_operation;
	v->closed = done;
	v->closed_arg = arg;
	guests_close(v);
	housekeeping_stop(v);
	billing_stop(v);
	resume_close(v);
	observe_close(v);
	policies_close(v);
	inventory_close(v);
	capacity_close(v);
	(void)loop_after(v->set.loop, max_ms, close_late, v, &v->close_timer);
	lanes_cancel_all(v->set.loop);
	ops_close(v);
	op_jobs_close(v);
}

/* ------------------------------------------------------------------ settings */

void vmm_reload(struct vmm *v, const struct vmm_settings *s)
{
	v->set.log_max_bytes = s->log_max_bytes;
	v->set.log_backups = s->log_backups;
	v->set.log_keep_boots = s->log_keep_boots;
	v->set.log_check_s = s->log_check_s;
	v->set.keep_operation_days = s->keep_operation_days;
	v->set.keep_event_days = s->keep_event_days;
	v->set.keep_idempotency_hours = s->keep_idempotency_hours;
	memcpy(v->set.record_limit, s->record_limit, sizeof(v->set.record_limit));
	v->set.max_events_bytes = s->max_events_bytes;
	v->set.max_operations = s->max_operations;
	v->set.release_on_stop = s->release_on_stop;
	v->set.boot_timeout_s = s->boot_timeout_s;
	v->set.port_ranges = s->port_ranges;
	v->set.n_port_ranges = s->n_port_ranges;
	v->set.types = s->types;
	v->set.n_types = s->n_types;
	v->set.gpu = s->gpu;
	v->set.restart = s->restart;
	v->set.start = s->start;
	v->set.max_keys = s->max_keys;
	v->set.keys_per_minute = s->keys_per_minute;
	v->set.billing = s->billing;
	capacity_apply(v);
	host_watch_refresh(v);
	inventory_refresh(v, NULL, NULL);
	policies_check(v);
}

/* ------------------------------------------------------------------ reads */

static const char *tee_of(enum tee_setting setting, const struct hv_caps *caps)
{
	if (setting == TEE_NONE)
		return "none";
	if (caps && caps->tdx)
		return "tdx";
	return caps && setting == TEE_AUTO ? "none" : NULL;
}

void vmm_node(const struct vmm *v, struct node_info *ret)
{
	const struct hv_caps *caps = hv_caps(v->hv);
	bool tdx = caps && caps->tdx && v->set.tee != TEE_NONE;

	*ret = (struct node_info){ .hypervisor_up = v->link_up && v->settled &&
						    !image_store_demo_imports(v->images),
				   .foreign = *v->foreign,
				   .mode = tdx ? "tdx" : "development" };
	if (!ret->hypervisor_up)
		(void)snprintf(ret->hypervisor_error, sizeof(ret->hypervisor_error), "%s",
			       !v->link_up   ? v->link_error
			       : !v->settled ? "listing domains"
					     : "importing demo images");
	ret->tee = tee_of(v->set.tee, caps);
	if (!caps)
		return;
	memcpy(ret->libvirt, caps->libvirt, sizeof(ret->libvirt));
	memcpy(ret->qemu, caps->qemu, sizeof(ret->qemu));
	memcpy(ret->tdx_reason, caps->tdx_reason, sizeof(ret->tdx_reason));
	ret->tdx = caps->tdx;
	ret->kvm = caps->kvm;
}

int vmm_capacity(struct vmm *v, struct capacity_row ret[CAPACITY_ROWS], struct err *e)
{
	static const char *const names[] = { "vcpus", "memory_mib", "disk_gib",  "slots",
					     "cids",  "host_ports", "tdx_keyids" };
	auto_free struct device_row *devices = NULL;
	size_t n;
	int r;

	static_assert(ARRAY_SIZE(names) + 1 == CAPACITY_ROWS,
		      "GPUs are counted, the others have rows");
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		r = capacity_get(v->db, names[i], &ret[i], e);

		if (r)
			return r == -ERR_NOT_FOUND
				       ? err_set(e, ERR_HOST, "no capacity row of %s", names[i])
				       : r;
	}
	r = devices_list(v->db, &devices, &n, e);
	if (!r)
		devices_count(devices, n, &ret[ARRAY_SIZE(names)]);
	return r;
}
