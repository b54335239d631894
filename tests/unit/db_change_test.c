/* SPDX-License-Identifier: Apache-2.0
 * db_change_test.c - changes of CVMs and operations.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/strings.h"
#include "db/apps.h"
#include "db/capacity.h"
#include "db/changes.h"
#include "db/check.h"
#include "db/cvms.h"
#include "db/events.h"
#include "db/idempotency.h"
#include "db/keys.h"
#include "db/operations.h"
#include "db/ports.h"
#include "db/records.h"
#include "db/sql.h"
#include "tests/unit/db_fixture.h"

static void a_cvm_has_one_running_operation(void **st)
{
	struct op_row op = { .cvm = 1, .kind = OP_START, .state = OP_RUNNING };
	struct db *db = db_fixture_open();
	struct err e;

	(void)st;
	id_uuid7(op.id);
	assert_int_equal(ops_insert(db, &op, &e), 0);
	id_uuid7(op.id);
	assert_true(ops_insert(db, &op, &e) < 0);
	op.state = OP_QUEUED;
	assert_int_equal(ops_insert(db, &op, &e), 0);
	db_close(db);
}

static void plan_change(struct db_fixture *w, int64_t cvm, struct change_row *x)
{
	struct port_row port = { .host_address = "127.0.0.1", .host_port = 8081, .vm_port = 81 };
	int64_t more;
	struct err e;

	*x = (struct change_row){ .op = "op",
				  .cvm = cvm,
				  .changed = "[]",
				  .revision = w->revision,
				  .image = w->image,
				  .vcpus = 9,
				  .memory_mib = 99,
				  .disk_gib = 7,
				  .given_vcpus = 9,
				  .given_memory_mib = 99,
				  .blobs = { .user_config = xstrdup("new") } };
	assert_int_equal(ports_plan(w->db, cvm, &port, 1, &more, &e), 0);
	assert_int_equal(more, 1);
	assert_int_equal(changes_insert(w->db, x, &e), 0);
}

static void swapping_twice_is_where_it_began_and_settling_keeps_the_present(void **st)
{
	struct db_fixture w = { .db = db_fixture_open() };
	struct port_row port = { .host_address = "127.0.0.1", .host_port = 8080, .vm_port = 80 };
	struct cvm_row before, after;
	struct change_row x;
	int64_t cvm, gone;
	struct err e;

	(void)st;
	db_fixture_fill(&w);
	cvm = db_fixture_add_cvm(&w, "one", 1000);
	assert_int_equal(ports_add(w.db, cvm, &port, &e), 0);
	plan_change(&w, cvm, &x);
	assert_int_equal(cvms_get(w.db, cvm, &before, &e), 0);
	assert_int_equal(changes_swap(w.db, &x, &e), 0);
	assert_true(x.applied);
	assert_int_equal(x.vcpus, before.vcpus);
	assert_int_equal(db_count(w.db, "SELECT vcpus FROM cvms"), 9);
	assert_int_equal(db_count(w.db, "SELECT vm_port FROM ports WHERE host_port = 8081"), 81);
	assert_int_equal(db_count(w.db, "SELECT vm_port FROM ports WHERE host_port = 8080"), 0);
	assert_int_equal(db_count(w.db, "SELECT user_config = 'new' FROM cvms"), 1);
	assert_int_equal(changes_swap(w.db, &x, &e), 0);
	assert_int_equal(cvms_get(w.db, cvm, &after, &e), 0);
	assert_true(after.policy.generation >
		    before.policy.generation); /* a change that is rolled back increments the
						  generation twice */
	after.policy.generation = before.policy.generation;
	assert_memory_equal(&before, &after, sizeof(before));
	assert_int_equal(ports_settle(w.db, cvm, &gone, &e), 0);
	assert_int_equal(gone, 1);
	assert_int_equal(db_count(w.db, "SELECT vm_port = other_vm_port FROM ports"), 1);
	cvm_blobs_free(&x.blobs);
	db_close(w.db);
}

static void the_check_finds_a_change_without_an_operation(void **st)
{
	struct db_fixture w = { .db = db_fixture_open() };
	auto_buf struct buf out = { 0 };
	struct change_row x;
	bool changed;
	struct err e;

	(void)st;
	db_fixture_fill(&w);
	plan_change(&w, db_fixture_add_cvm(&w, "one", 1000), &x);
	assert_int_equal(capacity_recount(w.db, &changed, &e), 0);
	assert_int_equal(db_check(db_fixture_path, &out, &e), 1);
	assert_non_null(
		strstr(out.data, "change of CVM one belongs to operation op, which does not run"));
	assert_int_equal(changes_remove(w.db, "op", &e), 0);
	assert_true(db_check(db_fixture_path, &out, &e) > 0);
	assert_non_null(strstr(
		out.data, "CVM one is not changed, and has tcp port 8081 in one of two states"));
	cvm_blobs_free(&x.blobs);
	db_close(w.db);
}

static void a_revision_goes_with_the_change_that_planned_it(void **st)
{
	struct db_fixture w = { .db = db_fixture_open() };
	struct revision_row planned = { .manifest = (char[]){ "{}" }, .storage_fs = "zfs" };
	struct change_row x;
	int64_t bytes;
	struct err e;

	(void)st;
	db_fixture_fill(&w);
	plan_change(&w, db_fixture_add_cvm(&w, "one", 1000), &x);
	assert_int_equal(changes_remove(w.db, "op", &e), 0);
	planned.app = w.app;
	memset(planned.compose_hash, 'c', 64);
	bytes = db_count(w.db, "SELECT bytes FROM apps");
	assert_int_equal(revisions_ensure(w.db, &planned, &x.revision, &e), 0);
	assert_int_equal(db_count(w.db, "SELECT bytes FROM apps"), bytes + 256 + 2);
	assert_int_equal(changes_insert(w.db, &x, &e), 0);
	assert_int_equal(changes_remove(w.db, "op", &e), 0);
	assert_int_equal(db_count(w.db, "SELECT count(*) FROM revisions"), 1);
	assert_int_equal(db_count(w.db, "SELECT bytes FROM apps"), bytes);
	assert_int_equal(records_bytes(w.db, w.workspace, RECORD_REVISIONS, &x.revision, &e), 0);
	assert_int_equal(x.revision, bytes);
	cvm_blobs_free(&x.blobs);
	db_close(w.db);
}

static int asked_down(struct db *db, enum op_kind kind, enum op_state state, const char *step)
{
	static int number;
	struct op_row op = {
		.workspace = 1, .kind = kind, .state = state, .params = "{}", .finished_ms = 5
	};
	struct err e;

	/* Ids of the same millisecond sort in any order. */
	(void)snprintf(op.id, sizeof(op.id), "%d", ++number);
	(void)snprintf(op.cvm_uuid, sizeof(op.cvm_uuid), "u");
	(void)snprintf(op.step, sizeof(op.step), "%s", step);
	assert_int_equal(ops_insert(db, &op, &e), 0);
	return ops_shutdown_unfinished(db, "u", 5, &e);
}

static void a_shutdown_uses_the_power_button_only(void **st)
{
	struct db *db = db_fixture_open();

	(void)st;
	assert_int_equal(asked_down(db, OP_RESTART, OP_FAILED, "signal"), 0);
	assert_int_equal(asked_down(db, OP_RESTART, OP_CANCELLED, "signal"), 1);
	assert_int_equal(asked_down(db, OP_SHUTDOWN, OP_FAILED, "signal"), 1);
	assert_int_equal(asked_down(db, OP_RESTART, OP_FAILED, "wait"), 1);
	assert_int_equal(asked_down(db, OP_RESTART, OP_FAILED, "start"), 0);
	db_close(db);
}

static void totals_of_operations_follow_their_states(void **st)
{
	struct op_row op = { .workspace = 1, .kind = OP_START, .state = OP_QUEUED, .params = "{}" };
	struct db *db = db_fixture_open();
	auto_buf struct buf out = { 0 };
	struct err e;

	(void)st;
	for (int i = 0; i < 4; i++) {
		id_uuid7(op.id);
		op.cvm = i;
		op.workspace = 1 + i / 3;
		assert_int_equal(ops_insert(db, &op, &e), 0);
	}
	assert_int_equal(db_ops_total(db, 0, -1), 4);
	assert_int_equal(db_ops_total(db, 1, -1), 3);
	op.state = OP_FAILED;
	op.finished_ms = 1;
	assert_int_equal(ops_update(db, &op, &e), 0);
	assert_int_equal(db_ops_total(db, 0, OP_FAILED), 1);
	assert_int_equal(db_ops_total(db, 2, OP_QUEUED), 0);
	assert_int_equal(db_ops_total(db, 1, OP_QUEUED), 3);
	assert_int_equal(db_ops_total(db, 2, OP_FAILED), 1);
	assert_int_equal(db_ops_total(db, 1, OP_FAILED), 0);
	assert_int_equal(ops_prune(db, 2, &e), 1);
	assert_int_equal(db_ops_total(db, 0, OP_FAILED), 0);
	assert_int_equal(db_ops_total(db, 0, -1), 3);
	assert_true(sql_run(db, &e, "UPDATE operation_counts SET n = 7 WHERE n = 3", "") > 0);
	assert_true(db_check(db_fixture_path, &out, &e) > 0);
	assert_non_null(strstr(out.data, "workspace 1 counts 7 operations queued, has 3"));
	db_close(db);
}

int main(void)
{
	const struct CMUnitTest t[] = {
		cmocka_unit_test(a_cvm_has_one_running_operation),
		cmocka_unit_test(swapping_twice_is_where_it_began_and_settling_keeps_the_present),
		cmocka_unit_test(the_check_finds_a_change_without_an_operation),
		cmocka_unit_test(a_revision_goes_with_the_change_that_planned_it),
		cmocka_unit_test(a_shutdown_uses_the_power_button_only),
		cmocka_unit_test(totals_of_operations_follow_their_states),
	};

	return cmocka_run_group_tests_name("db_change", t, db_fixture_set_up, temp_dir_tear_down);
}
