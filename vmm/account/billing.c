/* SPDX-License-Identifier: Apache-2.0
 * billing.c - meters of CVMs, charges to the ledger, and what a balance allows.
 *
 * Each function reads the clock once; metered time never goes back (meter.h). After a reboot of the
 * host the time at which its guests ended is unknown. A CVM that ran is charged as running until
 * the last checkpoint (at most a minute before the end), and for its disk only from then on.
 *
 * An interval, its ledger row and the start of the next interval are written in one transaction: a
 * crash neither loses nor doubles time. See billing.h for the callers, meter.c for the arithmetic.
 */
#include "vmm/account/billing.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/own.h"
#include "vmm/account/balance.h"
#include "db/cvms.h"
#include "db/ledger.h"
#include "db/operations.h"
#include "db/workspaces.h"
#include "db/turn.h"
#include "vmm/account/meter.h"
#include "vmm/account/workspaces.h"
#include "vmm/node/node.h"
#include "vmm/node/settings.h"

enum { CHECK_MS = 60 * 1000 };

struct billing {
	bool on; /* set once at start: [billing] enabled */
	struct meter_clock clock;
	void (*read)(struct clock_reading *ret);
	billing_shut_down_fn *shut_down;
	struct loop_timer *timer;
};

/* Largest debt and largest balance, micro-units: no sum over a ledger can overflow. */
static const int64_t debt_max = INT64_C(4000000000000000000);

static const struct rates *billing_rates(const struct vmm *v)
{
	return &vmm_settings(v)->billing.rates;
}

/* [turn] Metered time now, in ms. It is written to the database, so that no interval can begin
 * later than the clock that is read after a crash. */
static int billing_now(struct vmm *v, int64_t *ret, struct err *e)
{
	struct clock_reading r;

	vmm_billing(v)->read(&r);
	(void)meter_clock_advance(&vmm_billing(v)->clock, &r);
	*ret = vmm_billing(v)->clock.now_ms;
	return billing_clock_put(vmm_db(v), &vmm_billing(v)->clock, e);
}

/* ------------------------------------------------------------------ intervals */

/* Charge the interval *m up to @to_ms: one row of the ledger. */
static int meter_charge_interval(struct vmm *v, struct meter_row *m, int64_t to_ms, struct err *e)
{
	struct ledger_row l = { .workspace = m->workspace,
				.at_ms = clock_wall_ms(),
				.from_ms = m->from_ms,
				.to_ms = to_ms,
				.rate = m->rate };
	struct workspace_row w;
	int64_t amount = meter_charge(m->rate, to_ms - m->from_ms, &m->rest);
	int r = vmm_workspace(v, m->workspace, &w, e);

	assert(to_ms > m->from_ms);
	if (r)
		return r;
	if (amount > w.balance + debt_max)
		amount = w.balance + debt_max;
	l.amount = -amount;
	memcpy(l.cvm_uuid, m->cvm_uuid, sizeof(l.cvm_uuid));
	memcpy(l.cvm_name, m->cvm_name, sizeof(l.cvm_name));
	return ledger_add(vmm_db(v), &l, e);
}

/* End the interval *m at @to_ms, charge it, and begin the next one in *m. Does nothing if @to_ms is
 * not after the beginning. */
static int meter_close_interval(struct vmm *v, struct meter_row *m, int64_t to_ms, struct err *e)
{
	int r = 0;

	if (to_ms <= m->from_ms)
		return 0;
	if (m->rate > 0)
		r = meter_charge_interval(v, m, to_ms, e);
	m->from_ms = to_ms;
	return r;
}

static int meter_follow_size(struct vmm *v, const struct cvm_size *c, int64_t now_ms, struct err *e)
{
	int64_t rate = meter_rate(billing_rates(v), c, c->up);
	struct meter_row m;
	int r = meters_get(vmm_db(v), c->id, &m, e);

	if (r == -ERR_NOT_FOUND) {
		m = (struct meter_row){ .cvm = c->id,
					.workspace = c->workspace,
					.from_ms = now_ms };
		memcpy(m.cvm_uuid, c->uuid, sizeof(m.cvm_uuid));
		memcpy(m.cvm_name, c->name, sizeof(m.cvm_name));
		r = 0;
	} else if (!r && m.rate == rate &&
		   now_ms - m.from_ms < vmm_settings(v)->billing.interval_s * 1000LL) {
		return 0;
	} else if (!r) {
		r = meter_close_interval(v, &m, now_ms, e);
	}
	m.rate = rate;
	return r ? r : meters_put(vmm_db(v), &m, e);
}

int meter_follow(struct vmm *v, int64_t cvm, struct err *e)
{
	auto_free struct cvm_size *c = NULL;
	int64_t now_ms;
	size_t n;
	int r;

	assert_loop_thread();
	if (!vmm_billing(v)->on)
		return 0;
	r = billing_now(v, &now_ms, e);
	if (r)
		return r;
	r = cvms_sizes(vmm_db(v), 0, cvm, &c, &n, e);
	return r || !n ? r : meter_follow_size(v, c, now_ms, e);
}

static int meter_close(struct vmm *v, struct meter_row *m, int64_t to_ms, struct err *e)
{
	int r = meter_close_interval(v, m, to_ms, e);

	return r ? r : meters_remove(vmm_db(v), m->cvm, e);
}

int meter_end(struct vmm *v, int64_t cvm, struct err *e)
{
	struct meter_row m;
	int64_t now_ms;
	int r;

	if (!vmm_billing(v)->on)
		return 0;
	r = billing_now(v, &now_ms, e);
	if (r)
		return r;
	r = meters_get(vmm_db(v), cvm, &m, e);
	if (r)
		return r == -ERR_NOT_FOUND ? 0 : r;
	return meter_close(v, &m, now_ms, e);
}

/* ------------------------------------------------------------------ start */

/* The host was booted: a CVM that ran is charged for its disk only, from the checkpoint @known_ms.
 */
static int meter_cut_running(struct vmm *v, struct meter_row *m, int64_t known_ms, struct err *e)
{
	auto_free struct cvm_size *c = NULL;
	size_t n;
	int r = cvms_sizes(vmm_db(v), 0, m->cvm, &c, &n, e);

	if (r)
		return r;
	r = meter_close_interval(v, m, known_ms, e);
	m->rate = n ? meter_rate(billing_rates(v), c, false) : 0;
	return r ? r : meters_put(vmm_db(v), m, e);
}

static int meters_for_each(struct vmm *v,
			   int (*fn)(struct vmm *v, struct meter_row *m, int64_t at, struct err *e),
			   int64_t at, struct err *e)
{
	auto_free struct meter_row *rows = NULL;
	size_t n;
	int r = meters_list(vmm_db(v), 0, &rows, &n, e);

	for (size_t i = 0; !r && i < n; i++)
		r = fn(v, &rows[i], at, e);
	return r;
}

static int meters_follow_all(struct vmm *v, int64_t now_ms, struct err *e)
{
	auto_free struct cvm_size *rows = NULL;
	size_t n;
	int r = cvms_sizes(vmm_db(v), 0, 0, &rows, &n, e);

	for (size_t i = 0; !r && i < n; i++)
		r = meter_follow_size(v, &rows[i], now_ms, e);
	return r;
}

struct billing *billing_new(billing_shut_down_fn *shut_down)
{
	struct billing *b = xcalloc(1, sizeof(*b));

	assert(shut_down);
	b->read = clock_read;
	b->shut_down = shut_down;
	return b;
}

void billing_free(struct billing *b)
{
	free(b);
}

void billing_set_clock(struct vmm *v, void (*read)(struct clock_reading *ret))
{
	assert(read);
	vmm_billing(v)->read = read;
}

int billing_set_up(struct vmm *v, struct err *e)
{
	struct clock_reading reading;
	int64_t known_ms;
	int r = billing_clock_get(vmm_db(v), &vmm_billing(v)->clock, e);

	if (r)
		return r;
	vmm_billing(v)->on = vmm_settings(v)->billing.enabled;
	known_ms = vmm_billing(v)->clock.now_ms;
	/* Billing was turned off: open intervals end at the last checkpoint. */
	if (!vmm_billing(v)->on)
		return meters_for_each(v, meter_close, known_ms, e);
	vmm_billing(v)->read(&reading);
	if (meter_clock_advance(&vmm_billing(v)->clock, &reading))
		r = meters_for_each(v, meter_cut_running, known_ms, e);
	if (!r)
		r = billing_clock_put(vmm_db(v), &vmm_billing(v)->clock, e);
	return r ? r : meters_follow_all(v, vmm_billing(v)->clock.now_ms, e);
}

/* ------------------------------------------------------------------ every minute */

struct billing_shutdown {
	struct vmm *v;
	int64_t cvm;
};

static int billing_shut_down(void *arg, struct err *e)
{
	const struct billing_shutdown *x = arg;
	struct cvm_row row;
	int r = cvms_get(vmm_db(x->v), x->cvm, &row, e);

	if (!r)
		r = vmm_billing(x->v)->shut_down(x->v, &row, e);
	if (!r)
		log_warn("shutting down CVM %s: its workspace has no balance left", row.name);
	return r;
}

static int billing_stop_workspace(struct vmm *v, int64_t workspace, struct err *e)
{
	auto_free struct cvm_size *rows = NULL;
	struct err why;
	size_t n;
	int r = cvms_sizes(vmm_db(v), workspace, 0, &rows, &n, e);

	for (size_t i = 0; !r && i < n; i++) {
		struct billing_shutdown x = { v, rows[i].id };

		/* A CVM that is busy or cannot be shut down is retried after a minute. A turn of
		 * its own keeps the charges of other CVMs when it fails. */
		if (rows[i].up && rows[i].wanted &&
		    turn_do(vmm_turn(v), billing_shut_down, &x, &why) < 0 && why.code != ERR_BUSY)
			log_warn("cannot shut down CVM %s, whose workspace has no balance left: %s",
				 rows[i].name, why.text);
	}
	return r;
}

static int billing_stop_exhausted(struct vmm *v, struct err *e)
{
	auto_free struct workspace_row *rows = NULL;
	struct balance b;
	size_t n = 0;
	int r = workspaces_list(vmm_db(v), 0, -1, &rows, &n, e);

	r = r < 0 ? r : 0;
	for (size_t i = 0; !r && i < n; i++) {
		r = vmm_balance(v, rows[i].id, &b, e);
		if (!r && b.left <= 0 && b.rate > 0)
			r = billing_stop_workspace(v, rows[i].id, e);
	}
	return r;
}

int billing_check(struct vmm *v, struct err *e)
{
	int64_t now_ms;
	int r = billing_now(v, &now_ms, e);

	if (!r)
		r = meters_follow_all(v, now_ms, e);
	if (!r && vmm_settings(v)->billing.stop_on_empty)
		r = billing_stop_exhausted(v, e);
	return r;
}

static int billing_check_turn(void *arg, struct err *e)
{
	return billing_check(arg, e);
}

static void billing_on_minute(void *arg)
{
	struct vmm *v = arg;
	struct err e;

	if (turn_do(vmm_turn(v), billing_check_turn, v, &e) < 0)
		log_warn("billing: the check of this minute failed, retrying: %s", e.text);
	billing_begin(v);
}

void billing_begin(struct vmm *v)
{
	assert(!vmm_billing(v)->timer);
	if (vmm_billing(v)->on)
		(void)loop_after(vmm_settings(v)->loop, CHECK_MS, billing_on_minute, v,
				 &vmm_billing(v)->timer);
}

void billing_stop(struct vmm *v)
{
	loop_after_cancel(&vmm_billing(v)->timer);
}

/* ------------------------------------------------------------------ balance */

/* Read only: advances the clock in memory. The next interval writes it. */
int vmm_balance(struct vmm *v, int64_t workspace, struct balance *ret, struct err *e)
{
	auto_free struct meter_row *rows = NULL;
	struct workspace_row w;
	struct clock_reading reading;
	size_t n = 0;
	int r = vmm_workspace(v, workspace, &w, e);

	if (!r)
		r = meters_list(vmm_db(v), workspace, &rows, &n, e);
	if (r)
		return r;
	if (vmm_billing(v)->on) {
		vmm_billing(v)->read(&reading);
		(void)meter_clock_advance(&vmm_billing(v)->clock, &reading);
	}
	*ret = (struct balance){ .enabled = vmm_billing(v)->on,
				 .left = w.balance,
				 .booked = w.balance };
	for (size_t i = 0; i < n; i++) {
		int64_t rest = rows[i].rest;

		ret->left -= meter_charge(rows[i].rate,
					  vmm_billing(v)->clock.now_ms - rows[i].from_ms, &rest);
		ret->rate += rows[i].rate;
	}
	return 0;
}

static struct cvm_size billing_size(const struct cvm_row *c)
{
	return (struct cvm_size){ .vcpus = c->given_vcpus,
				  .memory_mib = c->given_memory_mib,
				  .disk_gib = c->disk_gib,
				  .gpus = c->gpus };
}

int billing_covers(struct vmm *v, int64_t workspace, const struct cvm_row *before,
		   const struct cvm_row *after, bool up, struct err *e)
{
	const struct cvm_size new = billing_size(after);
	auto_free struct cvm_size *rows = NULL;
	int64_t needed = meter_rate(billing_rates(v), &new, up);
	struct balance b;
	size_t n = 0;
	int r;

	if (!vmm_billing(v)->on || !needed)
		return 0;
	r = cvms_sizes(vmm_db(v), workspace, 0, &rows, &n, e);
	if (!r)
		r = vmm_balance(v, workspace, &b, e);
	if (r)
		return r;
	for (size_t i = 0; i < n; i++)
		if (!before || rows[i].id != before->id)
			needed += meter_rate(billing_rates(v), &rows[i],
					     rows[i].up || rows[i].wanted);
	if (b.left >= needed)
		return 0;
	err_share(e, ERR_BALANCE, "balance", needed, b.left, b.left,
		  "the balance of %lld micro-units does not pay for the next hour: %lld needed",
		  (long long)b.left, (long long)needed);
	return err_hint(e, "an admin can add the missing %lld", (long long)(needed - b.left));
}

int vmm_credit(struct vmm *v, int64_t workspace, int64_t amount, const char *note,
	       const char *caller, struct ledger_row *ret, struct err *e)
{
	struct ledger_row l = {
		.workspace = workspace, .credit = true, .amount = amount, .at_ms = clock_wall_ms()
	};
	struct workspace_row w;
	int r = vmm_workspace(v, workspace, &w, e);

	if (r)
		return r;
	if (w.balance > 0 && amount > debt_max - w.balance)
		return err_field(e, ERR_INVALID, "amount", NULL,
				 "amount: the balance would exceed %lld", (long long)debt_max);
	if (w.balance < 0 && amount < -debt_max - w.balance)
		return err_field(e, ERR_INVALID, "amount", NULL,
				 "amount: the balance would fall below %lld", (long long)-debt_max);
	(void)snprintf(l.caller, sizeof(l.caller), "%s", caller);
	(void)snprintf(l.note, sizeof(l.note), "%s", note ? note : "");
	r = ledger_add(vmm_db(v), &l, e);
	if (!r)
		*ret = l;
	return r;
}

int vmm_ledger(struct vmm *v, int64_t workspace, int64_t offset, int64_t limit,
	       struct ledger_row **ret, size_t *n, int64_t *ret_total, struct err *e)
{
	return ledger_list(vmm_db(v), workspace, offset, limit, ret, n, ret_total, e);
}

int64_t vmm_hourly_rate(const struct vmm *v, int64_t vcpus, int64_t memory_mib, int64_t disk_gib,
			int64_t gpus)
{
	const struct cvm_size c = {
		.vcpus = vcpus, .memory_mib = memory_mib, .disk_gib = disk_gib, .gpus = gpus
	};

	return vmm_billing(v)->on ? meter_rate(billing_rates(v), &c, true) : 0;
}
