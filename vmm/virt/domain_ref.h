/* SPDX-License-Identifier: Apache-2.0
 * domain_ref.h - internal to virt/: a domain that a job works on, with its connection.
 */
#ifndef TEEPOD_VMM_VIRT_DOMAIN_REF_H
#define TEEPOD_VMM_VIRT_DOMAIN_REF_H

#include <stdbool.h>

#include <libvirt/libvirt.h>

#include "base/err.h"
#include "vmm/virt/hv_lease.h"

struct domain_ref {
	struct hv_lease lease;
	virDomainPtr dom;
};

/* [job] Find the domain with @uuid. ERR_NOT_FOUND: there is none. */
int domain_ref_open(struct hypervisor *h, const char *uuid, enum hv_answer answer,
		    struct domain_ref *ret, struct err *e);
/* [job] The same; ERR_NOT_FOUND also if the domain does not run. */
int domain_ref_open_running(struct hypervisor *h, const char *uuid, enum hv_answer answer,
			    struct domain_ref *ret, struct err *e);
/* [job] Does nothing if @ref is zero-initialised. */
void domain_ref_close(struct domain_ref *ref);

#define auto_domain_ref __attribute__((cleanup(domain_ref_close)))

/* [job] False also for a domain that was removed meanwhile. */
bool domain_is_active(virDomainPtr dom);
/* ERR_NOT_FOUND "domain does not run". */
int domain_not_running(struct err *e);

#endif
