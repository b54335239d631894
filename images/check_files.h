/* SPDX-License-Identifier: Apache-2.0
 * check_files.h - compares the files of all images with the database.
 */
#ifndef TEEPOD_IMAGES_CHECK_FILES_H
#define TEEPOD_IMAGES_CHECK_FILES_H

#include "base/err.h"

struct buf;
struct db;

/* Blocking. Append one line per finding to @out. @dir: the image store. Returns the number of
 * findings, or a negative error code if the rows cannot be read. */
int images_check_files(struct db *db, const char *dir, struct buf *out, struct err *e);

#endif
