/* SPDX-License-Identifier: Apache-2.0
 * update.c - accept an update of a CVM.
 *
 * One transaction reserves the additional resources, stores the new state beside the present one,
 * and begins the operation. The guest is touched only after the commit, by update_steps.c. The
 * plan is in change.c.
 */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/loop.h"
#include "db/cvms.h"
#include "db/operations.h"
#include "vmm/admit/admit_machine.h"
#include "vmm/cvm/change.h"
#include "vmm/cvm/power.h"
#include "vmm/cvm/update.h"
#include "vmm/node/node.h"
#include "vmm/op/op_begin.h"

static bool is_resize(enum change_of what)
{
	return what == CHANGE_VCPU || what == CHANGE_MEMORY || what == CHANGE_DISK ||
	       what == CHANGE_TYPE;
}

/* The kind follows from the fields that changed; if none changed, from the fields that the request
 * named. */
static enum op_kind update_op_kind(const struct update_request *req, const struct cvm_change *c)
{
	bool any = false;

	for (int i = 0; i < CHANGES; i++) {
		if (c->differs[i] && !is_resize((enum change_of)i))
			return OP_UPGRADE;
		any = any || c->differs[i];
	}
	return !any && (req->image || req->manifest || req->set_env || req->set_user_config ||
			req->set_ports || req->set_gpus || req->listed >= 0)
		       ? OP_UPGRADE
		       : OP_RESIZE;
}

static bool update_has_changes(const struct cvm_change *c)
{
	for (int i = 0; i < CHANGES; i++)
		if (c->differs[i])
			return true;
	return false;
}

/* Not ERR_BUSY: the same request is refused as long as the guest runs. */
static int update_check_restart(const struct vmm *v, const struct cvm_row *cvm,
				const struct cvm_change *c, const struct update_request *req,
				struct err *e)
{
	char what[128] = "";
	size_t n = 0;

	if (!c->restart)
		return 0;
	if (req->allow_restart)
		return tee_allows(v, &c->a.row, e);
	for (int i = 0; i < CHANGES && n < sizeof(what); i++)
		if (c->differs[i] && i != CHANGE_DISK && i != CHANGE_PORTS && i != CHANGE_LISTED &&
		    i != CHANGE_TYPE)
			n += (size_t)snprintf(what + n, sizeof(what) - n, "%s%s", n ? ", " : "",
					      change_word[i]);
	err_field(e, ERR_INCOMPATIBLE, "allow_restart", "false",
		  "%s is running, and a change of %s needs a restart, which the request does not "
		  "allow",
		  cvm->name, what);
	return err_hint(e, "set allow_restart, or stop the CVM first");
}

static int update_begin(struct vmm *v, const struct cvm_row *cvm, const struct cvm_change *c,
			const struct update_request *req, const struct request_ref *ref,
			struct op_row *ret_op, struct err *e)
{
	const bool reforward = c->differs[CHANGE_PORTS] && cvm_is_up(cvm) && !c->restart;
	unsigned timeout_s = req->timeout_s;
	char params[128];
	int r = power_timeout(&timeout_s, e);

	if (r)
		return r;
	(void)snprintf(params, sizeof(params),
		       "{\"timeout_s\":%u,\"force\":%s,\"restart\":%s,\"grow\":%s,\"lead\":%s}",
		       timeout_s, req->force ? "true" : "false", c->restart ? "true" : "false",
		       c->differs[CHANGE_DISK] ? "true" : "false", reforward ? "true" : "false");
	if (!update_has_changes(c))
		return op_record(v, cvm, update_op_kind(req, c), params, ref, ret_op, e);
	r = update_check_restart(v, cvm, c, req, e);
	if (!r)
		r = op_begin(v, cvm, update_op_kind(req, c), params, ref, ret_op, e);
	return r ? r : change_reserve(v, cvm, c, ret_op->id, e);
}

int vmm_update(struct vmm *v, const struct cvm_row *cvm, const struct update_request *req,
	       const struct request_ref *ref, struct op_row *ret_op, struct err *e)
{
	struct cvm_change c = { 0 };
	struct cvm_row row;
	/* The caller's row may be from an earlier turn. */
	int r = cvms_get(vmm_db(v), cvm->id, &row, e);

	assert_loop_thread();
	if (r)
		return r == -ERR_NOT_FOUND ? err_field(e, ERR_CVM_NOT_FOUND, "cvm_id", cvm->uuid,
						       "no CVM %s", cvm->uuid)
					   : r;
	if (row.desired == DESIRED_DELETED)
		return err_set(e, ERR_BUSY, "%s is being deleted", row.name);
	r = op_idle(v, &row, e);
	if (!r)
		r = change_plan(v, &row, req, ref->inspected, &c, e);
	if (!r)
		r = update_begin(v, &row, &c, req, ref, ret_op, e);
	change_free(&c);
	return r;
}
