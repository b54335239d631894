/* SPDX-License-Identifier: Apache-2.0
 * stop_test.c - a stop whose QEMU has ended while libvirt has not cleaned up yet.
 *
 * There is no hypervisor: a child is the QEMU, and the step that ends it is one of this test. Its
 * job returns what the test writes to a pipe.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/lanes.h"
#include "base/own.h"
#include "base/strings.h"
#include "db/sql.h"
#include "tests/unit/node_fixture.h"
#include "tests/unit/pid_lock.h"
#include "vmm/cvm/steps.h"
#include "vmm/op/engine.h"
#include "vmm/op/op_job.h"
#include "vmm/op/op_run.h"

enum { WAIT_MS = 20000 };

static pid_t qemu;
static int results[2]; /* pipe: "0" the job succeeds, "1" it fails */
static atomic_uint calls;

static int read_result(void)
{
	char c = 0;

	return read(results[0], &c, 1) == 1 && c == '0' ? 0 : 1;
}

static void write_result(char c)
{
	assert_int_equal(write(results[1], &c, 1), 1);
}

static int end_qemu(struct step_job *j, struct err *e)
{
	(void)j;
	(void)kill(qemu, SIGKILL);
	atomic_fetch_add(&calls, 1);
	return read_result() ? err_set(e, ERR_UNAVAILABLE, "cannot acquire state change lock") : 0;
}

static const struct step end_step = { .name = "stop",
				      .flags = STEP_KEEP,
				      .work = { end_qemu, WAITS_END, 60 },
				      .save = step_save_off };
static const struct op_table end_table = { .version = 1, .steps = &end_step, .n = 1 };

static int set_up(void **st)
{
	const struct lane_sizes sizes = { { 1, 2, 2, 2 } }; /* one thread of the lane "kill" */
	struct node_fixture *n = node_fixture_new("/tmp");
	static char root[200];

	/* Too long for sockets: the driver is never opened, but its folder is known. */
	(void)snprintf(root, sizeof(root), "%s/%0150d", n->dir, 0);
	n->set.hypervisor_uri = "qemu:///embed";
	n->set.embed_root = root;
	lanes_open(&n->loop, &sizes);
	node_fixture_open(n);
	node_fixture_add_image(n, "demo", 0, false);
	op_register(OP_STOP, &end_table);
	assert_int_equal(pipe(results), 0);
	atomic_store(&calls, 0);
	*st = n;
	return 0;
}

static int tear_down(void **st)
{
	node_fixture_free(*st);
	(void)kill(qemu, SIGKILL);
	(void)waitpid(qemu, NULL, 0);
	close(results[0]);
	close(results[1]);
	return 0;
}

static bool n_calls(const void *want)
{
	return atomic_load(&calls) >= *(const unsigned *)want;
}

static bool libvirt_has_cleaned_up(const void *call)
{
	const struct cvm_call *c = call;

	return !op_has_cleanup_job(c->n->v, c->row.id);
}

static bool job_has_returned(const void *call)
{
	const struct cvm_call *c = call;

	return !op_has_abandoned_job(c->n->v, c->row.id);
}

static bool has_job(const void *v)
{
	const struct op_run *o = vmm_engine(v)->ops;

	return o && o->run;
}

static bool no_job_runs(const void *loop)
{
	struct lane_stats s[LANES];

	lanes_stats((uv_loop_t *)(uintptr_t)loop, s);
	return !s[LANE_KILL].queued && !s[LANE_KILL].running;
}

static bool qemu_is_gone(const void *unused)
{
	siginfo_t i = { 0 };

	(void)unused;
	return !waitid(P_PID, (id_t)qemu, &i, WEXITED | WNOHANG | WNOWAIT) && i.si_pid == qemu;
}

static void run_until(struct node_fixture *n, bool (*what)(const void *arg), const void *arg)
{
	for (int64_t end = clock_mono_ms() + WAIT_MS; !what(arg) && clock_mono_ms() < end;)
		node_fixture_run(n, 5);
	assert_true(what(arg));
}

static void wait_for_calls(struct node_fixture *n, unsigned want)
{
	run_until(n, n_calls, &want);
}

static void begin(struct cvm_call *c, enum op_kind kind)
{
	struct err e;

	c->power = (struct power_request){ .kind = kind };
	assert_true(cvm_call_apply(c, cvm_call_power_turn, &e) >= 0);
}

/* A CVM that runs, on a node that has listed its domains. */
static void create_running(struct node_fixture *n, struct cvm_call *c, bool tdx)
{
	auto_free char *folder = xasprintf("%s/run/qemu", n->set.embed_root), *path = NULL;
	struct err e;

	assert_int_equal(cvm_call_create(n, "first", c, &e), 0);
	assert_int_equal(
		cvms_set_observed(vmm_db(n->v), c->row.id, OBSERVED_RUNNING, PAUSED_NOT, &e), 0);
	if (tdx)
		assert_int_equal(sql_exec(vmm_db(n->v), &e, "update cvms set tdx = 1", ""), 0);
	assert_int_equal(file_mkdirs(folder, 0755, &e), 0);
	path = xasprintf("%s/teepod-%s.pid", folder, c->row.uuid);
	qemu = pid_lock_by_child(path);
	while (!strcmp(vmm_link_error(n->v), "connecting"))
		node_fixture_run(n, 5);
	vmm_set_settled(n->v, true);
}

static void a_cleanup_that_fails_is_repeated_and_a_start_waits_for_it(void **st)
{
	struct node_fixture *n = *st;
	struct cvm_call stop = { 0 }, start;

	create_running(n, &stop, false);
	begin(&stop, OP_STOP);
	assert_int_equal(node_fixture_finish_op(n, stop.op.id).state, OP_SUCCEEDED);
	assert_true(op_has_cleanup_job(n->v, stop.row.id));
	start = stop;
	begin(&start, OP_START);
	write_result('1');
	wait_for_calls(n, 2);
	assert_true(op_has_cleanup_job(n->v, stop.row.id));
	assert_true(vmm_engine(n->v)->ops->parked);
	write_result('0');
	run_until(n, libvirt_has_cleaned_up, &stop);
	assert_false(op_has_abandoned_job(n->v, stop.row.id));
	(void)node_fixture_finish_op(n, start.op.id); /* the files of the image are missing */
}

static void a_node_that_closes_does_not_repeat_a_cleanup(void **st)
{
	struct node_fixture *n = *st;
	struct cvm_call stop = { 0 };

	create_running(n, &stop, false);
	begin(&stop, OP_STOP);
	assert_int_equal(node_fixture_finish_op(n, stop.op.id).state, OP_SUCCEEDED);
	write_result('1');
	run_until(n, no_job_runs, &n->loop); /* it is to be repeated */
	node_fixture_run(n, 1);
	assert_true(op_has_cleanup_job(n->v, stop.row.id));
	node_fixture_close(n);
	(void)uv_run(&n->loop, UV_RUN_DEFAULT); /* no timer is left */
	assert_int_equal(atomic_load(&calls), 1);
}

static void wait_for_result(void *arg)
{
	(void)arg;
	(void)read_result();
}

static void count_job(void *arg, enum job_end end)
{
	assert_int_equal(end, JOB_WORKED);
	atomic_fetch_add((atomic_uint *)arg, 1);
}

/* The guest powers off by itself before the job begins. */
static void a_cleanup_that_never_began_is_repeated(void **st)
{
	static const struct job_calls other = { .lane = LANE_KILL,
						.what = "another job",
						.deadline_ms = WAIT_MS,
						.work = wait_for_result,
						.done = count_job };
	struct node_fixture *n = *st;
	struct cvm_call stop = { 0 };

	create_running(n, &stop, false);
	(void)job_start(&n->loop, &other, &calls); /* has the only thread */
	begin(&stop, OP_STOP);
	run_until(n, has_job, n->v);
	assert_int_equal(kill(qemu, SIGKILL), 0);
	assert_int_equal(node_fixture_finish_op(n, stop.op.id).state, OP_SUCCEEDED);
	assert_int_equal(atomic_load(&calls), 0);
	lanes_refuse(&n->loop, LANE_KILL);
	node_fixture_run(n, 1);
	assert_true(op_has_cleanup_job(n->v, stop.row.id));
	write_result('0');
	wait_for_calls(n, 1);
}

static void a_cleanup_past_its_deadline_is_not_waited_for(void **st)
{
	static const struct step step = { .name = "stop",
					  .flags = STEP_KEEP,
					  .work = { end_qemu, WAITS_END, 1 },
					  .save = step_save_off };
	static const struct op_table table = { .version = 1, .steps = &step, .n = 1 };
	struct node_fixture *n = *st;
	struct cvm_call stop = { 0 };

	op_register(OP_STOP, &table);
	create_running(n, &stop, false);
	begin(&stop, OP_STOP);
	assert_int_equal(node_fixture_finish_op(n, stop.op.id).state, OP_SUCCEEDED);
	assert_true(op_has_cleanup_job(n->v, stop.row.id));
	run_until(n, libvirt_has_cleaned_up, &stop);
	assert_true(op_has_abandoned_job(n->v, stop.row.id)); /* its job still runs */
	write_result('0');
	run_until(n, job_has_returned, &stop);
}

/* It may have rebooted: libvirt ends its QEMU then, and starts another one. */
static void the_stop_of_a_td_is_over_when_libvirt_says_so(void **st)
{
	struct node_fixture *n = *st;
	struct cvm_call stop = { 0 };

	create_running(n, &stop, true);
	begin(&stop, OP_STOP);
	run_until(n, qemu_is_gone, NULL);
	for (int i = 0; i < 3; i++)
		node_fixture_run(n, 1);
	assert_true(has_job(n->v));
	write_result('0');
	assert_int_equal(node_fixture_finish_op(n, stop.op.id).state, OP_SUCCEEDED);
	assert_false(op_has_cleanup_job(n->v, stop.row.id));
}

int main(void)
{
	const struct CMUnitTest t[] = {
		cmocka_unit_test_setup_teardown(
			a_cleanup_that_fails_is_repeated_and_a_start_waits_for_it, set_up,
			tear_down),
		cmocka_unit_test_setup_teardown(a_node_that_closes_does_not_repeat_a_cleanup,
						set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_cleanup_that_never_began_is_repeated, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(a_cleanup_past_its_deadline_is_not_waited_for,
						set_up, tear_down),
		cmocka_unit_test_setup_teardown(the_stop_of_a_td_is_over_when_libvirt_says_so,
						set_up, tear_down),
	};

	return cmocka_run_group_tests_name("stop", t, NULL, NULL);
}
