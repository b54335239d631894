/* SPDX-License-Identifier: Apache-2.0
 * check.h - consistency check of a database file.
 */
#ifndef TEEPOD_DB_CHECK_H
#define TEEPOD_DB_CHECK_H

struct buf;
struct err;

/* Check integrity, foreign keys, sums and counts against the rows, and for values that no reader
 * accepts. Opens the file read-only. Appends one line per finding to @out. Returns the number of
 * findings, or negative if the file cannot be read. */
int db_check(const char *path, struct buf *out, struct err *e);

#endif
