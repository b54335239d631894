/* SPDX-License-Identifier: Apache-2.0
 * qemu_pid.c - finds the QEMU process of a domain, and whether it has ended.
 *
 * libvirt has no call for the pid. It writes a file with it, and QEMU holds a POSIX lock on that
 * file from before exec() until it ends. So the kernel names the process (F_GETLK), and the text of
 * the file, which may be outdated, is not read. This needs the right to read the file, but neither
 * /proc of other users (the unit hides it) nor the right to send signals.
 *
 * Nothing here waits. Closing a file drops the POSIX locks that this process holds on it; it holds
 * none on these.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>

#include "base/fd.h"
#include "vmm/virt/hv_lease.h"
#include "vmm/virt/hypervisor.h"
#include "vmm/virt/qemu_pid.h"

/* A descriptor stays with the QEMU of its time: libvirt may remove the file and write another one.
 */
int qemu_pid_open(const struct hypervisor *h, const char *name)
{
	char folder[256], path[512];

	if (!hv_run_folder(h, folder, sizeof(folder)))
		return -1;
	(void)snprintf(path, sizeof(path), "%s/%s.pid", folder, name);
	return open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
}

/* False: not known. *ret: the process that holds a lock on the file; 0: none. */
static bool lock_holder(int fd, pid_t *ret)
{
	struct flock lock = { .l_type = F_RDLCK, .l_whence = SEEK_SET };

	if (fd < 0 || fcntl(fd, F_GETLK, &lock))
		return false;
	*ret = lock.l_type == F_UNLCK ? 0 : lock.l_pid;
	return lock.l_type == F_UNLCK || lock.l_pid > 0; /* 0: in another pid namespace */
}

/* The pid may come to belong to another process before pidfd_open(). If the first process still
 * holds the lock after it, it has not. */
int hv_qemu_pidfd(const struct hypervisor *h, const char *name)
{
	auto_close int file = qemu_pid_open(h, name), pidfd = -1;
	pid_t pid = 0, still = 0;

	if (!lock_holder(file, &pid) || !pid)
		return -1;
	pidfd = pidfd_open(pid, 0);
	return pidfd >= 0 && lock_holder(file, &still) && still == pid ? take_fd(&pidfd) : -1;
}

bool qemu_has_ended(int file)
{
	pid_t pid;

	return lock_holder(file, &pid) && !pid;
}
