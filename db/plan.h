/* SPDX-License-Identifier: Apache-2.0
 * plan.h - test builds only: the query plan of each statement.
 */
#ifndef TEEPOD_DB_PLAN_H
#define TEEPOD_DB_PLAN_H

#ifdef TEEPOD_FAILPOINTS

#include <sqlite3.h>

/* Log statements that read a whole table that grows. Returns how many such reads the plan of @sql
 * has. */
unsigned plan_check(sqlite3 *conn, const char *sql);

#endif
#endif
