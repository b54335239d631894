/* SPDX-License-Identifier: Apache-2.0
 * child.c - another program, run to its end.
 *
 * Exactly our child is waited for: the process also is the parent of QEMUs that libvirt looks after.
 */
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "vmm/child.h"

extern char **environ;

static void read_all(int fd, char *out, size_t size)
{
	size_t n = 0;

	while (n < size - 1) {
		ssize_t k = read(fd, out + n, size - 1 - n);

		if (k < 0 && errno == EINTR)
			continue;
		if (k <= 0)
			break;
		n += (size_t)k;
	}
	out[n] = 0;
}

static int spawn(char *const argv[], int stderr_fd, pid_t *pid)
{
	posix_spawn_file_actions_t fa;
	int r;

	(void)posix_spawn_file_actions_init(&fa);
	(void)posix_spawn_file_actions_addopen(&fa, 0, "/dev/null", O_RDONLY, 0);
	(void)posix_spawn_file_actions_addopen(&fa, 1, "/dev/null", O_WRONLY, 0);
	(void)posix_spawn_file_actions_adddup2(&fa, stderr_fd, 2);
	r = posix_spawnp(pid, argv[0], &fa, NULL, argv, environ);
	(void)posix_spawn_file_actions_destroy(&fa);
	return r;
}

int child_run(char *const argv[], struct err *e)
{
	char said[200];
	int pipe_fd[2], status = 0;
	pid_t pid;
	int r;

	if (pipe2(pipe_fd, O_CLOEXEC) < 0)
		return err_sys(e, errno, "cannot run %s", argv[0]);
	r = spawn(argv, pipe_fd[1], &pid);
	close(pipe_fd[1]);
	if (r) {
		close(pipe_fd[0]);
		return err_sys(e, r, "cannot run %s", argv[0]);
	}
	read_all(pipe_fd[0], said, sizeof(said));
	close(pipe_fd[0]);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return 0;
	if (strstr(said, strerrordesc_np(ENOSPC)))
		return err_sys(e, ENOSPC, "%s", argv[0]);
	said[strcspn(said, "\n")] = 0;
	return err_set(e, ERR_HOST, "%s failed: %s", argv[0], said);
}
