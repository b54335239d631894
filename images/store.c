/* SPDX-License-Identifier: Apache-2.0
 * store.c - import and removal of OS images: keeps files and database rows consistent.
 *
 * What must hold: an image that has a row has a complete folder. Therefore an import writes the
 * files first and the row last. After a crash in between there is a folder without a row, which is
 * not an image; the next import of the same image uses it. A removal deletes the row first, so that
 * no new CVM can use the image, and the files afterwards.
 *
 * Imports run in parallel. The files of an image are removed only while no import runs: otherwise
 * an import could verify a folder that is being removed. If an import has added the row again
 * meanwhile, the files stay. Temporary folders of dead imports can be removed at any time, because
 * import.c locks those in use.
 *
 * An image that is imported again must have the hash of its row, otherwise the import is a
 * conflict. If its folder is missing or damaged, the import replaces it.
 *
 * After start the files of all images are compared with their records (record.c). The start of a
 * CVM does the same. Lists of images compare only sizes and times (state.c).
 */
#include <assert.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "base/fd.h"
#include "base/lanes.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/own.h"
#include "base/strings.h"
#include "db/images.h"
#include "db/turn.h"
#include "images/images.h"
#include "images/store.h"
#include "images/store_context.h"

/* A job on files of the store. */
struct store_job {
	struct store_job *next;
	struct image_store *s;
	bool alone;                /* must not run beside another job of the store */
	void (*before)(void *arg); /* loop thread, right before the job starts; may be NULL */
	void (*work)(void *arg);
	void (*done)(void *arg, enum job_end end);
	void *arg;
};

/* Images have some gigabytes and may come from a slow disk. */
enum { STORE_MS = 2 * 3600 * 1000 };

struct image_store *image_store_new(const struct image_store_config *cfg)
{
	struct image_store *s = xcalloc(1, sizeof(*s));

	assert_loop_thread();
	assert(cfg->loop && cfg->db && cfg->turn && cfg->dir);
	assert(cfg->may_change && cfg->on_added && cfg->on_removed && cfg->is_closing);
	assert(cfg->on_begin && cfg->on_end);
	s->cfg = *cfg;
	return s;
}

void image_store_free(struct image_store *s)
{
	assert(!s || (!s->first && !s->running && !s->late_checks));
	free(s);
}

char *image_store_path(const struct image_store *s, const char *name)
{
	return xasprintf("%s/%s", s->cfg.dir, name);
}

unsigned image_store_demo_imports(const struct image_store *s)
{
	return s->demo_imports;
}

/* ------------------------------------------------------------------ jobs */

static void store_jobs_start(struct image_store *s);

static void store_job_work(void *arg)
{
	struct store_job *j = arg;

	j->work(j->arg);
}

static void store_job_done(void *arg, enum job_end end)
{
	struct store_job *j = arg;
	struct image_store *s = j->s;

	assert(s->running);
	assert(!s->alone || s->running == 1);
	s->running--;
	s->alone = false;
	j->done(j->arg, end);
	free(j);
	store_jobs_start(s);
}

static void store_jobs_start(struct image_store *s)
{
	static const struct job_calls calls = { .lane = LANE_BULK,
						.what = "files of an OS image",
						.deadline_ms = STORE_MS,
						.work = store_job_work,
						.done = store_job_done };
	struct store_job *j;

	while ((j = s->first) && !s->alone && !(j->alone && s->running)) {
		s->first = j->next;
		s->running++;
		s->alone = j->alone;
		if (j->before)
			j->before(j->arg);
		(void)job_start(s->cfg.loop, &calls, j);
	}
}

static void store_job_add(const struct store_job *job)
{
	struct store_job *j = xmalloc(sizeof(*j)), **last = &job->s->first;

	*j = *job;
	while (*last)
		last = &(*last)->next;
	*last = j;
	store_jobs_start(j->s);
}

/* ------------------------------------------------------------------ import */

struct image_import_job {
	struct image_store *s;
	char *source, *name;
	void (*done)(void *arg, const struct image_row *row, const struct err *e);
	void *arg;
	struct image_known *known; /* all images with rows; ended by an empty name */
	struct image image;
	struct image_boot boot;
	char *files; /* record of the files, made when they were verified */
	struct image_row row;
	bool failed;
	struct err err;
};

static void image_import_before(void *arg)
{
	struct image_import_job *i = arg;
	auto_free struct image_row *rows = NULL;
	size_t n = 0;

	i->failed = i->s->cfg.may_change(i->s->cfg.arg, &i->err) < 0 ||
		    images_list(i->s->cfg.db, -1, 0, -1, &rows, &n, &i->err) < 0;
	i->known = xcalloc(n + 1, sizeof(*i->known));
	for (size_t k = 0; !i->failed && k < n; k++) {
		memcpy(i->known[k].name, rows[k].name, sizeof(i->known[k].name));
		memcpy(i->known[k].hash, rows[k].os_image_hash, sizeof(i->known[k].hash));
	}
}

static void image_import_work(void *arg)
{
	struct image_import_job *i = arg;
	auto_free char *dir = NULL;
	int r;

	if (i->failed)
		return;
	r = image_import(i->s->cfg.dir, i->source, i->name, i->known, &i->image, &i->files,
			 &i->err);
	if (!r) {
		dir = xasprintf("%s/%s", i->s->cfg.dir, i->image.name);
		r = image_boot_read(dir, &i->boot, &i->err);
	}
	i->failed = r != 0;
}

static void image_import_row(const struct image_import_job *i, struct image_row *row)
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

static int image_import_turn(void *arg, struct err *e)
{
	struct image_import_job *i = arg;
	struct image_row row;
	int r = images_by_name(i->s->cfg.db, i->image.name, &row, e);
	bool added = r == -ERR_NOT_FOUND;

	if (!r && strcmp(row.os_image_hash, i->image.os_image_hash) != 0)
		return err_field(e, ERR_CONFLICT, "name", row.name,
				 "an image of this name with another hash was imported at the same "
				 "time (%s)",
				 row.os_image_hash);
	if (added) {
		image_import_row(i, &row);
		r = images_add(i->s->cfg.db, &row, &row.id, e);
	}
	if (!r)
		r = images_set_files(i->s->cfg.db, row.id, i->files, e);
	if (!r && added)
		r = i->s->cfg.on_added(i->s->cfg.arg, &row, e);
	if (!r)
		i->row = row;
	return r;
}

static void image_import_over(void *arg, const struct err *e)
{
	struct image_import_job *i = arg;
	struct image_store *s = i->s;

	i->done(i->arg, e ? NULL : &i->row, e);
	free(i->source);
	free(i->name);
	free(i->known);
	free(i->files);
	free(i);
	s->cfg.on_end(s->cfg.arg);
}

static void image_import_done(void *arg, enum job_end end)
{
	struct image_import_job *i = arg;

	if (end == JOB_DROPPED)
		i->failed = err_set(&i->err, ERR_UNAVAILABLE,
				    "the import was cancelled before it started") != 0;
	if (i->failed)
		image_import_over(i, &i->err);
	else
		turn_run(i->s->cfg.turn, image_import_turn, image_import_over, i);
}

void image_store_import(struct image_store *s, const char *source, const char *name,
			void (*done)(void *arg, const struct image_row *row, const struct err *e),
			void *arg)
{
	struct image_import_job *i = xcalloc(1, sizeof(*i));

	assert_loop_thread();
	*i = (struct image_import_job){ .s = s, .done = done, .arg = arg };
	i->source = xstrdup(source);
	i->name = name && *name ? xstrdup(name) : NULL;
	s->cfg.on_begin(s->cfg.arg);
	store_job_add(&(struct store_job){ .s = s,
					   .before = image_import_before,
					   .work = image_import_work,
					   .done = image_import_done,
					   .arg = i });
}

/* ------------------------------------------------------------------ removal */

struct image_removal {
	struct image_store *s;
	char name[IMAGE_NAME];
	void (*done)(void *arg, const struct err *e);
	void *arg;
	struct err err;
	bool failed;
	bool kept; /* the row exists (again): the files stay */
};

static int image_remove_turn(void *arg, struct err *e)
{
	struct image_removal *m = arg;
	struct image_row row;
	int r = m->s->cfg.may_change(m->s->cfg.arg, e), used;

	if (r)
		return r;
	r = images_by_name(m->s->cfg.db, m->name, &row, e);
	if (r == -ERR_NOT_FOUND)
		return err_field(e, ERR_NOT_FOUND, "image", m->name, "no image %s", m->name);
	if (r)
		return r;
	used = images_used(m->s->cfg.db, row.id, e);
	if (used < 0)
		return used;
	if (used) {
		err_field(e, ERR_IN_USE, "image", m->name, "image %s is used by %d CVMs", m->name,
			  used);
		return err_hint(e, "delete or upgrade these CVMs first");
	}
	r = images_remove(m->s->cfg.db, row.id, e);
	return r ? r : m->s->cfg.on_removed(m->s->cfg.arg, m->name, e);
}

static void image_remove_over(struct image_removal *m, const struct err *e)
{
	struct image_store *s = m->s;

	m->done(m->arg, e);
	free(m);
	s->cfg.on_end(s->cfg.arg);
}

static void image_remove_before(void *arg)
{
	struct image_removal *m = arg;
	struct image_row row;
	struct err ignored;

	m->kept = images_by_name(m->s->cfg.db, m->name, &row, &ignored) != -ERR_NOT_FOUND;
}

static void image_remove_work(void *arg)
{
	struct image_removal *m = arg;

	if (m->kept)
		return;
	m->failed = image_remove_files(m->s->cfg.dir, m->name, &m->err) != 0;
}

/* If the job was dropped, the row is gone and the files stay until the image is imported and
 * removed again. */
static void image_remove_done(void *arg, enum job_end end)
{
	struct image_removal *m = arg;

	if (end == JOB_DROPPED)
		m->failed = err_set(&m->err, ERR_UNAVAILABLE,
				    "the files of image %s were not removed before the node closed",
				    m->name) != 0;

	image_remove_over(m, m->failed ? &m->err : NULL);
}

static void image_remove_committed(void *arg, const struct err *e)
{
	struct image_removal *m = arg;

	if (e || m->s->cfg.is_closing(m->s->cfg.arg))
		image_remove_over(m, e);
	else
		store_job_add(&(struct store_job){ .s = m->s,
						   .alone = true,
						   .before = image_remove_before,
						   .work = image_remove_work,
						   .done = image_remove_done,
						   .arg = m });
}

void image_store_remove(struct image_store *s, const char *name,
			void (*done)(void *arg, const struct err *e), void *arg)
{
	struct image_removal *m = xcalloc(1, sizeof(*m));

	*m = (struct image_removal){ .s = s, .done = done, .arg = arg };
	(void)snprintf(m->name, sizeof(m->name), "%.64s", name);
	s->cfg.on_begin(s->cfg.arg);
	turn_run(s->cfg.turn, image_remove_turn, image_remove_committed, m);
}

/* ------------------------------------------------------------------ check against the records */

struct image_recheck {
	struct image_store *s;
	struct image_row row;
	char *dir;
	char *files; /* the record of the files */
	char *now;   /* the new record; NULL if it is unchanged */
	bool failed;
	struct err err;
};

static void image_recheck_work(void *arg)
{
	struct image_recheck *c = arg;

	c->failed = image_check(c->dir, c->row.name, c->row.os_image_hash, c->files, &c->now,
				&c->err) < 0;
}

static int image_recheck_turn(void *arg, struct err *e)
{
	struct image_recheck *c = arg;

	return images_set_files(c->s->cfg.db, c->row.id, c->now, e);
}

static void image_recheck_over(void *arg, const struct err *e)
{
	struct image_recheck *c = arg;
	struct image_store *s = c->s;

	if (e)
		log_warn("cannot record the files of image %s: %s", c->row.name, e->text);
	free(c->dir);
	free(c->files);
	free(c->now);
	free(c);
	s->cfg.on_end(s->cfg.arg);
}

static void image_recheck_done(void *arg, enum job_end end)
{
	struct image_recheck *c = arg;

	if (end == JOB_WORKED && c->failed)
		log_error("%s; %s", c->err.text, c->err.hint);
	if (end == JOB_WORKED && c->now && !c->s->cfg.is_closing(c->s->cfg.arg))
		turn_run(c->s->cfg.turn, image_recheck_turn, image_recheck_over, c);
	else
		image_recheck_over(c, NULL);
}

static void image_recheck_start(struct image_store *s, const struct image_row *row)
{
	struct image_recheck *c = xcalloc(1, sizeof(*c));

	*c = (struct image_recheck){ .s = s, .row = *row, .dir = image_store_path(s, row->name) };
	s->cfg.on_begin(s->cfg.arg);
	if (images_files(s->cfg.db, row->id, &c->files, &c->err) < 0)
		image_recheck_over(c, &c->err);
	else
		store_job_add(&(struct store_job){
			.s = s, .work = image_recheck_work, .done = image_recheck_done, .arg = c });
}

static void image_clear_work(void *arg)
{
	struct image_removal *m = arg;

	m->failed = image_remove_files(m->s->cfg.dir, NULL, &m->err) != 0;
}

static void image_cleared(void *arg, const struct err *e)
{
	(void)arg;
	if (e)
		log_warn("cannot remove temporary folders of imports: %s", e->text);
}

void image_store_check_all(struct image_store *s)
{
	struct image_removal *m = xcalloc(1, sizeof(*m));
	auto_free struct image_row *rows = NULL;
	struct err e;
	size_t n = 0;

	*m = (struct image_removal){ .s = s, .done = image_cleared };
	s->cfg.on_begin(s->cfg.arg);
	store_job_add(&(struct store_job){
		.s = s, .work = image_clear_work, .done = image_remove_done, .arg = m });
	if (images_list(s->cfg.db, -1, 0, -1, &rows, &n, &e) < 0)
		log_error("cannot list the images to verify: %s", e.text);
	for (size_t i = 0; i < n; i++)
		image_recheck_start(s, &rows[i]);
}

/* ------------------------------------------------------------------ development mode */

static void demo_imported(void *arg, const struct image_row *row, const struct err *e)
{
	struct image_store *s = arg;

	assert(s->demo_imports);
	s->demo_imports--;
	if (e)
		log_warn("cannot import a demo image: %s", e->text);
	else
		log_info("imported demo image %s", row->name);
}

/* The image has no row, or its folder is incomplete. */
static bool demo_is_wanted(const struct image_store *s, const char *name)
{
	auto_free char *dir = image_store_path(s, name), *files = NULL;
	struct image_row row;
	struct err e;

	if (images_by_name(s->cfg.db, name, &row, &e) == -ERR_NOT_FOUND)
		return true;
	return !images_files(s->cfg.db, row.id, &files, &e) &&
	       image_record_check(dir, files, &e) == -ERR_NOT_FOUND;
}

void image_store_import_demo(struct image_store *s, const char *dir)
{
	auto_closedir DIR *d = opendir(dir);

	if (!d)
		return;
	for (struct dirent *de; (de = readdir(d));) {
		auto_free char *path = NULL;

		if (de->d_name[0] == '.' || !demo_is_wanted(s, de->d_name))
			continue;
		path = xasprintf("%s/%s", dir, de->d_name);
		s->demo_imports++;
		image_store_import(s, path, NULL, demo_imported, s);
	}
}
