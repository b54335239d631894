/* SPDX-License-Identifier: Apache-2.0
 * check_files.c - compares the files of images and disks with the database, for teepod --check-db.
 *
 * Nothing is changed, and a daemon may run at the same time. Of disks only kind and size are
 * checked. Images: images/check_files.c.
 */
#include <stdlib.h>

#include "base/buf.h"
#include "base/own.h"
#include "base/strings.h"
#include "db/cvms.h"
#include "images/check_files.h"
#include "vmm/guest/check_files.h"
#include "vmm/guest/disk.h"

static int check_disk_file(const char *state_dir, const struct cvm_row *c, struct buf *out)
{
	auto_free char *path = xasprintf("%s/cvms/%s/hda.img", state_dir, c->uuid);
	struct err e;

	/* During a change the disk may have the old or the new size. */
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
		findings += check_disk_file(state_dir, &rows[i], out);
	return r < 0 ? r : findings;
}

int vmm_check_files(const char *state_dir, const char *images_dir, struct buf *out, struct err *e)
{
	auto_free char *path = xasprintf("%s/teepod.db", state_dir);
	struct db *db = NULL;
	int images = 0, disks = 0, r = db_open_read(path, &db, e);

	if (r)
		return r;
	images = images_check_files(db, images_dir, out, e);
	disks = images < 0 ? images : check_disks(db, state_dir, out, e);
	db_close(db);
	return disks < 0 ? disks : images + disks;
}
