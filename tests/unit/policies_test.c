/* SPDX-License-Identifier: Apache-2.0
 * policies_test.c - decisions about restarts, order of turns, generations, entity tags.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "api/cloud/body_policy.h"
#include "api/cloud/precondition.h"
#include "base/array.h"
#include "base/json.h"
#include "base/own.h"
#include "db/apps.h"
#include "db/cvms.h"
#include "db/images.h"
#include "db/node.h"
#include "db/operations.h"
#include "db/policies.h"
#include "db/ports.h"
#include "db/sql.h"
#include "db/workspaces.h"
#include "vmm/admit/request.h"
#include "vmm/cvm/restart.h"
#include "vmm/node/settings.h"

/* ------------------------------------------------------------------ restarts */

static const struct restart_settings set = {
	.enabled = true, .initial_s = 5, .max_s = 60, .retries = 5, .window_s = 300
};

enum { T = 100000000 }; /* now */

static void expect(const struct restart_row *r, enum restart_action what, int64_t until)
{
	struct restart_decision d = restart_decide(&set, r, T);

	assert_int_equal(d.action, what);
	assert_int_equal(d.until, until);
}

static struct restart_row crashed(int64_t attempts)
{
	return (struct restart_row){ .ended = ENDED_CRASHED,
				     .attempts = attempts,
				     .started_ms = T - 9000,
				     .stopped_ms = T - 10 };
}

static void delays_double_up_to_the_maximum_and_retries_end(void **st)
{
	static const int seconds[] = { 5, 10, 20, 40, 60 };
	struct restart_row r;

	(void)st;
	for (int i = 0; i < (int)ARRAY_SIZE(seconds); i++) {
		r = crashed(i);
		expect(&r, RESTART_SCHEDULE, T + 1000 * seconds[i]);
	}
	r = crashed(5);
	expect(&r, RESTART_EXHAUST, 0);
	r.exhausted = true;
	expect(&r, RESTART_NOTHING, 0);
}

static void a_due_restart_begins_at_its_time(void **st)
{
	struct restart_row r = crashed(2);

	(void)st;
	r.next_ms = T + 1;
	expect(&r, RESTART_NOTHING, T + 1);
	r.next_ms = T;
	expect(&r, RESTART_NOW, 0);
	r.busy = true;
	expect(&r, RESTART_NOTHING, 0);
}

static void a_moment_beyond_the_longest_delay_was_written_by_another_clock(void **st)
{
	struct restart_row r = crashed(2);

	(void)st;
	r.next_ms = T + 60 * 1000;
	expect(&r, RESTART_NOTHING, r.next_ms);
	r.next_ms++;
	expect(&r, RESTART_NOW, 0);
}

static void an_orderly_end_is_restarted_under_always_and_only_if_it_lasts(void **st)
{
	struct restart_row r = { .ended = ENDED_OFF,
				 .started_ms = T - 9000,
				 .stopped_ms = T - 160 };

	(void)st;
	expect(&r, RESTART_NOTHING, 0);
	r.policy = RESTART_ALWAYS;
	expect(&r, RESTART_NOTHING, T + 840);
	r.stopped_ms = T - 1000;
	expect(&r, RESTART_SCHEDULE, T + 5000);
	/* the clock was set back: the end is in the future, and is not waited for */
	r.stopped_ms = T + 50000;
	expect(&r, RESTART_SCHEDULE, T + 5000);
}

static void what_was_due_is_forgotten_when_the_policy_or_the_node_says_never(void **st)
{
	const struct restart_settings off = { .max_s = 60 };
	struct restart_row r = crashed(1);

	(void)st;
	r.next_ms = T + 10;
	assert_int_equal(restart_decide(&off, &r, T).action, RESTART_CANCEL);
	r.policy = RESTART_NEVER;
	expect(&r, RESTART_CANCEL, 0);
	r.next_ms = 0;
	expect(&r, RESTART_NOTHING, 0);
}

static void a_long_run_restores_all_retries(void **st)
{
	struct restart_row r = { .ended = ENDED_NOT, .attempts = 3, .started_ms = T - 299999 };

	(void)st;
	expect(&r, RESTART_NOTHING, T + 1);
	r.started_ms = T - 300000;
	expect(&r, RESTART_RESET, 0);
	r = crashed(5);
	r.started_ms = r.stopped_ms - 300000;
	expect(&r, RESTART_SCHEDULE, T + 5000);
	r.ended = ENDED_FAILED; /* a start that fails is no run at all */
	expect(&r, RESTART_EXHAUST, 0);
}

static void a_guest_ended_by_the_host_is_no_crash(void **st)
{
	struct restart_row r = { .ended = ENDED_LOST, .policy = RESTART_ALWAYS };

	(void)st;
	expect(&r, RESTART_NOTHING, 0);
}

/* ------------------------------------------------------------------ rows */

struct policies_db {
	struct db *db;
	int64_t workspace, app, revision, image;
	char path[64];
};

static void open_policies_db(struct policies_db *b)
{
	const struct image_row img = {
		.name = "img-1.0.0", .family = "img", .version = "1.0.0", .nv = 3
	};
	struct revision_row rev = { .manifest = (char[]){ "{}" }, .storage_fs = "zfs" };
	const char *app = "0123456789012345678901234567890123456789";
	struct err e;

	(void)snprintf(b->path, sizeof(b->path), "/tmp/teepod-policies-XXXXXX");
	assert_non_null(mkdtemp(b->path));
	strcat(b->path, "/t.db");
	memset(rev.compose_hash, 'a', 64);
	assert_int_equal(db_open(b->path, &b->db, &e), 0);
	assert_int_equal(workspaces_ensure(b->db, "local", &b->workspace, &e), 0);
	assert_int_equal(images_add(b->db, &img, &b->image, &e), 0);
	assert_int_equal(apps_ensure(b->db, b->workspace, app, "a", &b->app, &e), 0);
	rev.app = b->app;
	assert_int_equal(revisions_ensure(b->db, &rev, &b->revision, &e), 0);
}

static void close_policies_db(struct policies_db *b)
{
	auto_free char *line = NULL;

	db_close(b->db);
	*strrchr(b->path, '/') = 0;
	assert_true(asprintf(&line, "%s/t.db", b->path) > 0);
	(void)unlink(line);
	(void)rmdir(b->path);
}

static int64_t add(struct policies_db *b, int64_t order, enum desired desired,
		   enum observed observed)
{
	struct cvm_row c = { .workspace = b->workspace,
			     .app = b->app,
			     .revision = b->revision,
			     .image = b->image,
			     .vcpus = 2,
			     .memory_mib = 64,
			     .disk_gib = 1,
			     .desired = desired,
			     .observed = observed,
			     .policy = { .auto_start = true, .start_order = order } };
	static uint32_t cid = 1000;
	struct cvm_blobs none = { 0 };
	struct err e;
	int64_t id;

	c.cid = cid++;
	id_uuid4(c.uuid);
	(void)snprintf(c.name, sizeof(c.name), "cvm-%u", c.cid);
	(void)snprintf(c.app_id, sizeof(c.app_id), "0123456789012345678901234567890123456789");
	assert_int_equal(cvms_insert(b->db, &c, &none, &id, &e), 0);
	return id;
}

static int64_t generation(struct policies_db *b, int64_t id)
{
	struct cvm_row c;
	struct err e;

	assert_int_equal(cvms_get(b->db, id, &c, &e), 0);
	return c.policy.generation;
}

static void a_generation_counts_what_a_client_sets_and_nothing_else(void **st)
{
	const struct port_row port = { .host_address = "127.0.0.1",
				       .host_port = 20000,
				       .vm_port = 80 };
	struct cvm_policy p = { .restart = RESTART_NEVER, .auto_start = true };
	struct policies_db b;
	struct err e;
	int64_t id, ignored;

	(void)st;
	open_policies_db(&b);
	id = add(&b, 0, DESIRED_STOPPED, OBSERVED_ABSENT);
	assert_int_equal(generation(&b, id), 1);
	assert_int_equal(cvms_set_observed(b.db, id, OBSERVED_RUNNING, PAUSED_NOT, &e), 0);
	assert_int_equal(cvms_begin_boot(b.db, id, T, &ignored, &e), 0);
	assert_int_equal(cvms_set_progress(b.db, id, "boot_progress", "done", &e), 0);
	assert_int_equal(cvms_set_restart(b.db, id, 3, T, false, &e), 0);
	assert_int_equal(cvms_set_ended(b.db, id, ENDED_CRASHED, &e), 0);
	assert_int_equal(cvms_set_desired(b.db, id, DESIRED_STOPPED, &e), 0);
	assert_int_equal(generation(&b, id), 1);

	assert_int_equal(cvms_set_desired(b.db, id, DESIRED_RUNNING, &e), 0);
	assert_int_equal(generation(&b, id), 2);
	assert_int_equal(cvms_set_policy(b.db, id, &p, &e), 0);
	assert_int_equal(generation(&b, id), 3);
	assert_int_equal(cvms_set_policy(b.db, id, &p, &e), 0);
	assert_int_equal(generation(&b, id), 3);
	assert_int_equal(sql_run(b.db, &e, "UPDATE cvms SET vcpus = 4, memory_mib = 128", ""), 1);
	assert_int_equal(generation(&b, id), 4);
	assert_int_equal(ports_add(b.db, id, &port, &e), 0);
	assert_int_equal(generation(&b, id), 5);
	assert_int_equal(cvms_delete(b.db, id, &e), 0);
	close_policies_db(&b);
}

static void turns_come_in_order_and_go_down_in_reverse(void **st)
{
	struct policies_db b;
	struct err e;
	int64_t late, first, second, id, order;

	(void)st;
	open_policies_db(&b);
	late = add(&b, 5, DESIRED_RUNNING, OBSERVED_OFF);
	first = add(&b, -1, DESIRED_RUNNING, OBSERVED_OFF);
	second = add(&b, -1, DESIRED_RUNNING, OBSERVED_OFF);
	assert_int_equal(cvms_next_turn(b.db, TURN_START, &id, &order, &e), -ERR_NOT_FOUND);
	assert_int_equal(cvms_turn_to_start(b.db, &e), 0); /* recorded as powered off */
	assert_int_equal(sql_run(b.db, &e, "UPDATE cvms SET ended = 'lost'", ""), 3);
	assert_int_equal(cvms_turn_to_start(b.db, &e), 3);
	assert_int_equal(cvms_next_turn(b.db, TURN_START, &id, &order, &e), 0);
	assert_int_equal(id, first);
	assert_int_equal(order, -1);
	assert_int_equal(cvms_set_turn(b.db, first, TURN_NONE, &e), 0);
	assert_int_equal(cvms_next_turn(b.db, TURN_START, &id, &order, &e), 0);
	assert_int_equal(id, second);

	assert_int_equal(sql_run(b.db, &e,
				 "UPDATE cvms SET observed = 'running', ended = '', turn = ''", ""),
			 3);
	assert_int_equal(cvms_turn_to_drain(b.db, &e), 3);
	assert_int_equal(cvms_next_turn(b.db, TURN_DRAIN, &id, &order, &e), 0);
	assert_int_equal(id, late);
	close_policies_db(&b);
}

static void only_what_the_node_began_by_itself_counts_as_its_load(void **st)
{
	struct op_row op = { .kind = OP_START, .state = OP_RUNNING };
	struct turn_load load;
	struct policies_db b;
	struct err e;

	(void)st;
	open_policies_db(&b);
	for (int i = 0; i < 4; i++) {
		op.cvm = add(&b, i, DESIRED_RUNNING, OBSERVED_OFF);
		op.kind = i == 3 ? OP_SHUTDOWN : OP_START;
		id_uuid7(op.id);
		(void)snprintf(op.params, sizeof(op.params), "{\"timeout_s\":60,\"force\":false%s}",
			       i ? ",\"auto\":true" : "");
		assert_int_equal(ops_insert(b.db, &op, &e), 0);
	}
	assert_int_equal(cvms_automatic_load(b.db, OP_START, &load, &e), 0);
	assert_int_equal(load.n, 3);
	assert_int_equal(load.of_kind, 2);
	assert_int_equal(load.lowest, 1);
	assert_int_equal(load.highest, 2);
	close_policies_db(&b);
}

static void maintenance_is_one_row_or_none(void **st)
{
	const struct maintenance_row in = { .on = true,
					    .reason = "move",
					    .caller = "ann",
					    .since_ms = T,
					    .timeout_s = 30,
					    .force = true };
	struct maintenance_row out, none = { 0 };
	struct policies_db b;
	struct err e;

	(void)st;
	open_policies_db(&b);
	assert_int_equal(maintenance_get(b.db, &out, &e), 0);
	assert_false(out.on);
	assert_int_equal(maintenance_set(b.db, &in, &e), 0);
	assert_int_equal(maintenance_set(b.db, &in, &e), 0);
	assert_int_equal(maintenance_get(b.db, &out, &e), 0);
	assert_memory_equal(&out, &in, sizeof(in));
	assert_int_equal(maintenance_set(b.db, &none, &e), 0);
	assert_int_equal(maintenance_get(b.db, &out, &e), 0);
	assert_memory_equal(&out, &none, sizeof(none));
	close_policies_db(&b);
}

/* ------------------------------------------------------------------ tags and bodies */

static void tags_match_exactly_or_not_at_all(void **st)
{
	static const struct {
		const char *tags;
		int want;
	} cases[] = {
		{ "*", 1 },
		{ "\"7\"", 1 },
		{ "\"8\"", 0 },
		{ "\"17\"", 0 },
		{ "\"07\"", 0 },
		{ "\"\"", 0 },
		{ "\"a\", \"7\"", 1 },
		{ "\"7\",\"a\"", 1 },
		{ ", \"7\" ,, \"x\"", 1 },
		{ "7", -ERR_INVALID },
		{ "", -ERR_INVALID },
		{ " , ", -ERR_INVALID },
		{ "W/\"7\"", -ERR_INVALID },
		{ "\"7", -ERR_INVALID },
		{ "\"7\"x", -ERR_INVALID },
		{ "\"7\", *", -ERR_INVALID },
		{ "**", -ERR_INVALID },
	};
	struct err e;

	(void)st;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		if (etag_matches(cases[i].tags, 7, &e) != cases[i].want)
			fail_msg("%s", cases[i].tags);
}

static int read_policy(const char *text, struct policy_request *ret, struct err *e)
{
	auto_json json_t *j = json_read(text, strlen(text), e);

	return parse_policy_body(j, ret, e);
}

static void a_policy_changes_only_the_fields_it_names(void **st)
{
	struct policy_request a = { .start_order = 77 };
	struct err e;

	(void)st;
	assert_int_equal(read_policy("{}", &a, &e), -ERR_INVALID);
	assert_int_equal(read_policy("{\"restart_policy\": null}", &a, &e), -ERR_INVALID);
	assert_int_equal(a.start_order, 77);
	assert_int_equal(read_policy("{\"restart_policy\": \"Always\"}", &a, &e), 0);
	assert_true(a.has_restart && !a.has_auto_start && !a.has_order);
	assert_int_equal(a.restart, RESTART_ALWAYS);
	assert_int_equal(read_policy("{\"auto_start\": false, \"start_order\": -3}", &a, &e), 0);
	assert_true(!a.has_restart && a.has_auto_start && a.has_order && !a.auto_start);
	assert_int_equal(a.start_order, -3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(delays_double_up_to_the_maximum_and_retries_end),
		cmocka_unit_test(a_due_restart_begins_at_its_time),
		cmocka_unit_test(a_moment_beyond_the_longest_delay_was_written_by_another_clock),
		cmocka_unit_test(an_orderly_end_is_restarted_under_always_and_only_if_it_lasts),
		cmocka_unit_test(what_was_due_is_forgotten_when_the_policy_or_the_node_says_never),
		cmocka_unit_test(a_long_run_restores_all_retries),
		cmocka_unit_test(a_guest_ended_by_the_host_is_no_crash),
		cmocka_unit_test(a_generation_counts_what_a_client_sets_and_nothing_else),
		cmocka_unit_test(turns_come_in_order_and_go_down_in_reverse),
		cmocka_unit_test(only_what_the_node_began_by_itself_counts_as_its_load),
		cmocka_unit_test(maintenance_is_one_row_or_none),
		cmocka_unit_test(tags_match_exactly_or_not_at_all),
		cmocka_unit_test(a_policy_changes_only_the_fields_it_names),
	};

	return cmocka_run_group_tests_name("policies", tests, NULL, NULL);
}
