/* SPDX-License-Identifier: Apache-2.0
 * update.c - a change of a CVM, as asked for.
 */
#include <stdlib.h>

#include "vmm/update.h"
#include "vmm/world.h"

int vmm_update(struct vmm *v, const struct cvm_row *cvm, const struct update_ask *ask,
	       const struct request_ref *ref, struct op_row *ret_op, struct err *e)
{
	(void)v;
	(void)ask;
	(void)ref;
	(void)ret_op;
	return err_set(e, ERR_UNSUPPORTED, "%s can not be changed yet", cvm->name);
}

int vmm_revisions(struct vmm *v, int64_t workspace, const char *app_id, int64_t offset, int64_t limit,
		  struct revision_info **ret, size_t *n, int64_t *ret_total, struct err *e)
{
	struct app_row app;
	int r = vmm_app(v, workspace, app_id, &app, e);

	(void)offset;
	(void)limit;
	if (r)
		return r;
	*ret = NULL;
	*n = 0;
	*ret_total = 0;
	return 0;
}

void revisions_free(struct revision_info *list, size_t n)
{
	(void)n;
	free(list);
}

int vmm_revision_manifest(struct vmm *v, int64_t workspace, const char *app_id, int64_t number, char **ret,
			  struct err *e)
{
	(void)v;
	(void)workspace;
	(void)app_id;
	(void)ret;
	return err_set(e, ERR_NOT_FOUND, "no revision %lld", (long long)number);
}
