/* SPDX-License-Identifier: Apache-2.0
 * images.h - rows of OS images. For the common rules of these functions see db.h.
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
	bool serial_progress; /* the guest reports its boot on the serial console */
	int64_t bytes, created_ms;
};

int images_add(struct db *db, const struct image_row *row, int64_t *ret_id, struct err *e);
int images_remove(struct db *db, int64_t id, struct err *e);
/* Its files as they were when their content was verified: images.h, image_record_read(). "" =
 * not known. *ret malloc'd. */
int images_files(struct db *db, int64_t id, char **ret, struct err *e);
int images_set_files(struct db *db, int64_t id, const char *files, struct err *e);
/* CVMs made from it, or being changed to or from it. */
int images_used(struct db *db, int64_t id, struct err *e);
int images_by_name(struct db *db, const char *name, struct image_row *ret, struct err *e);
/* Newest of @family ("" = any); @dev: 1 only dev, 0 only production, -1 either. */
int images_newest(struct db *db, const char *family, int dev, struct image_row *ret, struct err *e);
/* Newest first. *ret malloc'd. @dev as above. Returns the total. */
int images_list(struct db *db, int dev, int64_t offset, int64_t limit, struct image_row **ret,
		size_t *n, struct err *e);

#endif
