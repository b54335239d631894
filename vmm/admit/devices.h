/* SPDX-License-Identifier: Apache-2.0
 * devices.h - which GPUs may be asked for, and which of them a request gets. Pure.
 */
#ifndef TEEPOD_VMM_ADMIT_DEVICES_H
#define TEEPOD_VMM_ADMIT_DEVICES_H

#include "vmm/admit/request.h"

struct gpu_settings;

struct capacity_row;
struct device_row;

/* Choose from @rows[n] (all devices of the host, by address) what @req wants: the slots it names,
 * the lowest free ones of the products it names, or everything. *ret malloc'd, GPUs first, each
 * kind by address; NULL and 0 when it asks for none. ERR_GPU, ERR_GPU_BUSY or ERR_CAPACITY ("gpus")
 * name the entry, e.g. "gpus.gpus[1].slot". A holder of another workspace than
 * @workspace is not named. */
int devices_choose(const struct gpu_settings *g, const struct cvm_request *req, int64_t workspace,
		   const struct device_row *rows, size_t n, struct device_row **ret, size_t *ret_n,
		   struct err *e);

/* GPUs that are offered, well and not the host's own, and how many of them CVMs hold. */
void devices_count(const struct device_row *rows, size_t n, struct capacity_row *ret);

extern const char *const gpu_attach_word[GPU_ATTACHES]; /* "", "listed", "all" */

#endif
