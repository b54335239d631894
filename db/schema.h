/* SPDX-License-Identifier: Apache-2.0
 * schema.h - the numbered migrations.
 */
#ifndef TEEPOD_DB_SCHEMA_H
#define TEEPOD_DB_SCHEMA_H

#include <stdbool.h>

struct db;
struct err;

/* Apply numbered migrations. */
int schema_migrate(struct db *db, const char *path, struct err *e);
/* ERR_UNSUPPORTED unless all of them have been applied. @may_create: apply them to an empty file.
 */
int schema_current(struct db *db, const char *path, bool may_create, struct err *e);
/* Newest schema this program knows. */
int schema_version(void);

#endif
