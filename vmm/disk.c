/* SPDX-License-Identifier: Apache-2.0
 * disk.c - the data disk: a qcow2 file, whole or not there.
 *
 * qemu-img writes beside the final name and the file is renamed when it is complete, so a disk that exists is a disk that was
 * finished.
 */
#include <errno.h>
#include <stdio.h>
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
