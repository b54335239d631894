/* SPDX-License-Identifier: Apache-2.0
 * admission.h - the result of an admission: the CVM that a request describes. See admit.h.
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
	struct cvm_row row; /* complete except id, CID and UUID */
	struct image_row image;
	char *manifest;             /* app-compose.json text, owned */
	struct device_row *devices; /* chosen for the CVM, owned */
	size_t n_devices;
	struct placement placement;
	/* Of a change: the placement was chosen anew; the devices or the attach mode differ. */
	bool nodes_change, devices_change;
	struct revision_row revision; /* flags and hash; its manifest is @manifest, borrowed */
};

#endif
