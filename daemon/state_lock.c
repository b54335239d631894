/* SPDX-License-Identifier: Apache-2.0
 * state_lock.c - the lock that allows one daemon per state folder.
 *
 * SQLite alone allows two processes to write in turn: without this lock a second daemon would serve
 * the same CVMs and run the same operations. It is a POSIX lock, not flock(): a child between fork
 * and exec would inherit an flock() and keep it after the daemon was killed.
 */
#include "daemon/state_lock.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/own.h"
#include "base/strings.h"

static int state_lock_in_use(const char *dir, int fd, struct err *e)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };

	if (fcntl(fd, F_GETLK, &lock) || lock.l_type == F_UNLCK)
		lock.l_pid = 0;
	return err_set(e, ERR_IN_USE, "%s is in use by another teepod (process %d)", dir,
		       (int)lock.l_pid);
}

int state_lock(const char *dir, struct err *e)
{
	auto_free char *path = xasprintf("%s/lock", dir);
	auto_close int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };

	if (fd < 0)
		return err_sys(e, errno, "open %s", path);
	if (fcntl(fd, F_SETLK, &lock))
		return errno == EACCES || errno == EAGAIN ? state_lock_in_use(dir, fd, e)
							  : err_sys(e, errno, "lock %s", path);
	(void)take_fd(&fd); /* stays open: closing it would release the lock */
	return 0;
}
