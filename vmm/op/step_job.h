/* SPDX-License-Identifier: Apache-2.0
 * step_job.h - the values that the job of a step works on.
 *
 * The job owns them, so that its operation can continue without it at any time.
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
	struct err placement_error; /* .code is ERR_NONE, or why the CVM has no valid placement any
				       more: steps that start a guest then fail with this error */
	char *manifest;
	struct cvm_blobs blobs;
	struct change_row change;     /* .op is "" if the operation changes nothing */
	struct port_row *other_ports; /* of the state in @change */
	size_t n_other_ports;
	char *dir, *image_dir;
	char *image_files; /* as recorded; the steps "check" and "files" store the present ones in
			      image_files_now */
	char *image_files_now; /* NULL: unchanged */
	char domain[80];
	bool force, restart, new_disk;
};

#endif
