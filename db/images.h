/* SPDX-License-Identifier: Apache-2.0
 * images.h - rows of OS images. The rules for all row functions: db.h.
 */
#ifndef TEEPOD_DB_IMAGES_H
#define TEEPOD_DB_IMAGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/id.h"
#include "db/db.h"

struct image_row {
	int64_t id;
	char name[65], family[65], version[32], os_image_hash[SHA256_HEX];
	unsigned v[4], nv;
	bool is_dev;
	bool serial_progress; /* the guest reports boot progress on its serial console */
	int64_t bytes, created_ms;
};

int images_add(struct db *db, const struct image_row *row, int64_t *ret_id, struct err *e);
int images_remove(struct db *db, int64_t id, struct err *e);
/* The record of its files, made when they were verified: see image_record_read(). "": not known.
 * *ret is malloc'd. */
int images_files(struct db *db, int64_t id, char **ret, struct err *e);
int images_set_files(struct db *db, int64_t id, const char *files, struct err *e);
/* Number of CVMs that use it, or are being changed to or from it. */
int images_used(struct db *db, int64_t id, struct err *e);
int images_by_name(struct db *db, const char *name, struct image_row *ret, struct err *e);
/* The newest image of @family ("": any). @dev: 1 development, 0 production, -1 both. */
int images_newest(struct db *db, const char *family, int dev, struct image_row *ret, struct err *e);
/* By family, newest version first. @dev: see images_newest(). Returns the number on all pages. */
int images_list(struct db *db, int dev, int64_t offset, int64_t limit, struct image_row **ret,
		size_t *n, struct err *e);

#endif
