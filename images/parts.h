/* SPDX-License-Identifier: Apache-2.0
 * parts.h - what the files of this folder share; nobody else includes it.
 */
#ifndef TEEPOD_IMAGES_PARTS_H
#define TEEPOD_IMAGES_PARTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "images/images.h"

#define IMAGE_METADATA "metadata.json"
#define IMAGE_SUMS     "sha256sum.txt"
#define IMAGE_DIGEST   "digest.txt"

/* An image is a handful of files; the bounds only keep a hostile archive from filling the host. */
enum { IMAGE_FILES_MAX = 256, IMAGE_TEXT_MAX = 1024 * 1024 };
#define IMAGE_BYTES_MAX ((uint64_t)64 << 30)

struct image_meta {
	struct image_boot boot;
	char bios_sev[IMAGE_FILE];
	char version[IMAGE_VERSION]; /* "" = the folder's name says it */
	bool is_dev;
};

/* One name, not a path, of characters that need no quoting anywhere. */
bool image_file_name_ok(const char *name);

/* Open the regular file @name of folder @dirfd without following links. */
int image_file_open(int dirfd, const char *name, int *ret_fd, uint64_t *ret_size, struct err *e);

/* metadata.json of folder @dirfd, checked against its own rules (not yet against the other files).
 */
int image_metadata_read(int dirfd, struct image_meta *ret, struct err *e);

/* Whole text file (no NUL inside) of at most IMAGE_TEXT_MAX bytes. */
int image_text_read(int dirfd, const char *name, char **ret, size_t *ret_n, struct err *e);

/* [job] image_verify(), and *ret_record (malloc'd): the files as they were then. ERR_CONFLICT if a
 * file was written meanwhile. */
int image_verify_recorded(const char *dir, const char *name, struct image *ret, char **ret_record,
			  struct err *e);

/* The error of a job that is cancelled while it reads file @name. */
int image_job_cancelled(const char *name, struct err *e);

/* Dotted numbers, three or four, each at most 65535. */
bool image_version_parse(const char *s, unsigned v[4], unsigned *nv);

#endif
