/* SPDX-License-Identifier: Apache-2.0
 * store_config.h - what the image store needs of the node.
 */
#ifndef TEEPOD_IMAGES_STORE_CONFIG_H
#define TEEPOD_IMAGES_STORE_CONFIG_H

#include <stdbool.h>

#include <uv.h>

#include "base/err.h"

struct db;
struct image_row;
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

#endif
