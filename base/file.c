/* SPDX-License-Identifier: Apache-2.0
 * file.c - files and folders: durable writes, reads, removal.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/fd.h"
#include "base/file.h"
#include "base/own.h"
#include "base/strings.h"

int file_mkdirs(const char *path, mode_t mode, struct err *e)
{
	auto_free char *p = xstrdup(path);

	for (char *s = p + 1;; s++) {
		bool end = !*s;

		if (*s != '/' && !end)
			continue;
		*s = 0;
		if (mkdir(p, mode) < 0 && errno != EEXIST)
			return err_sys(e, errno, "cannot make folder %s", p);
		if (end)
			return 0;
		*s = '/';
	}
}

static int write_all(int fd, const char *data, size_t n)
{
	while (n) {
		ssize_t k = write(fd, data, n);

		if (k < 0 && errno == EINTR)
			continue;
		if (k < 0)
			return -errno;
		data += k;
		n -= (size_t)k;
	}
	return 0;
}

int file_sync_dir(const char *path, struct err *e)
{
	auto_close int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return err_sys(e, errno, "cannot open folder %s", path);
	if (fsync(fd) < 0)
		return err_sys(e, errno, "cannot sync folder %s", path);
	return 0;
}

static int write_synced(const char *path, const void *data, size_t n, mode_t mode, struct err *e)
{
	auto_close int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, mode);
	int r;

	if (fd < 0)
		return err_sys(e, errno, "cannot write %s", path);
	r = write_all(fd, data, n);
	if (r)
		return err_sys(e, -r, "cannot write %s", path);
	if (fchmod(fd, mode) < 0 || fsync(fd) < 0)
		return err_sys(e, errno, "cannot write %s", path);
	return 0;
}

int file_replace(const char *path, const void *data, size_t n, mode_t mode, struct err *e)
{
	auto_free char *tmp = xasprintf("%s.tmp", path);
	int r = write_synced(tmp, data, n, mode, e);

	if (!r && rename(tmp, path) < 0)
		r = err_sys(e, errno, "cannot write %s", path);
	if (r)
		(void)unlink(tmp);
	return r;
}

int file_write(const char *path, const void *data, size_t n, mode_t mode, struct err *e)
{
	auto_free char *dir = xstrdup(path);
	char *slash = strrchr(dir, '/');
	int r = file_replace(path, data, n, mode, e);

	if (slash)
		*slash = 0;
	return r ? r : file_sync_dir(slash ? dir : ".", e);
}

int file_read(const char *path, size_t max, char **ret, size_t *ret_n, struct err *e)
{
	auto_close int fd = open(path, O_RDONLY | O_CLOEXEC);
	auto_buf struct buf b = { 0 };

	if (fd < 0 && errno == ENOENT)
		return err_set(e, ERR_NOT_FOUND, "no file %s", path);
	if (fd < 0)
		return err_sys(e, errno, "cannot read %s", path);
	for (;;) {
		ssize_t k = read(fd, buf_reserve(&b, 65536), 65536);

		if (k < 0 && errno == EINTR)
			continue;
		if (k < 0)
			return err_sys(e, errno, "cannot read %s", path);
		if (k == 0)
			break;
		b.len += (size_t)k;
		if (b.len > max)
			return err_set(e, ERR_TOO_LARGE, "%s is larger than %zu bytes", path, max);
	}
	if (ret_n)
		*ret_n = b.len;
	*ret = buf_take(&b);
	(*ret)[ret_n ? *ret_n : strlen(*ret)] = 0;
	return 0;
}

static int remove_at(int dirfd, const char *name, dev_t dev);

static int remove_entries(int fd, dev_t dev)
{
	int dup_fd = dup(fd), r = 0;
	DIR *d = dup_fd < 0 ? NULL : fdopendir(dup_fd);

	if (!d) {
		r = -errno;
		if (dup_fd >= 0)
			close(dup_fd);
		return r;
	}
	for (struct dirent *de; !r && (de = readdir(d));)
		if (strcmp(de->d_name, ".") != 0 && strcmp(de->d_name, "..") != 0)
			r = remove_at(fd, de->d_name, dev);
	closedir(d);
	return r;
}

static int remove_at(int dirfd, const char *name, dev_t dev)
{
	auto_close int fd = -1;
	struct stat st;
	int r;

	if (unlinkat(dirfd, name, 0) == 0 || errno == ENOENT)
		return 0;
	if (errno != EISDIR && errno != EPERM)
		return -errno;
	fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (dev && st.st_dev != dev)
		return -EXDEV;
	r = remove_entries(fd, st.st_dev);
	if (r)
		return r;
	return unlinkat(dirfd, name, AT_REMOVEDIR) < 0 && errno != ENOENT ? -errno : 0;
}

int file_remove_tree(const char *path, struct err *e)
{
	int r = remove_at(AT_FDCWD, path, 0);

	return r ? err_sys(e, -r, "cannot remove %s", path) : 0;
}
