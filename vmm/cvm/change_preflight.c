/* SPDX-License-Identifier: Apache-2.0
 * change_preflight.c - compute what a change would make of a CVM, and check that it fits.
 *
 * Nothing is written or reserved, so the answer can be outdated when the update arrives. The plan
 * is the one of an update: change.c.
 */
#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "base/strings.h"
#include "db/cvms.h"
#include "vmm/admit/capacity.h"
#include "vmm/admit/quota.h"
#include "vmm/cvm/change.h"
#include "vmm/cvm/change_preflight.h"
#include "vmm/admit/request.h"
#include "vmm/node/reads.h"

static int preflight_check_not_empty(const struct preflight_request *req, struct err *e)
{
	if (req->vcpus || req->memory_mib || req->disk_gib || req->image || req->manifest)
		return 0;
	return err_field(e, ERR_INVALID, "body", NULL,
			 "the body must change at least one of vcpu, memory, disk_size, image and "
			 "compose_file");
}

/* A stopped CVM may have released its vCPUs and memory. It needs all of them at its next start. */
static int preflight_check_start(struct vmm *v, const struct cvm_row *before,
				 const struct cvm_row *after, struct err *e)
{
	struct cvm_row needs = *after;
	int r;

	needs.holds_cpu = true;
	r = quota_check(v, before->workspace, before, &needs, e);
	return r ? r : capacity_change_would_fit(v, before, &needs, 0, e);
}

int vmm_preflight_change(struct vmm *v, const struct cvm_row *cvm,
			 const struct preflight_request *req, struct change_fit *ret, struct err *e)
{
	const struct update_request update = { .vcpus = req->vcpus,
					       .memory_mib = req->memory_mib,
					       .disk_gib = req->disk_gib,
					       .image = req->image,
					       .manifest = req->manifest,
					       .listed = -1 };
	auto_free char *manifest = NULL;
	struct cvm_change c = { 0 };
	int r = preflight_check_not_empty(req, e);

	/* The last known inventory is enough, because nothing is reserved. */
	if (!r)
		r = change_plan(v, cvm, &update, true, &c, e);
	if (!r)
		r = preflight_check_start(v, cvm, &c.a.row, e);
	if (!r)
		r = vmm_manifest(v, cvm, &manifest, e);
	if (!r) {
		*ret = (struct change_fit){ .after = c.a.row,
					    .manifest_after =
						    xstrdup(c.a.manifest ? c.a.manifest : manifest),
					    .restart = c.restart };
		memcpy(ret->changes, c.differs, sizeof(ret->changes));
		ret->manifest = take_ptr(&manifest);
	}
	change_free(&c);
	return r;
}

void change_fit_free(struct change_fit *f)
{
	free(f->manifest);
	free(f->manifest_after);
	f->manifest = f->manifest_after = NULL;
}
