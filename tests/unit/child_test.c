/* SPDX-License-Identifier: Apache-2.0
 * child_test.c - child processes: they end by themselves or with their job.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <uv.h>

#include "base/lanes.h"
#include "vmm/virt/child.h"

struct call {
	char *argv[4];
	int r;
	struct err e;
	bool over;
	char out[15];
};

static void work_run(void *arg)
{
	struct call *c = arg;

	c->r = child_run(c->argv, &c->e);
}

static void done(void *arg, enum job_end end)
{
	struct call *c = arg;

	assert_int_equal(end, JOB_WORKED);
	c->over = true;
}

static void cancel(uv_timer_t *t)
{
	job_cancel(t->data);
}

/* As a job with @deadline_ms that is cancelled after @cancel_ms; 0: never. */
static void run(struct call *c, void (*work)(void *), unsigned deadline_ms, unsigned cancel_ms)
{
	const struct job_calls calls = { .lane = LANE_SHORT,
					 .what = "a child",
					 .deadline_ms = deadline_ms,
					 .work = work,
					 .done = done };
	uv_loop_t loop = { 0 };
	uv_timer_t timer;

	assert_int_equal(uv_loop_init(&loop), 0);
	assert_int_equal(uv_timer_init(&loop, &timer), 0);
	timer.data = job_start(&loop, &calls, c);
	if (cancel_ms)
		assert_int_equal(uv_timer_start(&timer, cancel, cancel_ms, 0), 0);
	while (!c->over)
		(void)uv_run(&loop, UV_RUN_ONCE);
	uv_close((uv_handle_t *)&timer, NULL);
	assert_int_equal(lanes_close(&loop), 0);
	(void)uv_run(&loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&loop), 0);
}

static void exit_status_and_first_output_are_reported(void **st)
{
	struct call good = { .argv = { (char[]){ "true" }, NULL } };
	struct call bad = { .argv = { (char[]){ "sh" }, (char[]){ "-c" },
				      (char[]){ "echo first >&2; seq 100000 >&2; exit 3" },
				      NULL } };
	struct call noisy = {
		.argv = { (char[]){ "sh" }, (char[]){ "-c" },
			  (char[]){ "seq -f 'mkfs.fat: Warning: %g' 9999 >&2; "
				    "echo the cause >&2; echo mkfs.fat: Warning: x >&2; exit 1" },
			  NULL }
	};
	struct call none = { .argv = { (char[]){ "/nonexistent/program" }, NULL } };

	(void)st;
	run(&good, work_run, 10000, 0);
	assert_int_equal(good.r, 0);
	run(&bad, work_run, 10000, 0);
	assert_int_equal(bad.r, -ERR_HOST);
	assert_string_equal(bad.e.text, "sh failed: first");
	run(&noisy, work_run, 10000, 0);
	assert_string_equal(noisy.e.text, "sh failed: the cause");
	run(&none, work_run, 10000, 0);
	assert_int_equal(none.e.sys, ENOENT);
}

static void a_child_is_killed_at_its_deadline(void **st)
{
	struct call c = { .argv = { (char[]){ "sleep" }, (char[]){ "600" }, NULL } };

	(void)st;
	run(&c, work_run, 300, 0);
	assert_int_equal(c.r, -ERR_TIMEOUT);
	assert_non_null(strstr(c.e.text, "sleep did not end in time"));
}

static void a_child_is_killed_when_its_job_is_cancelled(void **st)
{
	struct call c = { .argv = { (char[]){ "sleep" }, (char[]){ "600" }, NULL } };

	(void)st;
	run(&c, work_run, 600 * 1000, 100);
	assert_int_equal(c.r, -ERR_CANCELLED);
}

/* The thread that waits for the child is killed with its process; the child is, too. */
static void a_child_ends_with_the_daemon(void **st)
{
	struct call c = { .argv = { (char[]){ "sh" }, (char[]){ "-c" },
				    (char[]){ "echo $$ >&3; exec sleep 600" }, NULL } };
	int fd[2], status;
	char text[16] = "";
	pid_t daemon;

	(void)st;
	assert_int_equal(pipe(fd), 0);
	daemon = fork();
	assert_true(daemon >= 0);
	if (!daemon) {
		assert_int_equal(dup2(fd[1], 3), 3);
		run(&c, work_run, 600 * 1000, 0);
		_exit(0);
	}
	assert_true(read(fd[0], text, sizeof(text) - 1) > 0);
	assert_int_equal(kill(daemon, SIGKILL), 0);
	assert_int_equal(waitpid(daemon, &status, 0), daemon);
	(void)close(fd[1]);
	/* End of file when the last process that has the pipe open has ended. */
	assert_int_equal(read(fd[0], text, sizeof(text)), 0);
	(void)close(fd[0]);
}

/* The child closes stderr and continues: end of file there does not mean that it has ended. */
static void a_child_that_closed_its_output_is_still_waited_for(void **st)
{
	struct call c = { .argv = { (char[]){ "sh" }, (char[]){ "-c" },
				    (char[]){ "exec 2>&-; sleep 600" }, NULL } };

	(void)st;
	run(&c, work_run, 300, 0);
	assert_int_equal(c.r, -ERR_TIMEOUT);
}

static void work_output(void *arg)
{
	struct call *c = arg;

	c->r = child_output(c->argv, c->out, sizeof(c->out), &c->e);
}

static void the_first_output_that_fits_is_text(void **st)
{
	struct call few = { .argv = { (char[]){ "sh" }, (char[]){ "-c" },
				      (char[]){ "echo 1; echo 2 >&2; echo 3" }, NULL } };
	struct call many = { .argv = { (char[]){ "seq" }, (char[]){ "100000" }, NULL } };
	struct call bad = { .argv = { (char[]){ "sh" }, (char[]){ "-c" },
				      (char[]){ "echo 1; echo cause >&2; exit 1" }, NULL } };

	(void)st;
	run(&few, work_output, 10000, 0);
	assert_int_equal(few.r, 0);
	assert_string_equal(few.out, "1\n3\n");
	run(&many, work_output, 10000, 0);
	assert_int_equal(many.r, 0);
	assert_string_equal(many.out, "1\n2\n3\n4\n5\n6\n7\n");
	run(&bad, work_output, 10000, 0);
	assert_int_equal(bad.r, -ERR_HOST);
	assert_string_equal(bad.out, "");
}

int main(void)
{
	const struct CMUnitTest t[] = {
		/* first, because it forks and must be the only thread */
		cmocka_unit_test(a_child_ends_with_the_daemon),
		cmocka_unit_test(exit_status_and_first_output_are_reported),
		cmocka_unit_test(a_child_is_killed_at_its_deadline),
		cmocka_unit_test(a_child_is_killed_when_its_job_is_cancelled),
		cmocka_unit_test(the_first_output_that_fits_is_text),
		cmocka_unit_test(a_child_that_closed_its_output_is_still_waited_for),
	};

	return cmocka_run_group_tests_name("child", t, NULL, NULL);
}
