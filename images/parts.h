/* SPDX-License-Identifier: Apache-2.0
 * parts.h - internal to images/: limits, and functions that its files share.
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

/* An image has a handful of files. The limits protect the host from a hostile archive. */
enum { IMAGE_FILES_MAX = 256, IMAGE_TEXT_MAX = 1024 * 1024 };
#define IMAGE_BYTES_MAX ((uint64_t)64 << 30)

struct image_meta {
	struct image_boot boot;
	char bios_sev[IMAGE_FILE];
	char version[IMAGE_VERSION]; /* "" = as in the name of the image */
	bool is_dev;
};

/* True if @name is a plain file name: no path, no characters that need quoting. */
bool image_file_name_ok(const char *name);

/* Open the regular file @name in folder @dirfd. Links are refused. */
int image_file_open(int dirfd, const char *name, int *ret_fd, uint64_t *ret_size, struct err *e);

/* Read and validate metadata.json of folder @dirfd, but not the files it names. */
int image_metadata_read(int dirfd, struct image_meta *ret, struct err *e);

/* Read a text file (without NUL) of at most IMAGE_TEXT_MAX bytes. *ret is malloc'd. */
int image_text_read(int dirfd, const char *name, char **ret, size_t *ret_n, struct err *e);

/* [job] image_verify(), with a record of the files in *ret_record (malloc'd). ERR_CONFLICT if a
 * file was written during verification. */
int image_verify_recorded(const char *dir, const char *name, struct image *ret, char **ret_record,
			  struct err *e);

/* Error of a job that was cancelled while it read file @name. */
int image_job_cancelled(const char *name, struct err *e);

/* Parse three or four numbers with dots, each at most 65535. */
bool image_version_parse(const char *s, unsigned v[4], unsigned *nv);

#endif
