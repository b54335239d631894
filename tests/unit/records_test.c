/* SPDX-License-Identifier: Apache-2.0
 * records_test.c - old records of a workspace are dropped when it exceeds its limit.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "db/records.h"
#include "db/sql.h"
#include "db/turn.h"
#include "tests/unit/node_fixture.h"
#include "vmm/node/records.h"

static int set_up(void **st)
{
	struct node_fixture *n = node_fixture_new("/tmp");

	node_fixture_open(n);
	node_fixture_add_image(n, "demo", 0, false);
	*st = n;
	return 0;
}

static int fit_turn(void *arg, struct err *e)
{
	struct node_fixture *n = arg;

	return records_fit(n->v, vmm_default_workspace(n->v), RECORD_PROVISIONS, e);
}

static void only_as_many_records_are_dropped_as_their_length_requires(void **st)
{
	static const char add[] =
		"WITH RECURSIVE i (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM i WHERE x < 127)"
		" INSERT INTO provisions (workspace, app_id, compose_hash, request, manifest,"
		" created_ms, expires_ms, used) SELECT ?, 'app', 'hash' || x, '', CASE WHEN x < 64"
		" THEN 'm' ELSE hex(zeroblob(5000)) END, x, 1 << 60, 1 FROM i";
	const int64_t long_bytes = 256 + 10000;
	struct node_fixture *n = *st;
	int64_t left = 0;
	struct err e;

	node_fixture_close(n);
	n->set.record_limit[RECORD_PROVISIONS] = 64 * long_bytes - 1; /* one too many */
	node_fixture_open(n);
	assert_int_equal(sql_run(vmm_db(n->v), &e, add, "i", vmm_default_workspace(n->v)), 127);
	assert_int_equal(turn_do(vmm_turn(n->v), fit_turn, n, &e), 0);
	assert_int_equal(
		sql_int(vmm_db(n->v), &e, -1, &left, "SELECT count(*) FROM provisions", ""), 0);
	assert_in_range(left, 64 - 8, 63);
	assert_true(sql_run(vmm_db(n->v), &e, "DELETE FROM provisions", "") > 0);
}

#define WITH_NODE(f) cmocka_unit_test_setup_teardown(f, set_up, node_fixture_tear_down)

int main(void)
{
	const struct CMUnitTest t[] = {
		WITH_NODE(only_as_many_records_are_dropped_as_their_length_requires),
	};

	return cmocka_run_group_tests_name("records", t, NULL, NULL);
}
