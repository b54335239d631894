/* SPDX-License-Identifier: Apache-2.0
 * store.h - the image store: import and removal of OS images, files and database rows together.
 *
 * Loop thread only. The store knows nothing about CVMs: what it needs of the node comes in as
 * callbacks. Queries that only read rows are in db/images.h, the state of the files is in state.h.
 */
#ifndef TEEPOD_IMAGES_STORE_H
#define TEEPOD_IMAGES_STORE_H

#include "base/err.h"
#include "images/store_config.h"

struct image_row;
struct image_store;

/* *cfg is copied. */
struct image_store *image_store_new(const struct image_store_config *cfg);
/* NULL is allowed. No work may be under way. */
void image_store_free(struct image_store *s);

/* Import an image from @source, a folder or a tar file on this host. @name: name of the image; NULL
 * or "": as in @source. @done is called once, with the row or with an error. If an image of that
 * name with the same hash exists, damaged files of it are replaced. ERR_CONFLICT if it has another
 * hash. */
void image_store_import(struct image_store *s, const char *source, const char *name,
			void (*done)(void *arg, const struct image_row *row, const struct err *e),
			void *arg);

/* Remove an image. @done is called once. ERR_NOT_FOUND; ERR_IN_USE while a CVM uses the image. */
void image_store_remove(struct image_store *s, const char *name,
			void (*done)(void *arg, const struct err *e), void *arg);

/* At start: remove temporary folders of interrupted imports, and compare the files of all images
 * with their records. Findings are logged. */
void image_store_check_all(struct image_store *s);

/* Development mode: import each image of folder @dir that has no row or no complete folder. */
void image_store_import_demo(struct image_store *s, const char *dir);
/* Number of those imports that are not finished. */
unsigned image_store_demo_imports(const struct image_store *s);

#endif
