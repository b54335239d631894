/* SPDX-License-Identifier: Apache-2.0
 * file.h - files and folders: durable writes, reads, removal. Blocking: for jobs and start-up only.
 */
#ifndef TEEPOD_BASE_FILE_H
#define TEEPOD_BASE_FILE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"

/* Like mkdir -p; new folders get @mode. */
int file_mkdirs(const char *path, mode_t mode, struct err *e);

/* Replace the file @path. After a crash it is the old or the new file, never a part: the bytes go
 * to
 * "<path>.tmp", then fsync, rename and fsync of the folder. */
int file_write(const char *path, const void *data, size_t n, mode_t mode, struct err *e);

/* The same without the fsync of the folder: the caller calls file_sync_dir() after the last of
 * several files. */
int file_replace(const char *path, const void *data, size_t n, mode_t mode, struct err *e);

/* Read a whole file into *ret (malloc'd, NUL-terminated), its size into *ret_n (may be NULL).
 * ERR_TOO_LARGE over @max bytes, ERR_NOT_FOUND if it does not exist. */
int file_read(const char *path, size_t max, char **ret, size_t *ret_n, struct err *e);

/* Like rm -rf; links are not followed, other file systems not entered. 0 if @path is missing. */
int file_remove_tree(const char *path, struct err *e);

/* fsync a folder, so that new names in it survive a power loss. */
int file_sync_dir(const char *path, struct err *e);

#endif
