/* SPDX-License-Identifier: Apache-2.0
 * change_preflight.h - check whether a change of a CVM would fit.
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

/* A change of an existing CVM. 0 and NULL = unchanged. */
struct preflight_request {
	int64_t vcpus, memory_mib, disk_gib;
	const char *image;
	json_t *manifest; /* app-compose object, borrowed */
};

struct change_fit {
	struct cvm_row after;
	char *manifest, *manifest_after; /* app-compose.json texts, owned */
	bool changes[CHANGES];           /* fields that would change */
	bool restart;                    /* the CVM runs, and the change needs a restart */
};

/* Check whether the change fits, including what the CVM already holds. 0, or the error that an
 * update would return. Changes and reserves nothing. Free *ret with change_fit_free(). */
int vmm_preflight_change(struct vmm *v, const struct cvm_row *cvm,
			 const struct preflight_request *req, struct change_fit *ret,
			 struct err *e);
void change_fit_free(struct change_fit *f);

#endif
