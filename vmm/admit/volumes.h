/* SPDX-License-Identifier: Apache-2.0
 * volumes.h - the read-only volumes an app-compose asks for: files of the node's volumes folder.
 *
 * dstack's guests open them by dm-verity, with the root hash that stands in the measured manifest;
 * the node only attaches the files. They are named by the manifest, so by a tenant: a name is one
 * path component, and nothing but a regular file directly in the folder is ever opened.
 */
#ifndef TEEPOD_VMM_ADMIT_VOLUMES_H
#define TEEPOD_VMM_ADMIT_VOLUMES_H

#include <jansson.h>

#include "base/err.h"
#include "vmm/virt/domain_spec.h"

struct volumes {
	char *path[DOMAIN_VOLUMES]; /* owned */
	unsigned n;
};

/* The files for "verity_volumes" of @manifest, in its order, a verity root that comes twice only
 * once. @dir: the folder, NULL or "": the node has none. ERR_INVALID or ERR_UNSUPPORTED names the
 * field (compose_file.verity_volumes[1].source ...). Looks at the files' metadata, so it may be
 * called on the loop only at admission. */
int volumes_of(const json_t *manifest, const char *dir, struct volumes *ret, struct err *e);
void volumes_free(struct volumes *v);
#define auto_volumes __attribute__((cleanup(volumes_free)))

#endif
