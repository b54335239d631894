/* SPDX-License-Identifier: Apache-2.0
 * db.h - the database file: open, migrate, shrink, close.
 *
 * One connection, used by the loop thread only. WAL with synchronous=FULL: acknowledged changes
 * survive a power loss.
 *
 * Rules for all row functions (cvms.h, operations.h, ...): they contain no policy and start no
 * transaction; callers are inside a turn (turn.h). They return 0 or a count, -ERR_NOT_FOUND without
 * *e filled if no row matches, or another negative code with *e filled. Texts are cut at the size
 * of their field. Arrays that are returned are malloc'd.
 *
 * Order of files: sql.c (statements), schema.c (migrations), db.c, tables, check.c.
 */
#ifndef TEEPOD_DB_DB_H
#define TEEPOD_DB_DB_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

struct db;

/* Open or create @path and migrate it to the current schema. Before an existing file is migrated it
 * is copied to "<path>.v<schema>-<time>". A newer schema is refused and the file stays as it is.
 * Only the daemon that holds the state lock may call this. */
int db_open(const char *path, struct db **ret, struct err *e);
/* For commands: open without migrating, because the installed daemon may be older and would then
 * refuse the file. ERR_UNSUPPORTED if the file has another schema. @may_create: create a missing
 * file; needs the state lock. */
int db_open_as_is(const char *path, bool may_create, struct db **ret, struct err *e);
/* Open read-only, without migrating. */
int db_open_read(const char *path, struct db **ret, struct err *e);
void db_close(struct db *db);

/* [turn] If more than 4 MiB of the file are free, return up to 1 MiB to the file system. Returns
 * the number of pages. The file gets shorter at the next checkpoint. */
int db_shrink(struct db *db, struct err *e);
/* Copy the WAL into the file, as far as readers allow, without waiting for them. False: a
 * transaction is open, so the caller has to try again. */
bool db_checkpoint(struct db *db);

/* True if @e means a bad row: it holds a value that this program does not accept (an unknown word,
 * a number out of range, invalid JSON). Reading such a row fails with ERR_HOST; the text names
 * table, column, row and value. Loops over all rows log the error and skip the row. */
bool db_bad_row(const struct err *e);

#endif
