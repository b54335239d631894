/* SPDX-License-Identifier: Apache-2.0
 * images.h - versioned OS images: verified at import, immutable afterwards.
 *
 * An image is a folder <store>/<name>/ in the layout of dstack: metadata.json, sha256sum.txt,
 * digest.txt and the files they name. The name is "<family>-<version>" ("dstack-0.5.4",
 * "teepod-demo-1.0.0"); a family alone means its newest version. An image exists if it has a row in
 * the database; a folder without a row is not an image.
 */
#ifndef TEEPOD_IMAGES_IMAGES_H
#define TEEPOD_IMAGES_IMAGES_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/id.h"

enum { IMAGE_NAME = 65, IMAGE_VERSION = 32, IMAGE_FILE = 128, IMAGE_CMDLINE = 2048 };

struct image {
	int64_t id;                  /* row */
	char name[IMAGE_NAME];       /* "teepod-demo-1.0.0" */
	char family[IMAGE_NAME];     /* "teepod-demo" */
	char version[IMAGE_VERSION]; /* "1.0.0" */
	unsigned v[4];               /* the version as numbers; v[3] 0 if absent */
	unsigned nv;                 /* 3 or 4 */
	bool is_dev;
	char os_image_hash[SHA256_HEX]; /* SHA-256 of sha256sum.txt = content of digest.txt */
	uint64_t bytes;                 /* sum of the listed files */
	int64_t created_ms;             /* set by image_import() */
};

/* How to boot the image, from metadata.json. File names are relative to its folder; "" = absent. */
struct image_boot {
	char kernel[IMAGE_FILE], initrd[IMAGE_FILE], rootfs[IMAGE_FILE], hda[IMAGE_FILE],
		bios[IMAGE_FILE];
	char cmdline[IMAGE_CMDLINE];
	char ovmf_variant[32]; /* variant of the firmware, for verifiers: "pre202505", ...; "" =
				  unknown */
	bool shared_ro;
	/* The firmware measures the kernel file, not the setup header that QEMU has modified. */
	bool kernel_header_normalized;
	/* The guest writes lines "boot.progress: WORD" and "boot.error: TEXT" to its serial
	 * console. This key of metadata.json is an extension of teepod. */
	bool serial_progress;
};

/* Check a name: at most 64 bytes, ASCII letters, digits, '_', '-' and '.', no "..", not starting
 * with '.' or '-'. */
int image_name_check(const char *field, const char *name, struct err *e);

/* [job] Read and verify the image folder @dir: metadata.json is valid, all files are regular files
 * and listed in sha256sum.txt with their digest, and digest.txt is the SHA-256 of sha256sum.txt.
 * The image gets the name @name, or that of the folder if @name is NULL, and id 0. */
int image_verify(const char *dir, const char *name, struct image *ret, struct image_boot *ret_boot,
		 struct err *e);

/* [job] Read metadata.json of a verified image. */
int image_boot_read(const char *dir, struct image_boot *ret, struct err *e);

/* [job] Record the files of image folder @dir: names, sizes and times. *ret is malloc'd. */
int image_record_read(const char *dir, char **ret, struct err *e);
/* [job] Compare the files with @record. -ERR_NOT_FOUND: the folder or a file is missing;
 * -ERR_CONFLICT: a file was changed or added, or @record is "". *e names the file. */
int image_record_check(const char *dir, const char *record, struct err *e);
/* [job] The same; if the files differ from @record, verify their content against @hash. On success
 * *ret is NULL, or a new record (malloc'd) if the content was verified. ERR_HOST if this is not the
 * image: *e names the file. ERR_UNAVAILABLE if the job was cancelled. */
int image_check(const char *dir, const char *name, const char *hash, const char *record, char **ret,
		struct err *e);

/* An image that has a row in the database. */
struct image_known {
	char name[IMAGE_NAME];
	char hash[SHA256_HEX];
};

/* [job] Import from @source, a folder or a tar file (with any compression of libarchive): copy or
 * unpack to a temporary folder in @store, verify, fsync, rename to <store>/<name>. @known: all
 * images with rows, ended by an empty name; NULL: none. ERR_CONFLICT if there is an image of that
 * name with another hash. If the folder exists, it must verify to the same hash (left by a crash
 * before the row was written), or it is replaced if the new hash is that of the row. *ret_files
 * (malloc'd; may be NULL): the record of the files, made before they were verified. */
int image_import(const char *store, const char *source, const char *name,
		 const struct image_known *known, struct image *ret, char **ret_files,
		 struct err *e);

/* [job] Remove the folder of image @name (NULL: none) and unused temporary folders. */
int image_remove_files(const char *store, const char *name, struct err *e);

/* Split "<family>-<x.y.z[.w]>". False if there is no version. */
bool image_name_split(const char *name, char family[IMAGE_NAME], char version[IMAGE_VERSION],
		      unsigned v[4], unsigned *nv);

/* Compare versions: < 0, 0, > 0 if @a is older than, equal to, newer than @b. A missing fourth
 * number is 0. */
int image_version_compare(const struct image *a, const struct image *b);

#endif
