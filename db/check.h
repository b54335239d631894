/* SPDX-License-Identifier: Apache-2.0
 * check.h - findings in a database file.
 */
#ifndef TEEPOD_DB_CHECK_H
#define TEEPOD_DB_CHECK_H

struct buf;
struct err;

/* Integrity, foreign keys, that the capacity promised equals what the rows hold, and values that no
 * reader takes. One line a finding into @out; returns the number of findings, negative when the
 * file cannot be read. Opens read-only. */
int db_check(const char *path, struct buf *out, struct err *e);

#endif
