/* SPDX-License-Identifier: Apache-2.0
 * check_files.c - are the files there that the rows speak of? For teepod --check-db, beside a
 * daemon or without one.
 *
 * Nothing is changed. Disks are looked at from outside (kind and size); images whose files have
 * other sizes or times than recorded are hashed.
 */
#include <stdlib.h>

#include "base/buf.h"
#include "base/own.h"
#include "base/strings.h"
#include "db/cvms.h"
#include "db/images.h"
#include "images/images.h"
#include "vmm/guest/check_files.h"
#include "vmm/guest/disk.h"

static int check_image(struct db *db, const char *dir, const struct image_row *row, struct buf *out)
{
	auto_free char *path = xasprintf("%s/%s", dir, row->name), *files = NULL, *now = NULL;
	struct err e;

	if (!images_files(db, row->id, &files, &e) &&
	    !image_check(path, row->name, row->os_image_hash, files, &now, &e))
		return 0;
	buf_printf(out, "%s\n", e.text);
	return 1;
}

static int check_images(struct db *db, const char *dir, struct buf *out, struct err *e)
{
	auto_free struct image_row *rows = NULL;
	size_t n = 0;
	int r = images_list(db, -1, 0, -1, &rows, &n, e), findings = 0;

	for (size_t i = 0; r >= 0 && i < n; i++)
		findings += check_image(db, dir, &rows[i], out);
	return r < 0 ? r : findings;
}

static int check_disk(const char *state_dir, const struct cvm_row *c, struct buf *out)
{
	auto_free char *path = xasprintf("%s/cvms/%s/hda.img", state_dir, c->uuid);
	struct err e;

	/* One that a change works on may be of either size. */
	if (!c->disk_made || c->op_id[0] || !disk_check(path, c->disk_made, c->disk_gib, &e))
		return 0;
	buf_printf(out, "CVM %s: %s (%s)\n", c->name, e.text, path);
	return 1;
}

static int check_disks(struct db *db, const char *state_dir, struct buf *out, struct err *e)
{
	const struct cvm_filter all = { .listed = -1 };
	auto_free struct cvm_row *rows = NULL;
	size_t n = 0;
	int r = cvms_list(db, &all, 0, -1, &rows, &n, NULL, e), findings = 0;

	for (size_t i = 0; r >= 0 && i < n; i++)
		findings += check_disk(state_dir, &rows[i], out);
	return r < 0 ? r : findings;
}

int vmm_check_files(const char *state_dir, const char *images_dir, struct buf *out, struct err *e)
{
	auto_free char *path = xasprintf("%s/teepod.db", state_dir);
	struct db *db = NULL;
	int images = 0, disks = 0, r = db_open_read(path, &db, e);

	if (r)
		return r;
	images = check_images(db, images_dir, out, e);
	disks = images < 0 ? images : check_disks(db, state_dir, out, e);
	db_close(db);
	return disks < 0 ? disks : images + disks;
}
