/* SPDX-License-Identifier: Apache-2.0
 * raw_qemu.c - QEMUs alone, as a baseline: the time from fork to the guest's first line, and from
 * SIGTERM to the end of the process.
 *
 *	raw_qemu FOLDER...
 *
 * FOLDER/argv contains the command line, with a NUL after each argument. All QEMUs run at the same
 * time. Prints both times for the last of them, [up, down], in microseconds.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/bench/tool.h"

enum { ARGS_MAX = 256, QEMUS_MAX = 64, FIRST_LINE_S = 60 };

/* The words stay valid until the next call. */
static void read_argv(const char *folder, char *argv[ARGS_MAX + 1])
{
	static char text[65536];
	char path[600];
	size_t n, args = 0;
	FILE *f;

	(void)snprintf(path, sizeof(path), "%s/argv", folder);
	f = fopen(path, "re");
	n = f ? fread(text, 1, sizeof(text) - 1, f) : 0;
	if (!n)
		die("cannot read %s", path);
	(void)fclose(f);
	for (char *p = text; p < text + n && args < ARGS_MAX; p += strlen(p) + 1)
		argv[args++] = p;
}

/* A session of its own, as below libvirt: on a loaded machine the scheduler shares the CPUs between
 * sessions, not between processes. */
static void become(char *const argv[])
{
	int null = open("/dev/null", O_RDWR);

	(void)setsid();
	(void)dup2(null, 0);
	(void)dup2(null, 1);
	(void)dup2(null, 2);
	(void)execv(argv[0], argv);
	_exit(127);
}

static pid_t start_qemu(const char *folder)
{
	char *qemu[ARGS_MAX + 1] = { NULL };
	pid_t pid;

	read_argv(folder, qemu);
	pid = fork();
	if (pid == 0)
		become(qemu);
	if (pid < 0)
		die("cannot fork");
	return pid;
}

static void remove_log(const char *folder)
{
	char path[600];

	(void)snprintf(path, sizeof(path), "%s/serial.log", folder);
	(void)unlink(path);
}

/* Without this, a QEMU that refuses its options would only be noticed after FIRST_LINE_S. */
static void ended_early(int sig)
{
	static const char text[] = "a QEMU ended before all guests had printed\n";

	(void)sig;
	(void)!write(STDERR_FILENO, text, sizeof(text) - 1);
	_exit(1);
}

/* A QEMU that has crashed would be measured as a stop that takes no time. */
static void wait_for_end(pid_t pid, const char *folder)
{
	int status = -1;

	if (waitpid(pid, &status, 0) != pid || status)
		die("the QEMU of %s did not end by SIGTERM: wait status %d", folder, status);
}

int main(int argc, char **argv)
{
	const char *const *folders = (const char *const *)argv + 1;
	size_t n = (size_t)argc - 1;
	int64_t began, up, stopping;
	pid_t pids[QEMUS_MAX];

	if (argc < 2 || n > QEMUS_MAX)
		die("usage: raw_qemu FOLDER...");
	for (size_t i = 0; i < n; i++)
		remove_log(folders[i]);
	(void)signal(SIGCHLD, ended_early);
	began = now_us();
	for (size_t i = 0; i < n; i++)
		pids[i] = start_qemu(folders[i]);
	up = wait_first_lines(folders, n, FIRST_LINE_S);
	(void)signal(SIGCHLD, SIG_DFL);
	stopping = now_us();
	for (size_t i = 0; i < n; i++)
		(void)kill(pids[i], SIGTERM);
	for (size_t i = 0; i < n; i++)
		wait_for_end(pids[i], folders[i]);
	(void)printf("[%lld, %lld]\n", (long long)(up - began), (long long)(now_us() - stopping));
	return 0;
}
