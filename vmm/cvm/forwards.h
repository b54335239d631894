/* SPDX-License-Identifier: Apache-2.0
 * forwards.h - port forwards of running guests.
 */
#ifndef TEEPOD_VMM_CVM_FORWARDS_H
#define TEEPOD_VMM_CVM_FORWARDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct hypervisor;

struct cvm_row;
struct port_row;
struct vmm;

/* [job] Add the port forwards to the running guest of @c. A forward that exists is no error.
 * @fresh: see hv_forward_add(). */
int forwards_add(struct hypervisor *hv, const struct cvm_row *c, const struct port_row *ports,
		 size_t n, bool fresh, struct err *e);
/* [job] Replace the forwards @from by @to: remove those that are not in @to, and add @to. Success
 * if the guest has ended meanwhile, because its forwards ended with it. */
int forwards_change(struct hypervisor *hv, const struct cvm_row *c, const struct port_row *from,
		    size_t n_from, const struct port_row *to, size_t n_to, struct err *e);
/* A TD has started or was adopted: add its port forwards again, in a job. A failure is logged. Does
 * nothing for other guests. */
void forwards_renew(struct vmm *v, const struct cvm_row *c, bool fresh);

#endif
