/* SPDX-License-Identifier: Apache-2.0
 * metadata.c - metadata.json: the files of an image and how it boots.
 *
 * Two kinds of image can boot: with kernel and initrd (dstack), or with a root disk that contains a
 * boot loader, and then without kernel and initrd. Unknown keys are ignored, because newer dstack
 * images have some.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/array.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/own.h"
#include "images/images.h"
#include "images/parts.h"

struct meta_text {
	const char *kernel, *initrd, *rootfs, *hda, *bios, *bios_sev, *cmdline, *version,
		*ovmf_variant;
	bool shared_ro, is_dev, serial_progress, kernel_header_normalized;
};

#define META_FILE(key, member)                                                                     \
	{                                                                                          \
		.name = key, .type = FIELD_STRING, .flags = FIELD_NULLABLE, .max = IMAGE_FILE - 1, \
		.at = offsetof(struct meta_text, member),                                          \
		.rule = "name of a file in the image's folder"                                     \
	}
#define META_BOOL(key)                                                     \
	{                                                                  \
		.name = #key, .type = FIELD_BOOL, .flags = FIELD_NULLABLE, \
		.at = offsetof(struct meta_text, key)                      \
	}

static const struct field meta_fields[] = {
	META_FILE("kernel", kernel),
	META_FILE("initrd", initrd),
	META_FILE("rootfs", rootfs),
	META_FILE("hda", hda),
	META_FILE("bios", bios),
	META_FILE("bios-sev", bios_sev),
	{ .name = "cmdline",
	  .type = FIELD_STRING,
	  .flags = FIELD_NULLABLE,
	  .max = IMAGE_CMDLINE - 1,
	  .at = offsetof(struct meta_text, cmdline),
	  .rule = "at most 2047 bytes, no control characters" },
	{ .name = "version",
	  .type = FIELD_STRING,
	  .flags = FIELD_NULLABLE,
	  .max = IMAGE_VERSION - 1,
	  .at = offsetof(struct meta_text, version),
	  .rule = "three or four numbers with dots, or empty" },
	{ .name = "ovmf_variant",
	  .type = FIELD_STRING,
	  .flags = FIELD_NULLABLE,
	  .max = sizeof(((struct image_boot *)NULL)->ovmf_variant) - 1,
	  .at = offsetof(struct meta_text, ovmf_variant),
	  .rule = "a word" },
	META_BOOL(shared_ro),
	META_BOOL(is_dev),
	META_BOOL(serial_progress),
	META_BOOL(kernel_header_normalized),
};

static const struct field_table meta_table = { .name = "ImageMetadata",
					       .fields = meta_fields,
					       .n = ARRAY_SIZE(meta_fields) };

bool image_file_name_ok(const char *name)
{
	if (!*name || *name == '.' || strlen(name) >= IMAGE_FILE)
		return false;
	for (; *name; name++)
		if (*name <= ' ' || *name >= 0x7f || *name == '/' || *name == '\\')
			return false;
	return true;
}

int image_file_open(int dirfd, const char *name, int *ret_fd, uint64_t *ret_size, struct err *e)
{
	/* O_NONBLOCK: opening a FIFO must not block the job. */
	auto_close int fd = openat(dirfd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	struct stat st;

	if (fd < 0 && errno == ENOENT)
		return err_field(e, ERR_INVALID, "image", name, "image file %s is missing", name);
	if (fd < 0 && errno == ELOOP)
		return err_field(e, ERR_INVALID, "image", name,
				 "image file %s is a link, expected a regular file", name);
	if (fd < 0 || fstat(fd, &st) < 0)
		return err_sys(e, errno, "open image file %s", name);
	if (!S_ISREG(st.st_mode))
		return err_field(e, ERR_INVALID, "image", name,
				 "image entry %s is not a regular file", name);
	*ret_fd = take_fd(&fd);
	*ret_size = (uint64_t)st.st_size;
	return 0;
}

int image_text_read(int dirfd, const char *name, char **ret, size_t *ret_n, struct err *e)
{
	auto_close int fd = -1;
	auto_free char *text = NULL;
	uint64_t size = 0;
	size_t n = 0;

	if (image_file_open(dirfd, name, &fd, &size, e) < 0)
		return -(int)e->code;
	if (size > IMAGE_TEXT_MAX)
		return err_field(e, ERR_TOO_LARGE, "image", name,
				 "image file %s has %llu bytes, at most %d are read", name,
				 (unsigned long long)size, IMAGE_TEXT_MAX);
	text = xmalloc((size_t)size + 1);
	while (n < size) {
		ssize_t got = read(fd, text + n, (size_t)size - n);

		if (got < 0)
			return err_sys(e, errno, "read image file %s", name);
		if (!got)
			break;
		n += (size_t)got;
	}
	text[n] = '\0';
	if (strlen(text) != n)
		return err_field(e, ERR_INVALID, "image", name,
				 "image file %s holds a NUL byte, expected text", name);
	*ret = take_ptr(&text);
	*ret_n = n;
	return 0;
}

static int copy_file_name(char out[IMAGE_FILE], const char *key, const char *name, struct err *e)
{
	char field[64];

	if (!name || !*name)
		return 0;
	if (image_file_name_ok(name)) {
		strcpy(out, name);
		return 0;
	}
	(void)snprintf(field, sizeof(field), IMAGE_METADATA ".%s", key);
	return err_field(e, ERR_INVALID, field, name,
			 "expected the name of a file in the image's own folder");
}

static int copy_cmdline(char out[IMAGE_CMDLINE], const char *cmdline, struct err *e)
{
	for (const char *p = cmdline; *p; p++)
		if ((unsigned char)*p < ' ' || *p == 0x7f)
			return err_field(
				e, ERR_INVALID, IMAGE_METADATA ".cmdline", NULL,
				"control character 0x%02x at byte %zu of the kernel command line",
				(unsigned char)*p, (size_t)(p - cmdline));
	if (strlen(cmdline) >= IMAGE_CMDLINE)
		return err_field(e, ERR_INVALID, IMAGE_METADATA ".cmdline", NULL,
				 "%zu bytes, at most %d fit", strlen(cmdline), IMAGE_CMDLINE - 1);
	strcpy(out, cmdline);
	return 0;
}

static int copy_version(char out[IMAGE_VERSION], const char *version, struct err *e)
{
	unsigned v[4], nv;

	if (*version && !image_version_parse(version, v, &nv))
		return err_field(e, ERR_INVALID, IMAGE_METADATA ".version", version,
				 "expected three or four numbers with dots, like 0.5.4");
	strcpy(out, version);
	return 0;
}

static int check_bootable(const struct image_boot *b, struct err *e)
{
	if (*b->kernel && !*b->initrd)
		return err_field(e, ERR_INVALID, IMAGE_METADATA ".initrd", NULL,
				 "kernel is given, initrd is missing");
	if (*b->initrd && !*b->kernel)
		return err_field(e, ERR_INVALID, IMAGE_METADATA ".kernel", NULL,
				 "initrd is given, kernel is missing");
	if (!*b->kernel && !*b->rootfs)
		return err_field(e, ERR_INVALID, IMAGE_METADATA ".kernel", NULL,
				 "expected kernel and initrd, or a rootfs that boots by itself");
	if (!*b->kernel && *b->cmdline)
		return err_field(e, ERR_INVALID, IMAGE_METADATA ".cmdline", NULL,
				 "a kernel command line is given, kernel is missing");
	return 0;
}

static int copy_metadata(const struct meta_text *t, struct image_meta *m, struct err *e)
{
	struct image_boot *b = &m->boot;

	b->shared_ro = t->shared_ro;
	b->serial_progress = t->serial_progress;
	b->kernel_header_normalized = t->kernel_header_normalized;
	m->is_dev = t->is_dev;
	(void)snprintf(b->ovmf_variant, sizeof(b->ovmf_variant), "%s",
		       t->ovmf_variant ? t->ovmf_variant : "");
	if (copy_file_name(b->kernel, "kernel", t->kernel, e) < 0 ||
	    copy_file_name(b->initrd, "initrd", t->initrd, e) < 0 ||
	    copy_file_name(b->rootfs, "rootfs", t->rootfs, e) < 0 ||
	    copy_file_name(b->hda, "hda", t->hda, e) < 0 ||
	    copy_file_name(b->bios, "bios", t->bios, e) < 0 ||
	    copy_file_name(m->bios_sev, "bios-sev", t->bios_sev, e) < 0 ||
	    copy_cmdline(b->cmdline, t->cmdline ? t->cmdline : "", e) < 0 ||
	    copy_version(m->version, t->version ? t->version : "", e) < 0)
		return -(int)e->code;
	return check_bootable(b, e);
}

int image_metadata_read(int dirfd, struct image_meta *ret, struct err *e)
{
	auto_free char *text = NULL;
	auto_json json_t *j = NULL;
	struct meta_text t = { 0 };
	struct image_meta m = { 0 };
	size_t n = 0;

	if (image_text_read(dirfd, IMAGE_METADATA, &text, &n, e) < 0)
		return -(int)e->code;
	j = json_read(text, n, e);
	if (!j) {
		(void)snprintf(e->field, sizeof(e->field), IMAGE_METADATA);
		return -(int)e->code;
	}
	if (!json_is_object(j))
		return err_field(e, ERR_INVALID, IMAGE_METADATA, NULL, "expected a JSON object");
	if (fields_read(&meta_table, j, IMAGE_METADATA, &t, e) < 0 || copy_metadata(&t, &m, e) < 0)
		return -(int)e->code;
	*ret = m;
	return 0;
}

int image_boot_read(const char *dir, struct image_boot *ret, struct err *e)
{
	auto_close int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct image_meta m;

	if (fd < 0)
		return err_sys(e, errno, "open image folder %s", dir);
	if (image_metadata_read(fd, &m, e) < 0)
		return -(int)e->code;
	*ret = m.boot;
	return 0;
}
