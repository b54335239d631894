/* SPDX-License-Identifier: Apache-2.0
 * billing_test.c - charges of CVMs on a node whose clocks jump.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>

#include "base/clock.h"
#include "db/cvms.h"
#include "db/ledger.h"
#include "db/operations.h"
#include "db/sql.h"
#include "db/turn.h"
#include "tests/unit/node_fixture.h"
#include "vmm/account/balance.h"
#include "vmm/account/billing.h"
#include "vmm/account/meter.h"
#include "vmm/cvm/observe.h"

enum { HOUR = METER_HOUR_MS };

static int set_up(void **st)
{
	struct node_fixture *n = node_fixture_new("/tmp");

	/* Per hour: a vCPU 3600000 (1 a millisecond), a GiB of disk 36000 (1 in 100 ms). */
	n->set.billing =
		(struct billing_settings){ .interval_s = 3600,
					   .rates = { .vcpu = HOUR, .disk_gib = HOUR / 100 } };
	node_fixture_open(n);
	node_fixture_add_image(n, "demo", 0, false);
	*st = n;
	return 0;
}

static int create(struct node_fixture *n, const char *name, int64_t vcpus, struct cvm_call *ret,
		  struct err *e)
{
	*ret = (struct cvm_call){ .request = { .vcpus = vcpus, .disk_gib = 10 } };
	return cvm_call_create(n, name, ret, e);
}

static struct clock_reading test_clock;

static void read_test_clock(struct clock_reading *ret)
{
	*ret = test_clock;
}

/* From here on the test sets the node's time. */
static void charge_from_now(struct node_fixture *n)
{
	node_fixture_close(n);
	n->set.billing.enabled = true;
	node_fixture_open(n);
	clock_read(&test_clock);
	billing_set_clock(n->v, read_test_clock);
}

struct credit {
	struct node_fixture *n;
	int64_t amount;
};

static int credit_turn(void *arg, struct err *e)
{
	const struct credit *c = arg;
	struct ledger_row row;

	return vmm_credit(c->n->v, vmm_default_workspace(c->n->v), c->amount, "for a test",
			  "tester", &row, e);
}

static void credit(struct node_fixture *n, int64_t amount)
{
	struct credit c = { n, amount };
	struct err e;

	assert_int_equal(turn_do(vmm_turn(n->v), credit_turn, &c, &e), 0);
}

struct observation {
	struct cvm_call *call;
	enum observed observed;
};

static int observe_turn(void *arg, struct err *e)
{
	struct observation *o = arg;
	struct cvm_call *a = o->call;
	int r = observe_apply(a->n->v, &a->row, o->observed, e);

	return r ? r : cvms_get(vmm_db(a->n->v), a->row.id, &a->row, e);
}

static void observe(struct cvm_call *a, enum observed observed)
{
	struct observation o = { a, observed };
	struct err e;

	assert_int_equal(turn_do(vmm_turn(a->n->v), observe_turn, &o, &e), 0);
}

static int check_turn(void *arg, struct err *e)
{
	return billing_check(arg, e);
}

static void pass(int64_t ms)
{
	test_clock.boot_ms += ms;
	test_clock.wall_ms += ms;
}

static struct balance balance(struct node_fixture *n)
{
	struct balance b;
	struct err e;

	assert_int_equal(vmm_balance(n->v, vmm_default_workspace(n->v), &b, &e), 0);
	return b;
}

static int64_t entries(struct node_fixture *n)
{
	int64_t count = -1;
	struct err e;

	assert_int_equal(sql_int(vmm_db(n->v), &e, -1, &count,
				 "SELECT count(*) FROM ledger WHERE kind = 'charge'", ""),
			 0);
	return count;
}

static void time_is_charged_once_at_its_rate_despite_wall_clock_changes(void **st)
{
	struct node_fixture *n = *st;
	struct cvm_call a;
	struct err e;
	int64_t left = 100000000;

	charge_from_now(n);
	credit(n, left);
	assert_int_equal(create(n, "first", 2, &a, &e), 0);
	pass(10000);
	assert_int_equal(balance(n).left, left -= 10000 / 10); /* 10 GiB of disk: 1 in 10 ms */
	observe(&a, OBSERVED_RUNNING);
	test_clock.wall_ms -= 999999999; /* set back by days, while it runs */
	test_clock.boot_ms += 1000;
	assert_int_equal(balance(n).left, left -= 2000 + 100);
	test_clock.wall_ms += 2999999999; /* and far ahead */
	test_clock.boot_ms += 1000;
	observe(&a, OBSERVED_OFF);
	assert_int_equal(balance(n).left, left -= 2000 + 100);
	assert_int_equal(balance(n).booked, left); /* only the interval that just began is open */
	assert_int_equal(entries(n), 2);
	test_clock.boot_ms -= 500; /* ignored: a boot clock does not go back */
	observe(&a, OBSERVED_RUNNING);
	assert_int_equal(balance(n).left, left);
	test_clock.boot_ms += 500;
	assert_int_equal(balance(n).left, left);
	pass(100);
	assert_int_equal(turn_do(vmm_turn(n->v), cvm_call_delete_turn, &a, &e), 0);
	assert_int_equal(balance(n).left, left -= 200 + 10);
	assert_int_equal(balance(n).booked, left);
	assert_int_equal(balance(n).rate, 0);
	pass(HOUR);
	assert_int_equal(balance(n).left, left);
}

static void a_long_interval_is_written_every_hour(void **st)
{
	struct node_fixture *n = *st;
	struct cvm_call a;
	struct err e;

	charge_from_now(n);
	credit(n, 1000000000);
	assert_int_equal(create(n, "first", 1, &a, &e), 0);
	observe(&a, OBSERVED_RUNNING);
	for (int i = 0; i < 180; i++) {
		pass(60000);
		assert_int_equal(turn_do(vmm_turn(n->v), check_turn, n->v, &e), 0);
	}
	assert_int_equal(entries(n), 3);
	assert_int_equal(balance(n).booked, 1000000000 - 3LL * (HOUR + HOUR / 10));
}

static void a_daemon_restart_neither_loses_nor_repeats_time(void **st)
{
	struct node_fixture *n = *st;
	struct cvm_call a;
	struct err e;
	int64_t left = 100000000;

	charge_from_now(n);
	credit(n, left);
	assert_int_equal(create(n, "first", 1, &a, &e), 0);
	observe(&a, OBSERVED_RUNNING);
	pass(5000);
	assert_int_equal(turn_do(vmm_turn(n->v), check_turn, n->v, &e), 0);
	left = balance(n).left;
	node_fixture_close(n);
	node_fixture_open(n); /* the real clock is behind: no change */
	assert_int_equal(balance(n).left, left);
	billing_set_clock(n->v, read_test_clock);
	pass(1000);
	assert_int_equal(balance(n).left, left - 1000 - 100);
}

static void after_a_host_reboot_a_running_cvm_paid_only_for_its_disk(void **st)
{
	struct node_fixture *n = *st;
	struct balance b;
	struct cvm_call a;
	struct err e;

	charge_from_now(n);
	credit(n, 100000000);
	assert_int_equal(create(n, "first", 1, &a, &e), 0);
	observe(&a, OBSERVED_RUNNING);
	pass(5000);
	assert_int_equal(turn_do(vmm_turn(n->v), check_turn, n->v, &e), 0);
	assert_int_equal(balance(n).left, 100000000 - 5000 - 500);
	/* Move everything one hour into the past, before a boot. */
	assert_true(
		sql_run(vmm_db(n->v), &e,
			"UPDATE billing_clock SET boot_id = 'another', now_ms = now_ms - 3600000",
			"") == 1);
	assert_true(sql_run(vmm_db(n->v), &e, "UPDATE meters SET from_ms = from_ms - 3600000",
			    "") == 1);
	node_fixture_close(n);
	node_fixture_open(n);
	b = balance(n);
	/* 5 s of everything, then an hour of disk. The limits allow for the difference between the
	 * test's clock and the real one. */
	assert_in_range(100000000 - b.left, 5000 + 500 + (HOUR - 5000) / 10 - 2000,
			5000 + 500 + HOUR / 10 + 2000);
	assert_int_equal(entries(n), 2);
}

static void the_balance_must_cover_the_next_hour(void **st)
{
	struct node_fixture *n = *st;
	struct cvm_call a, b;
	struct err e;

	charge_from_now(n);
	assert_int_equal(create(n, "first", 1, &a, &e), -ERR_BALANCE);
	assert_int_equal(e.cap.asked, HOUR / 10);
	assert_int_equal(e.cap.free, 0);
	credit(n, HOUR / 10);
	assert_int_equal(create(n, "first", 1, &a, &e), 0);
	a.power.kind = OP_START;
	assert_int_equal(turn_do(vmm_turn(n->v), cvm_call_power_turn, &a, &e), -ERR_BALANCE);
	assert_int_equal(e.cap.asked, HOUR + HOUR / 10);
	credit(n, HOUR);
	assert_int_equal(turn_do(vmm_turn(n->v), cvm_call_power_turn, &a, &e), 0);
	/* It is about to run: its next hour is reserved, and another CVM cannot use it. */
	assert_int_equal(create(n, "second", 1, &b, &e), -ERR_BALANCE);
}

static void an_empty_balance_stops_running_cvms_only_if_configured(void **st)
{
	struct node_fixture *n = *st;
	struct cvm_call a;
	struct op_row op;
	struct err e;

	charge_from_now(n);
	credit(n, 2LL * HOUR);
	assert_int_equal(create(n, "first", 1, &a, &e), 0);
	assert_int_equal(cvms_set_desired(vmm_db(n->v), a.row.id, DESIRED_RUNNING, &e), 0);
	observe(&a, OBSERVED_RUNNING);
	pass(3LL * HOUR);
	assert_int_equal(turn_do(vmm_turn(n->v), check_turn, n->v, &e), 0);
	assert_true(balance(n).left < 0);
	assert_int_equal(ops_running_of(vmm_db(n->v), a.row.id, &op, &e), -ERR_NOT_FOUND);
	n->set.billing.stop_on_empty = true;
	node_fixture_reload(n);
	assert_int_equal(turn_do(vmm_turn(n->v), check_turn, n->v, &e), 0);
	assert_int_equal(ops_running_of(vmm_db(n->v), a.row.id, &op, &e), 0);
	assert_int_equal(op.kind, OP_SHUTDOWN);
	assert_string_equal(op.caller, "billing");
	assert_int_equal(turn_do(vmm_turn(n->v), check_turn, n->v, &e), 0); /* and not twice */
}

static void the_ledger_is_append_only_and_its_sum_is_the_balance(void **st)
{
	struct node_fixture *n = *st;
	struct ledger_row *rows = NULL;
	int64_t total;
	struct err e;
	size_t count;

	charge_from_now(n);
	credit(n, 70);
	credit(n, -20);
	assert_true(sql_run(vmm_db(n->v), &e, "UPDATE ledger SET amount = 1000", "") < 0);
	assert_true(sql_run(vmm_db(n->v), &e, "DELETE FROM ledger", "") < 0);
	assert_int_equal(
		vmm_ledger(n->v, vmm_default_workspace(n->v), 0, 10, &rows, &count, &total, &e), 0);
	assert_int_equal(total, 2);
	assert_int_equal(rows[0].amount, -20);
	assert_int_equal(rows[0].balance, 50);
	assert_int_equal(rows[1].balance, 70);
	free(rows);
	assert_int_equal(balance(n).left, 50);
}

static void disabling_billing_closes_open_intervals(void **st)
{
	struct node_fixture *n = *st;
	struct cvm_call a;
	struct err e;

	charge_from_now(n);
	credit(n, 100000000);
	assert_int_equal(create(n, "first", 1, &a, &e), 0);
	pass(1000);
	assert_int_equal(turn_do(vmm_turn(n->v), check_turn, n->v, &e), 0);
	node_fixture_close(n);
	n->set.billing.enabled = false;
	node_fixture_open(n);
	assert_int_equal(balance(n).booked, 100000000 - 100);
	assert_int_equal(balance(n).left, 100000000 - 100);
	assert_false(balance(n).enabled);
}

#define WITH_NODE(f) cmocka_unit_test_setup_teardown(f, set_up, node_fixture_tear_down)

int main(void)
{
	const struct CMUnitTest t[] = {
		WITH_NODE(time_is_charged_once_at_its_rate_despite_wall_clock_changes),
		WITH_NODE(a_long_interval_is_written_every_hour),
		WITH_NODE(a_daemon_restart_neither_loses_nor_repeats_time),
		WITH_NODE(after_a_host_reboot_a_running_cvm_paid_only_for_its_disk),
		WITH_NODE(the_balance_must_cover_the_next_hour),
		WITH_NODE(an_empty_balance_stops_running_cvms_only_if_configured),
		WITH_NODE(the_ledger_is_append_only_and_its_sum_is_the_balance),
		WITH_NODE(disabling_billing_closes_open_intervals),
	};

	return cmocka_run_group_tests_name("billing", t, NULL, NULL);
}
