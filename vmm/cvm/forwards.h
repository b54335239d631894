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

/* [job] Forward the host ports to the running guest of @c. A forward that exists is no error. */
int forwards_add(struct hypervisor *hv, const struct cvm_row *c, const struct port_row *ports,
		 size_t n, bool fresh, struct err *e);
/* [job] The same, and no longer those of @from that are not among @to. A guest that ended meanwhile
 * has none: success. */
int forwards_change(struct hypervisor *hv, const struct cvm_row *c, const struct port_row *from,
		    size_t n_from, const struct port_row *to, size_t n_to, struct err *e);
/* A TD runs, whoever started it: apply its port forwards again, in a job. A failure is logged.
 * Nothing for other guests. */
void forwards_renew(struct vmm *v, const struct cvm_row *c, bool fresh);

#endif
