/* SPDX-License-Identifier: Apache-2.0
 * devices.h - choose the GPUs of a CVM. Pure.
 */
#ifndef TEEPOD_VMM_ADMIT_DEVICES_H
#define TEEPOD_VMM_ADMIT_DEVICES_H

#include "vmm/admit/request.h"

struct gpu_settings;

struct capacity_row;
struct device_row;

/* Choose the devices of @req from @rows[n] (all devices of the host, by address): the slots it
 * names, the first free GPUs of the products it names, or all devices. *ret is malloc'd, GPUs
 * first, each kind by address; NULL and 0 if the request has no GPUs. The errors ERR_GPU,
 * ERR_GPU_BUSY and ERR_CAPACITY ("gpus") name the entry, e.g. "gpus.gpus[1].slot". They name the
 * CVM that holds a device only if it is of @workspace. */
int devices_choose(const struct gpu_settings *g, const struct cvm_request *req, int64_t workspace,
		   const struct device_row *rows, size_t n, struct device_row **ret, size_t *ret_n,
		   struct err *e);

/* Count the offered GPUs that work and that the host itself does not use (total), and those of them
 * that CVMs hold (promised). */
void devices_count(const struct device_row *rows, size_t n, struct capacity_row *ret);

extern const char *const gpu_attach_word[GPU_ATTACHES]; /* "", "listed", "all" */

#endif
