/* SPDX-License-Identifier: Apache-2.0
 * admit_machine.h - rules of a request about TDX, networks and volumes.
 */
#ifndef TEEPOD_VMM_ADMIT_ADMIT_MACHINE_H
#define TEEPOD_VMM_ADMIT_ADMIT_MACHINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>
#include "base/err.h"

struct cvm_request;
struct cvm_row;
struct vmm;

/* Copy the registers of a TD into the row. ERR_INCOMPATIBLE if c->tdx is false and registers are
 * given. */
int admit_registers(const struct cvm_request *req, struct cvm_row *c, struct err *e);
/* Decide whether the CVM is a TD (c->tdx). ERR_UNAVAILABLE until the hypervisor is connected. */
int admit_tee(struct vmm *v, const struct cvm_request *req, struct cvm_row *c, struct err *e);
/* The interfaces into c->networks. ERR_INVALID for a bridge that is not offered. */
int admit_networks(struct vmm *v, const struct cvm_request *req, struct cvm_row *c, struct err *e);
/* ERR_INCOMPATIBLE if ports are forwarded and no interface is on a user network. */
int admit_ports(const struct cvm_row *c, size_t n_ports, struct err *e);
/* Check the volumes that @manifest names (volumes.h). */
int admit_volumes(const struct vmm *v, const json_t *manifest, struct err *e);
/* ERR_IMAGE_MISMATCH if the image of @c must run in a TEE and @c is an ordinary VM. */
int tee_allows(const struct vmm *v, const struct cvm_row *c, struct err *e);

#endif
