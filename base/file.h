/* SPDX-License-Identifier: Apache-2.0
 * file.h - files and folders, whole and durable. Blocking: for jobs and start-up.
 */
#ifndef TEEPOD_BASE_FILE_H
#define TEEPOD_BASE_FILE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"

/* mkdir -p with @mode for what has to be made. */
int file_mkdirs(const char *path, mode_t mode, struct err *e);

/* Write @n bytes to @path so that after a crash there is the old file or the new one, never half:
 * temporary file beside it, fsync, rename, fsync of the folder. */
int file_write(const char *path, const void *data, size_t n, mode_t mode, struct err *e);

/* Whole file, NUL-terminated, into *ret (malloc'd) and *ret_n (may be NULL). ERR_TOO_LARGE over
 * @max bytes, ERR_NOT_FOUND when there is no such file. */
int file_read(const char *path, size_t max, char **ret, size_t *ret_n, struct err *e);

/* rm -rf, not following links, not leaving the file system. A missing @path is success. */
int file_remove_tree(const char *path, struct err *e);

/* fsync a folder, so that names made in it survive a power cut. */
int file_sync_dir(const char *path, struct err *e);

#endif
