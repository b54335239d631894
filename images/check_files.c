/* SPDX-License-Identifier: Apache-2.0
 * check_files.c - compares the files of all images with the database, for teepod --check-db.
 *
 * Nothing is changed. Images whose files have other sizes or times than recorded are hashed.
 */
#include <stdlib.h>

#include "base/buf.h"
#include "base/own.h"
#include "base/strings.h"
#include "db/images.h"
#include "images/check_files.h"
#include "images/images.h"

static int image_check_row(struct db *db, const char *dir, const struct image_row *row,
			   struct buf *out)
{
	auto_free char *path = xasprintf("%s/%s", dir, row->name), *files = NULL, *now = NULL;
	struct err e;

	if (!images_files(db, row->id, &files, &e) &&
	    !image_check(path, row->name, row->os_image_hash, files, &now, &e))
		return 0;
	buf_printf(out, "%s\n", e.text);
	return 1;
}

int images_check_files(struct db *db, const char *dir, struct buf *out, struct err *e)
{
	auto_free struct image_row *rows = NULL;
	size_t n = 0;
	int r = images_list(db, -1, 0, -1, &rows, &n, e), findings = 0;

	for (size_t i = 0; r >= 0 && i < n; i++)
		findings += image_check_row(db, dir, &rows[i], out);
	return r < 0 ? r : findings;
}
