/* SPDX-License-Identifier: Apache-2.0
 * vmm_test.c - a node without a hypervisor: operations, output of guests, images,
 * idempotency.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/array.h"
#include "base/file.h"
#include "base/json.h"
#include "base/own.h"
#include "base/strings.h"
#include "db/events.h"
#include "db/images.h"
#include "db/sql.h"
#include "db/turn.h"
#include "images/images.h"
#include "images/state.h"
#include "images/store.h"
#include "images/store_context.h"
#include "tests/unit/node_fixture.h"
#include "vmm/cvm/status.h"
#include "vmm/cvm/steps.h"
#include "vmm/guest/guest.h"
#include "vmm/node/event.h"
#include "vmm/op/engine.h"
#include "vmm/op/mutation.h"
#include "vmm/op/op_error.h"
#include "vmm/op/op_run.h"
#include "vmm/vmm.h"

static int set_up(void **st)
{
	struct node_fixture *n = node_fixture_new("/tmp");

	node_fixture_open(n);
	node_fixture_add_image(n, "demo", 0, false);
	*st = n;
	return 0;
}

static int tear_down(void **st)
{
	node_fixture_free(*st);
	return 0;
}

/* ------------------------------------------------------------------ helpers */

static int create(struct node_fixture *n, const char *name, int64_t vcpus, struct cvm_call *c,
		  struct err *e)
{
	c->request.vcpus = vcpus;
	return cvm_call_create(n, name, c, e);
}

/* ------------------------------------------------------------------ operations */

static int power(struct cvm_call *c, enum op_kind kind, struct err *e)
{
	c->power = (struct power_request){ .kind = kind };
	return cvm_call_apply(c, cvm_call_power_turn, e);
}

static void a_second_operation_is_refused_and_delete_overtakes(void **st)
{
	struct node_fixture *n = *st;
	struct cvm_call a = { 0 }, second;
	struct op_row op;
	struct err e;

	assert_int_equal(create(n, "first", 1, &a, &e), 0);
	assert_int_equal(power(&a, OP_START, &e), 0);
	(void)uv_run(&n->loop, UV_RUN_NOWAIT);
	second = a;
	assert_int_equal(power(&second, OP_START, &e), -ERR_BUSY);
	assert_int_equal(power(&second, OP_DELETE, &e), 0);
	for (int i = 0; i < 20; i++)
		(void)uv_run(&n->loop, UV_RUN_NOWAIT);
	assert_int_equal(ops_get(vmm_db(n->v), a.op.id, &op, &e), 0);
	assert_int_equal(op.state, OP_CANCELLED);
	assert_int_equal(ops_get(vmm_db(n->v), second.op.id, &op, &e), 0);
	assert_int_equal(op.state, OP_RUNNING);
	assert_int_equal(power(&second, OP_START, &e), -ERR_BUSY);
}

/* A start would record a new boot while the old one goes on. */
static void a_paused_guest_is_not_started_again(void **st)
{
	struct node_fixture *n = *st;
	struct cvm_call a = { 0 };
	struct err e;

	assert_int_equal(create(n, "first", 1, &a, &e), 0);
	assert_int_equal(
		cvms_set_observed(vmm_db(n->v), a.row.id, OBSERVED_PAUSED, PAUSED_OTHER, &e), 0);
	assert_int_equal(power(&a, OP_START, &e), -ERR_CONFLICT);
	assert_non_null(strstr(e.text, "paused"));
}

struct event_call {
	struct vmm *v;
	const char *text;
};

static int event_turn(void *arg, struct err *e)
{
	const struct event_call *t = arg;

	return event(t->v, NULL, "", "test.event", e, "{s:s, s:I, s:b}", "error", t->text, "n",
		     (json_int_t)7, "yes", 1);
}

/* Text of guests, files and libvirt may hold any bytes, and buffers cut it at any byte. */
static void an_event_keeps_its_data_with_any_text_in_it(void **st)
{
	static const struct {
		const char *text, *kept;
	} cases[] = {
		{ "plain", "plain" },
		{ "/srv/caf\xe9/hda.img: No space left", "/srv/caf?/hda.img: No space left" },
		{ "cut in a character: \xe2\x82", "cut in a character: ??" },
		{ "\"quoted\" \\ \n \x01", "\"quoted\" \\ \n \x01" },
		{ "\xff\xfe", "??" },
	};
	struct node_fixture *n = *st;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct event_call t = { n->v, cases[i].text };
		auto_json json_t *data = NULL;
		struct event_row *events;
		size_t ne;
		struct err e;

		assert_int_equal(turn_do(vmm_turn(n->v), event_turn, &t, &e), 0);
		assert_int_equal(
			events_between(vmm_db(n->v), 0, 0, INT64_MAX, 1000, &events, &ne, &e), 0);
		assert_string_equal(events[ne - 1].type, "test.event");
		data = json_loads(events[ne - 1].data, 0, NULL);
		events_free(events, ne);
		assert_int_equal(json_object_size(data), 3);
		assert_string_equal(json_string_value(json_object_get(data, "error")),
				    cases[i].kept);
		assert_int_equal(json_integer_value(json_object_get(data, "n")), 7);
		assert_true(json_is_true(json_object_get(data, "yes")));
	}
}

/* JSON may encode one byte as six. The least important fields are left out first, the text never.
 */
static void a_long_error_is_stored_with_its_text(void **st)
{
	struct op_row row = { 0 };
	char text[300];
	struct err e, kept;

	(void)st;
	memset(text, 1, sizeof(text) - 1);
	memcpy(text, "begins like this", 16);
	text[sizeof(text) - 1] = 0;
	err_set(&e, ERR_HOST, "%s", text);
	memset(e.hint, 2, sizeof(e.hint) - 1);
	memset(e.field, 3, sizeof(e.field) - 1);
	op_error_write(&e, row.error);
	assert_true(vmm_op_error(&row, &kept));
	assert_int_equal(kept.code, ERR_HOST);
	assert_int_equal(strncmp(kept.text, "begins like this", 16), 0);
}

static void an_operation_waits_for_the_hypervisor_across_restarts(void **st)
{
	struct node_fixture *n = *st;
	struct cvm_call a = { 0 };
	struct op_row op;
	struct err e;

	assert_int_equal(create(n, "first", 1, &a, &e), 0);
	assert_int_equal(power(&a, OP_START, &e), 0);
	(void)uv_run(&n->loop, UV_RUN_NOWAIT);
	node_fixture_close(n);
	node_fixture_open(n);
	assert_int_equal(ops_get(vmm_db(n->v), a.op.id, &op, &e), 0);
	assert_int_equal(op.state, OP_RUNNING);
	assert_int_equal(vmm_engine(n->v)->n_ops, 1);
	assert_int_equal(node_fixture_reserved(n, "vcpus"), 1);
}

/* ------------------------------------------------------------------ failed and cancelled
 * operations */

static struct op_row op_of(const struct node_fixture *n, const struct cvm_call *c)
{
	return node_fixture_op(n, c->op.id);
}

/* Make the folder of the image of all CVMs, and record its files. */
static void store_image(struct node_fixture *n)
{
	auto_free char *dir = xasprintf("%s/demo-1.0.0", n->images), *path = xasprintf("%s/k", dir),
		       *files = NULL;
	struct image_row row;
	struct err e;

	assert_int_equal(file_mkdirs(dir, 0755, &e), 0);
	assert_int_equal(file_write(path, "k", 1, 0644, &e), 0);
	assert_int_equal(image_record_read(dir, &files, &e), 0);
	assert_int_equal(images_by_name(vmm_db(n->v), "demo-1.0.0", &row, &e), 0);
	assert_int_equal(images_set_files(vmm_db(n->v), row.id, files, &e), 0);
}

/* "check" needs no hypervisor; the power button does. */
static void restart_waits_for_libvirt(struct node_fixture *n, const struct cvm_call *a)
{
	for (int i = 0; i < 300 && strcmp(op_of(n, a).step, "signal") != 0; i++)
		node_fixture_run(n, 10);
	assert_string_equal(op_of(n, a).step, "signal");
}

/* Close, and open again with the operation of @a where a crash could have left it. */
static void resume_at(struct node_fixture *n, const struct cvm_call *a, int step, bool undoing)
{
	struct op_row row;
	struct err e;

	(void)uv_run(&n->loop, UV_RUN_NOWAIT);
	row = op_of(n, a);
	op_set_step(&row, step);
	row.undoing = undoing;
	assert_int_equal(ops_update(vmm_db(n->v), &row, &e), 0);
	node_fixture_close(n);
	node_fixture_open(n);
}

/* Pretend that the domains were listed. This holds after the first attempt to connect has failed,
 * because no later event changes it. */
static void settle(struct node_fixture *n)
{
	while (!strcmp(vmm_link_error(n->v), "connecting"))
		node_fixture_run(n, 5);
	vmm_set_settled(n->v, true);
	ops_unpark(n->v);
}

static void begin(struct cvm_call *c, enum op_kind kind)
{
	struct err e;

	assert_int_equal(power(c, kind, &e), 0);
}

static int cancel_turn(void *arg, struct err *e)
{
	struct cvm_call *a = arg;

	return vmm_cancel(a->n->v, a->op.id, e);
}

/* A create under way, waiting for the hypervisor. */
static void create_running(struct node_fixture *n, struct cvm_call *a)
{
	auto_json json_t *m = node_fixture_manifest("first");
	struct err e;

	a->n = n;
	a->request = (struct cvm_request){ .name = "first",
					   .prefer_dev = -1,
					   .vcpus = 1,
					   .memory_mib = 100,
					   .disk_gib = 1,
					   .manifest = m };
	assert_int_equal(turn_do(vmm_turn(n->v), cvm_call_create_turn, a, &e), 0);
}

enum {
	CREATE_FILES = 1,
	CREATE_START = 4,
	SHUTDOWN_WAIT = 1,
	RESTART_DEFINE = 6,
	DELETE_REMOVE = 2
};

static void delete_replaces_a_queued_stop(void **st)
{
	struct node_fixture *n = *st;
	struct cvm_call a = { 0 }, stop, del;
	struct err e;

	create_running(n, &a);
	stop = del = a;
	begin(&stop, OP_STOP);
	assert_int_equal(op_of(n, &stop).state, OP_QUEUED);
	assert_int_equal(power(&del, OP_DELETE, &e), 0);
	assert_int_equal(op_of(n, &stop).state, OP_CANCELLED);
	assert_int_equal(op_of(n, &del).state, OP_QUEUED);
	assert_non_null(strstr(op_of(n, &stop).error, "replaced by delete"));
	/* A stop does not replace a queued delete. */
	assert_int_equal(power(&del, OP_STOP, &e), -ERR_BUSY);
}

static void a_stop_is_queued_behind_an_undo(void **st)
{
	struct node_fixture *n = *st;
	struct cvm_call a = { 0 }, stop;

	create_running(n, &a);
	resume_at(n, &a, CREATE_START, true);
	stop = a;
	begin(&stop, OP_STOP);
	assert_int_equal(op_of(n, &stop).state, OP_QUEUED);
	settle(n);
	vmm_set_settled(n->v, false); /* the undo waits for the state of the guest */
	assert_true(op_of(n, &a).undoing);
	assert_int_equal(op_of(n, &a).state, OP_RUNNING);
}

static const struct step three_steps[] = { { .name = "one" },
					   { .name = "new" },
					   { .name = "three" } };
static const struct step_rename two_renames[] = { { 2, "two", "middle" },
						  { 3, "middle", "new" },
						  { 0 } };

static void a_step_is_found_by_its_recorded_name(void **st)
{
	const struct op_table t = {
		.version = 3, .steps = three_steps, .n = 3, .renames = two_renames
	};

	(void)st;
	assert_int_equal(op_step_find(&t, "three", 1), 2);
	assert_int_equal(op_step_find(&t, "two", 1), 1);
	assert_int_equal(op_step_find(&t, "middle", 2), 1);
	assert_int_equal(op_step_find(&t, "new", 3), 1);
	assert_int_equal(op_step_find(&t, "", 1), -1);
	/* Version 3 has no step "two": the program that wrote it is unknown. */
	assert_int_equal(op_step_find(&t, "two", 3), -2);
	assert_int_equal(op_step_find(&t, "four", 4), -2);
}

static void count_close(void *arg, unsigned stuck)
{
	assert_int_equal(stuck, 0);
	++*(int *)arg;
}

static void closing_waits_for_jobs_even_if_an_operation_ends_meanwhile(void **st)
{
	struct node_fixture *n = *st;
	struct cvm_call a = { 0 };
	int closed = 0;
	struct err e;

	assert_int_equal(create(n, "first", 1, &a, &e), 0);
	assert_int_equal(power(&a, OP_DELETE, &e), 0);
	resume_at(n, &a, DELETE_REMOVE, false);
	vmm_job_begin(n->v); /* for example an import */
	vmm_close(n->v, 5000, count_close, &closed);
	node_fixture_run(n, 300);
	assert_int_equal(closed, 0);
	vmm_job_end(n->v);
	while (!closed)
		(void)uv_run(&n->loop, UV_RUN_ONCE);
	n->v = NULL;
	node_fixture_open(n);
}

static void an_undo_waits_for_the_hypervisor(void **st)
{
	struct node_fixture *n = *st;
	struct cvm_call a = { 0 };
	struct cvm_row c;
	struct err e;

	create_running(n, &a);
	resume_at(n, &a, CREATE_START, true);
	settle(n);
	node_fixture_run(n, 500);
	assert_int_equal(op_of(n, &a).state, OP_RUNNING);
	assert_string_equal(op_of(n, &a).step, "start");
	assert_int_equal(cvms_get(vmm_db(n->v), a.row.id, &c, &e), 0);
	vmm_set_settled(n->v, false);
	node_fixture_run(n, 1000);
	assert_true(vmm_engine(n->v)->ops->parked);
}

static void a_failed_undo_keeps_the_cvm_and_its_reservations(void **st)
{
	struct node_fixture *n = *st;
	struct cvm_call a = { 0 };
	auto_free char *cvms = xasprintf("%s/cvms", n->dir);
	struct cvm_row c;
	struct err e;

	create_running(n, &a);
	resume_at(n, &a, CREATE_FILES, true);
	assert_int_equal(rmdir(cvms), 0);
	assert_int_equal(file_write(cvms, "x", 1, 0600, &e), 0);
	settle(n);
	(void)node_fixture_finish_op(n, a.op.id);
	assert_int_equal(op_of(n, &a).state, OP_FAILED);
	assert_int_equal(cvms_get(vmm_db(n->v), a.row.id, &c, &e), 0);
	assert_int_equal(node_fixture_reserved(n, "vcpus"), 1);
	assert_int_equal(unlink(cvms), 0);
}

static void an_operation_queued_behind_an_undone_create_ends_with_an_event(void **st)
{
	struct node_fixture *n = *st;
	struct cvm_call a = { 0 }, del;
	struct event_row *events;
	struct op_row row;
	int finished = 0;
	size_t ne;
	struct err e;

	settle(n);
	create_running(n, &a);
	del = a;
	assert_int_equal(power(&del, OP_DELETE, &e), 0);
	row = op_of(n, &a);
	row.undoing = true;
	op_set_step(&row, -1);
	assert_int_equal(ops_update(vmm_db(n->v), &row, &e), 0);
	node_fixture_run(n, 100);
	assert_int_equal(op_of(n, &a).state, OP_FAILED);
	assert_int_equal(op_of(n, &del).state, OP_SUCCEEDED);
	assert_int_equal(node_fixture_reserved(n, "slots"), 0);
	assert_int_equal(events_between(vmm_db(n->v), 0, 0, INT64_MAX, 100, &events, &ne, &e), 0);
	for (size_t i = 0; i < ne; i++)
		finished += !strcmp(events[i].type, "operation.finished") &&
			    !strcmp(events[i].op_id, del.op.id);
	events_free(events, ne);
	assert_int_equal(finished, 1);
}

static void a_cancel_in_the_turn_that_ends_a_step_takes_effect(void **st)
{
	struct node_fixture *n = *st;
	struct cvm_call a = { 0 };
	struct err e;

	assert_int_equal(create(n, "first", 1, &a, &e), 0);
	assert_int_equal(
		cvms_set_observed(vmm_db(n->v), a.row.id, OBSERVED_RUNNING, PAUSED_NOT, &e), 0);
	begin(&a, OP_SHUTDOWN);
	resume_at(n, &a, SHUTDOWN_WAIT, false);
	assert_true(vmm_engine(n->v)->ops->waiting);
	assert_int_equal(turn_do(vmm_turn(n->v), cancel_turn, &a, &e), 0);
	assert_int_equal(cvms_set_observed(vmm_db(n->v), a.row.id, OBSERVED_OFF, PAUSED_NOT, &e),
			 0);
	ops_poke(n->v, a.row.id);
	node_fixture_run(n, 50);
	assert_true(op_of(n, &a).cancel);
	/* The state of the guest is unknown until the domains are listed. */
	assert_int_equal(op_of(n, &a).state, OP_RUNNING);
	settle(n);
	node_fixture_run(n, 50);
	assert_int_equal(op_of(n, &a).state, OP_CANCELLED);
}

static void a_stale_row_does_not_end_an_operation_before_the_domains_are_listed(void **st)
{
	struct node_fixture *n = *st;
	struct cvm_call a = { 0 };
	struct err e;

	assert_int_equal(create(n, "first", 1, &a, &e), 0);
	assert_int_equal(
		cvms_set_observed(vmm_db(n->v), a.row.id, OBSERVED_PAUSED, PAUSED_NOSPC, &e), 0);
	begin(&a, OP_SHUTDOWN);
	resume_at(n, &a, SHUTDOWN_WAIT, false);
	node_fixture_run(n, 50);
	assert_int_equal(op_of(n, &a).state, OP_RUNNING);
	settle(n);
	(void)node_fixture_finish_op(n, a.op.id);
	assert_int_equal(op_of(n, &a).state, OP_FAILED);
	assert_non_null(strstr(op_of(n, &a).error, "paused (no"));
}

static void a_restart_that_is_cancelled_after_its_stop_ends_stopped(void **st)
{
	struct node_fixture *n = *st;
	struct cvm_call a = { 0 };
	struct cvm_row c;
	struct err e;

	n->set.release_on_stop = true;
	node_fixture_reload(n);
	assert_int_equal(create(n, "first", 1, &a, &e), 0);
	store_image(n);
	begin(&a, OP_RESTART);
	restart_waits_for_libvirt(n, &a);
	assert_int_equal(cvms_set_desired(vmm_db(n->v), a.row.id, DESIRED_RUNNING, &e), 0);
	resume_at(n, &a, RESTART_DEFINE, false);
	assert_int_equal(turn_do(vmm_turn(n->v), cancel_turn, &a, &e), 0);
	node_fixture_run(n, 50);
	assert_true(op_of(n, &a).undoing);
	settle(n);
	(void)node_fixture_finish_op(n, a.op.id);
	assert_int_equal(op_of(n, &a).state, OP_CANCELLED);
	assert_int_equal(cvms_get(vmm_db(n->v), a.row.id, &c, &e), 0);
	assert_int_equal(c.desired, DESIRED_STOPPED);
	assert_int_equal(node_fixture_reserved(n, "vcpus"), 0);
}

static void with_release_on_stop_every_stopped_cvm_holds_no_cpu(void **st)
{
	struct node_fixture *n = *st;
	struct cvm_call kept = { 0 }, a = { 0 };
	struct err e;

	assert_int_equal(create(n, "kept-1", 2, &kept, &e), 0);
	n->set.release_on_stop = true;
	node_fixture_reload(n);
	begin(&kept, OP_STOP);
	assert_int_equal(kept.op.state, OP_RUNNING);
	assert_int_equal(create(n, "first", 1, &a, &e), 0);
	assert_int_equal(node_fixture_reserved(n, "vcpus"), 2);
	begin(&a, OP_STOP);
	assert_int_equal(a.op.state, OP_SUCCEEDED);
	store_image(n);
	begin(&a, OP_RESTART);
	assert_int_equal(node_fixture_reserved(n, "vcpus"), 3);
	restart_waits_for_libvirt(n, &a);
	assert_int_equal(turn_do(vmm_turn(n->v), cancel_turn, &a, &e), 0);
	node_fixture_run(n, 50);
	/* It is parked until the domains are listed, because the row may be stale. */
	assert_int_equal(op_of(n, &a).state, OP_RUNNING);
	settle(n);
	(void)node_fixture_finish_op(n, a.op.id);
	assert_int_equal(op_of(n, &a).state, OP_CANCELLED);
	assert_int_equal(node_fixture_reserved(n, "vcpus"), 2);
	vmm_set_settled(n->v, false);
	begin(&a, OP_START);
	node_fixture_run(n, 20);
	assert_int_equal(node_fixture_reserved(n, "vcpus"), 3);
	assert_int_equal(turn_do(vmm_turn(n->v), cancel_turn, &a, &e), 0);
	node_fixture_run(n, 50);
	settle(n);
	(void)node_fixture_finish_op(n, a.op.id);
	assert_int_equal(op_of(n, &a).state, OP_CANCELLED);
	assert_int_equal(node_fixture_reserved(n, "vcpus"), 2);
}

/* ------------------------------------------------------------------ states of images */

static void image_seen(void *arg, const struct image_status *results)
{
	*(struct image_status *)arg = results[0];
}

static void image_states_are_unknown_while_four_checks_are_late(void **st)
{
	struct node_fixture *n = *st;
	struct image_status seen = { .state = IMAGE_STATES };
	struct image_row row;
	struct err e;

	store_image(n);
	assert_int_equal(images_by_name(vmm_db(n->v), "demo-1.0.0", &row, &e), 0);
	vmm_image_store(n->v)->late_checks = 4;
	image_states_read(vmm_image_store(n->v), &row, 1, image_seen, &seen);
	assert_int_equal(seen.state, IMAGE_UNKNOWN);
	vmm_image_store(n->v)->late_checks = 3;
	seen.state = IMAGE_STATES;
	image_states_read(vmm_image_store(n->v), &row, 1, image_seen, &seen);
	for (int i = 0; i < 300 && seen.state == IMAGE_STATES; i++)
		node_fixture_run(n, 10);
	assert_int_equal(seen.state, IMAGE_AVAILABLE);
	vmm_image_store(n->v)->late_checks = 0;
}

/* ------------------------------------------------------------------ output of guests */

static void guest_writes(struct node_fixture *n, const struct cvm_call *a, const char *text)
{
	auto_free char *dir = cvm_dir(n->v, a->row.uuid), *logs = xasprintf("%s/logs", dir);
	auto_free char *serial = xasprintf("%s/serial.log", logs);
	struct err e;
	FILE *f;

	assert_int_equal(file_mkdirs(logs, 0755, &e), 0);
	f = fopen(serial, "a");
	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
}

/* Run all jobs and their callbacks. */
static void finish_jobs(struct node_fixture *n)
{
	while (vmm_jobs(n->v))
		(void)uv_run(&n->loop, UV_RUN_ONCE);
	(void)uv_run(&n->loop, UV_RUN_NOWAIT);
}

static void output_of_a_guest_before_its_end_is_recorded(void **st)
{
	struct node_fixture *n = *st;
	struct cvm_call a = { 0 };
	struct cvm_row c;
	struct err e;

	assert_int_equal(create(n, "first", 1, &a, &e), 0);
	(void)uv_run(&n->loop, UV_RUN_NOWAIT);
	a.row.serial_progress = true;
	guest_writes(n, &a, "boot.progress: one\n");
	guest_listen(n->v, &a.row);
	finish_jobs(n);
	/* longer than one read */
	for (int i = 0; i < 3000; i++)
		guest_writes(n, &a, "not a word of progress in this line, nor in the next one\n");
	guest_writes(n, &a, "boot.error: no such disk\n");
	guest_forget(n->v, a.row.id);
	finish_jobs(n);
	assert_false(guests_are_followed(n->v));
	assert_int_equal(cvms_get(vmm_db(n->v), a.row.id, &c, &e), 0);
	assert_string_equal(c.boot_progress, "one");
	assert_string_equal(c.boot_error, "no such disk");
}

static void a_failed_boot_waits_for_the_last_output_of_the_guest(void **st)
{
	struct node_fixture *n = *st;
	struct op_run o = { 0 };
	struct cvm_call a = { 0 };
	struct cvm_row c;
	struct err e;

	assert_int_equal(create(n, "first", 1, &a, &e), 0);
	(void)uv_run(&n->loop, UV_RUN_NOWAIT);
	a.row.serial_progress = true;
	guest_writes(n, &a, "boot.progress: one\n");
	guest_listen(n->v, &a.row);
	finish_jobs(n);
	guest_writes(n, &a, "boot.error: no such disk\n");
	guest_forget(n->v, a.row.id);
	assert_int_equal(cvms_get(vmm_db(n->v), a.row.id, &c, &e), 0);
	assert_false(cvm_is_up(&c));
	assert_int_equal(step_booted(n->v, &o, &c, &e), 0);
	finish_jobs(n);
	assert_int_equal(cvms_get(vmm_db(n->v), a.row.id, &c, &e), 0);
	assert_int_equal(step_booted(n->v, &o, &c, &e), -ERR_HOST);
	assert_string_equal(e.text, "the guest reports: no such disk");
}

static int64_t newest_event(struct node_fixture *n)
{
	int64_t oldest, newest;
	struct err e;

	assert_int_equal(events_bounds(vmm_db(n->v), &oldest, &newest, &e), 0);
	return newest;
}

static void output_of_a_deleted_guest_is_not_recorded(void **st)
{
	struct node_fixture *n = *st;
	struct cvm_call a = { 0 };
	int64_t before, after;
	struct err e;

	assert_int_equal(create(n, "first", 1, &a, &e), 0);
	(void)uv_run(&n->loop, UV_RUN_NOWAIT);
	a.row.serial_progress = true;
	guest_writes(n, &a, "boot.progress: one\n");
	guest_listen(n->v, &a.row);
	guest_forget(n->v, a.row.id); /* while the first read is under way */
	assert_int_equal(cvm_call_apply(&a, cvm_call_delete_turn, &e), 0);
	before = newest_event(n);
	finish_jobs(n);
	after = newest_event(n);
	assert_false(guests_are_followed(n->v));
	assert_int_equal(after, before);
}

static void output_during_a_full_database_is_recorded_later(void **st)
{
	struct node_fixture *n = *st;
	struct cvm_call a = { 0 };
	struct cvm_row c;
	struct err e;

	assert_int_equal(create(n, "first", 1, &a, &e), 0);
	(void)uv_run(&n->loop, UV_RUN_NOWAIT);
	guest_writes(n, &a, "boot.progress: done\n");
	a.row.serial_progress = true;
	assert_true(sql_run(vmm_db(n->v), &e, "PRAGMA query_only = 1", "") >= 0);
	guest_listen(n->v, &a.row);
	node_fixture_run(n, 100);
	assert_true(sql_run(vmm_db(n->v), &e, "PRAGMA query_only = 0", "") >= 0);
	node_fixture_run(n, 1300);
	assert_int_equal(cvms_get(vmm_db(n->v), a.row.id, &c, &e), 0);
	assert_string_equal(c.boot_progress, "done");
}

static void last_output_that_could_not_be_stored_is_recorded_later(void **st)
{
	struct node_fixture *n = *st;
	struct cvm_call a = { 0 };
	struct cvm_row c;
	struct err e;

	assert_int_equal(create(n, "first", 1, &a, &e), 0);
	(void)uv_run(&n->loop, UV_RUN_NOWAIT);
	a.row.serial_progress = true;
	guest_listen(n->v, &a.row);
	finish_jobs(n);
	guest_writes(n, &a, "boot.error: no such disk\n");
	assert_true(sql_run(vmm_db(n->v), &e, "PRAGMA query_only = 1", "") >= 0);
	guest_forget(n->v, a.row.id);
	finish_jobs(n);
	assert_true(guest_is_unread(n->v, a.row.id));
	assert_true(sql_run(vmm_db(n->v), &e, "PRAGMA query_only = 0", "") >= 0);
	while (guests_are_followed(n->v))
		(void)uv_run(&n->loop, UV_RUN_ONCE);
	assert_false(guest_is_unread(n->v, a.row.id));
	assert_int_equal(cvms_get(vmm_db(n->v), a.row.id, &c, &e), 0);
	assert_string_equal(c.boot_error, "no such disk");
}

/* ------------------------------------------------------------------ images */

static void put(const char *dir, const char *name, const char *text)
{
	auto_free char *path = xasprintf("%s/%s", dir, name);
	struct err e;

	assert_int_equal(file_write(path, text, strlen(text), 0644, &e), 0);
}

static void make_image(const char *dir)
{
	static const char meta[] =
		"{\"kernel\":\"k\",\"initrd\":\"i\",\"cmdline\":\"c\",\"version\":\"\"}";
	char hex[3][SHA256_HEX];
	auto_free char *sums = NULL;
	struct err e;

	assert_int_equal(file_mkdirs(dir, 0755, &e), 0);
	put(dir, "metadata.json", meta);
	put(dir, "k", "the kernel");
	put(dir, "i", "the initrd");
	id_sha256_hex(meta, strlen(meta), hex[0]);
	id_sha256_hex("the kernel", 10, hex[1]);
	id_sha256_hex("the initrd", 10, hex[2]);
	sums = xasprintf("%s  metadata.json\n%s  k\n%s  i\n", hex[0], hex[1], hex[2]);
	put(dir, "sha256sum.txt", sums);
	id_sha256_hex(sums, strlen(sums), hex[0]);
	put(dir, "digest.txt", hex[0]);
}

static void imported(void *arg, const struct image_row *row, const struct err *e)
{
	if (e)
		print_message("%s\n", e->text);
	*(int *)arg = row && !e ? 1 : -1;
}

static void removed(void *arg, const struct err *e)
{
	*(int *)arg = e ? -1 : 1;
}

static void an_image_imported_during_its_removal_is_complete_or_absent(void **st)
{
	struct node_fixture *n = *st;
	auto_free char *source = xasprintf("%s/fresh-2.0.0", n->dir);
	auto_free char *there = xasprintf("%s/fresh-2.0.0/metadata.json", n->images);
	int in = 0, out = 0, again = 0;
	struct image_row row;
	struct err e;

	make_image(source);
	image_store_import(vmm_image_store(n->v), source, NULL, imported, &in);
	for (int i = 0; i < 200 && !in; i++)
		node_fixture_run(n, 10);
	assert_int_equal(in, 1);
	image_store_remove(vmm_image_store(n->v), "fresh-2.0.0", removed, &out);
	image_store_import(vmm_image_store(n->v), source, NULL, imported, &again);
	(void)usleep(300000); /* long enough to check the image */
	for (int i = 0; i < 200 && !(out && again); i++)
		node_fixture_run(n, 10);
	assert_int_equal(out, 1);
	assert_int_equal(again, 1);
	assert_int_equal(images_by_name(vmm_db(n->v), "fresh-2.0.0", &row, &e), 0);
	assert_int_equal(access(there, F_OK), 0);
}

/* ------------------------------------------------------------------ idempotency */

struct seen {
	struct node_fixture *n;
	int applied, answered, replayed, refused;
	bool fail;
	enum err_code code;
	long long body;
};

static int apply(void *arg, struct answer *ret, struct err *e)
{
	struct seen *s = arg;

	if (s->fail)
		return err_set(e, ERR_UNAVAILABLE, "not now");
	*ret = (struct answer){ 200, json_pack("{s:i}", "n", ++s->applied) };
	return 0;
}

static void done(void *arg, struct answer *a, bool replayed, const struct err *e)
{
	struct seen *s = arg;

	if (e) {
		s->refused++;
		s->code = e->code;
		return;
	}
	s->answered++;
	s->replayed += replayed;
	s->body = json_integer_value(json_object_get(a->body, "n"));
	json_decref(a->body);
}

static void an_idempotency_key_replays_the_answer_but_not_a_failure(void **st)
{
	struct mutation m = {
		.caller = "key:1", .key = "k", .digest = "d1", .apply = apply, .done = done
	};
	struct seen s = { .n = *st, .fail = true };
	struct vmm *v = s.n->v;

	vmm_mutate(v, &m, &s);
	(void)uv_run(&s.n->loop, UV_RUN_NOWAIT);
	assert_int_equal(s.code, ERR_UNAVAILABLE);
	s.fail = false;
	vmm_mutate(v, &m, &s);
	vmm_mutate(v, &m, &s);
	(void)uv_run(&s.n->loop, UV_RUN_NOWAIT);
	assert_int_equal(s.applied, 1);
	assert_int_equal(s.answered, 2);
	assert_int_equal(s.replayed, 1);
	assert_int_equal(s.body, 1);
	m.digest = "d2";
	vmm_mutate(v, &m, &s);
	(void)uv_run(&s.n->loop, UV_RUN_NOWAIT);
	assert_int_equal(s.code, ERR_CONFLICT);
	m.caller = "key:2";
	vmm_mutate(v, &m, &s);
	(void)uv_run(&s.n->loop, UV_RUN_NOWAIT);
	assert_int_equal(s.applied, 2);
}

/* ------------------------------------------------------------------ status */

static void the_status_follows_from_desired_observed_and_operation(void **st)
{
	static const struct {
		enum desired d;
		enum observed o;
		const char *op, *word;
		enum op_kind kind;
	} rows[] = {
		{ DESIRED_STOPPED, OBSERVED_ABSENT, "", "stopped", 0 },
		{ DESIRED_STOPPED, OBSERVED_OFF, "", "stopped", 0 },
		{ DESIRED_STOPPED, OBSERVED_CRASHED, "", "stopped", 0 },
		{ DESIRED_RUNNING, OBSERVED_RUNNING, "", "running", 0 },
		{ DESIRED_RUNNING, OBSERVED_OFF, "", "exited", 0 },
		{ DESIRED_RUNNING, OBSERVED_ABSENT, "", "exited", 0 },
		{ DESIRED_RUNNING, OBSERVED_CRASHED, "", "crashed", 0 },
		{ DESIRED_RUNNING, OBSERVED_PAUSED, "", "paused", 0 },
		{ DESIRED_STOPPED, OBSERVED_RUNNING, "", "stopping", 0 },
		{ DESIRED_DELETED, OBSERVED_OFF, "", "deleting", 0 },
		{ DESIRED_RUNNING, OBSERVED_RUNNING, "x", "restarting", OP_RESTART },
		{ DESIRED_RUNNING, OBSERVED_ABSENT, "x", "starting", OP_CREATE },
		{ DESIRED_STOPPED, OBSERVED_RUNNING, "x", "shutting_down", OP_SHUTDOWN },
		{ DESIRED_DELETED, OBSERVED_RUNNING, "x", "deleting", OP_DELETE },
		{ DESIRED_RUNNING, OBSERVED_RUNNING, "x", "updating", OP_RESIZE },
		{ DESIRED_STOPPED, OBSERVED_OFF, "x", "updating", OP_UPGRADE },
	};

	(void)st;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct cvm_row c = { .desired = rows[i].d,
				     .observed = rows[i].o,
				     .op_kind = rows[i].kind };

		(void)snprintf(c.op_id, sizeof(c.op_id), "%s", rows[i].op);
		assert_string_equal(status_word(cvm_status(&c)), rows[i].word);
	}
}

#define WITH_NODE(t) cmocka_unit_test_setup_teardown(t, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest t[] = {
		WITH_NODE(a_second_operation_is_refused_and_delete_overtakes),
		WITH_NODE(a_paused_guest_is_not_started_again),
		WITH_NODE(an_event_keeps_its_data_with_any_text_in_it),
		cmocka_unit_test(a_long_error_is_stored_with_its_text),
		WITH_NODE(an_operation_waits_for_the_hypervisor_across_restarts),
		WITH_NODE(closing_waits_for_jobs_even_if_an_operation_ends_meanwhile),
		WITH_NODE(an_undo_waits_for_the_hypervisor),
		WITH_NODE(a_failed_undo_keeps_the_cvm_and_its_reservations),
		WITH_NODE(an_operation_queued_behind_an_undone_create_ends_with_an_event),
		WITH_NODE(a_cancel_in_the_turn_that_ends_a_step_takes_effect),
		WITH_NODE(image_states_are_unknown_while_four_checks_are_late),
		WITH_NODE(a_stale_row_does_not_end_an_operation_before_the_domains_are_listed),
		WITH_NODE(a_restart_that_is_cancelled_after_its_stop_ends_stopped),
		WITH_NODE(with_release_on_stop_every_stopped_cvm_holds_no_cpu),
		WITH_NODE(output_of_a_guest_before_its_end_is_recorded),
		WITH_NODE(a_failed_boot_waits_for_the_last_output_of_the_guest),
		WITH_NODE(output_of_a_deleted_guest_is_not_recorded),
		WITH_NODE(output_during_a_full_database_is_recorded_later),
		WITH_NODE(last_output_that_could_not_be_stored_is_recorded_later),
		WITH_NODE(an_image_imported_during_its_removal_is_complete_or_absent),
		WITH_NODE(an_idempotency_key_replays_the_answer_but_not_a_failure),
		WITH_NODE(delete_replaces_a_queued_stop),
		WITH_NODE(a_stop_is_queued_behind_an_undo),
		cmocka_unit_test(a_step_is_found_by_its_recorded_name),
		cmocka_unit_test(the_status_follows_from_desired_observed_and_operation),
	};

	return cmocka_run_group_tests_name("vmm", t, NULL, NULL);
}
