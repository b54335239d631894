/* SPDX-License-Identifier: Apache-2.0
 * measure_request.c - serve measurement requests of the loop with jobs, and cache the results per
 * image.
 *
 * The files of an image are compared with its record (images/record.c), so the image's name and
 * hash identify them. A firmware of the node can be replaced, so a job compares stat(2) values
 * before it uses a cached result. Requests for files that are being read for the first time wait
 * for that job: a hundred requests for a new image read it once. Jobs of one image run one after
 * another: if its files differ from the record, the first job hashes them and updates the record,
 * and the others use it.
 *
 * A request stays in the list until its job has ended, even when it was answered at its deadline.
 * Jobs use only values of their request.
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/lanes.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/own.h"
#include "base/strings.h"
#include "db/cvms.h"
#include "db/images.h"
#include "db/turn.h"
#include "images/images.h"
#include "vmm/guest/machine.h"
#include "vmm/guest/measure.h"
#include "vmm/host/kernel_file.h"
#include "vmm/node/node.h"
#include "vmm/node/settings.h"
#include "vmm/tdx/file_measures.h"
#include "vmm/tdx/mr_config.h"
#include "vmm/virt/hypervisor.h"

enum { KEPT_MAX = 32, WORK_MS = 600 * 1000 };

/* Identifies the files and the host properties that change their measurements. */
struct measure_key {
	char image[IMAGE_NAME], hash[SHA256_HEX], qemu[16];
	uint64_t memory_mib; /* 0: measurements do not depend on it with this QEMU */
};

struct measure_cached {
	struct measure_key key;
	struct file_measures files;
};

struct measure_request {
	struct measure_request *next;
	struct vmm *v;
	struct measure_key key;
	bool running;
	bool reading; /* no result is cached for these files */
	bool late;    /* past its deadline: other requests no longer wait for this job */
	/* inputs of the job */
	struct vmm_settings set;
	struct hv_caps caps;
	struct cvm_row cvm;
	char *manifest, *dir, *seed_dir,
		*image_dir;    /* owned; seed_dir NULL: the CVM does not exist */
	char *image_files;     /* owned; NULL: the image has no record */
	char *image_files_now; /* owned; set by the job; NULL: equal to the record */
	char domain[80];
	struct file_measures known;
	/* results of the job */
	struct measurements measured;
	struct file_measures files;
	bool failed;
	struct err err;
	measured_fn *done;
	void *arg;
};

struct measuring {
	struct measure_request *first; /* oldest first: jobs of one image run in this order */
	struct measure_cached kept[KEPT_MAX]; /* newest first */
	unsigned n;
};

struct measuring *measuring_new(void)
{
	return xcalloc(1, sizeof(struct measuring));
}

void measuring_free(struct measuring *m)
{
	assert(!m || !m->first);
	free(m);
}

static void measure_start_jobs(struct vmm *v);

static bool measure_key_equal(const struct measure_key *a, const struct measure_key *b)
{
	return !strcmp(a->image, b->image) && !strcmp(a->hash, b->hash) &&
	       !strcmp(a->qemu, b->qemu) && a->memory_mib == b->memory_mib;
}

static const struct measure_cached *measure_cache_find(const struct measuring *m,
						       const struct measure_key *key)
{
	for (unsigned i = 0; i < m->n; i++)
		if (measure_key_equal(&m->kept[i].key, key))
			return &m->kept[i];
	return NULL;
}

/* Put a result at the front of the cache. Drops the oldest one if the cache is full. */
static void measure_cache_put(struct measuring *m, const struct measure_key *key,
			      const struct file_measures *files)
{
	unsigned i = 0;

	assert(m->n <= KEPT_MAX);
	while (i < m->n && !measure_key_equal(&m->kept[i].key, key))
		i++;
	if (i == m->n)
		m->n = m->n < KEPT_MAX ? m->n + 1 : KEPT_MAX;
	i = i < KEPT_MAX ? i : KEPT_MAX - 1;
	memmove(&m->kept[1], &m->kept[0], i * sizeof(m->kept[0]));
	m->kept[0] = (struct measure_cached){ *key, *files };
}

static void measure_work(void *arg)
{
	struct measure_request *a = arg;
	uint8_t seed[INSTANCE_SEED_LEN];
	struct image_boot boot;
	const struct machine_in in = { .set = &a->set,
				       .caps = &a->caps,
				       .cvm = &a->cvm,
				       .manifest = a->manifest,
				       .boot = &boot,
				       .dir = a->dir,
				       .image_dir = a->image_dir,
				       .domain = a->domain,
				       .vsock = kernel_exists("", "/dev/vhost-vsock"),
				       .instance_seed = a->seed_dir ? seed : NULL };
	int r = !a->image_files ? 0
				: image_check(a->image_dir, a->cvm.image_name, a->cvm.image_hash,
					      a->image_files, &a->image_files_now, &a->err);

	if (!r)
		r = image_boot_read(a->image_dir, &boot, &a->err);
	if (a->seed_dir)
		mr_config_seed(a->seed_dir, a->cvm.uuid, seed);
	if (!r)
		r = measure(&in, a->reading ? NULL : &a->known, &a->measured, &a->files, &a->err);
	a->failed = r != 0;
}

static void measure_request_free(struct measure_request *a)
{
	struct measure_request **at = &vmm_measuring(a->v)->first;

	while (*at != a) {
		assert(*at);
		at = &(*at)->next;
	}
	*at = a->next;
	measurements_free(&a->measured);
	free(a->manifest);
	free(a->dir);
	free(a->seed_dir);
	free(a->image_dir);
	free(a->image_files);
	free(a->image_files_now);
	free(a);
}

static void measure_reply(struct measure_request *a, const struct err *e)
{
	measured_fn *done = a->done;

	a->done = NULL;
	if (done)
		done(a->arg, e ? NULL : &a->measured, e);
}

/* ------------------------------------------------------------------ image record */

struct record_renewal {
	struct vmm *v;
	int64_t image;
	char *was, *now; /* owned */
};

/* Update the record, unless the image was imported again meanwhile. */
static int file_stamps_renew_turn(void *arg, struct err *e)
{
	const struct record_renewal *w = arg;
	auto_free char *files = NULL;
	int r = images_files(vmm_db(w->v), w->image, &files, e);

	if (r)
		return r == -ERR_NOT_FOUND ? 0 : r;
	return strcmp(files, w->was) != 0 ? 0 : images_set_files(vmm_db(w->v), w->image, w->now, e);
}

static void file_stamps_renewed(void *arg, const struct err *e)
{
	struct record_renewal *w = arg;
	struct vmm *v = w->v;

	if (e)
		log_warn("cannot update the record of an image: %s", e->text);
	free(w->was);
	free(w->now);
	free(w);
	vmm_job_end(v);
}

/* Update the record in the database, and the copies of it in waiting requests. */
static void file_stamps_renew(const struct measure_request *a)
{
	struct vmm *v = a->v;
	struct record_renewal *w;

	for (struct measure_request *b = vmm_measuring(v)->first; b; b = b->next) {
		if (b->running || strcmp(b->image_dir, a->image_dir) != 0 || !b->image_files ||
		    strcmp(b->image_files, a->image_files) != 0)
			continue;
		free(b->image_files);
		b->image_files = xstrdup(a->image_files_now);
	}
	if (vmm_is_closing(v))
		return;
	w = xcalloc(1, sizeof(*w));
	*w = (struct record_renewal){ .v = v, .image = a->cvm.image };
	w->was = xstrdup(a->image_files);
	w->now = xstrdup(a->image_files_now);
	vmm_job_begin(v);
	turn_run(vmm_turn(v), file_stamps_renew_turn, file_stamps_renewed, w);
}

/* The deadline of a job has passed: answer its request. Requests that wait for this job start their
 * own, with a new deadline. */
static void measure_late(void *arg)
{
	struct measure_request *a = arg;
	struct err e;

	err_set(&e, ERR_TIMEOUT, "the files of the image could not be measured within %d s",
		WORK_MS / 1000);
	a->late = true;
	measure_reply(a, &e);
	measure_start_jobs(a->v);
}

static void measure_done(void *arg, enum job_end end)
{
	struct measure_request *a = arg;
	struct vmm *v = a->v;

	assert(a->running);
	if (end == JOB_DROPPED)
		a->failed = err_set(&a->err, ERR_UNAVAILABLE,
				    "the measurement was cancelled before it started") != 0;
	else if (!a->failed && a->cvm.tdx)
		measure_cache_put(vmm_measuring(v), &a->key, &a->files);
	if (a->image_files_now)
		file_stamps_renew(a);
	measure_reply(a, a->failed ? &a->err : NULL);
	measure_request_free(a);
	measure_start_jobs(v);
	vmm_job_end(v);
}

static bool measure_image_busy(const struct measuring *m, const struct measure_request *other)
{
	for (const struct measure_request *a = m->first; a; a = a->next)
		if (a->running && !a->late && !strcmp(a->image_dir, other->image_dir))
			return true;
	return false;
}

static void measure_start_jobs(struct vmm *v)
{
	static const struct job_calls calls = { .lane = LANE_BULK,
						.what = "measure an image",
						.deadline_ms = WORK_MS,
						.work = measure_work,
						.done = measure_done,
						.late = measure_late };

	for (struct measure_request *a = vmm_measuring(v)->first; a; a = a->next) {
		const struct measure_cached *kept;

		if (a->running || measure_image_busy(vmm_measuring(v), a))
			continue;
		kept = measure_cache_find(vmm_measuring(v), &a->key);
		a->running = true;
		a->reading = a->cvm.tdx && !kept;
		a->known = kept ? kept->files : (struct file_measures){ 0 };
		(void)job_start(vmm_settings(v)->loop, &calls, a);
	}
}

/* ------------------------------------------------------------------ requests */

static void measure_key_set(struct measure_request *a)
{
	(void)snprintf(a->key.image, sizeof(a->key.image), "%s", a->cvm.image_name);
	(void)snprintf(a->key.hash, sizeof(a->key.hash), "%s", a->cvm.image_hash);
	(void)snprintf(a->key.qemu, sizeof(a->key.qemu), "%s", a->caps.qemu);
	a->key.memory_mib =
		qemu_leaves_kernel_alone(a->caps.qemu) ? 0 : (uint64_t)a->cvm.given_memory_mib;
}

static struct measure_request *measure_request_new(struct vmm *v, const struct hv_caps *caps,
						   const struct cvm_row *cvm, const char *manifest)
{
	struct measure_request *a = xcalloc(1, sizeof(*a));
	struct err ignored;

	*a = (struct measure_request){
		.v = v, .set = *vmm_settings(v), .caps = *caps, .cvm = *cvm
	};
	/* A row without reservations has no granted resources yet. */
	if (!a->cvm.given_vcpus)
		a->cvm.given_vcpus = cvm->vcpus;
	if (!a->cvm.given_memory_mib)
		a->cvm.given_memory_mib = cvm->memory_mib;
	a->manifest = xstrdup(manifest);
	a->dir = cvm_dir(v, cvm->uuid);
	a->seed_dir = *cvm->uuid ? xasprintf("%s/shared", a->dir) : NULL;
	a->image_dir = image_dir(v, cvm->image_name);
	(void)images_files(vmm_db(v), cvm->image, &a->image_files, &ignored);
	cvm_domain_name(cvm->uuid, a->domain);
	measure_key_set(a);
	return a;
}

struct measure_refusal {
	measured_fn *done;
	void *arg;
	struct vmm *v;
	struct loop_timer *timer;
};

static void measure_refuse(void *arg)
{
	struct measure_refusal *r = arg;
	struct vmm *v = r->v;
	struct err e;

	err_set(&e, ERR_UNAVAILABLE,
		"the hypervisor is not connected yet, so its machine type is unknown");
	err_hint(&e, "try again when /readyz answers 200");
	r->done(r->arg, NULL, &e);
	free(r);
	vmm_job_end(v);
}

static void measure_refuse_later(struct vmm *v, measured_fn *done, void *arg)
{
	struct measure_refusal *r = xcalloc(1, sizeof(*r));

	*r = (struct measure_refusal){ .done = done, .arg = arg, .v = v };
	vmm_job_begin(v);
	(void)loop_after(vmm_settings(v)->loop, 0, measure_refuse, r, &r->timer);
}

void measure_with(struct vmm *v, const struct hv_caps *caps, const struct cvm_row *cvm,
		  const char *manifest, measured_fn *done, void *arg)
{
	struct measure_request *a = measure_request_new(v, caps, cvm, manifest), **last;

	assert_loop_thread();
	vmm_job_begin(v);
	a->done = done;
	a->arg = arg;
	last = &vmm_measuring(v)->first;
	while (*last)
		last = &(*last)->next;
	*last = a;
	measure_start_jobs(v);
}

void vmm_measure(struct vmm *v, const struct cvm_row *cvm, const char *manifest, measured_fn *done,
		 void *arg)
{
	const struct hv_caps *caps = hv_caps(vmm_hv(v));

	if (caps)
		measure_with(v, caps, cvm, manifest, done, arg);
	else
		measure_refuse_later(v, done, arg);
}
