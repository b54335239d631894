/* SPDX-License-Identifier: Apache-2.0
 * state.h - whether the files of images still match their records, for lists of images.
 */
#ifndef TEEPOD_IMAGES_STATE_H
#define TEEPOD_IMAGES_STATE_H

#include <stddef.h>

struct image_row;
struct image_store;

enum image_state {
	IMAGE_AVAILABLE,
	IMAGE_MISSING, /* the folder or a file does not exist */
	IMAGE_CHANGED, /* size or time of a file differs from the record: the content is verified
			  before a CVM starts from the image */
	IMAGE_UNKNOWN, /* the folder could not be read in time */
	IMAGE_STATES
};

extern const char *const image_state_word[IMAGE_STATES]; /* "available", ... */

struct image_status {
	enum image_state state;
	char reason[320]; /* ASCII; "" if available */
};

/* Loop thread. Read the state of the files of @rows in a job. @done is called once, with @n
 * results in the order of @rows, perhaps before this function returns. @rows is not used after the
 * return. */
void image_states_read(struct image_store *s, const struct image_row *rows, size_t n,
		       void (*done)(void *arg, const struct image_status *results), void *arg);

#endif
