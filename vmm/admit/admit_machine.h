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

/* Registers of a TD into the row, whose tdx is set; refused for an ordinary VM. */
int admit_registers(const struct cvm_request *req, struct cvm_row *c, struct err *e);
int admit_tee(struct vmm *v, const struct cvm_request *req, struct cvm_row *c, struct err *e);
int admit_networks(struct vmm *v, const struct cvm_request *req, struct cvm_row *c, struct err *e);
/* Ports can be led only to an interface on a user network. */
int admit_ports(const struct cvm_row *c, size_t n_ports, struct err *e);
int admit_volumes(const struct vmm *v, const json_t *manifest, struct err *e);
/* May @c run as what its row says it is? */
int tee_allows(const struct vmm *v, const struct cvm_row *c, struct err *e);

#endif
