/* SPDX-License-Identifier: Apache-2.0
 * schema.h - numbered migrations of the database.
 */
#ifndef TEEPOD_DB_SCHEMA_H
#define TEEPOD_DB_SCHEMA_H

#include <stdbool.h>

struct db;
struct err;

/* Apply the missing migrations to the file @path. An existing file is copied before. */
int schema_migrate(struct db *db, const char *path, struct err *e);
/* ERR_UNSUPPORTED unless all migrations are applied. @may_create: apply them to an empty file. */
int schema_current(struct db *db, const char *path, bool may_create, struct err *e);
/* The newest schema this program knows. */
int schema_version(void);

#endif
