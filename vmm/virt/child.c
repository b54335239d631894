/* SPDX-License-Identifier: Apache-2.0
 * child.c - run another program and wait for its end, at most until the deadline of the job.
 *
 * The caller is a job, which may block, so this file waits for the child itself. uv_spawn() would
 * report the exit to the loop, which would have to pass it back to the thread of the lane. Only
 * this child is waited for, by its pid: the process also is the parent of QEMU processes, which
 * libvirt reaps.
 *
 * A child must not outlive the daemon: a qemu-img that survived kill -9 would change the disk after
 * the next start has decided what to do with it. So the kernel kills it when the thread that waits
 * for it ends. posix_spawn() cannot request that.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/lanes.h"
#include "vmm/virt/child.h"
#include "vmm/virt/xml_out.h"

/* Interval in ms at which a job checks whether it is cancelled. */
enum { CANCEL_POLL_MS = 100 };

enum { STDERR_HEAD = 2048, STDERR_TAIL = 1024 };

struct child_stderr {
	char text[STDERR_HEAD + 2 * STDERR_TAIL];
	size_t n;
	bool over;
};

/* Read from the child's stderr, always: a full pipe would block the child. If the text does not
 * fit, its beginning and its end are kept. */
static void child_read_stderr(int fd, struct child_stderr *w)
{
	ssize_t k;

	if (w->n == sizeof(w->text) - 1) {
		memmove(w->text + STDERR_HEAD, w->text + w->n - STDERR_TAIL, STDERR_TAIL);
		w->n = STDERR_HEAD + STDERR_TAIL;
	}
	k = read(fd, w->text + w->n, sizeof(w->text) - 1 - w->n);
	if (k > 0)
		w->n += (size_t)k;
	w->over = k == 0 || (k < 0 && errno != EINTR);
}

/* 0 when the child has ended, or ERR_CANCELLED or ERR_TIMEOUT. Its stderr is read from @fd to @w.
 */
static int child_wait(int pidfd, int fd, struct child_stderr *w)
{
	for (;;) {
		struct pollfd p[2] = { { .fd = pidfd, .events = POLLIN },
				       { .fd = w->over ? -1 : fd, .events = POLLIN } };
		int left = job_time_left_ms();

		if (!left)
			return -ERR_TIMEOUT;
		if (job_is_cancelled())
			return -ERR_CANCELLED;
		if (poll(p, 2, left < CANCEL_POLL_MS ? left : CANCEL_POLL_MS) < 0 && errno != EINTR)
			return 0; /* waitpid() waits instead */
		if (p[1].revents)
			child_read_stderr(fd, w);
		else if (p[0].revents || (pidfd < 0 && w->over))
			return 0;
	}
}

static int child_reap(pid_t pid)
{
	int status = 0;

	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return status;
}

/* In the child, which has one thread of several: only functions that are safe there, and no memory.
 * Returns only if the program cannot be executed: the errno. */
static int child_execute(char *const argv[], int stdout_fd, int stderr_fd, pid_t parent)
{
	int in = open("/dev/null", O_RDONLY | O_CLOEXEC);
	int out = stdout_fd < 0 ? open("/dev/null", O_WRONLY | O_CLOEXEC) : stdout_fd;

	if (prctl(PR_SET_PDEATHSIG, SIGKILL) || dup2(in, 0) < 0 || dup2(out, 1) < 0 ||
	    dup2(stderr_fd, 2) < 0)
		return errno;
	if (getppid() != parent) /* it ended before prctl() */
		return ESRCH;
	(void)execvp(argv[0], argv);
	return errno;
}

static int child_spawn(char *const argv[], int stdout_fd, int stderr_fd, pid_t *pid)
{
	auto_close int failed = -1;
	int pipe_fd[2], error = 0;
	pid_t parent = getpid();

	if (pipe2(pipe_fd, O_CLOEXEC) < 0)
		return errno;
	failed = pipe_fd[0];
	*pid = _Fork();
	if (*pid < 0)
		error = errno;
	if (!*pid) {
		error = child_execute(argv, stdout_fd, stderr_fd, parent);
		(void)!write(pipe_fd[1], &error, sizeof(error));
		_exit(127);
	}
	(void)close(pipe_fd[1]);
	/* End of file: the program is executed, or was killed before. */
	while (*pid > 0 && read(failed, &error, sizeof(error)) < 0 && errno == EINTR)
		;
	if (*pid > 0 && error)
		(void)child_reap(*pid);
	return error;
}

static int child_result(const char *program, int status, struct child_stderr *w, struct err *e)
{
	char cause[sizeof(e->text)];

	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return 0;
	w->text[w->n] = '\0';
	if (strstr(w->text, strerrordesc_np(ENOSPC)))
		return err_sys(e, ENOSPC, "%s", program);
	err_cause(w->text, cause, sizeof(cause));
	return err_set(e, ERR_HOST, "%s failed: %s", program, cause);
}

static int child_run_to(char *const argv[], int stdout_fd, struct err *e)
{
	auto_close int out = -1, pidfd = -1;
	struct child_stderr w = { 0 };
	int pipe_fd[2], status, r;
	pid_t pid = -1;

	if (pipe2(pipe_fd, O_CLOEXEC) < 0)
		return err_sys(e, errno, "cannot run %s", argv[0]);
	out = pipe_fd[0];
	r = child_spawn(argv, stdout_fd, pipe_fd[1], &pid);
	close(pipe_fd[1]);
	if (r)
		return err_sys(e, r, "cannot run %s", argv[0]);
	pidfd = pidfd_open(pid, 0);
	r = child_wait(pidfd, out, &w);
	if (r)
		(void)kill(pid, SIGKILL);
	status = child_reap(pid);
	if (r == -ERR_TIMEOUT)
		return err_set(e, ERR_TIMEOUT, "%s did not end in time and was killed", argv[0]);
	if (r)
		return err_set(e, ERR_CANCELLED, "%s was killed because its job was cancelled",
			       argv[0]);
	return child_result(argv[0], status, &w, e);
}

int child_run(char *const argv[], struct err *e)
{
	return child_run_to(argv, -1, e);
}

/* A file takes all of the output, so that nothing has to be read while the program runs. */
int child_output(char *const argv[], char *out, size_t n, struct err *e)
{
	auto_close int fd = memfd_create("output", MFD_CLOEXEC);
	ssize_t got;
	int r;

	assert(n > 0);
	if (fd < 0)
		return err_sys(e, errno, "cannot run %s", argv[0]);
	r = child_run_to(argv, fd, e);
	if (r)
		return r;
	got = pread(fd, out, n - 1, 0);
	if (got < 0)
		return err_sys(e, errno, "output of %s", argv[0]);
	out[got] = '\0';
	return 0;
}
