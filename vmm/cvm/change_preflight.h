/* SPDX-License-Identifier: Apache-2.0
 * change_preflight.h - would a change fit?.
 */
#ifndef TEEPOD_VMM_CVM_CHANGE_PREFLIGHT_H
#define TEEPOD_VMM_CVM_CHANGE_PREFLIGHT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>
#include "base/err.h"
#include "db/cvms.h"
#include "vmm/cvm/change.h"

struct vmm;

/* A change of a CVM that exists. 0 and NULL: as it is. */
struct preflight_request {
	int64_t vcpus, memory_mib, disk_gib;
	const char *image;
	json_t *manifest; /* app-compose object, borrowed */
};

struct change_fit {
	struct cvm_row after;
	char *manifest, *manifest_after; /* app-compose.json, owned */
	bool changes[CHANGES];           /* what would differ */
	bool restart; /* it runs, and none of this can be done to a running guest */
};

/* Would the change fit, with what the CVM holds already? 0, or the refusal it would get. Nothing is
 * changed or promised. */
int vmm_preflight_change(struct vmm *v, const struct cvm_row *cvm,
			 const struct preflight_request *ask, struct change_fit *ret,
			 struct err *e);
void change_fit_free(struct change_fit *f);

#endif
