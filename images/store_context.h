/* SPDX-License-Identifier: Apache-2.0
 * store_context.h - internal to images/ and its tests: the state of the image store, see store.h.
 */
#ifndef TEEPOD_IMAGES_STORE_CONTEXT_H
#define TEEPOD_IMAGES_STORE_CONTEXT_H

#include "images/store_config.h"

struct store_job;

struct image_store {
	struct image_store_config cfg;
	struct store_job *first; /* jobs that wait; store.c */
	unsigned running;        /* jobs that were started */
	bool alone;              /* the one that runs must not run beside another */
	unsigned demo_imports;   /* that are not finished */
	unsigned late_checks;    /* past their deadline, and still running; state.c */
};

/* Path of the folder of image @name, malloc'd. */
char *image_store_path(const struct image_store *s, const char *name);

#endif
