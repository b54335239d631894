/* SPDX-License-Identifier: Apache-2.0
 * step_job.h - the values that the job of a step works on.
 *
 * The job owns them, so that an operation can go on without the job at any time.
 */
#ifndef TEEPOD_VMM_OP_STEP_JOB_H
#define TEEPOD_VMM_OP_STEP_JOB_H

#include "db/changes.h"
#include "db/cvms.h"
#include "vmm/admit/placement.h"
#include "vmm/node/settings.h"
#include "vmm/virt/hypervisor.h"

struct device_row;
struct port_row;

/* Owned by the job and used by one thread at a time. Strings of the settings live as long as the
 * vmm. */
struct step_job {
	struct hypervisor *hv;
	struct vmm_settings set;
	struct hv_caps caps;
	struct cvm_row cvm;
	struct port_row *ports;
	size_t n_ports;
	struct device_row *devices; /* GPUs first, each kind by address */
	size_t n_devices;
	struct placement placement;
	struct err placement_error; /* .code is ERR_NONE, or why there is no place any more: steps
				   that start a guest fail with it */
	char *manifest;
	struct cvm_blobs blobs;
	struct change_row change;     /* .op is "" where nothing is changed */
	struct port_row *other_ports; /* of the state that @change is */
	size_t n_other_ports;
	char *dir, *image_dir;
	char *image_files; /* as recorded; the steps "check" and "files" leave them as they are now
			      in image_files_now */
	char *image_files_now; /* NULL: as recorded */
	char domain[80];
	bool force, restart, new_disk;
};

#endif
