/* SPDX-License-Identifier: Apache-2.0
 * volumes.h - read-only volumes that a manifest names: files of the node's volumes folder.
 *
 * dstack guests open them with dm-verity and the root hash of the measured manifest; the node only
 * attaches the files. Tenants choose the names, so a name is a single path component, and only
 * regular files directly in the folder are used.
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

/* The files for "verity_volumes" of @manifest, in its order; the same verity root is attached once.
 * @dir: the volumes folder; NULL or "": the node has none. ERR_INVALID or ERR_UNSUPPORTED names the
 * field (compose_file.verity_volumes[1].source ...). It calls lstat() on each file, so on the loop
 * it may be called only at admission. */
int volumes_of(const json_t *manifest, const char *dir, struct volumes *ret, struct err *e);
void volumes_free(struct volumes *v);
#define auto_volumes __attribute__((cleanup(volumes_free)))

#endif
