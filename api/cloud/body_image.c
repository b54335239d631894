/* SPDX-License-Identifier: Apache-2.0
 * body_image.c - request body of an image import.
 */
#include "api/cloud/body_image.h"

#include "base/array.h"
#include "base/json.h"

enum { OPT = FIELD_NULLABLE, PATH_BYTES_MAX = 4096 };

static const struct field image_import_fields[] = {
	{ "source", FIELD_STRING, FIELD_REQUIRED, 1, PATH_BYTES_MAX,
	  offsetof(struct image_body, source), NULL, NULL,
	  "absolute path of an image folder or tar file on the node" },
	{ "name", FIELD_STRING, OPT, 1, 64, offsetof(struct image_body, name), NULL, NULL,
	  "default: the name of the folder" },
};

const struct field_table image_import_table = { "ImageImportRequest", image_import_fields,
						ARRAY_SIZE(image_import_fields), true };

int parse_image_body(const json_t *body, struct image_body *ret, struct err *e)
{
	struct image_body q = { 0 };
	int r = fields_read(&image_import_table, body, "", &q, e);

	if (!r && q.source[0] != '/')
		return err_field(e, ERR_INVALID, "source", q.source,
				 "source is %.60s; allowed: an absolute path on the node",
				 q.source);
	if (!r)
		*ret = q;
	return r;
}
