/* SPDX-License-Identifier: Apache-2.0
 * host_table.h - the results of the host checks as a table for a terminal.
 */
#ifndef TEEPOD_DAEMON_HOST_TABLE_H
#define TEEPOD_DAEMON_HOST_TABLE_H

#include "base/buf.h"
#include "vmm/host/host_check.h"

enum { HOST_TABLE_MIN = 60, HOST_TABLE_WIDTH = 80, HOST_TABLE_MAX = 120 };

/* Append the table and a summary. Lines have at most @width columns; @width is limited to
 * HOST_TABLE_MIN..HOST_TABLE_MAX. The advice for a check is below its result, after an arrow. */
void host_table(const struct host_check rows[HOST_CHECKS], unsigned width, struct buf *out);

#endif
