/* SPDX-License-Identifier: Apache-2.0
 * plan.h - checks query plans. Test builds only.
 */
#ifndef TEEPOD_DB_PLAN_H
#define TEEPOD_DB_PLAN_H

#ifdef TEEPOD_FAILPOINTS

#include <sqlite3.h>

/* Log each full scan of a growing table in the query plan of @sql. Returns the number of such
 * scans. */
unsigned plan_check(sqlite3 *conn, const char *sql);

#endif
#endif
