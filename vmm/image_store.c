/* SPDX-License-Identifier: Apache-2.0
 * image_store.c - files and rows of OS images, kept together.
 *
 * Import: files first, row after them; a crash between leaves a folder without a row, which is no
 * image, and importing it again finds it whole. Delete: row first, so that nobody can begin to use
 * it, files after. Imports run side by side. The files of an image are removed while no import
 * runs, or an import could find an image whole that is being taken away, and not at all if one
 * brought the row back; left-overs of dead imports at any time (import.c: locks).
 *
 * What an import answers is the hash of what it brought, or an error: a row of that name with
 * another hash is a conflict. A folder that is gone, or damaged, while its row has the hash of what
 * was brought, is put back.
 *
 * After the start all images are held against what is recorded (record.c). A start of a CVM does
 * the same (steps.c); lists only tell what size and time of each file say.
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "base/lanes.h"
#include "base/log.h"
#include "base/own.h"
#include "base/strings.h"
#include "db/images.h"
#include "db/turn.h"
#include "images/images.h"
#include "vmm/image_store.h"
#include "vmm/logs/serial_scan.h"
#include "vmm/node/node.h"
#include "vmm/node/owner.h"
#include "vmm/node/world.h"
#include "vmm/node/event.h"

struct store_job {
	struct store_job *next;
	struct vmm *v;
	bool alone;
	void (*before)(void *arg); /* loop thread, when its time has come; may be NULL */
	void (*work)(void *arg);
	void (*done)(void *arg, enum job_end end);
	void *arg;
};

/* An image has some gigabytes, and may come from a slow disk. */
enum { STORE_MS = 2 * 3600 * 1000 };

static void store_go(struct vmm *v);

static void store_work(void *arg)
{
	struct store_job *j = arg;

	j->work(j->arg);
}

static void store_done(void *arg, enum job_end end)
{
	struct store_job *j = arg;
	struct vmm *v = j->v;

	v->store.running--;
	v->store.alone = false;
	j->done(j->arg, end);
	free(j);
	store_go(v);
}

static void store_go(struct vmm *v)
{
	static const struct job_calls calls = { .lane = LANE_BULK,
						.what = "files of an OS image",
						.deadline_ms = STORE_MS,
						.work = store_work,
						.done = store_done };
	struct store_job *j;

	while ((j = v->store.first) && !v->store.alone && !(j->alone && v->store.running)) {
		v->store.first = j->next;
		v->store.running++;
		v->store.alone = j->alone;
		if (j->before)
			j->before(j->arg);
		(void)job_start(vmm_settings(v)->loop, &calls, j);
	}
}

static void store_job(const struct store_job *job)
{
	struct store_job *j = xmalloc(sizeof(*j)), **last = &job->v->store.first;

	*j = *job;
	while (*last)
		last = &(*last)->next;
	*last = j;
	store_go(j->v);
}

/* ------------------------------------------------------------------ import */

struct import {
	struct vmm *v;
	char *source, *name;
	const char *store;
	int64_t workspace;
	void (*done)(void *arg, const struct image_row *row, const struct err *e);
	void *arg;
	struct image_known *known; /* ended by an empty name */
	struct image image;
	struct image_boot boot;
	char *files; /* as they were when they were verified */
	struct image_row row;
	bool failed;
	struct err err;
};

static void import_before(void *arg)
{
	struct import *i = arg;
	auto_free struct image_row *rows = NULL;
	size_t n = 0;

	i->failed = owner_allows(i->v, &i->err) < 0 ||
		    images_list(vmm_db(i->v), -1, 0, -1, &rows, &n, &i->err) < 0;
	i->known = xcalloc(n + 1, sizeof(*i->known));
	for (size_t k = 0; !i->failed && k < n; k++) {
		memcpy(i->known[k].name, rows[k].name, sizeof(i->known[k].name));
		memcpy(i->known[k].hash, rows[k].os_image_hash, sizeof(i->known[k].hash));
	}
}

static void import_work(void *arg)
{
	struct import *i = arg;
	auto_free char *dir = NULL;
	int r;

	if (i->failed)
		return;
	r = image_import(i->store, i->source, i->name, i->known, &i->image, &i->files, &i->err);
	if (!r) {
		dir = xasprintf("%s/%s", i->store, i->image.name);
		r = image_boot_read(dir, &i->boot, &i->err);
	}
	i->failed = r != 0;
}

static void row_of(const struct import *i, struct image_row *row)
{
	*row = (struct image_row){ .nv = i->image.nv,
				   .is_dev = i->image.is_dev,
				   .serial_progress = i->boot.serial_progress,
				   .bytes = (int64_t)i->image.bytes,
				   .created_ms = i->image.created_ms };
	memcpy(row->name, i->image.name, sizeof(row->name));
	memcpy(row->family, i->image.family, sizeof(row->family));
	memcpy(row->version, i->image.version, sizeof(row->version));
	memcpy(row->os_image_hash, i->image.os_image_hash, sizeof(row->os_image_hash));
	memcpy(row->v, i->image.v, sizeof(row->v));
}

static int import_turn(void *arg, struct err *e)
{
	struct import *i = arg;
	struct image_row row;
	int r = images_by_name(vmm_db(i->v), i->image.name, &row, e);
	bool added = r == -ERR_NOT_FOUND;

	if (!r && strcmp(row.os_image_hash, i->image.os_image_hash) != 0)
		return err_field(
			e, ERR_CONFLICT, "name", row.name,
			"an image of this name with other content was imported meanwhile (%s)",
			row.os_image_hash);
	if (added) {
		row_of(i, &row);
		r = images_add(vmm_db(i->v), &row, &row.id, e);
	}
	if (!r)
		r = images_set_files(vmm_db(i->v), row.id, i->files, e);
	if (!r && added)
		r = event(i->v, NULL, "", "image.added", e, "{s:s, s:s}", "name", row.name,
			  "os_image_hash", row.os_image_hash);
	if (!r)
		i->row = row;
	return r;
}

static void import_over(void *arg, const struct err *e)
{
	struct import *i = arg;
	struct vmm *v = i->v;

	i->done(i->arg, e ? NULL : &i->row, e);
	free(i->source);
	free(i->name);
	free(i->known);
	free(i->files);
	free(i);
	vmm_job_end(v);
}

static void import_done(void *arg, enum job_end end)
{
	struct import *i = arg;

	if (end == JOB_DROPPED)
		i->failed = err_set(&i->err, ERR_UNAVAILABLE,
				    "the import was given up before it began") != 0;
	if (i->failed)
		import_over(i, &i->err);
	else
		turn_run(vmm_turn(i->v), import_turn, import_over, i);
}

void vmm_image_import(struct vmm *v, const char *source, const char *name, int64_t workspace,
		      void (*done)(void *arg, const struct image_row *row, const struct err *e),
		      void *arg)
{
	struct import *i = xcalloc(1, sizeof(*i));

	*i = (struct import){ .v = v,
			      .store = vmm_settings(v)->images_dir,
			      .workspace = workspace,
			      .done = done,
			      .arg = arg };
	i->source = xstrdup(source);
	i->name = name && *name ? xstrdup(name) : NULL;
	vmm_job_begin(v);
	store_job(&(struct store_job){ .v = v,
				       .before = import_before,
				       .work = import_work,
				       .done = import_done,
				       .arg = i });
}

/* ------------------------------------------------------------------ delete */

struct removal {
	struct vmm *v;
	char name[IMAGE_NAME];
	void (*done)(void *arg, const struct err *e);
	void *arg;
	struct err err;
	bool failed, kept;
};

static int remove_turn(void *arg, struct err *e)
{
	struct removal *m = arg;
	struct image_row row;
	int r = owner_allows(m->v, e), used;

	if (r)
		return r;
	r = images_by_name(vmm_db(m->v), m->name, &row, e);
	if (r)
		return r == -ERR_NOT_FOUND ? err_field(e, ERR_NOT_FOUND, "image", m->name,
						       "no image %s", m->name)
					   : r;
	used = images_used(vmm_db(m->v), row.id, e);
	if (used < 0)
		return used;
	if (used) {
		err_field(e, ERR_IN_USE, "image", m->name, "image %s is used by %d CVMs", m->name,
			  used);
		return err_hint(e, "delete or upgrade these CVMs first");
	}
	r = images_remove(vmm_db(m->v), row.id, e);
	return r ? r : event(m->v, NULL, "", "image.removed", e, "{s:s}", "name", m->name);
}

static void remove_over(struct removal *m, const struct err *e)
{
	struct vmm *v = m->v;

	m->done(m->arg, e);
	free(m);
	vmm_job_end(v);
}

static void remove_before(void *arg)
{
	struct removal *m = arg;
	struct image_row row;
	struct err ignored;

	m->kept = images_by_name(vmm_db(m->v), m->name, &row, &ignored) != -ERR_NOT_FOUND;
}

static void remove_work(void *arg)
{
	struct removal *m = arg;

	if (m->kept)
		return;
	m->failed = image_remove_files(vmm_settings(m->v)->images_dir, m->name, &m->err) != 0;
}

/* Dropped: the row is gone, the files stay until the image is imported and deleted again. */
static void remove_done(void *arg, enum job_end end)
{
	struct removal *m = arg;

	if (end == JOB_DROPPED)
		m->failed = err_set(&m->err, ERR_UNAVAILABLE,
				    "the files of image %s were not removed in time", m->name) != 0;

	remove_over(m, m->failed ? &m->err : NULL);
}

static void remove_committed(void *arg, const struct err *e)
{
	struct removal *m = arg;

	if (e || vmm_is_closing(m->v))
		remove_over(m, e);
	else
		store_job(&(struct store_job){ .v = m->v,
					       .alone = true,
					       .before = remove_before,
					       .work = remove_work,
					       .done = remove_done,
					       .arg = m });
}

void vmm_image_delete(struct vmm *v, const char *name, void (*done)(void *arg, const struct err *e),
		      void *arg)
{
	struct removal *m = xcalloc(1, sizeof(*m));

	*m = (struct removal){ .v = v, .done = done, .arg = arg };
	(void)snprintf(m->name, sizeof(m->name), "%.64s", name);
	vmm_job_begin(v);
	turn_run(vmm_turn(v), remove_turn, remove_committed, m);
}

/* ------------------------------------------------------------------ held against the record */

struct recheck {
	struct vmm *v;
	struct image_row row;
	char *dir, *files, *now; /* as recorded; as they are, NULL: the same */
	bool failed;
	struct err err;
};

static void recheck_work(void *arg)
{
	struct recheck *c = arg;

	c->failed = image_check(c->dir, c->row.name, c->row.os_image_hash, c->files, &c->now,
				&c->err) < 0;
}

static int recheck_turn(void *arg, struct err *e)
{
	struct recheck *c = arg;

	return images_set_files(vmm_db(c->v), c->row.id, c->now, e);
}

static void recheck_over(void *arg, const struct err *e)
{
	struct recheck *c = arg;
	struct vmm *v = c->v;

	if (e)
		log_warn("the files of image %s are not recorded: %s", c->row.name, e->text);
	free(c->dir);
	free(c->files);
	free(c->now);
	free(c);
	vmm_job_end(v);
}

static void recheck_done(void *arg, enum job_end end)
{
	struct recheck *c = arg;

	if (end == JOB_WORKED && c->failed)
		log_error("%s; %s", c->err.text, c->err.hint);
	if (end == JOB_WORKED && c->now && !vmm_is_closing(c->v))
		turn_run(vmm_turn(c->v), recheck_turn, recheck_over, c);
	else
		recheck_over(c, NULL);
}

static void recheck(struct vmm *v, const struct image_row *row)
{
	struct recheck *c = xcalloc(1, sizeof(*c));

	*c = (struct recheck){ .v = v, .row = *row, .dir = image_dir(v, row->name) };
	vmm_job_begin(v);
	if (images_files(vmm_db(v), row->id, &c->files, &c->err) < 0)
		recheck_over(c, &c->err);
	else
		store_job(&(struct store_job){
			.v = v, .work = recheck_work, .done = recheck_done, .arg = c });
}

static void clear_work(void *arg)
{
	struct removal *m = arg;

	m->failed = image_remove_files(vmm_settings(m->v)->images_dir, NULL, &m->err) != 0;
}

static void cleared(void *arg, const struct err *e)
{
	(void)arg;
	if (e)
		log_warn("left-overs of imports are not removed: %s", e->text);
}

void images_check(struct vmm *v)
{
	struct removal *m = xcalloc(1, sizeof(*m));
	auto_free struct image_row *rows = NULL;
	struct err e;
	size_t n = 0;

	*m = (struct removal){ .v = v, .done = cleared };
	vmm_job_begin(v);
	store_job(&(struct store_job){ .v = v, .work = clear_work, .done = remove_done, .arg = m });
	if (images_list(vmm_db(v), -1, 0, -1, &rows, &n, &e) < 0)
		log_error("images are not verified: %s", e.text);
	for (size_t i = 0; i < n; i++)
		recheck(v, &rows[i]);
}

/* ------------------------------------------------------------------ development mode */

static void demo_imported(void *arg, const struct image_row *row, const struct err *e)
{
	struct vmm *v = arg;

	v->demo_imports--;
	if (e)
		log_warn("demo image not imported: %s", e->text);
	else
		log_info("image %s is there", row->name);
}

/* It has no row, or no whole folder. */
static bool is_wanted(struct vmm *v, const char *name)
{
	auto_free char *dir = image_dir(v, name), *files = NULL;
	struct image_row row;
	struct err e;

	if (images_by_name(vmm_db(v), name, &row, &e) == -ERR_NOT_FOUND)
		return true;
	return !images_files(vmm_db(v), row.id, &files, &e) &&
	       image_record_check(dir, files, &e) == -ERR_NOT_FOUND;
}

void images_import_demo(struct vmm *v)
{
	DIR *d = vmm_settings(v)->import_demo_images && vmm_settings(v)->demo_images_dir
			 ? opendir(vmm_settings(v)->demo_images_dir)
			 : NULL;

	if (!d)
		return;
	for (struct dirent *de; (de = readdir(d));) {
		auto_free char *path = NULL;

		if (de->d_name[0] == '.' || !is_wanted(v, de->d_name))
			continue;
		path = xasprintf("%s/%s", vmm_settings(v)->demo_images_dir, de->d_name);
		v->demo_imports++;
		vmm_image_import(v, path, NULL, vmm_default_workspace(v), demo_imported, v);
	}
	closedir(d);
}
