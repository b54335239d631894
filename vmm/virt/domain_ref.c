/* SPDX-License-Identifier: Apache-2.0
 * domain_ref.c - find a domain, and release it and its connection afterwards.
 */
#include <assert.h>

#include "vmm/virt/domain_ref.h"
#include "vmm/virt/virt_error.h"

bool domain_is_active(virDomainPtr dom)
{
	return virDomainIsActive(dom) == 1;
}

int domain_not_running(struct err *e)
{
	return err_set(e, ERR_NOT_FOUND, "domain does not run");
}

int domain_ref_open(struct hypervisor *h, const char *uuid, enum hv_answer answer,
		    struct domain_ref *ret, struct err *e)
{
	struct domain_ref ref = { 0 };
	int r = hv_lease_begin(h, answer, &ref.lease, e);

	assert(!ret->dom && !ret->lease.h);
	if (r)
		return r;
	ref.dom = virDomainLookupByUUIDString(ref.lease.conn, uuid);
	if (!ref.dom) {
		r = virt_err(e, "find domain");
		domain_ref_close(&ref);
		return r;
	}
	*ret = ref;
	return 0;
}

int domain_ref_open_running(struct hypervisor *h, const char *uuid, enum hv_answer answer,
			    struct domain_ref *ret, struct err *e)
{
	int r = domain_ref_open(h, uuid, answer, ret, e);

	return r || domain_is_active(ret->dom) ? r : domain_not_running(e);
}

void domain_ref_close(struct domain_ref *ref)
{
	if (ref->dom)
		(void)virDomainFree(ref->dom);
	ref->dom = NULL;
	hv_lease_end(&ref->lease);
}
