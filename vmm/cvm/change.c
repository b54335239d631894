/* SPDX-License-Identifier: Apache-2.0
 * change.c - plan a change of a CVM, find the fields that differ, and hold the resources of both
 * states.
 *
 * The CVM's row keeps the present state until the operation's step "apply" (update_steps.c) swaps
 * it with the planned state in one transaction; a rollback swaps them back. From the request's
 * transaction to the end of the operation the CVM holds the maximum that either state needs
 * (db/changes.c). So neither the change nor its rollback can fail for lack of capacity; releasing
 * one side early would break that.
 *
 * The checks of the request are in vmm/admit/, and the operation begins in update.c.
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/own.h"
#include "base/strings.h"
#include "db/apps.h"
#include "db/changes.h"
#include "db/cvms.h"
#include "db/devices.h"
#include "db/history.h"
#include "db/numa.h"
#include "db/operations.h"
#include "db/ports.h"
#include "db/records.h"
#include "vmm/admit/admit.h"
#include "vmm/admit/admit_machine.h"
#include "vmm/admit/capacity.h"
#include "vmm/admit/request.h"
#include "vmm/admit/reservation_change.h"
#include "vmm/admit/ports.h"
#include "vmm/admit/quota.h"
#include "vmm/cvm/change.h"
#include "vmm/node/node.h"
#include "vmm/node/records.h"

const char *const change_word[CHANGES] = {
	[CHANGE_VCPU] = "vcpu",
	[CHANGE_MEMORY] = "memory",
	[CHANGE_DISK] = "disk_size",
	[CHANGE_IMAGE] = "image",
	[CHANGE_COMPOSE] = "compose_file",
	[CHANGE_TYPE] = "instance_type",
	[CHANGE_ENV] = "encrypted_env",
	[CHANGE_USER_CONFIG] = "user_config",
	[CHANGE_PORTS] = "ports",
	[CHANGE_GPUS] = "gpus",
	[CHANGE_LISTED] = "listed",
};

/* Changes that need a restart: guests have no hot-plug of CPUs, memory or GPUs, and read their
 * files at boot. Disk growth, port forwards and visibility apply while the guest runs. */
static const bool change_needs_restart[CHANGES] = {
	[CHANGE_VCPU] = true,    [CHANGE_MEMORY] = true, [CHANGE_IMAGE] = true,
	[CHANGE_COMPOSE] = true, [CHANGE_ENV] = true,    [CHANGE_USER_CONFIG] = true,
	[CHANGE_GPUS] = true,
};

/* ------------------------------------------------------------------ planning */

static int plan_blobs(struct vmm *v, const struct cvm_row *cvm, const struct update_request *req,
		      struct cvm_change *c, struct err *e)
{
	struct cvm_blobs *b = &c->blobs;
	int r = cvms_blobs(vmm_db(v), cvm->id, b, e);

	if (r)
		return r == -ERR_NOT_FOUND
			       ? err_set(e, ERR_CVM_NOT_FOUND, "the CVM does not exist any more")
			       : r;
	if (req->set_env && (req->encrypted_env_len != b->encrypted_env_len ||
			     (b->encrypted_env_len && memcmp(req->encrypted_env, b->encrypted_env,
							     b->encrypted_env_len) != 0))) {
		free(b->encrypted_env);
		b->encrypted_env = req->encrypted_env_len ? xmalloc(req->encrypted_env_len) : NULL;
		b->encrypted_env_len = req->encrypted_env_len;
		if (b->encrypted_env)
			memcpy(b->encrypted_env, req->encrypted_env, b->encrypted_env_len);
		c->differs[CHANGE_ENV] = true;
	}
	if (req->set_user_config && strcmp(req->user_config ? req->user_config : "",
					   b->user_config ? b->user_config : "") != 0) {
		free(b->user_config);
		b->user_config =
			req->user_config && *req->user_config ? xstrdup(req->user_config) : NULL;
		c->differs[CHANGE_USER_CONFIG] = true;
	}
	return 0;
}

static int plan_ports(struct vmm *v, const struct cvm_row *cvm, const struct update_request *req,
		      bool inspected, struct cvm_change *c, struct err *e)
{
	struct ports_for w = { .workspace = cvm->workspace, .cvm = cvm->id, .probed = inspected };
	auto_free struct port_row *own = NULL;
	int r = req->set_ports ? admit_ports(cvm, req->n_ports, e) : 0;

	if (r || !req->set_ports)
		return r;
	r = ports_of(vmm_db(v), cvm->id, &own, &w.n_own, e);
	w.own = own;
	if (!r)
		r = ports_resolve(v, &w, req->ports, req->n_ports, c->ports, e);
	if (r)
		return r;
	assert(req->n_ports <= CVM_PORTS_MAX); /* ports_resolve() refused more */
	c->n_ports = req->n_ports;
	c->differs[CHANGE_PORTS] = c->n_ports != w.n_own;
	for (size_t i = 0; i < c->n_ports; i++)
		if (!ports_have(own, w.n_own, &c->ports[i])) {
			c->differs[CHANGE_PORTS] = true;
			c->new_ports++;
		}
	return 0;
}

static void change_compare(const struct cvm_row *before, struct cvm_change *c)
{
	const struct cvm_row *after = &c->a.row;

	c->differs[CHANGE_VCPU] = before->vcpus != after->vcpus;
	c->differs[CHANGE_MEMORY] = before->memory_mib != after->memory_mib;
	c->differs[CHANGE_DISK] = before->disk_gib != after->disk_gib;
	c->differs[CHANGE_TYPE] = strcmp(before->instance_type, after->instance_type) != 0;
	c->differs[CHANGE_IMAGE] = before->image != after->image;
	c->differs[CHANGE_COMPOSE] = strcmp(before->compose_hash, after->compose_hash) != 0;
	c->differs[CHANGE_GPUS] = c->a.devices_change;
	c->differs[CHANGE_LISTED] = before->listed != after->listed;
	for (int i = 0; i < CHANGES; i++)
		c->restart = c->restart ||
			     (c->differs[i] && change_needs_restart[i] && cvm_is_up(before));
}

int change_plan(struct vmm *v, const struct cvm_row *cvm, const struct update_request *req,
		bool inspected, struct cvm_change *ret, struct err *e)
{
	int r;

	*ret = (struct cvm_change){ 0 };
	r = admit_change(v, cvm, req, &ret->a, e);
	if (!r)
		r = plan_blobs(v, cvm, req, ret, e);
	if (!r)
		r = reservation_change(v, cvm, req, inspected, &ret->a, e);
	if (!r)
		r = plan_ports(v, cvm, req, inspected, ret, e);
	if (r)
		return r;
	change_compare(cvm, ret);
	ret->a.row.host_ports += (int64_t)ret->new_ports;
	r = quota_check(v, cvm->workspace, cvm, &ret->a.row, e);
	return r ? r : capacity_change_would_fit(v, cvm, &ret->a.row, ret->new_ports, e);
}

void change_free(struct cvm_change *c)
{
	admission_free(&c->a);
	cvm_blobs_free(&c->blobs);
}

/* ------------------------------------------------------------------ holding both states */

static void change_words_json(const struct cvm_change *c, char out[256])
{
	size_t n = 0;

	out[n++] = '[';
	for (int i = 0; i < CHANGES; i++)
		if (c->differs[i])
			n += (size_t)snprintf(out + n, 256 - n, "%s\"%s\"", n > 1 ? "," : "",
					      change_word[i]);
	assert(n < 255); /* or the list would not be JSON */
	(void)snprintf(out + n, 256 - n, "]");
}

static void change_row_fill(const struct cvm_change *c, const char *op, int64_t revision,
			    struct change_row *x)
{
	const struct cvm_row *row = &c->a.row;

	*x = (struct change_row){ .cvm = row->id,
				  .revision = revision,
				  .image = row->image,
				  .vcpus = row->vcpus,
				  .memory_mib = row->memory_mib,
				  .disk_gib = row->disk_gib,
				  .given_vcpus = row->given_vcpus,
				  .given_memory_mib = row->given_memory_mib,
				  .listed = row->listed,
				  .blobs = c->blobs };
	(void)snprintf(x->op, sizeof(x->op), "%s", op);
	memcpy(x->instance_type, row->instance_type, sizeof(x->instance_type));
	memcpy(x->numa_nodes, row->numa_nodes, sizeof(x->numa_nodes));
	memcpy(x->gpu_attach, row->gpu_attach, sizeof(x->gpu_attach));
	change_words_json(c, x->changed);
}

int change_reserve(struct vmm *v, const struct cvm_row *cvm, const struct cvm_change *c,
		   const char *op, struct err *e)
{
	struct revision_row revision = c->a.revision;
	int64_t revision_id = cvm->revision, more = 0;
	struct change_row x;
	int r = 0;

	revision.app = cvm->app;
	if (c->differs[CHANGE_COMPOSE])
		r = revisions_ensure(vmm_db(v), &revision, &revision_id, e);
	if (!r && c->differs[CHANGE_COMPOSE])
		r = provisions_set_used(vmm_db(v), cvm->workspace, cvm->app_id,
					revision.compose_hash, e);
	if (!r && c->differs[CHANGE_PORTS])
		r = ports_plan(vmm_db(v), cvm->id, c->ports, c->n_ports, &more, e);
	if (!r)
		r = capacity_reserve_more(v, cvm, &c->a.row, (size_t)more, e);
	if (!r)
		r = reservation_plan(v, cvm, &c->a, e);
	if (r)
		return r;
	assert(c->a.row.id == cvm->id);
	change_row_fill(c, op, revision_id, &x);
	r = changes_insert(vmm_db(v), &x, e);
	return r ? r : records_fit(v, cvm->workspace, RECORD_REVISIONS, e);
}

int change_settle(struct vmm *v, const struct cvm_row *c, const struct change_row *x, struct err *e)
{
	struct cvm_row other = *c;
	int64_t ports;
	int r = ports_settle(vmm_db(v), c->id, &ports, e);

	other.given_vcpus = x->given_vcpus;
	other.given_memory_mib = x->given_memory_mib;
	other.disk_gib = x->disk_gib;
	if (!r)
		r = capacity_release_more(v, c, &other, (size_t)ports, e);
	if (!r)
		r = numa_settle(vmm_db(v), c->id, c->holds_cpu, e);
	if (!r)
		r = devices_settle(vmm_db(v), c->id, e);
	return r ? r : changes_remove(vmm_db(v), x->op, e);
}

/* ------------------------------------------------------------------ history */

int change_add_history(struct vmm *v, const struct cvm_row *c, const char *changed,
		       const struct op_row *op, struct err *e)
{
	struct history_row h = { .app = c->app,
				 .revision = c->revision,
				 .created_ms = clock_wall_ms() };

	memcpy(h.cvm_uuid, c->uuid, sizeof(h.cvm_uuid));
	memcpy(h.image, c->image_name, sizeof(h.image));
	memcpy(h.op, op->id, sizeof(h.op));
	memcpy(h.caller, op->caller, sizeof(h.caller));
	(void)snprintf(h.changed, sizeof(h.changed), "%s", changed);
	return history_add(vmm_db(v), &h, e);
}
