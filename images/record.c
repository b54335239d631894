/* SPDX-License-Identifier: Apache-2.0
 * record.c - detects changes of a verified image.
 *
 * Hashing gigabytes at each start of a guest is too slow. Therefore size and modification time of
 * each file are recorded when the content is verified, as lines "SIZE MTIME_NS NAME". If they have
 * not changed, the content counts as unchanged. If they have (a restored backup has new times),
 * image_check() verifies the content and makes a new record. The record is read before and compared
 * after hashing, so that a concurrent write is detected.
 */
#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/fd.h"
#include "base/own.h"
#include "base/strings.h"
#include "images/images.h"
#include "images/parts.h"

static int open_image_folder(const char *dir, DIR **ret, struct err *e)
{
	*ret = opendir(dir);
	if (*ret)
		return 0;
	if (errno == ENOENT || errno == ENOTDIR)
		return err_field(e, ERR_NOT_FOUND, "image", dir, "image folder %s is missing", dir);
	return err_sys(e, errno, "open image folder %s", dir);
}

/* The next name in the folder; NULL at the end. */
static const char *next_entry_name(DIR *d)
{
	const struct dirent *de;

	while ((de = readdir(d)))
		if (strcmp(de->d_name, ".") != 0 && strcmp(de->d_name, "..") != 0)
			return de->d_name;
	return NULL;
}

static int stat_image_file(int dirfd, const char *name, struct stat *st, struct err *e)
{
	if (fstatat(dirfd, name, st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? err_field(e, ERR_NOT_FOUND, "image", name,
						   "image file %s is missing", name)
				       : err_sys(e, errno, "stat image file %s", name);
	if (!S_ISREG(st->st_mode))
		return err_field(e, ERR_CONFLICT, "image", name,
				 "image file %s is not a regular file", name);
	return 0;
}

static int64_t mtime_ns(const struct stat *st)
{
	return (int64_t)st->st_mtim.tv_sec * 1000000000 + st->st_mtim.tv_nsec;
}

int image_record_read(const char *dir, char **ret, struct err *e)
{
	auto_buf struct buf b = { 0 };
	auto_closedir DIR *d = NULL;
	const char *name;
	struct stat st;

	if (open_image_folder(dir, &d, e) < 0)
		return -(int)e->code;
	while ((name = next_entry_name(d))) {
		if (stat_image_file(dirfd(d), name, &st, e) < 0)
			return -(int)e->code;
		buf_printf(&b, "%" PRId64 " %" PRId64 " %s\n", (int64_t)st.st_size, mtime_ns(&st),
			   name);
	}
	buf_puts(&b, "");
	*ret = buf_take(&b);
	return 0;
}

/* @line: "SIZE MTIME_NS NAME". */
static int check_recorded_file(int dirfd, char *line, struct err *e)
{
	char *at = line;
	int64_t size = strtoll(at, &at, 10), mtime = strtoll(at, &at, 10);
	const char *name = *at == ' ' ? at + 1 : "";
	struct stat st;

	if (!*name)
		return err_field(e, ERR_CONFLICT, "image", line,
				 "the record of the image files is not readable");
	if (stat_image_file(dirfd, name, &st, e) < 0)
		return -(int)e->code;
	if (st.st_size != size)
		return err_field(e, ERR_CONFLICT, "image", name,
				 "image file %s has %" PRId64 " bytes; its record has %" PRId64,
				 name, (int64_t)st.st_size, size);
	if (mtime_ns(&st) != mtime)
		return err_field(e, ERR_CONFLICT, "image", name,
				 "image file %s was written after it was verified", name);
	return 0;
}

static int check_no_new_files(DIR *d, const char *record, struct err *e)
{
	const char *name;

	while ((name = next_entry_name(d))) {
		auto_free char *end = xasprintf(" %s\n", name);

		if (!strstr(record, end))
			return err_field(e, ERR_CONFLICT, "image", name,
					 "image entry %s was added after the image was verified",
					 name);
	}
	return 0;
}

int image_record_check(const char *dir, const char *record, struct err *e)
{
	auto_free char *lines = xstrdup(record);
	auto_closedir DIR *d = NULL;
	char *save = NULL;

	if (open_image_folder(dir, &d, e) < 0)
		return -(int)e->code;
	if (!*record)
		return err_field(e, ERR_CONFLICT, "image", dir,
				 "the image files were not recorded yet");
	for (char *l = strtok_r(lines, "\n", &save); l; l = strtok_r(NULL, "\n", &save))
		if (check_recorded_file(dirfd(d), l, e) < 0)
			return -(int)e->code;
	return check_no_new_files(d, record, e);
}

int image_verify_recorded(const char *dir, const char *name, struct image *ret, char **ret_record,
			  struct err *e)
{
	auto_free char *record = NULL;

	if (image_record_read(dir, &record, e) < 0 || image_verify(dir, name, ret, NULL, e) < 0)
		return -(int)e->code;
	assert(record); /* image_record_read() has succeeded */
	if (image_record_check(dir, record, e) < 0)
		return -(int)e->code;
	*ret_record = take_ptr(&record);
	return 0;
}

/* Verify the content, without the record. */
static int check_content(const char *dir, const char *name, const char *hash, char **ret,
			 struct err *e)
{
	auto_free char *record = NULL;
	struct image img;

	if (image_verify_recorded(dir, name, &img, &record, e) < 0)
		return -(int)e->code;
	if (strcmp(img.os_image_hash, hash) != 0)
		return err_field(e, ERR_CONFLICT, "image", name,
				 "sha256sum.txt has changed: the image's hash is %.16s..., "
				 "the database has %.16s...",
				 img.os_image_hash, hash);
	*ret = take_ptr(&record);
	return 0;
}

int image_check(const char *dir, const char *name, const char *hash, const char *record, char **ret,
		struct err *e)
{
	struct err why = { 0 };
	char *renewed = NULL;
	int r = image_record_check(dir, record, &why);

	if (r == -ERR_CONFLICT)
		r = check_content(dir, name, hash, &renewed, &why);
	if (!r) {
		*ret = renewed;
		return 0;
	}
	if (r == -ERR_HOST || r == -ERR_UNAVAILABLE) {
		*e = why;
		return r;
	}
	err_field(e, ERR_HOST, "image", name, "image %s is not what was imported: %.220s", name,
		  why.text);
	return err_hint(
		e, "import it again from its source: that puts back what is missing or changed");
}
