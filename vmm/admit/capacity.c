/* SPDX-License-Identifier: Apache-2.0
 * capacity.c - admission: what this node has reserved, and whether it can reserve more.
 *
 * TD memory is pinned: it cannot be ballooned or swapped, so a reservation is final. It is made in
 * the transaction that writes the CVM's row, and released in the one that removes the row. So
 * capacity.promised always equals the sum over the rows. db_check() compares them, start-up
 * recounts them. A stopped CVM keeps its reservation, so that it can always start again. With
 * capacity.release_on_stop it releases vCPUs, memory and its TDX key ID, and competes for them at
 * its next start.
 *
 * A refusal names the first resource that does not fit, in the order of the control plane's
 * catalogue, and the amount that would fit. Devices and NUMA nodes: reservation.c.
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/log.h"
#include "base/loop.h"
#include "db/capacity.h"
#include "db/cvms.h"
#include "db/ports.h"
#include "db/turn.h"
#include "vmm/admit/capacity.h"
#include "vmm/admit/capacity_state.h"
#include "vmm/admit/reservation.h"
#include "vmm/admit/ports.h"
#include "vmm/admit/quota.h"
#include "vmm/node/node.h"
#include "vmm/node/settings.h"

struct need {
	const char *resource;
	int64_t amount;
	bool unlimited; /* the total is unknown: counted, not limited */
};

enum { NEEDS = 7 };

enum { HELD_NEEDS = 3 };

/* Resources of a CVM while its holds_cpu is true. Hugepages are not part of memory_mib: the kernel
 * subtracted them when they were configured. */
static void capacity_cpu_needs(const struct vmm *v, const struct cvm_row *c,
			       struct need out[HELD_NEEDS])
{
	out[0] = (struct need){ "vcpus", c->given_vcpus, false };
	out[1] = (struct need){ "memory_mib", c->hugepages ? 0 : c->given_memory_mib, false };
	out[2] = (struct need){ "tdx_keyids", c->tdx, vmm_settings(v)->tdx_keyids < 0 };
}

static void capacity_needs(const struct vmm *v, const struct cvm_row *c, size_t n_ports,
			   struct need out[NEEDS])
{
	capacity_cpu_needs(v, c, out);
	for (size_t i = 0; i < HELD_NEEDS && !c->holds_cpu; i++)
		out[i].amount = 0;
	out[3] = (struct need){ "slots", 1, false };
	out[4] = (struct need){ "disk_gib", c->disk_gib, false };
	out[5] = (struct need){ "cids", 1, false };
	out[6] = (struct need){ "host_ports", (int64_t)n_ports, false };
}

int capacity_set_up(struct vmm *v, struct err *e)
{
	const struct need totals[NEEDS] = {
		{ "vcpus", vmm_settings(v)->vcpus, false },
		{ "memory_mib", vmm_settings(v)->memory_mib, false },
		{ "tdx_keyids", vmm_settings(v)->tdx_keyids, false },
		{ "slots", vmm_settings(v)->slots, false },
		{ "disk_gib", vmm_settings(v)->disk_gib, false },
		{ "cids", vmm_settings(v)->cid_count, false },
		{ "host_ports", ports_allowed(v), false },
	};
	bool changed;
	int r = 0;

	for (size_t i = 0; !r && i < NEEDS; i++)
		r = capacity_set_total(vmm_db(v), totals[i].resource, totals[i].amount, e);
	if (!r)
		r = capacity_recount(vmm_db(v), &changed, e);
	if (!r && changed)
		log_info("capacity: reservations were recounted from the rows of the CVMs");
	return r;
}

static int capacity_set_up_turn(void *arg, struct err *e)
{
	return capacity_set_up(arg, e);
}

struct capacity_state *capacity_new(void)
{
	return xcalloc(1, sizeof(struct capacity_state));
}

void capacity_close(struct vmm *v)
{
	loop_after_cancel(&vmm_capacity_state(v)->timer);
}

void capacity_free(struct capacity_state *c)
{
	free(c);
}

static void capacity_apply_again(void *arg)
{
	capacity_apply(arg);
}

static void capacity_applied(void *arg, const struct err *e)
{
	struct vmm *v = arg;

	if (!e || vmm_is_closing(v))
		return;
	log_error("cannot write the capacity of the node to the database, retrying in 1 s: %s",
		  e->text);
	loop_after_cancel(&vmm_capacity_state(v)->timer);
	(void)loop_after(vmm_settings(v)->loop, 1000, capacity_apply_again, v,
			 &vmm_capacity_state(v)->timer);
}

void capacity_apply(struct vmm *v)
{
	turn_run(vmm_turn(v), capacity_set_up_turn, capacity_applied, v);
}

void capacity_set_tdx_keyids(struct vmm *v, int64_t keyids)
{
	if (keyids < 0 || !vmm_settings(v)->tdx_keyids_auto ||
	    keyids == vmm_settings(v)->tdx_keyids || vmm_is_closing(v))
		return;
	vmm_set_tdx_keyids(v, keyids);
	capacity_apply(v);
}

static int64_t capacity_left(const struct capacity_row *row)
{
	return row->total > row->promised ? row->total - row->promised : 0;
}

static int capacity_refuse(const struct need *n, const struct capacity_row *row, struct err *e)
{
	if (row->total < 0) {
		err_field(e, ERR_CAPACITY_UNSET, "node_id", NULL,
			  "this node has no capacity configured for %s", n->resource);
		return err_hint(e, "set capacity.%s in teepod.conf to a number or to auto",
				n->resource);
	}
	err_capacity(e, n->resource, (uint64_t)n->amount, (uint64_t)capacity_left(row),
		     (uint64_t)row->total);
	if (capacity_left(row) > 0)
		return err_hint(e, "%lld %s would fit now", (long long)capacity_left(row),
				n->resource);
	return err_hint(e, "none is free: delete a CVM, or use another node");
}

static int capacity_check_need(struct vmm *v, const struct need *n, struct err *e)
{
	struct capacity_row row = { .total = -1 };
	int r;

	assert(n->amount > 0);
	r = capacity_get(vmm_db(v), n->resource, &row, e);

	if (r && r != -ERR_NOT_FOUND)
		return r;
	if (!n->unlimited && capacity_left(&row) < n->amount)
		return capacity_refuse(n, &row, e);
	return 0;
}

int capacity_would_fit(struct vmm *v, const struct cvm_row *c, size_t n_ports, struct err *e)
{
	struct need needs[NEEDS];
	int r = 0;

	capacity_needs(v, c, n_ports, needs);
	for (size_t i = 0; !r && i < NEEDS; i++)
		r = needs[i].amount ? capacity_check_need(v, &needs[i], e) : 0;
	return r;
}

/* What @other needs beyond @now, plus @n_ports ports. */
static void capacity_additional_needs(const struct vmm *v, const struct cvm_row *now,
				      const struct cvm_row *other, size_t n_ports,
				      struct need out[NEEDS])
{
	struct need has[NEEDS];

	capacity_needs(v, now, 0, has);
	capacity_needs(v, other, n_ports, out);
	for (size_t i = 0; i < NEEDS; i++)
		out[i].amount = out[i].amount > has[i].amount ? out[i].amount - has[i].amount : 0;
}

int capacity_change_would_fit(struct vmm *v, const struct cvm_row *before,
			      const struct cvm_row *after, size_t n_ports, struct err *e)
{
	struct need needs[NEEDS];
	int r = 0;

	capacity_additional_needs(v, before, after, n_ports, needs);
	for (size_t i = 0; !r && i < NEEDS; i++)
		r = needs[i].amount ? capacity_check_need(v, &needs[i], e) : 0;
	return r;
}

static int capacity_take_need(struct vmm *v, const struct need *n, struct err *e)
{
	int r;

	assert(n->amount >= 0);
	if (!n->amount)
		return 0;
	if (n->unlimited)
		return capacity_add_reserved(vmm_db(v), n->resource, n->amount, e);
	r = capacity_reserve_amount(vmm_db(v), n->resource, n->amount, e);
	if (r)
		return r < 0 ? r : 0;
	r = capacity_check_need(v, n, e);
	return r ? r
		 : err_set(e, ERR_HOST, "capacity of %s changed while it was read", n->resource);
}

/* Next fit: a CID is not reused right after it was freed, so that a late packet for its last owner
 * reaches no other CVM. */
static int capacity_pick_cid(struct vmm *v, uint32_t *ret, struct err *e)
{
	for (uint32_t i = 0; i < vmm_settings(v)->cid_count; i++) {
		uint32_t cid = vmm_settings(v)->cid_start +
			       (vmm_capacity_state(v)->cid_hint + i) % vmm_settings(v)->cid_count;
		int r = cids_in_use(vmm_db(v), cid, e);

		if (r < 0)
			return r;
		if (r)
			continue;
		vmm_capacity_state(v)->cid_hint =
			(vmm_capacity_state(v)->cid_hint + i + 1) % vmm_settings(v)->cid_count;
		*ret = cid;
		return 0;
	}
	return err_capacity(e, "cids", 1, 0, vmm_settings(v)->cid_count);
}

int capacity_reserve(struct vmm *v, struct cvm_row *c, size_t n_ports, struct err *e)
{
	struct need needs[NEEDS];
	int r = 0;

	assert_loop_thread();
	capacity_needs(v, c, n_ports, needs);
	for (size_t i = 0; !r && i < NEEDS; i++)
		r = capacity_take_need(v, &needs[i], e);
	return r ? r : capacity_pick_cid(v, &c->cid, e);
}

int capacity_release(struct vmm *v, const struct cvm_row *c, size_t n_ports, struct err *e)
{
	struct need needs[NEEDS];
	int r = 0;

	capacity_needs(v, c, n_ports, needs);
	for (size_t i = 0; !r && i < NEEDS; i++)
		if (needs[i].amount)
			r = capacity_release_amount(vmm_db(v), needs[i].resource, needs[i].amount,
						    e);
	return r || !c->holds_cpu ? r : reservation_hold_hugepages(v, c, false, e);
}

int capacity_reserve_more(struct vmm *v, const struct cvm_row *now, const struct cvm_row *other,
			  size_t n_ports, struct err *e)
{
	struct need needs[NEEDS];
	int r = 0;

	capacity_additional_needs(v, now, other, n_ports, needs);
	for (size_t i = 0; !r && i < NEEDS; i++)
		r = capacity_take_need(v, &needs[i], e);
	return r;
}

int capacity_release_more(struct vmm *v, const struct cvm_row *now, const struct cvm_row *other,
			  size_t n_ports, struct err *e)
{
	struct need needs[NEEDS];
	int r = 0;

	capacity_additional_needs(v, now, other, n_ports, needs);
	for (size_t i = 0; !r && i < NEEDS; i++)
		if (needs[i].amount)
			r = capacity_release_amount(vmm_db(v), needs[i].resource, needs[i].amount,
						    e);
	return r;
}

int capacity_hold_cpu(struct vmm *v, const struct cvm_row *c, bool hold, struct err *e)
{
	struct need needs[HELD_NEEDS];
	struct cvm_row after = *c;
	int r = 0;

	assert(c->id > 0);
	if (c->holds_cpu == hold)
		return 0;
	after.holds_cpu = hold;
	if (hold)
		r = quota_check(v, c->workspace, c, &after, e);
	capacity_cpu_needs(v, c, needs);
	for (size_t i = 0; !r && i < HELD_NEEDS; i++)
		r = hold ? capacity_take_need(v, &needs[i], e)
			 : capacity_release_amount(vmm_db(v), needs[i].resource, needs[i].amount,
						   e);
	if (!r)
		r = reservation_hold_hugepages(v, c, hold, e);
	return r ? r : cvms_set_holds_cpu(vmm_db(v), c->id, hold, e);
}
