/* SPDX-License-Identifier: Apache-2.0
 * store.h - the image store: import and removal of OS images, files and database rows together.
 *
 * Loop thread only. The store knows nothing about CVMs: what it needs of the node comes in as
 * callbacks. Queries that only read rows are in db/images.h, the state of the files is in state.h.
 */
#ifndef TEEPOD_IMAGES_STORE_H
#define TEEPOD_IMAGES_STORE_H

#include <stdbool.h>

#include <uv.h>

#include "base/err.h"

struct db;
struct image_row;
struct image_store;
struct turn;

/* All pointers are borrowed and must outlive the store. No callback may be NULL. */
struct image_store_config {
	uv_loop_t *loop;
	struct db *db;
	struct turn *turn;
	const char *dir; /* has one folder for each image */
	/* May images be changed? 0, or a negative error code with *e filled. */
	int (*may_change)(void *arg, struct err *e);
	/* [turn] Append the event to the event log. */
	int (*on_added)(void *arg, const struct image_row *row, struct err *e);
	int (*on_removed)(void *arg, const char *name, struct err *e);
	/* The node is closing: the store begins nothing new. */
	bool (*is_closing)(void *arg);
	/* Called in pairs around all work of the store. The store must not be freed between. */
	void (*on_begin)(void *arg);
	void (*on_end)(void *arg);
	void *arg;
};

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
