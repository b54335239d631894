/* SPDX-License-Identifier: Apache-2.0
 * pid_lock.c - a process that locks a pid file, as QEMU does.
 */
#include "tests/unit/pid_lock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

pid_t pid_lock_by_child(const char *path)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = 1 };
	int fd = open(path, O_WRONLY | O_CREAT, 0644), ready[2];
	char c;
	pid_t pid;

	assert_true(fd >= 0);
	assert_int_equal(pipe(ready), 0);
	pid = fork();
	if (!pid) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		(void)(fcntl(fd, F_SETLK, &lock) || write(ready[1], "", 1) < 0 || pause());
		_exit(1);
	}
	assert_true(pid > 0);
	close(ready[1]);
	assert_int_equal(read(ready[0], &c, 1), 1);
	close(ready[0]);
	close(fd);
	return pid;
}
