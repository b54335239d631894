/* SPDX-License-Identifier: Apache-2.0
 * raw_qemu.c - QEMU alone, as a baseline: the time from fork to the guest's first line.
 *
 *	raw_qemu FOLDER
 *
 * FOLDER/argv contains the command line, with a NUL after each argument. Prints microseconds, and
 * kills QEMU.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/bench/tool.h"

enum { ARGS_MAX = 256, FIRST_LINE_S = 60 };

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

static void become(char *const argv[])
{
	int null = open("/dev/null", O_RDWR);

	(void)dup2(null, 0);
	(void)dup2(null, 1);
	(void)dup2(null, 2);
	(void)execv(argv[0], argv);
	_exit(127);
}

int main(int argc, char **argv)
{
	char *qemu[ARGS_MAX + 1] = { NULL }, path[600];
	const char *folder = argc == 2 ? argv[1] : NULL;
	int64_t began, ended;
	pid_t pid;

	if (!folder)
		die("usage: raw_qemu FOLDER");
	read_argv(folder, qemu);
	(void)snprintf(path, sizeof(path), "%s/serial.log", folder);
	(void)unlink(path);
	began = now_us();
	pid = fork();
	if (pid == 0)
		become(qemu);
	if (pid < 0)
		die("cannot fork");
	ended = wait_first_lines(&folder, 1, FIRST_LINE_S);
	(void)kill(pid, SIGKILL);
	(void)waitpid(pid, NULL, 0);
	(void)printf("%lld\n", (long long)(ended - began));
	return 0;
}
