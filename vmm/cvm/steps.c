/* SPDX-License-Identifier: Apache-2.0
 * steps.c - the steps of each operation.
 *
 * create:    reserve | files → disk → define → start → forwards → boot
 * start:     reserve | files → disk → define → start → forwards → boot
 * stop:      stop
 * shutdown:  signal → wait → stop
 * restart:   check → signal → wait → stop → files → disk → define → start → forwards → boot
 * delete:    stop → undefine → remove
 * resume:    resume
 * resize, upgrade: update_steps.c
 *
 * The steps before the bar are done by the transaction that accepts the request. "boot" only waits:
 * if the guest does not come up, the operation fails with the reason, and the guest is left running
 * for its owner to inspect.
 *
 * A paused guest cannot react to the power button, so "signal" resumes it first. If a disk error
 * pauses it again, the operation does not wait for it: a shutdown fails at once, or destroys the
 * guest if it is forced; a restart or a change destroys it, because both end with a running guest.
 *
 * Every job must be idempotent, because it is repeated after a crash: see vmm/op/step_table.h.
 */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/array.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/own.h"
#include "base/strings.h"
#include "db/changes.h"
#include "db/cvms.h"
#include "db/images.h"
#include "db/operations.h"
#include "db/policies.h"
#include "db/ports.h"
#include "images/images.h"
#include "vmm/account/billing.h"
#include "vmm/admit/capacity.h"
#include "vmm/cvm/forwards.h"
#include "vmm/cvm/observe.h"
#include "vmm/cvm/power.h"
#include "vmm/guest/disk.h"
#include "vmm/guest/guest.h"
#include "vmm/guest/guest_files.h"
#include "vmm/guest/machine.h"
#include "vmm/guest/share_disk.h"
#include "vmm/host/kernel_file.h"
#include "vmm/logs/logs.h"
#include "vmm/host/pci.h"
#include "vmm/node/event.h"
#include "vmm/node/node.h"
#include "vmm/node/settings.h"
#include "vmm/op/step_job.h"
#include "vmm/op/step_table.h"
#include "vmm/cvm/steps.h"
#include "vmm/tdx/mr_config.h"
#include "vmm/virt/domain_spec.h"
#include "vmm/virt/hypervisor.h"

/* ------------------------------------------------------------------ jobs */

static char *cvm_file_path(const struct step_job *j, const char *name)
{
	return xasprintf("%s/%s", j->dir, name);
}

static struct log_limits log_limits_from(const struct vmm_settings *s)
{
	return (struct log_limits){ .max_bytes = s->log_max_bytes,
				    .max_backups = s->log_backups,
				    .keep_boots = s->log_keep_boots };
}

/* Build the machine for the next start. */
static int step_machine(const struct step_job *j, const struct image_boot *boot,
			struct machine *ret, struct err *e)
{
	auto_free char *shared = cvm_file_path(j, "shared");
	uint8_t seed[INSTANCE_SEED_LEN];
	const struct machine_in in = { .set = &j->set,
				       .caps = &j->caps,
				       .cvm = &j->cvm,
				       .manifest = j->manifest,
				       .boot = boot,
				       .dir = j->dir,
				       .image_dir = j->image_dir,
				       .domain = j->domain,
				       .vsock = kernel_exists("", "/dev/vhost-vsock"),
				       .placement = &j->placement,
				       .devices = j->devices,
				       .n_devices = j->n_devices,
				       .instance_seed = seed };

	assert(j->manifest && j->dir && j->image_dir);
	mr_config_seed(shared, j->cvm.uuid, seed);
	return machine_make(&in, ret, e);
}

static int step_write_guest_files(const struct step_job *j, const char *shared,
				  const struct machine *m, struct err *e)
{
	const struct guest_files g = {
		.dir = shared,
		.app_compose = j->manifest,
		.app_compose_len = strlen(j->manifest),
		.app_id = j->cvm.app_id,
		.encrypted_env = j->blobs.encrypted_env,
		.encrypted_env_len = j->blobs.encrypted_env_len,
		.user_config = j->blobs.user_config,
		.kms_urls = j->set.kms_urls,
		.gateway_urls = j->set.gateway_urls,
		.pccs_url = j->set.pccs_url,
		.docker_registry = j->set.docker_registry,
		.host_api_port = j->set.host_api_port,
		.mr_config = m->mr.document,
		.instance_info = m->mr.instance_info,
		.vm = m->vm,
	};

	return guest_files_write(&g, e);
}

/* Write the files that are shared with the guest. If a disk carries them, make that disk. */
static int step_share_files(const struct step_job *j, const char *shared,
			    const struct image_boot *boot, struct err *e)
{
	auto_machine struct machine m = { 0 };
	int r = step_machine(j, boot, &m, e);

	if (!r)
		r = step_write_guest_files(j, shared, &m, e);
	if (!r && m.spec.share_mode == SHARE_DISK)
		r = share_disk_make(shared, m.spec.share, e);
	if (!r && m.spec.share_mode == SHARE_DISK && j->caps.by_group)
		r = guest_disk_open_to(m.spec.share, j->caps.gid, false, e);
	return r;
}

static int step_check_image(struct step_job *j, struct err *e)
{
	return image_check(j->image_dir, j->cvm.image_name, j->cvm.image_hash, j->image_files,
			   &j->image_files_now, e);
}

int step_files(struct step_job *j, struct err *e)
{
	auto_free char *logs = cvm_file_path(j, "logs"), *shared = cvm_file_path(j, "shared");
	const struct log_limits limits = log_limits_from(&j->set);
	struct image_boot boot = { 0 };
	char qemu_log[512];
	int r = step_disk_check(j, e);

	if (!r)
		r = step_check_image(j, e);
	if (!r)
		r = image_boot_read(j->image_dir, &boot, e);
	/* The folders are closed to other users before anything is written to them: they hold the
	 * secrets, the logs and the data of a guest. */
	if (!r)
		r = file_mkdirs(j->dir, 0700, e);
	if (!r)
		r = file_mkdirs(logs, 0700, e);
	if (!r)
		r = file_mkdirs(shared, 0700, e);
	if (!r)
		r = step_share_files(j, shared, &boot, e);
	if (!r && j->caps.has_user)
		r = guest_files_open_to(j->dir, shared, j->caps.gid, e);
	if (!r)
		r = hv_qemu_log_path(j->hv, j->domain, qemu_log, sizeof(qemu_log), e);
	if (!r)
		r = logs_boot_begin(logs, (unsigned)j->cvm.boot, qemu_log, &limits, e);
	return r || !j->caps.has_user ? r : logs_open_to(logs, j->caps.gid, e);
}

/* Check the disk against its recorded size. A change under way may have grown it already. */
static int step_check_own_disk(const struct step_job *j, const char *path, struct err *e)
{
	int64_t made = j->cvm.disk_made ? j->cvm.disk_made : 1, is = j->cvm.disk_gib;

	return disk_check(path, made < is ? made : is,
			  j->change.disk_gib > is ? j->change.disk_gib : is, e);
}

int step_disk_check(const struct step_job *j, struct err *e)
{
	auto_free char *path = cvm_file_path(j, "hda.img");
	int r = j->cvm.disk_made ? step_check_own_disk(j, path, e) : 0;

	return r && j->new_disk && !strcmp(e->field, "disk") ? 0 : r;
}

/* @why: the error of step_check_own_disk(). A disk is made only if it never was, or if its owner
 * gives up the old one. */
static bool step_must_make_disk(const struct step_job *j, const char *path, const struct err *why)
{
	struct stat st;

	if (strcmp(why->field, "disk") != 0)
		return false;
	return j->new_disk || (!j->cvm.disk_made && lstat(path, &st) < 0 && errno == ENOENT);
}

/* Keep the old disk under another name: its owner may need its data. It is removed with the CVM. */
static int step_keep_old_disk(const char *path, struct err *e)
{
	auto_free char *aside = xasprintf("%s.replaced-%lld", path, (long long)clock_wall_ms());

	if (rename(path, aside) < 0 && errno != ENOENT && errno != ENOTDIR)
		return err_sys(e, errno, "rename %s to %s", path, aside);
	return 0;
}

static int step_disk(struct step_job *j, struct err *e)
{
	auto_free char *path = cvm_file_path(j, "hda.img");
	struct err why;
	int r = step_check_own_disk(j, path, &why);

	if (r && step_must_make_disk(j, path, &why)) {
		r = step_keep_old_disk(path, e);
		if (!r)
			r = disk_create(path, j->cvm.disk_gib, e);
	} else if (r) {
		*e = why;
	}
	/* An abandoned growth is recorded as done: it is completed here. */
	if (!r)
		r = disk_grow(path, j->cvm.disk_gib, e);
	return r || !j->caps.by_group ? r : guest_disk_open_to(path, j->caps.gid, true, e);
}

int step_devices(struct step_job *j, struct err *e)
{
	if (j->placement_error.code != ERR_NONE) {
		*e = j->placement_error;
		return -(int)e->code;
	}
	return devices_check(j->set.host_root, j->devices, j->n_devices, e);
}

int step_define(struct step_job *j, struct err *e)
{
	auto_machine struct machine m = { 0 };
	auto_free char *xml = NULL;
	struct image_boot boot;
	int r = step_devices(j, e);

	if (!r)
		r = image_boot_read(j->image_dir, &boot, e);
	if (!r)
		r = step_machine(j, &boot, &m, e);
	if (!r)
		r = domain_xml(&m.spec, &xml, e);
	return r ? r : hv_define(j->hv, xml, e);
}

int step_start(struct step_job *j, struct err *e)
{
	int r = hv_start(j->hv, j->cvm.uuid, e);

	if (r && j->caps.has_user && j->caps.uid != geteuid() &&
	    strstr(e->text, "Permission denied"))
		err_hint(e,
			 "QEMU runs as user %u, group %u: allow it to pass through %s and %s, e.g. "
			 "chmod 0711",
			 j->caps.uid, j->caps.gid, j->set.state_dir, j->image_dir);
	return r;
}

int step_forwards(struct step_job *j, struct err *e)
{
	return forwards_add(j->hv, &j->cvm, j->ports, j->n_ports, true, e);
}

int step_destroy(struct step_job *j, struct err *e)
{
	return hv_destroy(j->hv, j->cvm.uuid, e);
}

/* libvirt keeps the log of a domain that does not exist any more, and nothing else would remove it.
 * A daemon that is not root may not remove it: then libvirt's logrotate rule does. EROFS comes from
 * ProtectSystem=strict of the unit, also if the file does not exist. */
static int remove_qemu_log(const char *path, struct err *e)
{
	if (!unlink(path) || errno == ENOENT)
		return 0;
	if (geteuid() && (errno == EACCES || errno == EPERM || errno == EROFS))
		return 0;
	return err_sys(e, errno, "cannot remove %s", path);
}

static int step_undefine(struct step_job *j, struct err *e)
{
	char qemu_log[512];
	int r = hv_undefine(j->hv, j->cvm.uuid, e);

	if (!r)
		r = hv_qemu_log_path(j->hv, j->domain, qemu_log, sizeof(qemu_log), e);
	return r ? r : remove_qemu_log(qemu_log, e);
}

static int step_remove(struct step_job *j, struct err *e)
{
	return file_remove_tree(j->dir, e);
}

/* If @forced, a failure counts as success, because a hard stop follows in any case. Only a lost
 * connection is an error then, so that the step is repeated. */
static int press_power_button(struct step_job *j, bool forced, struct err *e)
{
	int r = hv_power_button(j->hv, j->cvm.uuid, e);

	return r == -ERR_NOT_FOUND || (forced && r != -ERR_UNAVAILABLE) ? 0 : r;
}

static int step_power_button(struct step_job *j, struct err *e)
{
	return press_power_button(j, j->force, e);
}

int step_check(struct step_job *j, struct err *e)
{
	bool same_image = !*j->change.op || j->change.image == j->cvm.image;
	int r = step_disk_check(j, e);

	return r || !same_image ? r : step_check_image(j, e);
}

int step_signal(struct step_job *j, struct err *e)
{
	return j->force ? 0 : press_power_button(j, true, e);
}

static int step_resume(struct step_job *j, struct err *e)
{
	int r = hv_resume(j->hv, j->cvm.uuid, e);

	return r == -ERR_NOT_FOUND ? err_set(e, ERR_CONFLICT, "the guest has ended meanwhile") : r;
}

static int step_undo_disk(struct step_job *j, struct err *e)
{
	auto_free char *path = cvm_file_path(j, "hda.img");

	return file_remove_tree(path, e);
}

/* ------------------------------------------------------------------ turns */

int step_enter_boot(struct vmm *v, struct op_run *o, const struct cvm_row *c, struct err *e)
{
	int64_t boot;
	int r = set_desired(v, c, DESIRED_RUNNING, e);

	(void)o;
	return r ? r : cvms_begin_boot(vmm_db(v), c->id, clock_wall_ms(), &boot, e);
}

int step_save_files(struct vmm *v, struct op_run *o, const struct cvm_row *c, struct err *e)
{
	return o->image_files_now ? images_set_files(vmm_db(v), c->image, o->image_files_now, e)
				  : 0;
}

/* The time limit of the graceful stop begins here. Before, the image may have been hashed for
 * minutes. */
int step_save_check(struct vmm *v, struct op_run *o, const struct cvm_row *c, struct err *e)
{
	o->begun_ms = clock_mono_ms();
	return step_save_files(v, o, c, e);
}

/* The disk exists and has the size of its row. */
static int step_save_disk(struct vmm *v, struct op_run *o, const struct cvm_row *c, struct err *e)
{
	(void)o;
	return cvms_set_disk(vmm_db(v), c->id, c->disk_gib, c->disk_gib, e);
}

static int step_unsave_disk(struct vmm *v, struct op_run *o, const struct cvm_row *c, struct err *e)
{
	(void)o;
	return cvms_set_disk(vmm_db(v), c->id, c->disk_gib, 0, e);
}

/* QEMU may have paused the guest since, and that event may have been handled before this commit:
 * query the state again. */
int step_save_started(struct vmm *v, struct op_run *o, const struct cvm_row *c, struct err *e)
{
	/* An operation of an older release may have passed the step that records the disk. */
	int r = c->disk_made ? 0 : cvms_set_disk(vmm_db(v), c->id, c->disk_gib, 1, e);

	(void)o;
	if (r)
		return r;
	observe_domain(v, c->uuid);
	return observe_apply(v, c, OBSERVED_RUNNING, e);
}

/* The power button resumes a paused guest. Whether it did is not known here, because a failure may
 * count as done. "wait" depends on the observed state, so query it. A forced restart does not press
 * the button. */
int step_save_signal(struct vmm *v, struct op_run *o, const struct cvm_row *c, struct err *e)
{
	bool pressed = !o->force || o->row.kind == OP_SHUTDOWN;

	(void)e;
	if (pressed && c->observed == OBSERVED_PAUSED)
		observe_domain(v, c->uuid);
	return 0;
}

static int step_enter_running(struct vmm *v, struct op_run *o, const struct cvm_row *c,
			      struct err *e)
{
	(void)o;
	return set_desired(v, c, DESIRED_RUNNING, e);
}

static int step_enter_stopped(struct vmm *v, struct op_run *o, const struct cvm_row *c,
			      struct err *e)
{
	(void)o;
	return set_desired(v, c, DESIRED_STOPPED, e);
}

static int step_enter_delete(struct vmm *v, struct op_run *o, const struct cvm_row *c,
			     struct err *e)
{
	(void)o;
	return set_desired(v, c, DESIRED_DELETED, e);
}

int step_save_off(struct vmm *v, struct op_run *o, const struct cvm_row *c, struct err *e)
{
	(void)o;
	return c->observed == OBSERVED_ABSENT ? 0 : observe_apply(v, c, OBSERVED_OFF, e);
}

/* ------------------------------------------------------------------ waiting */

/* Seconds left for the graceful stop; pressing the button has used up some. */
unsigned step_graceful_limit(const struct op_run *o)
{
	int64_t spent_s = (clock_mono_ms() - o->begun_ms) / 1000;

	return spent_s < o->timeout_s ? o->timeout_s - (unsigned)spent_s : 0;
}

/* True if a disk error has paused the guest: it does not continue by itself while an operation runs
 * on it. Until the state is queried after the power button, or domains are listed after a restart
 * of the daemon, the row may be outdated and the answer is false. */
static bool is_paused_by_disk(const struct vmm *v, const struct cvm_row *c)
{
	return vmm_is_settled(v) && (c->paused == PAUSED_NOSPC || c->paused == PAUSED_IOERROR) &&
	       !observe_is_pending(v, c->uuid);
}

static int step_shut_down(struct vmm *v, struct op_run *o, const struct cvm_row *c, struct err *e)
{
	if (!cvm_is_up(c))
		return 1;
	if (!o->timed_out && !is_paused_by_disk(v, c))
		return 0;
	if (o->force)
		return 1;
	if (c->observed == OBSERVED_PAUSED) {
		err_set(e, ERR_CONFLICT, "the guest is paused (%s) and cannot shut down",
			paused_word[c->paused]);
		return err_hint(e, "%s, or use stop, or shutdown with force",
				c->paused == PAUSED_NOSPC ? "free space on the disk" : "resume it");
	}
	err_set(e, ERR_TIMEOUT,
		"the guest did not shut down within %u seconds; it is still running", o->timeout_s);
	return err_hint(e, "use stop, or shutdown with force");
}

/* A restart ends with a running guest in any case: when the time is over, a hard stop follows. */
int step_down_or_late(struct vmm *v, struct op_run *o, const struct cvm_row *c, struct err *e)
{
	(void)e;
	return !cvm_is_up(c) || o->force || o->timed_out || is_paused_by_disk(v, c);
}

unsigned step_boot_limit(const struct op_run *o)
{
	return vmm_settings(o->v)->boot_timeout_s;
}

int step_booted(struct vmm *v, struct op_run *o, const struct cvm_row *c, struct err *e)
{
	if (c->boot_error[0])
		return err_set(e, ERR_HOST, "the guest reports: %s", c->boot_error);
	if (!cvm_is_up(c) && !o->timed_out && guest_is_unread(v, c->id))
		return 0;
	if (!cvm_is_up(c))
		return err_set(e, ERR_HOST, "the guest ended before it was up%s%s",
			       c->boot_progress[0] ? ", last progress: " : "", c->boot_progress);
	if (c->observed == OBSERVED_PAUSED) {
		err_set(e, ERR_CONFLICT, "the guest was paused (%s) before it was up%s%s",
			paused_word[c->paused], c->boot_progress[0] ? ", last progress: " : "",
			c->boot_progress);
		return err_hint(e, "resume it: it then continues where it was paused");
	}
	if (!c->serial_progress || !strcmp(c->boot_progress, "done"))
		return 1;
	if (o->timed_out)
		return err_set(e, ERR_TIMEOUT,
			       "the guest did not report its boot within %u seconds%s%s",
			       vmm_settings(v)->boot_timeout_s,
			       c->boot_progress[0] ? ", last progress: " : "", c->boot_progress);
	return 0;
}

/* ------------------------------------------------------------------ ends */

static int cvm_delete(struct vmm *v, const struct cvm_row *c, const char *op_id, struct err *e)
{
	auto_free struct port_row *ports = NULL;
	size_t n;
	int r = ports_of(vmm_db(v), c->id, &ports, &n, e);

	if (!r)
		r = capacity_release(v, c, n, e);
	if (!r)
		r = meter_end(v, c->id, e);
	if (!r)
		r = cvms_delete(vmm_db(v), c->id, e);
	if (!r)
		r = event(v, c, op_id, "cvm.deleted", e, "{s:s}", "name", c->name);
	guest_forget(v, c->id);
	return r;
}

static int finish_create(struct vmm *v, struct op_run *o, const struct cvm_row *c, bool ok,
			 struct err *e)
{
	assert(o->row.kind == OP_CREATE);
	return !ok && o->row.undoing ? cvm_delete(v, c, o->row.id, e) : 0;
}

/* The operation was undone, or it was cancelled after the old guest had ended and before the new
 * one began. The guest is down, so the CVM becomes stopped. There is one exception: if the node
 * itself began the start, it tries again (restart.c) unless a client cancelled it. A stopped CVM
 * releases its vCPUs, memory and TDX key ID if release_on_stop is set, also if a restart of a
 * stopped CVM ended before the boot began. */
static int finish_start(struct vmm *v, struct op_run *o, const struct cvm_row *c, bool ok,
			struct err *e)
{
	bool stopped = o->row.undoing ||
		       (!cvm_is_up(c) && (c->desired == DESIRED_STOPPED || o->row.cancel));
	int r = 0;

	if (ok)
		return 0;
	if (o->row.undoing && o->automatic && !o->row.cancel)
		r = cvms_set_ended(vmm_db(v), c->id, ENDED_FAILED, e);
	else if (o->row.undoing || (o->row.cancel && !cvm_is_up(c)))
		r = set_desired(v, c, DESIRED_STOPPED, e);
	return r || !stopped || !vmm_settings(v)->release_on_stop
		       ? r
		       : capacity_hold_cpu(v, c, false, e);
}

static int finish_stop(struct vmm *v, struct op_run *o, const struct cvm_row *c, bool ok,
		       struct err *e)
{
	(void)o;
	if (!ok)
		return 0;
	return vmm_settings(v)->release_on_stop ? capacity_hold_cpu(v, c, false, e) : 0;
}

static int finish_shutdown(struct vmm *v, struct op_run *o, const struct cvm_row *c, bool ok,
			   struct err *e)
{
	struct op_row follower;

	if (ok || !cvm_is_up(c))
		return finish_stop(v, o, c, true, e);
	if (ops_queued_of(vmm_db(v), c->id, &follower, e) == 0)
		return 0;
	return set_desired(v, c, DESIRED_RUNNING, e);
}

static int finish_delete(struct vmm *v, struct op_run *o, const struct cvm_row *c, bool ok,
			 struct err *e)
{
	assert(o->row.kind == OP_DELETE);
	return ok ? cvm_delete(v, c, o->row.id, e) : 0;
}

/* ------------------------------------------------------------------ tables */

/* With TEEPOD_NEXT_TABLES these are the tables of a made-up later release, for tests of an upgrade
 * while operations run: "files" has another name, and a step is inserted before "define". */
#ifdef TEEPOD_NEXT_TABLES
#define TABLE_VERSION 3
#define FILES_STEP    "guest_files"

static int step_probe(struct step_job *j, struct err *e)
{
	auto_free char *path = cvm_file_path(j, "hda.img");

	return access(path, F_OK) ? err_sys(e, errno, "check %s", path) : 0;
}

#define PROBE_STEP { .name = "probe", .work = { step_probe, WAITS_NOTHING, STEP_FILES_S } },
static const struct step_rename renames[] = { { 3, "files", FILES_STEP }, { 0 } };
#define RENAMES .renames = renames,
#else
#define TABLE_VERSION 2
#define FILES_STEP    "files"
#define PROBE_STEP
#define RENAMES
#endif

/* Undoing a create removes all that it made. Undoing a start keeps what existed before it. */
#define START_STEPS(FILES_UNDO, DISK_UNDO, DISK_UNSAVE, DEFINE_UNDO)                            \
	{ .name = FILES_STEP,                                                                   \
	  .enter = step_enter_boot,                                                             \
	  .work = { step_files, WAITS_LIBVIRT, STEP_FILES_S },                                  \
	  .save = step_save_files,                                                              \
	  .undo = { FILES_UNDO, WAITS_NOTHING, STEP_FILES_S } },                                \
		{ .name = "disk",                                                               \
		  .work = { step_disk, WAITS_NOTHING, STEP_FILES_S },                           \
		  .save = step_save_disk,                                                       \
		  .undo = { DISK_UNDO, WAITS_NOTHING, STEP_FILES_S },                           \
		  .unsave = DISK_UNSAVE },                                                      \
		PROBE_STEP{ .name = "define",                                                   \
			    .work = { step_define, WAITS_LIBVIRT, STEP_LIBVIRT_S },             \
			    .undo = { DEFINE_UNDO, WAITS_LIBVIRT, STEP_LIBVIRT_S } },           \
		{ .name = "start",                                                              \
		  .work = { step_start, WAITS_QEMU, STEP_START_S },                             \
		  .save = step_save_started,                                                    \
		  .undo = STEP_END_GUEST },                                                     \
		{ .name = "forwards", .work = { step_forwards, WAITS_QEMU, STEP_FORWARDS_S } }, \
	{                                                                                       \
		.name = "boot", .flags = STEP_KEEP, .ready = step_booted,                       \
		.limit_s = step_boot_limit                                                      \
	}

static const struct step create_steps[] = {
	{ .name = "reserve" },
	START_STEPS(step_remove, step_undo_disk, step_unsave_disk, step_undefine),
};

static const struct step start_steps[] = {
	{ .name = "reserve" },
	START_STEPS(NULL, NULL, NULL, NULL),
};

static const struct step stop_steps[] = {
	{ .name = "stop",
	  .flags = STEP_KEEP,
	  .enter = step_enter_stopped,
	  .work = STEP_END_GUEST,
	  .save = step_save_off },
};

static const struct step shutdown_steps[] = {
	{ .name = "signal",
	  .flags = STEP_KEEP | STEP_OPTIONAL,
	  .enter = step_enter_stopped,
	  .work = { step_power_button, WAITS_QEMU, STEP_BUTTON_S },
	  .save = step_save_signal },
	{ .name = "wait",
	  .flags = STEP_KEEP,
	  .ready = step_shut_down,
	  .limit_s = step_graceful_limit },
	{ .name = "stop", .flags = STEP_KEEP, .work = STEP_END_GUEST, .save = step_save_off },
};

static const struct step restart_steps[] = {
	{ .name = "check",
	  .flags = STEP_KEEP,
	  .work = { step_check, WAITS_NOTHING, STEP_FILES_S },
	  .save = step_save_check },
	{ .name = "signal",
	  .flags = STEP_KEEP | STEP_OPTIONAL,
	  .work = { step_signal, WAITS_QEMU, STEP_BUTTON_S },
	  .save = step_save_signal },
	{ .name = "wait",
	  .flags = STEP_KEEP,
	  .ready = step_down_or_late,
	  .limit_s = step_graceful_limit },
	{ .name = "stop", .flags = STEP_KEEP, .work = STEP_END_GUEST, .save = step_save_off },
	START_STEPS(NULL, NULL, NULL, NULL),
};

static const struct step delete_steps[] = {
	{ .name = "stop",
	  .flags = STEP_KEEP,
	  .enter = step_enter_delete,
	  .work = STEP_END_GUEST,
	  .save = step_save_off },
	{ .name = "undefine",
	  .flags = STEP_KEEP,
	  .work = { step_undefine, WAITS_LIBVIRT, STEP_LIBVIRT_S } },
	{ .name = "remove",
	  .flags = STEP_KEEP,
	  .work = { step_remove, WAITS_NOTHING, STEP_FILES_S } },
};

static const struct step resume_steps[] = {
	{ .name = "resume",
	  .flags = STEP_KEEP,
	  .enter = step_enter_running,
	  .work = { step_resume, WAITS_QEMU, STEP_LIBVIRT_S },
	  .save = step_save_started },
};

#define TABLE(s) .version = TABLE_VERSION, RENAMES.steps = (s), .n = (int)ARRAY_SIZE(s)
static const struct op_table step_tables[OP_KINDS] = {
	[OP_CREATE] = { TABLE(create_steps), .first = 1, .cancellable = true,
			.finish = finish_create },
	[OP_START] = { TABLE(start_steps), .first = 1, .cancellable = true,
		       .finish = finish_start },
	[OP_STOP] = { TABLE(stop_steps), .finish = finish_stop },
	[OP_SHUTDOWN] = { TABLE(shutdown_steps), .cancellable = true, .finish = finish_shutdown },
	[OP_RESTART] = { TABLE(restart_steps), .cancellable = true, .finish = finish_start },
	[OP_DELETE] = { TABLE(delete_steps), .finish = finish_delete },
	[OP_RESUME] = { TABLE(resume_steps), .cancellable = true },
};

void steps_register(void)
{
	for (int k = 0; k < OP_KINDS; k++)
		if (step_tables[k].steps)
			op_register((enum op_kind)k, &step_tables[k]);
}
