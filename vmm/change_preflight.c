/* SPDX-License-Identifier: Apache-2.0
 * change_preflight.c - what a change of a CVM would make of it, and whether that fits beside all others.
 */
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/own.h"
#include "vmm/quota.h"
#include "vmm/world.h"

static bool is_up(const struct cvm_row *c)
{
	return c->observed == OBSERVED_RUNNING || c->observed == OBSERVED_PAUSED;
}

static int nothing_to_change(const struct change_ask *ask, struct err *e)
{
	if (ask->vcpus || ask->memory_mib || ask->disk_gib || ask->image || ask->manifest)
		return 0;
	return err_field(e, ERR_INVALID, "body", NULL,
			 "nothing to change is named: vcpu, memory, disk_size, image or compose_file");
}

/* How its shares of NUMA nodes would be cut anew is only known to a create. */
static int huge_pages_stay(const struct cvm_row *c, const struct change_ask *ask, struct err *e)
{
	const char *field = ask->memory_mib && ask->memory_mib != c->memory_mib ? "memory"
			    : ask->vcpus && ask->vcpus != c->vcpus              ? "vcpu"
										: NULL;

	if (!c->hugepages || !field)
		return 0;
	err_field(e, ERR_UNSUPPORTED, field, NULL,
		  "%s has its memory in hugepages of NUMA nodes, which stay as they were given", c->name);
	return err_hint(e, "create a new CVM of the size you need");
}

/* A CVM that gave its vCPUs and memory back when it stopped will need all of them again. */
static int would_fit(struct vmm *v, const struct cvm_row *before, const struct cvm_row *after, struct err *e)
{
	struct cvm_row needs = *after;
	int r;

	needs.holds_cpu = true;
	r = quota_check(v, before->workspace, before, &needs, e);
	return r ? r : capacity_change_would_fit(v, before, &needs, e);
}

static void compare(const struct cvm_row *before, const struct cvm_row *after, struct change_fit *f)
{
	f->changes[CHANGE_VCPU] = before->vcpus != after->vcpus;
	f->changes[CHANGE_MEMORY] = before->memory_mib != after->memory_mib;
	f->changes[CHANGE_DISK] = before->disk_gib != after->disk_gib;
	f->changes[CHANGE_IMAGE] = before->image != after->image;
	f->changes[CHANGE_COMPOSE] = strcmp(before->compose_hash, after->compose_hash) != 0;
	for (int i = 0; i < CHANGES; i++)
		f->restart = f->restart || (f->changes[i] && is_up(before));
}

int vmm_preflight_change(struct vmm *v, const struct cvm_row *cvm, const struct change_ask *ask,
			 struct change_fit *ret, struct err *e)
{
	struct change_fit f = { 0 };
	struct admission a = { 0 };
	int r = nothing_to_change(ask, e);

	if (!r)
		r = huge_pages_stay(cvm, ask, e);
	if (!r)
		r = admit_change(v, cvm, ask, &a, e);
	if (!r)
		r = would_fit(v, cvm, &a.row, e);
	if (!r)
		r = vmm_manifest(v, cvm, &f.manifest, e);
	if (!r) {
		f.after = a.row;
		f.manifest_after = xstrdup(a.manifest ? a.manifest : f.manifest);
		compare(cvm, &a.row, &f);
		*ret = f;
	}
	admission_free(&a);
	return r;
}

void change_fit_free(struct change_fit *f)
{
	free(f->manifest);
	free(f->manifest_after);
	f->manifest = f->manifest_after = NULL;
}
