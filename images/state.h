/* SPDX-License-Identifier: Apache-2.0
 * state.h - state of the files of images.
 */
#ifndef TEEPOD_IMAGES_STATE_H
#define TEEPOD_IMAGES_STATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "vmm/logs/serial_scan.h"

struct image_row;
struct vmm;

enum image_state {
	IMAGE_AVAILABLE,
	IMAGE_MISSING, /* its folder, or a file of it */
	IMAGE_CHANGED, /* size or time of a file is not what was recorded: its content is compared
			  before a CVM starts from it */
	IMAGE_UNKNOWN, /* could not be looked at */
	IMAGE_STATES
};

struct image_look {
	enum image_state state;
	char reason[320]; /* ASCII; "" if available */
};

extern const char *const image_state_word[IMAGE_STATES]; /* "available", ... */
/* The state of the files of @rows, found out in a job: @done on the loop, with @n of them;
 * perhaps before this returns. */
void vmm_images_look(struct vmm *v, const struct image_row *rows, size_t n,
		     void (*done)(void *arg, const struct image_look *looks), void *arg);

#endif
