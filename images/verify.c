/* SPDX-License-Identifier: Apache-2.0
 * verify.c - verify that the files of an image folder match its digests.
 *
 * The chain of trust ends in one hash: digest.txt is the SHA-256 of sha256sum.txt, which lists
 * every other file. So a file that is not listed, a listed file that is missing, and an entry that
 * is no regular file are all refused: what boots is what was hashed. Nothing is opened through a
 * link.
 */
#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/array.h"
#include "base/fd.h"
#include "base/own.h"
#include "base/strings.h"
#include "images/images.h"
#include "images/parts.h"

struct sum {
	char name[IMAGE_FILE];
	uint8_t hash[SHA256_LEN];
};

struct sums {
	struct sum *v;
	size_t n;
};

static const struct sum *sums_find(const struct sums *s, const char *name)
{
	for (size_t i = 0; i < s->n; i++)
		if (!strcmp(s->v[i].name, name))
			return &s->v[i];
	return NULL;
}

static int sums_fault(struct err *e, size_t line, const char *text, const char *expected)
{
	return err_field(e, ERR_INVALID, IMAGE_SUMS, text, "line %zu of " IMAGE_SUMS ": %s", line,
			 expected);
}

/* "<64 hex><space><space or *><name>", as sha256sum(1) writes it. */
static int sums_line(struct sums *s, size_t line, char *text, struct err *e)
{
	struct sum *new = &s->v[s->n];
	const char *name = text + 66;
	char hex[SHA256_HEX];

	if (strlen(text) < 67 || text[64] != ' ' || (text[65] != ' ' && text[65] != '*'))
		return sums_fault(e, line, text,
				  "expected 64 hex digits, two spaces and a file name");
	memcpy(hex, text, 64);
	hex[64] = '\0';
	if (!id_unhex(hex, new->hash, SHA256_LEN))
		return sums_fault(e, line, text,
				  "expected 64 hex digits, two spaces and a file name");
	if (!image_file_name_ok(name) || !strcmp(name, IMAGE_SUMS) || !strcmp(name, IMAGE_DIGEST))
		return sums_fault(e, line, name,
				  "expected the name of a file in the image's own folder");
	if (sums_find(s, name))
		return sums_fault(e, line, name, "the file is listed twice");
	assert(s->n < IMAGE_FILES_MAX);
	strcpy(new->name, name);
	s->n++;
	return 0;
}

static int sums_parse(char *text, struct sums *s, struct err *e)
{
	char *save = NULL;
	size_t line = 0;

	for (char *l = strtok_r(text, "\n", &save); l; l = strtok_r(NULL, "\n", &save)) {
		if (s->n == IMAGE_FILES_MAX)
			return err_field(e, ERR_INVALID, IMAGE_SUMS, NULL,
					 "more than %d files listed", IMAGE_FILES_MAX);
		if (sums_line(s, ++line, l, e) < 0)
			return -(int)e->code;
	}
	return 0;
}

/* Read sha256sum.txt and compare its digest with digest.txt. */
static int sums_read(int dirfd, struct sums *s, char hash[SHA256_HEX], struct err *e)
{
	auto_free char *text = NULL, *digest = NULL;
	size_t n, digest_n;

	if (image_text_read(dirfd, IMAGE_SUMS, &text, &n, e) < 0 ||
	    image_text_read(dirfd, IMAGE_DIGEST, &digest, &digest_n, e) < 0)
		return -(int)e->code;
	id_sha256_hex(text, n, hash);
	if (digest_n && digest[digest_n - 1] == '\n')
		digest[digest_n - 1] = '\0';
	if (strcasecmp(digest, hash) != 0)
		return err_field(e, ERR_INVALID, IMAGE_DIGEST, digest,
				 "expected %s, the SHA-256 of " IMAGE_SUMS ", and nothing else",
				 hash);
	return sums_parse(text, s, e);
}

static int check_artefacts(const struct image_meta *m, const struct sums *s, struct err *e)
{
	const char *const needed[] = { IMAGE_METADATA, m->boot.kernel, m->boot.initrd,
				       m->boot.rootfs, m->boot.hda,    m->boot.bios,
				       m->bios_sev };

	for (size_t i = 0; i < ARRAY_SIZE(needed); i++)
		if (*needed[i] && !sums_find(s, needed[i]))
			return err_field(e, ERR_INVALID, IMAGE_SUMS, needed[i],
					 "image file %s is not listed in " IMAGE_SUMS, needed[i]);
	return 0;
}

int image_job_cancelled(const char *name, struct err *e)
{
	return err_set(
		e, ERR_UNAVAILABLE,
		"cancelled at image file %s: teepod is stopping, or the time limit has passed",
		name);
}

static int check_file(int dirfd, const struct sum *s, uint64_t *bytes, struct err *e)
{
	auto_close int fd = -1;
	uint8_t hash[SHA256_LEN];
	char path[64], is[SHA256_HEX], want[SHA256_HEX];
	uint64_t size;
	int r;

	if (image_file_open(dirfd, s->name, &fd, &size, e) < 0)
		return -(int)e->code;
	/* By descriptor, so that the file that is hashed is the one that was checked. */
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	r = id_sha256_file(path, hash);
	if (r == -ECANCELED)
		return image_job_cancelled(s->name, e);
	if (r < 0)
		return err_sys(e, -r, "read image file %s", s->name);
	*bytes += size;
	if (!memcmp(hash, s->hash, SHA256_LEN))
		return 0;
	id_hex(hash, SHA256_LEN, is);
	id_hex(s->hash, SHA256_LEN, want);
	return err_field(e, ERR_INVALID, "image", s->name,
			 "image file %s has SHA-256 %s, " IMAGE_SUMS " has %s", s->name, is, want);
}

static int check_listed(int dirfd, const struct sums *s, struct err *e)
{
	int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *de;
	int r = 0;

	if (!d) {
		r = err_sys(e, errno, "list the image folder");
		if (fd >= 0)
			close(fd);
		return r;
	}
	while (!r && (de = readdir(d))) {
		const char *name = de->d_name;

		if (!strcmp(name, ".") || !strcmp(name, "..") || !strcmp(name, IMAGE_SUMS) ||
		    !strcmp(name, IMAGE_DIGEST))
			continue;
		if (!sums_find(s, name))
			r = err_field(e, ERR_INVALID, "image", name,
				      "image entry %s is not listed in " IMAGE_SUMS, name);
	}
	closedir(d);
	return r;
}

static int name_image(struct image *img, const char *name, const char *version, struct err *e)
{
	if (image_name_check("name", name, e) < 0)
		return -(int)e->code;
	if (!image_name_split(name, img->family, img->version, img->v, &img->nv)) {
		err_field(e, ERR_INVALID, "name", name, "image name does not end in a version");
		return err_hint(e, "name it %.60s-%s", name, *version ? version : "1.0.0");
	}
	if (*version && strcmp(version, img->version) != 0)
		return err_field(e, ERR_INVALID, IMAGE_METADATA ".version", version,
				 "the image's name has version %s", img->version);
	strcpy(img->name, name);
	return 0;
}

/* The last component of @path, without trailing slashes. */
static char *last_component(const char *path)
{
	size_t n = strlen(path), at;

	while (n > 1 && path[n - 1] == '/')
		n--;
	for (at = n; at > 0 && path[at - 1] != '/'; at--)
		;
	return xstrndup(path + at, n - at);
}

static int verify_open(int dirfd, const char *name, struct image *img, struct image_meta *m,
		       struct err *e)
{
	struct sums s = { 0 };
	auto_free struct sum *room = xcalloc(IMAGE_FILES_MAX, sizeof(*room));

	assert(dirfd >= 0 && name);
	s.v = room;
	if (image_metadata_read(dirfd, m, e) < 0 || name_image(img, name, m->version, e) < 0 ||
	    sums_read(dirfd, &s, img->os_image_hash, e) < 0 || check_artefacts(m, &s, e) < 0 ||
	    check_listed(dirfd, &s, e) < 0)
		return -(int)e->code;
	for (size_t i = 0; i < s.n; i++)
		if (check_file(dirfd, &s.v[i], &img->bytes, e) < 0)
			return -(int)e->code;
	img->is_dev = m->is_dev;
	return 0;
}

int image_verify(const char *dir, const char *name, struct image *ret, struct image_boot *ret_boot,
		 struct err *e)
{
	auto_close int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	auto_free char *own = name ? NULL : last_component(dir);
	struct image img = { 0 };
	struct image_meta m;

	if (fd < 0 && (errno == ENOENT || errno == ENOTDIR))
		return err_field(e, ERR_NOT_FOUND, "image", dir, "no image folder at %s", dir);
	if (fd < 0)
		return err_sys(e, errno, "open image folder %s", dir);
	if (verify_open(fd, name ? name : own, &img, &m, e) < 0)
		return -(int)e->code;
	*ret = img;
	if (ret_boot)
		*ret_boot = m.boot;
	return 0;
}
