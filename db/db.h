/* SPDX-License-Identifier: Apache-2.0
 * db.h - the database file: open, migrate, shrink, close.
 *
 * One connection, owned by the loop thread. WAL with synchronous=FULL: what was acknowledged
 * survives power loss.
 *
 * Functions of rows (cvms.h, operations.h, ...) know no policy and begin no transaction: callers
 * are inside a turn (turn.h). Those that read return 0 (or a count), -ERR_NOT_FOUND without filling
 * *e when nothing matches, or another negative code with *e filled. Fixed-size texts are cut at
 * their size.
 */
#ifndef TEEPOD_DB_DB_H
#define TEEPOD_DB_DB_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

struct db;

/* Open or create @path and bring its schema up to date; before migrating an existing file a copy is
 * taken beside it
 * ("teepod.db.v1-<time>"). A schema newer than this program is refused, the file untouched. */
int db_open(const char *path, struct db **ret, struct err *e);
/* Only the daemon may migrate: the daemon that is installed may be of an earlier version, and would
 * refuse the file then. This one, for commands, leaves a file that is there as it is:
 * ERR_UNSUPPORTED when it has another schema. @may_create: make one that is not there (needs the
 * state lock). */
int db_open_as_is(const char *path, bool may_create, struct db **ret, struct err *e);
/* Read-only, as it is. */
int db_open_read(const char *path, struct db **ret, struct err *e);
void db_close(struct db *db);

/* [turn] Give up to 1 MiB that rows left free back to the file system, if there are more than 4
 * MiB. Returns how many pages. The file itself shrinks with a checkpoint. */
int db_shrink(struct db *db, struct err *e);
/* False: a transaction is open, ask again. Readers do not delay it. */
bool db_checkpoint(struct db *db);

/* Does @e say that a row holds a value this program does not know (an unknown word, a number out of
 * range, text that is not JSON)? Nothing is guessed: who asks for that row gets ERR_HOST, which
 * names table, column, row and value; loops over all rows log it and go on with the others. */
bool db_bad_row(const struct err *e);

#endif
