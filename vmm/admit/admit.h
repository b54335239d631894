/* SPDX-License-Identifier: Apache-2.0
 * admit.h - the CVM that a request describes, or the error that refuses it. Loop thread only.
 */
#ifndef TEEPOD_VMM_ADMIT_ADMIT_H
#define TEEPOD_VMM_ADMIT_ADMIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "vmm/admit/admission.h"

struct cvm_request;
struct cvm_row;
struct update_request;
struct vmm;

/* Apply the rules, the instance type, the image and the defaults to a create request. Nothing is
 * reserved, and capacity is not checked. Free *a with admission_free(), also after a failure. */
int admit_create(struct vmm *v, int64_t workspace, const struct cvm_request *req,
		 struct admission *a, struct err *e);
/* The same for a change of @cvm: the fields that @req sets. */
int admit_change(struct vmm *v, const struct cvm_row *cvm, const struct update_request *req,
		 struct admission *a, struct err *e);
void admission_free(struct admission *a);
/* Parts of admission that need no database. */
int admit_name(const struct vmm *v, const char *name, struct err *e);
int admit_resources(const struct vmm *v, const struct cvm_request *req, struct cvm_row *c,
		    struct err *e);

#endif
