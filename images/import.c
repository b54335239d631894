/* SPDX-License-Identifier: Apache-2.0
 * import.c - imports an image into the store, completely or not at all.
 *
 * The files are written to "<store>/.tmp-<random>", verified, synced and then renamed. After a
 * crash there is no image or a complete one, and perhaps the temporary folder. image_remove_files()
 * removes such folders: a process holds a lock (flock) on the folder it fills, and the lock ends
 * with the process. Several nodes on one host may share a store: see make_temp().
 *
 * The disk writer of libarchive is not used. An image has no folders, so only entries with a plain
 * name, at the top or in one top folder, are accepted; each file is created with O_EXCL|O_NOFOLLOW
 * relative to a descriptor of the temporary folder. Paths with "..", absolute paths and links are
 * therefore impossible. The disk writer's checks (SECURE_NODOTDOT, SECURE_NOABSOLUTEPATHS) would
 * need chdir(), which is not possible in a process with threads.
 */
#include <assert.h>
#include <archive.h>
#include <archive_entry.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/file.h"
#include "base/lanes.h"
#include "base/own.h"
#include "base/strings.h"
#include "images/images.h"
#include "images/parts.h"

enum { COPY_CHUNK = 256 * 1024 };

/* Progress of an import. */
struct intake {
	int dirfd; /* temporary folder */
	unsigned files;
	uint64_t bytes;
	char top[IMAGE_NAME]; /* the top folder of an archive, "" if files are at the top */
	bool top_known;
};

static char *temp_path(const char *store)
{
	uint8_t random[8];
	char hex[17];

	id_random(random, sizeof(random));
	id_hex(random, sizeof(random), hex);
	return xasprintf("%s/.tmp-%s", store, hex);
}

static int intake_room(const struct intake *in, const char *name, uint64_t more, struct err *e)
{
	if (in->bytes + more > IMAGE_BYTES_MAX || in->bytes + more < more)
		return err_field(e, ERR_TOO_LARGE, "source", name,
				 "the image is larger than %llu bytes",
				 (unsigned long long)IMAGE_BYTES_MAX);
	return job_is_cancelled() ? image_job_cancelled(name, e) : 0;
}

static int intake_create(struct intake *in, const char *name, int *ret, struct err *e)
{
	int fd;

	assert(in->dirfd >= 0);
	if (!image_file_name_ok(name))
		return err_field(e, ERR_INVALID, "source", name,
				 "entry %s is refused: an image holds plain files with plain "
				 "names, without folders",
				 name);
	if (++in->files > IMAGE_FILES_MAX)
		return err_field(e, ERR_TOO_LARGE, "source", name,
				 "the image has more than %d files", IMAGE_FILES_MAX);
	fd = openat(in->dirfd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
	if (fd < 0 && errno == EEXIST)
		return err_field(e, ERR_INVALID, "source", name, "entry %s exists twice", name);
	if (fd < 0)
		return err_sys(e, errno, "create image file %s", name);
	*ret = fd;
	return 0;
}

static int write_at(int fd, const char *name, const char *data, size_t n, uint64_t at,
		    struct err *e)
{
	while (n) {
		ssize_t w = pwrite(fd, data, n, (off_t)at);

		if (w < 0 && errno == EINTR)
			continue;
		if (w <= 0)
			return err_sys(e, w < 0 ? errno : EIO, "write image file %s", name);
		data += w;
		n -= (size_t)w;
		at += (uint64_t)w;
	}
	return 0;
}

/* fsync also detects a full disk, which delayed allocation reports only now. */
static int finish_file(int *fd, const char *name, struct err *e)
{
	if (fchmod(*fd, 0644) < 0 || fsync(*fd) < 0)
		return err_sys(e, errno, "write image file %s", name);
	if (close(take_fd(fd)) < 0)
		return err_sys(e, errno, "write image file %s", name);
	return 0;
}

/* ------------------------------------------------------------------ from a folder */

static int copy_file(struct intake *in, int from_dir, const char *name, struct err *e)
{
	auto_close int from = -1, to = -1;
	auto_free char *chunk = xmalloc(COPY_CHUNK);
	uint64_t size, at = 0;

	if (image_file_open(from_dir, name, &from, &size, e) < 0 ||
	    intake_room(in, name, size, e) < 0 || intake_create(in, name, &to, e) < 0)
		return -(int)e->code;
	for (;;) {
		ssize_t n = read(from, chunk, COPY_CHUNK);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_sys(e, errno, "read image file %s", name);
		if (!n)
			break;
		if (intake_room(in, name, at + (uint64_t)n, e) < 0 ||
		    write_at(to, name, chunk, (size_t)n, at, e) < 0)
			return -(int)e->code;
		at += (uint64_t)n;
	}
	in->bytes += at;
	return finish_file(&to, name, e);
}

static int copy_folder(struct intake *in, const char *source, struct err *e)
{
	DIR *d = opendir(source);
	const struct dirent *de;
	int r = 0;

	if (!d)
		return err_sys(e, errno, "open image folder %s", source);
	while (!r && (de = readdir(d)))
		if (strcmp(de->d_name, ".") != 0 && strcmp(de->d_name, "..") != 0)
			r = copy_file(in, dirfd(d), de->d_name, e);
	closedir(d);
	return r;
}

/* ------------------------------------------------------------------ from an archive */

static void own_archive(struct archive **a)
{
	if (*a)
		archive_read_free(*a);
}

/* Only filters built into Debian's libarchive; other filters start helper programs. */
static struct archive *archive_new(void)
{
	struct archive *a = archive_read_new();

	if (!a)
		return NULL;
	archive_read_support_filter_gzip(a);
	archive_read_support_filter_bzip2(a);
	archive_read_support_filter_xz(a);
	archive_read_support_filter_lzma(a);
	archive_read_support_filter_zstd(a);
	archive_read_support_filter_lz4(a);
	archive_read_support_format_tar(a);
	return a;
}

static int archive_fault(struct archive *a, const char *source, struct err *e)
{
	const char *text = archive_error_string(a);
	int sys = archive_errno(a);

	if (sys == EIO || sys == ENOMEM || sys == EACCES)
		return err_sys(e, sys, "read archive %s", source);
	return err_field(e, ERR_INVALID, "source", source, "not a whole tar archive: %s",
			 text ? text : "damaged");
}

static int write_entry(struct intake *in, struct archive *a, const char *source, const char *name,
		       struct err *e)
{
	auto_close int fd = -1;
	const void *data;
	uint64_t end = 0;
	size_t n;
	la_int64_t at;
	int r;

	if (intake_create(in, name, &fd, e) < 0)
		return -(int)e->code;
	while ((r = archive_read_data_block(a, &data, &n, &at)) == ARCHIVE_OK) {
		if (at < 0)
			return archive_fault(a, source, e);
		if (intake_room(in, name, (uint64_t)at, e) < 0 ||
		    intake_room(in, name, (uint64_t)at + n, e) < 0 ||
		    write_at(fd, name, data, n, (uint64_t)at, e) < 0)
			return -(int)e->code;
		end = (uint64_t)at + n;
	}
	if (r != ARCHIVE_EOF)
		return archive_fault(a, source, e);
	/* A sparse entry may end with a hole. */
	if (ftruncate(fd, (off_t)end) < 0)
		return err_sys(e, errno, "write image file %s", name);
	in->bytes += end;
	return finish_file(&fd, name, e);
}

static int refuse_path(const char *path, struct err *e)
{
	return err_field(e, ERR_INVALID, "source", path,
			 "entry %s is refused: expected plain files at the top or in one folder",
			 path);
}

/* Accept "x", "./x", "top/x" and "./top/x". *ret: the name of the file, "" for a folder. */
static int entry_name(struct intake *in, const char *path, bool folder, const char **ret,
		      struct err *e)
{
	const char *p = path, *slash;
	char top[IMAGE_NAME] = "";

	while (p[0] == '.' && p[1] == '/')
		p += 2;
	slash = strchr(p, '/');
	if (folder && (!*p || !strcmp(p, "."))) {
		*ret = "";
		return 0;
	}
	if (slash && slash[1] && folder)
		return refuse_path(path, e);
	if (slash || folder) {
		size_t n = slash ? (size_t)(slash - p) : strlen(p);

		if (n == 0 || n >= sizeof(top))
			return refuse_path(path, e);
		memcpy(top, p, n);
		top[n] = '\0';
		if (image_name_check("source", top, e) < 0)
			return refuse_path(path, e);
	}
	if (in->top_known && strcmp(in->top, top) != 0)
		return refuse_path(path, e);
	strcpy(in->top, top);
	in->top_known = true;
	*ret = folder ? "" : slash ? slash + 1 : p;
	return 0;
}

static int take_entry(struct intake *in, struct archive *a, struct archive_entry *entry,
		      const char *source, struct err *e)
{
	const char *path = archive_entry_pathname(entry), *name = "";
	bool folder = archive_entry_filetype(entry) == AE_IFDIR;

	if (!path)
		return err_field(e, ERR_INVALID, "source", source,
				 "an entry of the archive has no readable name");
	if (archive_entry_hardlink(entry) || archive_entry_symlink(entry) ||
	    (!folder && archive_entry_filetype(entry) != AE_IFREG))
		return err_field(e, ERR_INVALID, "source", path,
				 "entry %s is neither a regular file nor a folder", path);
	if (entry_name(in, path, folder, &name, e) < 0)
		return -(int)e->code;
	return *name ? write_entry(in, a, source, name, e) : folder ? 0 : refuse_path(path, e);
}

static int unpack_archive(struct intake *in, const char *source, struct err *e)
{
	__attribute__((cleanup(own_archive))) struct archive *a = archive_new();
	struct archive_entry *entry;
	unsigned entries = 0;
	int r;

	if (!a)
		return err_sys(e, ENOMEM, "open archive %s", source);
	if (archive_read_open_filename(a, source, 64 * 1024) != ARCHIVE_OK)
		return archive_fault(a, source, e);
	while ((r = archive_read_next_header(a, &entry)) == ARCHIVE_OK || r == ARCHIVE_WARN) {
		if (++entries > 2 * IMAGE_FILES_MAX)
			return err_field(e, ERR_TOO_LARGE, "source", source,
					 "the archive has more than %d entries",
					 2 * IMAGE_FILES_MAX);
		if (take_entry(in, a, entry, source, e) < 0)
			return -(int)e->code;
	}
	return r == ARCHIVE_EOF ? 0 : archive_fault(a, source, e);
}

/* ------------------------------------------------------------------ both */

/* The name of an image if the caller gives none: the top folder of the archive, else the name of
 * the source without ".tar" and what follows. */
static char *default_image_name(const struct intake *in, const char *source, bool folder)
{
	size_t n = strlen(source), at;
	char *name, *tar;

	if (*in->top)
		return xstrdup(in->top);
	while (n > 1 && source[n - 1] == '/')
		n--;
	for (at = n; at > 0 && source[at - 1] != '/'; at--)
		;
	name = xstrndup(source + at, n - at);
	tar = folder ? NULL : strstr(name, ".tar");
	if (!tar && !folder)
		tar = strstr(name, ".tgz");
	if (tar)
		*tar = '\0';
	return name;
}

/* The folder exists. If it is the same image, *files becomes its record; else the error is
 * ERR_CONFLICT. */
static int compare_existing(const char *store, const struct image *img, char **files, struct err *e)
{
	auto_free char *there = NULL;
	auto_free char *path = xasprintf("%s/%s", store, img->name);
	struct image old;
	struct err why = { 0 };

	if (image_verify_recorded(path, img->name, &old, &there, &why) == -ERR_UNAVAILABLE) {
		*e = why;
		return -(int)e->code;
	}
	if (why.code)
		return err_field(e, ERR_CONFLICT, "name", img->name,
				 "an image of this name exists and is damaged: %.200s", why.text);
	if (strcmp(old.os_image_hash, img->os_image_hash) != 0)
		return err_field(e, ERR_CONFLICT, "name", img->name,
				 "an image of this name with other content exists (%s)",
				 old.os_image_hash);
	free(*files);
	*files = take_ptr(&there);
	return 0;
}

/* The hash of image @name; NULL if it has no row. */
static const char *recorded_hash(const struct image_known *known, const char *name)
{
	for (; known && *known->name; known++)
		if (!strcmp(known->name, name))
			return known->hash;
	return NULL;
}

/* The new image has the hash of the row and the existing folder has not: exchange them. */
static int replace_damaged(const char *temp, const char *path, struct err *e)
{
	if (renameat2(AT_FDCWD, temp, AT_FDCWD, path, RENAME_EXCHANGE) < 0)
		return err_sys(e, errno, "exchange %s and %s", temp, path);
	return 0;
}

static int publish_image(const char *store, const char *temp, const char *known,
			 const struct image *img, char **files, struct err *e)
{
	auto_free char *path = xasprintf("%s/%s", store, img->name);

	assert(*img->name && *files); /* image_verify_recorded() has succeeded */
	if (known && strcmp(known, img->os_image_hash) != 0)
		return err_field(e, ERR_CONFLICT, "name", img->name,
				 "an image of this name with other content exists (%s)", known);
	if (file_sync_dir(temp, e) < 0)
		return -(int)e->code;
	if (renameat2(AT_FDCWD, temp, AT_FDCWD, path, RENAME_NOREPLACE) < 0) {
		if (errno != EEXIST && errno != ENOTEMPTY)
			return err_sys(e, errno, "rename %s to %s", temp, path);
		if (compare_existing(store, img, files, e) < 0 &&
		    (!known || e->code != ERR_CONFLICT || replace_damaged(temp, path, e) < 0))
			return -(int)e->code;
	}
	return file_sync_dir(store, e);
}

/* False if another process has removed the folder before it was locked, or is removing it now. */
static bool lock_temp(const char *temp, int *ret)
{
	auto_close int fd = open(temp, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct stat here, there;

	if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) < 0 || fstat(fd, &here) < 0 ||
	    stat(temp, &there) < 0 || here.st_ino != there.st_ino)
		return false;
	*ret = take_fd(&fd);
	return true;
}

/* Create a temporary folder, locked while *ret is open. The lock works between processes of one
 * host only, because Linux does not forward flock() of a folder to an NFS server. Nodes on several
 * hosts must therefore not share a store that one of them imports into: another node could remove
 * the folder when it starts. */
static int make_temp(const char *store, char **ret_path, int *ret, struct err *e)
{
	for (int tries = 0; tries < 8; tries++) {
		auto_free char *temp = temp_path(store);

		if (mkdir(temp, 0755) < 0)
			return err_sys(e, errno, "create %s", temp);
		if (lock_temp(temp, ret)) {
			*ret_path = take_ptr(&temp);
			return 0;
		}
		/* Fails if another process has removed it. */
		(void)rmdir(temp);
	}
	return err_set(e, ERR_HOST, "temporary folders in %s cannot be locked", store);
}

static int import_into(const char *store, const char *temp, int fd, const char *source,
		       const char *name, const struct image_known *known, struct image *img,
		       char **files, struct err *e)
{
	auto_free char *own = NULL;
	struct intake in = { .dirfd = fd };
	struct stat st;

	if (stat(source, &st) < 0)
		return errno == ENOENT ? err_field(e, ERR_NOT_FOUND, "source", source,
						   "no file or folder %.200s on this node", source)
				       : err_sys(e, errno, "open image source %s", source);
	if (!S_ISDIR(st.st_mode) && !S_ISREG(st.st_mode))
		return err_field(e, ERR_INVALID, "source", source,
				 "expected a folder or a tar archive");
	if ((S_ISDIR(st.st_mode) ? copy_folder(&in, source, e) : unpack_archive(&in, source, e)) <
	    0)
		return -(int)e->code;
	own = default_image_name(&in, source, S_ISDIR(st.st_mode));
	if (image_verify_recorded(temp, name ? name : own, img, files, e) < 0)
		return -(int)e->code;
	img->created_ms = clock_wall_ms();
	return publish_image(store, temp, recorded_hash(known, img->name), img, files, e);
}

int image_import(const char *store, const char *source, const char *name,
		 const struct image_known *known, struct image *ret, char **ret_files,
		 struct err *e)
{
	auto_free char *temp = NULL, *files = NULL;
	auto_close int fd = -1;
	struct image img;
	struct err ignored;
	int r;

	if (name && image_name_check("name", name, e) < 0)
		return -(int)e->code;
	if (file_mkdirs(store, 0755, e) < 0)
		return -(int)e->code;
	if (make_temp(store, &temp, &fd, e) < 0)
		return -(int)e->code;
	r = import_into(store, temp, fd, source, name, known, &img, &files, e);
	/* It does not exist after a rename. It exists after a failure, if the image existed, and if
	 * folders were exchanged. */
	file_remove_tree(temp, &ignored);
	if (r < 0)
		return r;
	*ret = img;
	if (ret_files)
		*ret_files = take_ptr(&files);
	return 0;
}

/* ------------------------------------------------------------------ removal */

/* Remove a temporary folder unless a process fills it. The lock is held until it is removed: see
 * make_temp(). */
static int remove_leftover(const char *path, struct err *e)
{
	auto_close int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);

	return fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) < 0 ? 0 : file_remove_tree(path, e);
}

static int remove_leftovers(const char *store, struct err *e)
{
	DIR *d = opendir(store);
	const struct dirent *de;
	int r = 0;

	if (!d)
		return errno == ENOENT ? 0 : err_sys(e, errno, "open %s", store);
	while (!r && (de = readdir(d))) {
		auto_free char *path = xasprintf("%s/%s", store, de->d_name);

		if (!strncmp(de->d_name, ".tmp-", 5))
			r = remove_leftover(path, e);
	}
	closedir(d);
	return r;
}

int image_remove_files(const char *store, const char *name, struct err *e)
{
	auto_free char *temp = temp_path(store), *path = NULL;

	if (name) {
		if (image_name_check("name", name, e) < 0)
			return -(int)e->code;
		path = xasprintf("%s/%s", store, name);
		/* Rename first, because an incomplete folder must not have an image's name. */
		if (rename(path, temp) < 0 && errno != ENOENT)
			return err_sys(e, errno, "rename %s to %s", path, temp);
		if (file_remove_tree(temp, e) < 0)
			return -(int)e->code;
	}
	return remove_leftovers(store, e);
}
