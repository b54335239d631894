/* SPDX-License-Identifier: Apache-2.0
 * share_disk.c - put the guest's files on a FAT disk, for guests and hosts without 9p.
 *
 * A guest of an earlier release may have left anything in the folder. Only regular files are
 * copied and links are not followed; else a guest could read files of the host. The files come
 * from guest_files.c.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/array.h"
#include "base/own.h"
#include "base/strings.h"
#include "vmm/guest/share_disk.h"
#include "vmm/virt/child.h"

#define LABEL "DSTACKSHR"

/* FAT32 needs at least 65,525 clusters; dstack's launcher uses this size. */
#define SIZE_KIB "131072"

struct share_files {
	char **path; /* owned */
	size_t n;
};

static void share_files_free(struct share_files *f)
{
	for (size_t i = 0; i < f->n; i++)
		free(f->path[i]);
	free(f->path);
}

static void share_dir_close(DIR **d)
{
	if (*d)
		(void)closedir(*d);
}

static int share_files_list(const char *dir, struct share_files *f, struct err *e)
{
	DIR *d __attribute__((cleanup(share_dir_close))) = opendir(dir);
	struct dirent *de;

	if (!d)
		return err_sys(e, errno, "cannot open %s", dir);
	while ((de = readdir(d))) {
		struct stat st;

		if (fstatat(dirfd(d), de->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
		    !S_ISREG(st.st_mode))
			continue;
		f->path = xrealloc(f->path, (f->n + 1) * sizeof(*f->path));
		f->path[f->n++] = xasprintf("%s/%s", dir, de->d_name);
	}
	return 0;
}

/* Full path, because /sbin may be missing in PATH. */
static int share_disk_format(char *image, struct err *e)
{
	char *argv[] = { (char[]){ "/sbin/mkfs.fat" },
			 (char[]){ "-F" },
			 (char[]){ "32" },
			 (char[]){ "-n" },
			 (char[]){ LABEL },
			 (char[]){ "-C" },
			 image,
			 (char[]){ SIZE_KIB },
			 NULL };
	int r = child_run(argv, e);

	return r && e->sys == ENOENT ? err_hint(e, "install dosfstools") : r;
}

static int share_disk_copy(char *image, const struct share_files *f, struct err *e)
{
	auto_free char **argv = xcalloc(f->n + 6, sizeof(*argv));
	char *const head[] = { (char[]){ "mcopy" }, (char[]){ "-i" }, image, (char[]){ "-o" } };
	size_t n = 0;
	int r;

	if (!f->n)
		return 0;
	for (size_t i = 0; i < ARRAY_SIZE(head); i++)
		argv[n++] = head[i];
	for (size_t i = 0; i < f->n; i++)
		argv[n++] = f->path[i];
	argv[n++] = (char[]){ "::/" };
	r = child_run(argv, e);
	return r && e->sys == ENOENT ? err_hint(e, "install mtools") : r;
}

static int share_disk_build(const char *dir, char *temp, struct err *e)
{
	struct share_files f __attribute__((cleanup(share_files_free))) = { 0 };
	int r = share_files_list(dir, &f, e);

	if (unlink(temp) < 0 && errno != ENOENT)
		return err_sys(e, errno, "cannot remove %s", temp);
	if (!r)
		r = share_disk_format(temp, e);
	if (!r)
		r = share_disk_copy(temp, &f, e);
	if (!r && chmod(temp, 0640) < 0)
		r = err_sys(e, errno, "cannot restrict the mode of %s", temp);
	return r;
}

int share_disk_make(const char *dir, const char *image, struct err *e)
{
	auto_free char *temp = xasprintf("%s.tmp", image);
	int r = share_disk_build(dir, temp, e);

	if (!r && rename(temp, image) < 0)
		r = err_sys(e, errno, "cannot rename %s", temp);
	if (r)
		(void)unlink(temp);
	return r;
}
