/* SPDX-License-Identifier: Apache-2.0
 * update_steps.c - the steps of a resize or an upgrade.
 *
 * reserve | check → signal → wait → stop → disk → apply → files → define → start → forwards → boot
 *
 * Skipped steps: those that stop and start the guest, if it does not run or the change needs no
 * restart; "disk", if the disk keeps its size; "forwards", if no forward of a running guest
 * changes. "apply" is a turn: the planned state becomes the CVM's row, ports, devices and revision,
 * and the former state is stored in the change (db/changes.c). Undoing it is the same swap.
 *
 * So a crash leaves the old CVM or the new one, never a mixture. A failure from "stop" on is
 * undone: a guest that runs by then is ended, the row becomes the old one again, and a start
 * operation is queued in the turn that ends this one. Only the disk keeps its new size, because the
 * guest may have written to the new part; the step that grew it records the size. As after a
 * create, a guest that starts but does not boot is left to its owner, with the change applied.
 */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/array.h"
#include "base/json.h"
#include "base/own.h"
#include "base/strings.h"
#include "db/changes.h"
#include "db/cvms.h"
#include "db/history.h"
#include "db/operations.h"
#include "vmm/account/billing.h"
#include "vmm/cvm/change.h"
#include "vmm/cvm/forwards.h"
#include "vmm/node/node.h"
#include "vmm/guest/disk.h"
#include "vmm/op/op_begin.h"
#include "vmm/op/step_job.h"
#include "vmm/op/step_table.h"
#include "vmm/node/event.h"
#include "vmm/op/op_error.h"
#include "vmm/cvm/steps.h"
#include "vmm/cvm/update_steps.h"
#include "vmm/virt/hypervisor.h"
#include "vmm/virt/xml_out.h"

/* ------------------------------------------------------------------ skipped steps */

static bool update_skip_restart(const struct op_run *o)
{
	return !o->restart;
}

static bool update_skip_disk(const struct op_run *o)
{
	return !o->grow;
}

static bool update_skip_forwards(const struct op_run *o)
{
	return !o->restart && !o->forward;
}

/* ------------------------------------------------------------------ jobs */

/* QEMU resizes the disk if it has it open, else qemu-img does. QEMU would also grow a file that was
 * removed, so the file is checked first. */
static int update_grow_disk(struct step_job *j, struct err *e)
{
	auto_free char *path = xasprintf("%s/hda.img", j->dir);
	int r = step_disk_check(j, e);

	if (r || !j->cvm.disk_made)
		return r; /* the first start makes it with its new size */
	r = hv_block_resize(j->hv, j->cvm.uuid, path, (uint64_t)j->change.disk_gib << 30, e);

	return r == -ERR_NOT_FOUND ? disk_grow(path, j->change.disk_gib, e) : r;
}

/* The change is applied: the present ports are the new ones. */
static int update_move_forwards(struct step_job *j, struct err *e)
{
	if (j->restart)
		return step_forwards(j, e);
	return forwards_change(j->hv, &j->cvm, j->other_ports, j->n_other_ports, j->ports,
			       j->n_ports, e);
}

static int update_restore_forwards(struct step_job *j, struct err *e)
{
	if (j->restart)
		return 0; /* they end with the guest */
	return forwards_change(j->hv, &j->cvm, j->ports, j->n_ports, j->other_ports,
			       j->n_other_ports, e);
}

/* ------------------------------------------------------------------ turns */

static int update_load_change(struct vmm *v, const struct op_run *o, struct change_row *ret,
			      struct err *e)
{
	int r = changes_get(vmm_db(v), o->row.id, ret, e);

	return r == -ERR_NOT_FOUND
		       ? err_set(e, ERR_HOST, "database: the change of operation %s is missing",
				 o->row.id)
		       : r;
}

static int update_save_disk(struct vmm *v, struct op_run *o, const struct cvm_row *c, struct err *e)
{
	struct change_row x;
	int64_t made;
	int r = update_load_change(v, o, &x, e);

	if (r)
		return r;
	/* The job has checked the new size, unless it was abandoned. */
	made = o->effect_unknown || !c->disk_made ? c->disk_made : x.disk_gib;
	r = cvms_set_disk(vmm_db(v), c->id, x.disk_gib, made, e);
	if (!r)
		r = meter_follow(v, c->id, e);
	cvm_blobs_free(&x.blobs);
	return r;
}

/* [turn] Swap the present and the planned state. @c: the row before the swap. */
static int update_swap(struct vmm *v, struct op_run *o, const struct cvm_row *c,
		       struct change_row *x, struct err *e)
{
	struct cvm_row now;
	int r = changes_swap(vmm_db(v), x, e);

	if (!r)
		r = meter_follow(v, c->id, e);
	if (!r)
		r = cvms_get(vmm_db(v), c->id, &now, e);
	if (r)
		return r == -ERR_NOT_FOUND
			       ? err_set(e, ERR_CVM_NOT_FOUND, "the CVM does not exist any more")
			       : r;
	r = x->applied ? change_add_history(v, &now, x->changed, &o->row, e)
		       : history_remove(vmm_db(v), o->row.id, e);
	return r ? r
		 : event(v, &now, o->row.id, x->applied ? "cvm.changed" : "cvm.changed_back", e,
			 "{s:o, s:s, s:s, s:I, s:I, s:I}", "changed", json_stored(x->changed),
			 "image", now.image_name, "compose_hash", now.compose_hash, "vcpus",
			 (json_int_t)now.vcpus, "memory_mib", (json_int_t)now.memory_mib,
			 "disk_gib", (json_int_t)now.disk_gib);
}

static int update_swap_to(struct vmm *v, struct op_run *o, const struct cvm_row *c, bool applied,
			  struct err *e)
{
	struct change_row x;
	int r = update_load_change(v, o, &x, e);

	if (r)
		return r;
	if (x.applied != applied)
		r = update_swap(v, o, c, &x, e);
	cvm_blobs_free(&x.blobs);
	return r;
}

static int update_save_applied(struct vmm *v, struct op_run *o, const struct cvm_row *c,
			       struct err *e)
{
	return update_swap_to(v, o, c, true, e);
}

static int update_unsave_applied(struct vmm *v, struct op_run *o, const struct cvm_row *c,
				 struct err *e)
{
	return update_swap_to(v, o, c, false, e);
}

/* ------------------------------------------------------------------ the end */

/* The error says what failed. Append what became of the CVM, and shorten the error rather than
 * that. */
static void update_describe_end(struct op_run *o, const struct cvm_row *c,
				const struct change_row *x, const char *follower)
{
	char disk[64] = "", again[96] = "", end[240], text[sizeof(((struct err *)0)->text)];
	struct err w;

	static_assert(sizeof(end) < sizeof(text), "the end is never cut");
	if (!vmm_op_error(&o->row, &w))
		return;
	if (o->grow && c->disk_gib == x->disk_gib)
		(void)snprintf(disk, sizeof(disk), ", except that its disk has grown to %lld GiB",
			       (long long)c->disk_gib);
	if (*follower)
		(void)snprintf(again, sizeof(again), ", and is started again (operation %s)",
			       follower);
	if (x->applied)
		(void)snprintf(end, sizeof(end), "; the change stays applied");
	else
		(void)snprintf(end, sizeof(end), "; the CVM is as it was before%s%s", disk, again);
	(void)snprintf(text, sizeof(text), "%.*s%s", (int)(sizeof(text) - 1 - strlen(end)), w.text,
		       end);
	memcpy(w.text, text, sizeof(w.text));
	op_error_write(&w, o->row.error);
}

/* The change was undone, or it was cancelled while the guest shut down: the guest ran before, so
 * start it again. */
static int update_start_again(struct vmm *v, struct op_run *o, const struct cvm_row *c,
			      const struct change_row *x, char ret_op[UUID_TEXT], struct err *e)
{
	struct op_row next;
	bool queued;
	int r = 0;

	ret_op[0] = '\0';
	if (!o->restart || x->applied || (!o->row.undoing && cvm_is_up(c)))
		return 0;
	if (o->row.undoing)
		r = step_save_off(v, o, c, e); /* undoing "stop" has ended the guest */
	if (!r)
		r = op_follow(v, o, c, OP_START, &next, &queued, e);
	if (!r && queued)
		memcpy(ret_op, next.id, UUID_TEXT);
	return r;
}

static int finish_update(struct vmm *v, struct op_run *o, const struct cvm_row *c, bool ok,
			 struct err *e)
{
	char follower[UUID_TEXT] = "";
	struct change_row x;
	int r = update_load_change(v, o, &x, e);

	assert(o->row.kind == OP_RESIZE || o->row.kind == OP_UPGRADE);
	if (r)
		return r;
	r = change_settle(v, c, &x, e);
	if (!r)
		r = meter_follow(v, c->id, e);
	if (!r && !ok) {
		r = update_start_again(v, o, c, &x, follower, e);
		if (!r)
			update_describe_end(o, c, &x, follower);
	}
	cvm_blobs_free(&x.blobs);
	return r;
}

/* ------------------------------------------------------------------ the table */

static const struct step update_steps[] = {
	{ .name = "reserve" },
	{ .name = "check",
	  .flags = STEP_KEEP,
	  .work = { step_check, WAITS_NOTHING, STEP_FILES_S },
	  .save = step_save_check,
	  .skip = update_skip_restart },
	{ .name = "signal",
	  .flags = STEP_KEEP | STEP_OPTIONAL,
	  .work = { step_signal, WAITS_QEMU, STEP_BUTTON_S },
	  .save = step_save_signal,
	  .skip = update_skip_restart },
	{ .name = "wait",
	  .flags = STEP_KEEP,
	  .ready = step_down_or_late,
	  .limit_s = step_graceful_limit,
	  .skip = update_skip_restart },
	{ .name = "stop",
	  .work = STEP_END_GUEST,
	  .save = step_save_off,
	  .undo = STEP_END_GUEST,
	  .skip = update_skip_restart },
	{ .name = "disk",
	  .flags = STEP_ASSUME_DONE,
	  .work = { update_grow_disk, WAITS_QEMU, STEP_FILES_S },
	  .save = update_save_disk,
	  .skip = update_skip_disk },
	{ .name = "apply", .save = update_save_applied, .unsave = update_unsave_applied },
	{ .name = "files",
	  .enter = step_enter_boot,
	  .work = { step_files, WAITS_LIBVIRT, STEP_FILES_S },
	  .save = step_save_files,
	  .skip = update_skip_restart },
	{ .name = "define",
	  .work = { step_define, WAITS_LIBVIRT, STEP_LIBVIRT_S },
	  .skip = update_skip_restart },
	{ .name = "start",
	  .work = { step_start, WAITS_QEMU, STEP_START_S },
	  .save = step_save_started,
	  .undo = STEP_END_GUEST,
	  .skip = update_skip_restart },
	{ .name = "forwards",
	  .work = { update_move_forwards, WAITS_QEMU, STEP_FORWARDS_S },
	  .undo = { update_restore_forwards, WAITS_QEMU, STEP_FORWARDS_S },
	  .skip = update_skip_forwards },
	{ .name = "boot",
	  .flags = STEP_KEEP,
	  .ready = step_booted,
	  .limit_s = step_boot_limit,
	  .skip = update_skip_restart },
};

static const struct op_table update_table = { .version = 2,
					      .steps = update_steps,
					      .n = (int)ARRAY_SIZE(update_steps),
					      .first = 1,
					      .cancellable = true,
					      .finish = finish_update };

void update_steps_register(void)
{
	op_register(OP_RESIZE, &update_table);
	op_register(OP_UPGRADE, &update_table);
}
