/* SPDX-License-Identifier: Apache-2.0
 * images.h - versioned OS images: verified on the way in, immutable once there.
 *
 * An image is a folder in dstack's layout (metadata.json, sha256sum.txt, digest.txt, artefacts).
 * Its name is
 * "<family>-<version>" ("dstack-0.5.4", "teepod-demo-1.0.0"); a bare family name means its newest
 * version. The folder lives at <store>/<name>/ and the row in SQLite is the truth: a folder without
 * a row is not an image.
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
	uint64_t bytes;                 /* of the listed files */
	int64_t created_ms;             /* set by image_import() */
};

/* What metadata.json says of how to boot it; file names are inside the image's folder, "" = absent.
 */
struct image_boot {
	char kernel[IMAGE_FILE], initrd[IMAGE_FILE], rootfs[IMAGE_FILE], hda[IMAGE_FILE],
		bios[IMAGE_FILE];
	char cmdline[IMAGE_CMDLINE];
	char ovmf_variant[32]; /* "pre202505", ...: what a verifier has to know of the firmware; ""
				  = not said */
	bool shared_ro;
	/* Its firmware measures the kernel's file, whatever QEMU made of the setup header. */
	bool kernel_header_normalized;
	/* Ours, "serial_progress" in metadata.json: the guest writes "boot.progress: WORD" and
	 * "boot.error: TEXT" lines to its serial console. */
	bool serial_progress;
};

/* Check a name: <= 64 bytes, ASCII letters, digits, '_', '-', '.', no "..", not starting with '.'
 * or '-'. */
int image_name_check(const char *field, const char *name, struct err *e);

/* [job] Read and verify the image folder @dir: metadata.json well-formed, every artefact a regular
 * file inside the folder, every line of sha256sum.txt true, no artefact unlisted, digest.txt =
 * SHA-256 of sha256sum.txt. Fills what the folder tells (id 0). An image without sha256sum.txt is
 * refused. Name: "name" is the folder's own or @name if not NULL. */
int image_verify(const char *dir, const char *name, struct image *ret, struct image_boot *ret_boot,
		 struct err *e);

/* [job] metadata.json of an already verified image. */
int image_boot_read(const char *dir, struct image_boot *ret, struct err *e);

/* [job] The files of image folder @dir as they are now: sizes and times, to be held against
 * later. *ret malloc'd. */
int image_record_read(const char *dir, char **ret, struct err *e);
/* [job] Are they as in @record? -ERR_NOT_FOUND: the folder, or a file of it, is missing;
 * -ERR_CONFLICT: a file was changed or added, or nothing is recorded (""). *e names the file. */
int image_record_check(const char *dir, const char *record, struct err *e);
/* [job] The same; where they differ the content is hashed and held against @hash. On success
 * *ret is NULL, or the record as it is now (malloc'd). ERR_HOST if it is not the image, *e names
 * the file; ERR_UNAVAILABLE if the job was cancelled. */
int image_check(const char *dir, const char *name, const char *hash, const char *record, char **ret,
		struct err *e);

/* What the node has recorded of an image. */
struct image_known {
	char name[IMAGE_NAME];
	char hash[SHA256_HEX];
};

/* [job] Import from @source, a folder or a tar file (any compression libarchive knows): unpack
 * or copy to a temporary folder under @store, verify, fsync, rename to <store>/<name>. @known:
 * all images that are recorded, ended by an empty name; NULL: none. An image of that name with
 * another hash is ERR_CONFLICT. Is there a folder of that name already, then it has to verify to
 * the same hash (left over from a crash before the row was written), or is replaced if the hash
 * is the recorded one. *ret_files (malloc'd; may be NULL): the files as they were when they were
 * verified; a write after that differs from it. */
int image_import(const char *store, const char *source, const char *name,
		 const struct image_known *known, struct image *ret, char **ret_files,
		 struct err *e);

/* [job] Remove the folder of image @name (NULL: none), and temporary files that no process works
 * on any longer. */
int image_remove_files(const char *store, const char *name, struct err *e);

/* Family and version of "<family>-<x.y.z[.w]>": false if it has no version. */
bool image_name_split(const char *name, char family[IMAGE_NAME], char version[IMAGE_VERSION],
		      unsigned v[4], unsigned *nv);

/* < 0, 0, > 0: is @a older than, as old as, newer than @b? A missing fourth number counts as 0. */
int image_version_compare(const struct image *a, const struct image *b);

#endif
