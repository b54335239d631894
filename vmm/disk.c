/* SPDX-License-Identifier: Apache-2.0
 * disk.c - the data disk: a qcow2 file, whole or not there.
 *
 * qemu-img writes beside the final name and the file is renamed when it is complete, so a disk that exists is a disk that was
 * finished.
 */
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/file.h"
#include "base/own.h"
#include "vmm/child.h"
#include "vmm/engine.h"

int disk_create(const char *path, int64_t gib, struct err *e)
{
	auto_free char *tmp = xasprintf("%s.tmp", path);
	auto_free char *size = xasprintf("%lldG", (long long)gib);
	char *argv[] = { (char[]){ "qemu-img" },
			 (char[]){ "create" },
			 (char[]){ "-q" },
			 (char[]){ "-f" },
			 (char[]){ "qcow2" },
			 tmp,
			 size,
			 NULL };
	struct stat st;
	int r;

	if (lstat(path, &st) == 0)
		return 0;
	r = child_run(argv, e);
	/* libvirt gives it to QEMU's user for as long as that runs. */
	if (!r && chmod(tmp, 0600) < 0)
		r = err_sys(e, errno, "cannot close %s to others", tmp);
	if (!r && rename(tmp, path) < 0)
		r = err_sys(e, errno, "cannot name %s", path);
	if (r)
		(void)unlink(tmp);
	return r;
}

/* The header of a qcow2 file (QEMU docs/interop/qcow2.txt): magic in bytes 0 to 3, size in bytes 24 to 31, big-endian. */
static int virtual_size(const char *path, uint64_t *ret, struct err *e)
{
	auto_close int fd = open(path, O_RDONLY | O_CLOEXEC);
	unsigned char header[32];
	uint64_t size;
	ssize_t n;

	if (fd < 0)
		return err_sys(e, errno, "cannot open %s", path);
	n = pread(fd, header, sizeof(header), 0);
	if (n < 0)
		return err_sys(e, errno, "cannot read %s", path);
	if (n != sizeof(header) || memcmp(header, "QFI\xfb", 4) != 0)
		return err_set(e, ERR_HOST, "%s is not a qcow2 file", path);
	memcpy(&size, header + 24, sizeof(size));
	*ret = be64toh(size);
	return 0;
}

int disk_grow(const char *path, int64_t gib, struct err *e)
{
	auto_free char *size = xasprintf("%lldG", (long long)gib);
	char *argv[] = { (char[]){ "qemu-img" },
			 (char[]){ "resize" },
			 (char[]){ "-q" },
			 (char[]){ "-f" },
			 (char[]){ "qcow2" },
			 (char *)(uintptr_t)path,
			 size,
			 NULL };
	struct stat st;
	uint64_t has = 0;
	int r;

	if (lstat(path, &st) < 0)
		return errno == ENOENT ? 0 : err_sys(e, errno, "cannot look at %s", path);
	r = virtual_size(path, &has, e);
	return r || has >= (uint64_t)gib << 30 ? r : child_run(argv, e);
}
