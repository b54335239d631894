/* SPDX-License-Identifier: Apache-2.0
 * admission.h - the result of an admission: what a request would make of a CVM. See admit.h.
 */
#ifndef TEEPOD_VMM_ADMIT_ADMISSION_H
#define TEEPOD_VMM_ADMIT_ADMISSION_H

#include <stdbool.h>
#include <stddef.h>

#include "db/apps.h"
#include "db/cvms.h"
#include "db/images.h"
#include "vmm/admit/placement.h"

struct device_row;

struct admission {
	struct cvm_row row; /* complete but for id, CID, uuid */
	struct image_row image;
	char *manifest;             /* app-compose.json text, owned */
	struct device_row *devices; /* chosen for it, owned */
	size_t n_devices;
	struct placement placement;
	bool nodes_change, devices_change; /* for a change: do they differ from now? */
	struct revision_row revision;      /* flags and hash; manifest borrowed from above */
};

#endif
