/* SPDX-License-Identifier: Apache-2.0
 * body_image.h - request body of an image import.
 */
#ifndef TEEPOD_API_CLOUD_BODY_IMAGE_H
#define TEEPOD_API_CLOUD_BODY_IMAGE_H

#include "base/json.h"

extern const struct field_table image_import_table;

struct image_body {
	const char *source, *name; /* name NULL: the image's own */
};

/* *ret borrows from @body. */
int parse_image_body(const json_t *body, struct image_body *ret, struct err *e);

#endif
